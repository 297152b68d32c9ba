package retrytest

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Refuse is a policy that rejects every call, as an open breaker (pass breaker.ErrOpen), a limiter
// (ratelimit.ErrLimited) or a full bulkhead (policies.ErrFull) does. after is when it is worth
// coming back; 0 says that the time is unknown.
func Refuse(reason error, after time.Duration) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, _ retry.Next) error {
		r := &retry.Rejection{Policy: "retrytest", Reason: reason, RetryAfter: after}
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: r.Policy, Wait: after, Err: r})
		return r
	})
}

// Fail is a policy that fails every call with err after took; the callee is not called.
func Fail(err error, took time.Duration) retry.Policy {
	step := Step[struct{}]{Err: err, Took: took}
	return retry.PolicyFunc(func(ctx context.Context, _ retry.Next) error { return step.wait(ctx) })
}
