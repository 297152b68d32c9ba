package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// verdict is what one call says of its callee.
type verdict uint8

const (
	none    verdict = iota // a configuration error: as if there had been no call
	neutral                // the call says nothing of the callee
	success
	failure
)

// judge reads the outcome of a call. It gives back the error to keep as the last failure.
//
// Whether the caller went away is told by its context and not by the error, for a client library's errors need not be
// context errors. So a failure that comes while the caller is leaving is no verdict either: one is lost here and there, and
// none is invented.
func (b *Breaker) judge(ctx context.Context, err error, took time.Duration) (verdict, error) {
	if err != nil && errors.Is(err, retry.ErrConfig) {
		return none, err
	}
	if b.slow > 0 && took > b.slow { // whoever ended it
		if err == nil {
			err = fmt.Errorf("a call took %v, longer than %v", took, b.slow)
		}
		return failure, err
	}
	if err == nil {
		return success, nil
	}
	if err == errAborted {
		return failure, err
	}
	if _, ok := retry.Rejected(err); ok { // the callee was not reached, whatever else the error says
		return neutral, err
	}
	gone := ctx.Err()
	if gone == context.Canceled { // before the marks: a classifier may call the cancellation itself a final answer
		return neutral, err
	}
	if retry.IsNeutral(err) {
		if retry.IsPermanent(err) { // the final answer of a healthy callee
			return success, err
		}
		return neutral, err
	}
	if gone != nil && b.ignoreDeadline && !byPolicy(context.Cause(ctx)) {
		return neutral, err
	}
	return failure, err
}

// byPolicy reports whether a deadline was set by a policy around the breaker and not by the caller, who may give a cause too.
func byPolicy(cause error) bool {
	_, ok := errors.AsType[interface {
		error
		ByPolicy()
	}](cause)
	return ok
}
