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

// Sleep is how a policy waits for e.Wait. It ends with ctx, and it is not begun if it cannot end before
// ctx's deadline. A nil error means that the time has passed and ctx lives; otherwise the error Is
// what ended ctx, or Is context.DeadlineExceeded at once and names e.Policy. A wait of 0 makes no
// timer.
//
// Observers are told of the wait: Kind, Took, Err and Time are filled in. A loop, which stands outside
// its own attempts, sets Attempt and Depth too (see [Emit]); for others e.Policy is enough.
func Sleep(ctx context.Context, e Event) error {
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
