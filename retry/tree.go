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
		one, more := inside(err)
		for _, member := range more {
			if !tree(member, yield) {
				return false
			}
		}
		err = one
	}
	return true
}

// inside is what err wraps: one error, or any number of them.
func inside(err error) (one error, more []error) {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return e.Unwrap(), nil
	case interface{ Unwrap() []error }:
		return nil, e.Unwrap()
	}
	return nil, nil
}
