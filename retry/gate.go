package retry

import (
	"context"
	"errors"
)

// errAborted is what done is told when the call did not return: it panicked, or ended its
// goroutine.
var errAborted = errors.New("the call panicked or ended its goroutine")

// Gate makes a policy from a function that admits a call or rejects it, as a semaphore, a lock or a
// quota does.
//
// admit runs before the call. If it returns an error the call is not made and the error goes out: a
// [*Rejection], or an error with [ErrRejected] in its tree, is a rejection, anything else an
// ordinary failure. Otherwise done, which may be nil, runs exactly once when the call is over, and
// is given its error. After a panic or runtime.Goexit it is given an error that says so, and the
// panic goes on to the caller. A call whose context has ended is rejected before admit is asked.
func Gate(admit func(context.Context) (done func(error), err error)) Policy {
	return gate(admit)
}

type gate func(context.Context) (func(error), error)

func (g gate) Do(ctx context.Context, next Next) error {
	if g == nil {
		return errNilAdmit
	}
	if err := Ended(ctx); err != nil {
		return err
	}
	done, err := g(ctx)
	if err != nil {
		return err
	}
	if done == nil {
		return next.Do(ctx)
	}
	// No recover: the panic keeps its value and its stack, and Goexit, which cannot be recovered,
	// takes the same way out.
	outcome := errAborted
	defer func() { done(outcome) }()
	outcome = next.Do(ctx)
	return outcome
}

func (g gate) Validate() error {
	if g == nil {
		return errNilAdmit
	}
	return nil
}

func (g gate) String() string { return "gate" }
