package retry

import "iter"

// Tree iterates over err and the errors that it wraps, outermost first, as the readers of marks see
// them: not behind [Unmark], and not into the Cause of a rejection. It is for a policy that looks
// for more than marks, as policies.Classify looks for statuses.
func Tree(err error) iter.Seq[error] {
	return func(yield func(error) bool) { tree(err, yield) }
}

func tree(err error, yield func(error) bool) bool {
	for err != nil {
		if !yield(err) {
			return false
		}
		more, one := inside(err)
		for _, member := range more {
			if !tree(member, yield) {
				return false
			}
		}
		err = one
	}
	return true
}

// inside is what err wraps: any number of errors, or one.
func inside(err error) (more []error, one error) {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return nil, e.Unwrap()
	case interface{ Unwrap() []error }:
		return e.Unwrap(), nil
	}
	return nil, nil
}
