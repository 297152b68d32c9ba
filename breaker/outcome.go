package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// outcome is what one call says about its callee.
type outcome uint8

const (
	none    outcome = iota // a configuration error: as if there had been no call
	neutral                // the call says nothing about the callee
	success
	failure
)

var errOverdue = errors.New("a call is still running after the slow limit")

// classify makes an outcome of an error.
//
// Whether the caller went away is told by its context and not by the error, since a client
// library's errors need not be context errors. So a real failure that comes just then is not
// counted: a verdict may be lost, but none is invented.
func classify(ctx context.Context, err error, ignoreDeadline bool) outcome {
	switch err {
	case nil:
		return success
	case errAborted:
		return failure
	}
	v, gone := retry.VerdictOf(err), ctx.Err()
	switch {
	case v.Config:
		return none
	case v.Unreached, // a loop that was refused a further attempt has made some: that counts
		gone == context.Canceled: // a classifier may call the cancellation a final answer
		return neutral
	case v.Neutral && v.Permanent: // the final answer of a healthy callee
		return success
	case v.Neutral:
		return neutral
	case gone != nil && ignoreDeadline && !byPolicy(context.Cause(ctx)):
		return neutral
	}
	return failure
}

// classify also makes a failure of a slow call, whoever ended it, and returns the error to tell. A
// long wait for a rejection is not the callee's slowness.
func (b *Breaker) classify(ctx context.Context, err error, took time.Duration) (outcome, error) {
	o := classify(ctx, err, b.ignoreDeadline)
	if b.slow == 0 || took <= b.slow || o == none {
		return o, err
	}
	if o == neutral && retry.VerdictOf(err).Unreached {
		return o, err
	}
	if err == nil {
		err = &slowCall{took, b.slow}
	}
	return failure, err
}

// slowCall is the error of a slow call that succeeded. Its text is made when it is printed.
type slowCall struct{ took, limit time.Duration }

func (s *slowCall) Error() string {
	return fmt.Sprintf("a call took %v, longer than %v", s.took, s.limit)
}

// byPolicy reports whether a deadline was set by a policy around the breaker and not by the caller,
// who may give a cause too.
func byPolicy(cause error) bool {
	_, ok := errors.AsType[interface {
		error
		ByPolicy()
	}](cause)
	return ok
}
