package ratelimit

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// After a park one call goes alone. If it hangs, the next goes alone half a minute later. If the
// first is admitted after all, that counts; if it is refused, it does not.
func TestPacerGivesUpASingleRequestThatHangs(t *testing.T) {
	for _, c := range []struct {
		name     string
		late     error // of the one that hung
		released bool  // by that
	}{
		{"admitted late", nil, true},
		{"failed late", errors.New("no such page"), true},
		{"refused late", retry.After(errPage, 0), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := parked(t, time.Second)
				var wg sync.WaitGroup
				hang := make(chan struct{})
				var mu sync.Mutex
				var sent time.Time
				var went []time.Duration
				wg.Go(func() {
					_ = retry.Run(t.Context(), p, func(context.Context) error {
						mu.Lock()
						sent = time.Now()
						mu.Unlock()
						<-hang
						return c.late
					})
				})
				time.Sleep(2 * time.Second)
				for range 4 {
					wg.Go(func() {
						if err := retry.Run(t.Context(), p, func(context.Context) error {
							mu.Lock()
							went = append(went, time.Since(sent))
							mu.Unlock()
							time.Sleep(3 * time.Second)
							return nil
						}); err != nil {
							t.Error(err)
						}
					})
				}
				short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				if err := run(short, p, 0, nil); !errors.Is(err, context.DeadlineExceeded) ||
					time.Since(start) < 10*time.Second {
					t.Errorf("%v after %v: the answer might have come in time", err,
						time.Since(start))
				}
				time.Sleep(20 * time.Second)
				close(hang)
				wg.Wait()
				if went[0] != 30*time.Second {
					t.Errorf("the next went %v after the one that hung", went[0])
				}
				if released := went[1] < 33*time.Second; released != c.released {
					t.Errorf("released %v, want %v: %v", released, c.released, went)
				}
				if last := went[3]; last > 40*time.Second {
					t.Errorf("the last went after %v", last)
				}
				if s := p.State(); s.Parked || s.InFlight != 0 {
					t.Errorf("left behind: %v", p)
				}
			})
		})
	}
}

// What the machine adds to a hint, so that it does not come back a moment early, stays within the
// cap.
func TestPacerParksNoLongerThanHintCap(t *testing.T) {
	for _, c := range []struct{ hint, hintCap, want time.Duration }{
		{time.Hour, time.Minute, time.Minute},
		{time.Minute, time.Minute, time.Minute},
		{time.Minute - 10*time.Millisecond, time.Minute, time.Minute},
		{time.Second, time.Second, time.Second},
		{time.Second, 100 * time.Millisecond, 500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := parked(t, c.hint, HintCap(c.hintCap))
			start := time.Now()
			if err := run(t.Context(), p, 0, nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > c.want+time.Microsecond ||
				took < c.want-time.Microsecond {
				t.Errorf("a hint of %v under a cap of %v parked for %v, want %v", c.hint, c.hintCap,
					took, c.want)
			}
		})
	}
}
