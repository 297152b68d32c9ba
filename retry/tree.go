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
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, member := range e.Unwrap() {
				if !tree(member, yield) {
					return false
				}
			}
			return true
		default:
			return true
		}
	}
	return true
}
