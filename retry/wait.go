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
// what ended ctx, or Is context.DeadlineExceeded at once and names the policy. A wait of 0 makes no timer.
func Sleep(ctx context.Context, policy string, wait time.Duration) error {
	return Wait(ctx, Event{Policy: policy, Wait: wait})
}

// Wait is [Sleep] for e.Wait, of which observers are told as e says: for a loop, which stands outside of its own attempts and
// sets Attempt and Depth (see [Emit]). Kind, Took, Err and Time are filled in.
func Wait(ctx context.Context, e Event) error {
	wait := e.Wait
	if err := Ended(ctx); err != nil || wait <= 0 {
		return err
	}
	if !Fits(ctx, wait) {
		return fmt.Errorf("%w: %s: a wait of %v does not fit", context.DeadlineExceeded, e.Policy, round(wait))
	}
	if watchers(ctx) == nil {
		return sleep(ctx, wait)
	}
	start := time.Now()
	err := sleep(ctx, wait)
	e.Kind, e.Took, e.Err, e.Time = KindWait, time.Since(start), err, time.Time{}
	Emit(ctx, e)
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
