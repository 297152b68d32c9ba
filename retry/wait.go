package retry

import (
	"context"
	"fmt"
	"time"
)

// Fits reports whether a wait that begins now ends before ctx's deadline. A policy does not begin a
// wait that does not fit.
func Fits(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return true
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

// Sleep is how a policy waits for e.Wait. It ends with ctx, and it is not begun if it cannot end
// before ctx's deadline. A nil error means that the time has passed and ctx lives; otherwise the
// error Is what ended ctx, or Is context.DeadlineExceeded at once and names e.Policy. A wait of 0
// makes no timer.
//
// Observers are told of the wait: Kind, Took, Err and Time are filled in. A loop, which stands
// outside its own attempts, sets Attempt and Depth too (see [Emit]); for others e.Policy is enough.
func Sleep(ctx context.Context, e Event) error {
	var s Sleeper
	return s.Sleep(ctx, e)
}

// Sleeper is [Sleep] for a policy that may wait many times in one call: it keeps its timer. It
// serves one call and one goroutine at a time. The zero Sleeper is ready for use. Do not keep it in
// a sync.Pool: a timer that was made in a testing/synctest bubble cannot be used outside.
type Sleeper struct{ timer *time.Timer }

// Sleep is the function Sleep.
func (s *Sleeper) Sleep(ctx context.Context, e Event) error {
	wait := e.Wait
	if err := Ended(ctx); err != nil || wait <= 0 {
		return err
	}
	if !Fits(ctx, wait) {
		return fmt.Errorf("%w: %s: a wait of %v does not fit",
			context.DeadlineExceeded, e.Policy, round(wait))
	}
	if !Wanted(ctx, KindWait) {
		return s.sleep(ctx, wait)
	}
	start := time.Now()
	err := s.sleep(ctx, wait)
	e.Kind, e.Took, e.Err, e.Time = KindWait, time.Since(start), err, time.Time{}
	Emit(ctx, e)
	return err
}

func (s *Sleeper) sleep(ctx context.Context, wait time.Duration) error {
	if s.timer == nil {
		s.timer = time.NewTimer(wait)
	} else {
		s.timer.Reset(wait)
	}
	select {
	case <-s.timer.C:
	case <-ctx.Done():
		s.timer.Stop()
	}
	return Ended(ctx)
}
