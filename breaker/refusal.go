package breaker

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// ErrOpen is the Reason of a [retry.Rejection] by a breaker, whether it is open, isolated, or has
// all its probes out.
var ErrOpen error = &openError{"circuit breaker is open", "open"}

// errIsolated Is ErrOpen; only people tell the two apart.
var errIsolated error = &openError{"circuit breaker is isolated", "isolated until it is released"}

type openError struct{ text, short string }

func (r *openError) Error() string        { return r.text }
func (r *openError) Is(target error) bool { return target == ErrOpen }

// Refusal is what a rejection says after the breaker's name: "open, next probe in 12s".
func (r *openError) Refusal(retryAfter time.Duration) string {
	if retryAfter <= 0 {
		return r.short
	}
	return r.short + ", next probe in " + retryAfter.String()
}

// rejection is why a call is rejected in this era, and tells the observers.
func (b *Breaker) rejection(ctx context.Context, e *era, wait time.Duration) error {
	r := &retry.Rejection{Policy: b.policy, Reason: ErrOpen, RetryAfter: wait, Cause: e.cause.get()}
	if e.state == Isolated {
		r.Reason = errIsolated
	}
	if retry.Observed(ctx) {
		b.tellRejected(ctx, r)
	}
	return r
}

func (b *Breaker) tellRejected(ctx context.Context, r *retry.Rejection) {
	told := retry.Event{Kind: retry.KindReject, Policy: b.policy, Wait: r.RetryAfter, Err: r}
	if b.shadow {
		told.To = "let through: shadow"
	}
	retry.Emit(ctx, told)
}

// refuse returns the rejection; in shadow mode a permit instead, whose outcome counts for the
// shadow counts only.
func (b *Breaker) refuse(ctx context.Context, e *era, wait time.Duration) (permit, error) {
	err := b.rejection(ctx, e, wait)
	if b.shadow {
		b.shadowed.refused.Add(1)
		err = nil
	}
	return permit{}, err
}
