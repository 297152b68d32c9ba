package retry

import (
	"context"
	"fmt"
	"time"
)

// Fits reports whether a wait that begins now ends before ctx's deadline. A policy does not begin one that does not.
func Fits(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

// Sleep is how a policy waits. It ends with ctx, is not begun if it cannot end before ctx's deadline, and is seen by
// observers under the name of the policy. A nil error means that the time has passed and ctx lives; otherwise the error Is
// what ended ctx, or Is context.DeadlineExceeded at once. A wait of 0 makes no timer.
func Sleep(ctx context.Context, policy string, wait time.Duration) error {
	if err := Ended(ctx); err != nil || wait <= 0 {
		return err
	}
	if !Fits(ctx, wait) {
		return fmt.Errorf("%w: a wait of %v does not fit", context.DeadlineExceeded, round(wait))
	}
	if watchers(ctx) == nil {
		return sleep(ctx, wait)
	}
	start := time.Now()
	err := sleep(ctx, wait)
	Emit(ctx, Event{Kind: KindWait, Policy: policy, Wait: wait, Took: time.Since(start), Err: err})
	return err
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return Ended(ctx)
}
