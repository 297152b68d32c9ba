package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

func with(p retry.Priority) context.Context { return retry.WithPriority(bg, p) }

func TestTheHigherPriorityGoesFirstAndWithinOneTheFirst(t *testing.T) {
	for name, p := range map[string]retry.Policy{
		"Limiter": ratelimit.New(1, 1),
		"All":     ratelimit.All(ratelimit.New(1, 1), ratelimit.New(10, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				s.call(bg, p, 0, nil)
				for i, priority := range []retry.Priority{retry.Normal, retry.Sheddable,
					retry.Critical, 50, retry.Normal, retry.Critical, retry.Sheddable} {
					s.call(with(priority), p, 1+i, nil)
				}
				s.expect(0, 4*time.Second, 6*time.Second, 1*time.Second, 3*time.Second,
					5*time.Second, 2*time.Second, 7*time.Second)
			})
		})
	}
	t.Run("Pacer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := newScript(t), ratelimit.NewPacer(ratelimit.MaxInFlight(1))
			s.call(bg, p, 0, takes(time.Minute))
			var mu sync.Mutex
			var order []int
			for i, priority := range []retry.Priority{0, -100, 100, 50, 0, 100} {
				s.call(with(priority), p, 1+i, func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					return nil
				})
			}
			s.wg.Wait()
			if got := fmt.Sprint(order); got != "[2 5 3 0 4 1]" {
				t.Errorf("went in the order %v", got)
			}
		})
	})
}

func TestAHigherPriorityTakesATokenThatTheHeadDoesNotFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(1, 3)
		s.call(bg, l, 0, nil)
		s.call(bg, l.N(3), 1, nil) // finds two
		s.call(bg, l, 2, nil)      // does not overtake
		s.call(with(retry.Critical), l, 3, nil)
		s.expect(0, 2*time.Second, 3*time.Second, 0)
		if c := l.Counts(); c.Immediate != 2 || c.Delayed != 2 {
			t.Errorf("%v", c)
		}
	})
}

func TestAnOvertakenCallThatNoLongerFitsIsRejectedAtOnce(t *testing.T) {
	for _, c := range []struct {
		name       string
		opts       []ratelimit.Option
		deadline   time.Duration // of the one that is overtaken; its turn comes after 2 s
		n          int           // tokens of the one that overtakes
		fits       bool
		byDeadline bool
		wait       time.Duration // that the rejection tells
	}{
		{"deadline", nil, 2500 * ms, 1, false, true, 2500 * ms},
		{"deadline, just", nil, 3001 * ms, 1, true, true, 0},
		{"deadline at the new turn", nil, 3000 * ms, 1, false, true, 2500 * ms},
		{"MaxWait", []ratelimit.Option{ratelimit.MaxWait(2900 * ms)},
			time.Hour, 1, false, false, 2500 * ms},
		{"MaxWait, just", []ratelimit.Option{ratelimit.MaxWait(3 * time.Second)},
			time.Hour, 1, true, false, 0},
		{"by several tokens", nil, 4500 * ms, 3, false, true, 4500 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(1, 3, c.opts...)
				s.call(bg, l.N(3), 0, nil)
				s.call(bg, l, 1, nil) // at 1 s
				ctx, cancel := context.WithTimeout(bg, c.deadline)
				defer cancel()
				err := s.call(ctx, l, 2, nil)
				s.call(bg, l, 3, nil) // with MaxWait it is refused at once
				time.Sleep(500 * ms)
				s.call(with(retry.Critical), l.N(c.n), 4, nil)
				if c.fits {
					s.expect(0, 2*time.Second, 3*time.Second)
					return
				}
				r, ok := retry.Rejected(*err)
				if !ok || r.RetryAfter != c.wait || !errors.Is(*err, ratelimit.ErrLimited) ||
					errors.Is(*err, context.DeadlineExceeded) != c.byDeadline {
					t.Errorf("at %v: %v, want a rejection of %v", s.now(), *err, c.wait)
				}
				if c.byDeadline {
					n := time.Duration(c.n)
					s.expect(0, (1+n)*time.Second, never, (2+n)*time.Second, n*time.Second)
				}
				s.wg.Wait()
			})
		})
	}
}

// Three come where one and a half can go: the lower the priority the fewer of them.
func TestOverloadShedsTheLowerPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(10, 1, ratelimit.MaxWait(time.Second))
		var mu sync.Mutex
		went, refused := map[retry.Priority]int{}, map[retry.Priority]int{}
		var wg sync.WaitGroup
		for range 1000 {
			for _, p := range []retry.Priority{retry.Sheddable, retry.Normal, retry.Critical} {
				wg.Go(func() {
					err := retry.Run(with(p), l, nop)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						went[p]++
					} else {
						refused[p]++
					}
				})
				synctest.Wait()
			}
			time.Sleep(150 * ms)
		}
		wg.Wait()
		if went[retry.Critical] != 1000 || went[retry.Normal] < 480 || went[retry.Sheddable] > 20 {
			t.Errorf("went: %v, refused: %v", went, refused)
		}
	})
}

func TestAQueueOfTwentyThousandIsOvertakenInLogarithmicTime(t *testing.T) {
	if testing.Short() || ratelimit.RaceEnabled {
		t.Skip("measures time")
	}
	const n, few = 20_000, 1000
	for range 5 { // others use the machine too
		short := time.Duration(0)
		for range n / few {
			short += queued(few)
		}
		long := queued(n)
		t.Logf("a waiter of %d takes %v, of %d %v", few, short/n, n, long/n)
		if long < 3*short {
			return
		}
	}
	t.Errorf("each of %d waiters of seven priorities takes three times as long as of %d", n, few)
}

// queued is the time in which n waiters of seven priorities come.
func queued(n int) time.Duration {
	l := ratelimit.New(1e-3, 1)
	_ = retry.Run(bg, l, nop)
	ctx, cancel := context.WithTimeout(bg, time.Hour*24*365)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	began := time.Now()
	for i := range n {
		wg.Go(func() { _ = retry.Run(retry.WithPriority(ctx, retry.Priority(i%7)), l, nop) })
	}
	for waitingIn(l) < n {
		time.Sleep(100 * time.Microsecond)
	}
	return time.Since(began)
}

func waitingIn(l *ratelimit.Limiter) int {
	for _, s := range l.Stats() {
		if s.Name == "waiting" {
			return int(s.Value)
		}
	}
	return 0
}
