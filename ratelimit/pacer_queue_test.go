package ratelimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestPacerAbandonedWaitsLeaveNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Minute)
		rng := rand.New(rand.NewPCG(3, 4))
		var cancels []context.CancelFunc
		var wg sync.WaitGroup
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			wg.Go(func() {
				if err := run(ctx, p, 0, nil); !errors.Is(err, context.Canceled) {
					t.Errorf("an abandoned wait returned %v", err)
				}
			})
			synctest.Wait()
		}
		rng.Shuffle(len(cancels), func(i, j int) {
			cancels[i], cancels[j] = cancels[j], cancels[i]
		})
		for _, cancel := range cancels {
			cancel()
		}
		wg.Wait()
		start := time.Now()
		run(t.Context(), p, 0, nil)
		if d := time.Since(start); d < time.Minute || d > 62*time.Second {
			t.Errorf("the next call went after %v", d)
		}
		if s := p.State(); s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("left behind: %v", p)
		}
	})
}

func TestPacerIsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				retry.Run(t.Context(), p, func(context.Context) error {
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					time.Sleep(time.Millisecond)
					return nil
				})
			})
			synctest.Wait()
		}
		wg.Wait()
		for i, v := range order {
			if i != v {
				t.Fatalf("order %v", order)
			}
		}
	})
}

func TestPacerDoesNotWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Hour/2)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := run(ctx, p, 0, nil)
		var r *retry.Rejection
		if !errors.As(err, &r) || r.RetryAfter < 29*time.Minute || r.RetryAfter > 31*time.Minute {
			t.Errorf("got %v", err)
		}
		for _, is := range []error{ErrLimited, retry.ErrRejected, context.DeadlineExceeded} {
			if !errors.Is(err, is) {
				t.Errorf("%v is not %v", err, is)
			}
		}
		if errors.Is(err, errPage) {
			t.Errorf("%v matches another call's failure", err)
		}
		if time.Since(start) > 0 {
			t.Errorf("waited %v", time.Since(start))
		}
	})
}

func TestPacerRejectsCallsWhoseWaitHasBecomeTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1), MaxWait(10*time.Second))
		go run(t.Context(), p, 5*time.Second, retry.After(errPage, time.Minute))
		synctest.Wait()
		start := time.Now()
		err := run(t.Context(), p, 0, nil)
		if !errors.Is(err, ErrLimited) || errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if d, _ := retry.RetryAfter(err); d < time.Minute {
			t.Errorf("it says %v", d)
		}
	})
}

func TestPacerMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, patience := range []time.Duration{0, time.Second} {
			p := parked(t, time.Minute, MaxWait(patience))
			start := time.Now()
			if err := run(t.Context(), p, 0, nil); !errors.Is(err, ErrLimited) ||
				time.Since(start) > 0 {
				t.Errorf("parked, MaxWait %v: %v after %v", patience, err, time.Since(start))
			}
			p = steady(MaxInFlight(1), MaxWait(patience))
			go run(t.Context(), p, time.Minute, nil)
			synctest.Wait()
			start = time.Now()
			if err := run(t.Context(), p, 0, nil); !errors.Is(err, ErrLimited) ||
				time.Since(start) != patience {
				t.Errorf("behind another, MaxWait %v: %v after %v", patience, err,
					time.Since(start))
			}
			time.Sleep(time.Minute)
		}
	})
}

// thousands of goroutines come to p at one moment, in order; each call takes d. It returns when the
// calls that did not give up went, in order of arrival, and how many were on their way at once.
func thousands(t *testing.T, p *Pacer, n int, d time.Duration,
	cancelled func(i int) bool) (at []time.Duration, most int) {
	t.Helper()
	start := time.Now()
	went := make([]time.Duration, n)
	var mu sync.Mutex
	var cancels []context.CancelFunc
	flying := 0
	var wg sync.WaitGroup
	for i := range n {
		ctx, cancel := context.WithCancel(t.Context())
		if cancelled(i) {
			cancels = append(cancels, cancel)
		}
		wg.Go(func() {
			defer cancel()
			err := retry.Run(ctx, p, func(context.Context) error {
				mu.Lock()
				went[i] = time.Since(start)
				flying++
				most = max(most, flying)
				mu.Unlock()
				time.Sleep(d)
				mu.Lock()
				flying--
				mu.Unlock()
				return nil
			})
			if (err != nil) != cancelled(i) {
				t.Errorf("call %d: %v", i, err)
			}
		})
		synctest.Wait()
	}
	waiting := p.State().Waiting
	for _, cancel := range cancels {
		cancel()
	}
	synctest.Wait()
	if got := p.State().Waiting; got != waiting-len(cancels) {
		t.Errorf("%d were waiting, %d gave up, and %d wait", waiting, len(cancels), got)
	}
	wg.Wait()
	if s := p.State(); s.InFlight != 0 || s.Waiting != 0 {
		t.Errorf("left behind: %v", p)
	}
	for i, d := range went {
		if !cancelled(i) {
			at = append(at, d)
		}
	}
	if !slices.IsSorted(at) {
		t.Error("not in order of arrival")
	}
	return at, most
}

func nobody(int) bool { return false }

func TestTenThousandAtOnePacer(t *testing.T) {
	const n, gap = 10_000, time.Millisecond
	for _, c := range []struct {
		name string
		opts []Option
		took time.Duration
		cap  int
	}{
		{"bound by MaxRate", []Option{MaxRate(1000)}, 0, 1},
		{"bound by StartRate and MaxRate", []Option{StartRate(1000), MaxRate(1000)}, 0, 1},
		{"with calls in flight", []Option{MaxRate(1000), MaxInFlight(50)},
			1500 * time.Microsecond, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at, most := thousands(t, steady(c.opts...), n, c.took, nobody)
				// never above the rate, and never more than its jitter below
				for i := 1; i < len(at); i++ {
					if d := at[i] - at[i-1]; d < gap || d > gap*1006/1000+time.Nanosecond {
						t.Fatalf("call %d went %v after the one before", i, d)
					}
				}
				if total := at[n-1]; total < (n-1)*gap*10025/10000 ||
					total > (n-1)*gap*10035/10000 {
					t.Errorf("took %v, want 0.3 %% more than %v", total, (n-1)*gap)
				}
				if most > c.cap {
					t.Errorf("%d in flight, want %d", most, c.cap)
				}
			})
		})
	}
}

func TestTenThousandNeverExceedTheCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, most, took = 10_000, 20, 10 * time.Millisecond
		at, got := thousands(t, steady(MaxInFlight(most)), n, took, nobody)
		if got != most {
			t.Errorf("%d in flight, want %d", got, most)
		}
		// it begins with fewer
		if least := n / most * took; at[n-1] < least-took || at[n-1] > least*3/2 {
			t.Errorf("took %v, want %v and what the start takes", at[n-1], least)
		}
	})
}

func TestHalfOfTenThousandCallsThatLeaveFreeTheirPlacesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		odd := func(i int) bool { return i%2 == 1 }
		at, _ := thousands(t, steady(MaxRate(1000)), n, 0, odd)
		if total := at[len(at)-1]; total > 5100*time.Millisecond {
			t.Errorf("took %v: they were waited for", total)
		}
	})
}

// If the rate is found to be lower, waiting calls that no longer fit their deadline are rejected,
// as after a park.
func TestPacerRejectsCallsThatALowerRateCannotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1))
		go retry.Run(t.Context(), p, func(ctx context.Context) error {
			time.Sleep(time.Second)
			// one in 10 s
			retry.Report(ctx,
				retry.Quota{Limit: 120, Remaining: 100, Window: 20 * time.Minute,
					Reset: 1000 * time.Second})
			return nil
		})
		synctest.Wait()
		start := time.Now()
		var wg sync.WaitGroup
		for i, want := range []struct {
			at time.Duration
			is error
		}{{10 * time.Second, nil}, {20 * time.Second, nil}, {time.Second,
			context.DeadlineExceeded}} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				err := run(ctx, p, 0, nil)
				if at := time.Since(start); !errors.Is(err, want.is) || at < want.at ||
					at > want.at*105/100 {
					t.Errorf("waiter %d: %v after %v, want %v after %v", i, err, at, want.is,
						want.at)
				}
				if want.is != nil && !errors.Is(err, ErrLimited) {
					t.Errorf("waiter %d: %v is not ErrLimited", i, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

func TestPacerTellsOfEveryRefusalInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1), MaxWait(time.Second))
		go run(t.Context(), p, time.Minute, nil)
		synctest.Wait()
		var rec retry.Record
		err := run(t.Context(), p, 0, nil)
		err2 := retry.Run(t.Context(), retry.Chain(retry.Observe(rec.Add), p),
			func(context.Context) error { return nil })
		if !errors.Is(err, ErrLimited) || !errors.Is(err2, ErrLimited) {
			t.Errorf("got %v, %v", err, err2)
		}
		var kinds []retry.Kind
		for _, e := range rec.Events() {
			kinds = append(kinds, e.Kind)
		}
		if !slices.Contains(kinds, retry.KindReject) || !slices.Contains(kinds, retry.KindWait) {
			t.Errorf("heard of %v", kinds)
		}
		time.Sleep(time.Minute)
	})
}

func TestPacerMaxWaitJustEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			patience time.Duration
			goes     bool
		}{{500 * time.Millisecond, true}, {500*time.Millisecond - 1, false}} {
			p := parked(t, 0, MaxWait(c.patience))
			start := time.Now()
			err := run(t.Context(), p, 0, nil)
			if (err == nil) != c.goes || c.goes && time.Since(start) != c.patience {
				t.Errorf("MaxWait %v for a park of 500ms: %v after %v", c.patience, err,
					time.Since(start))
			}
		}
	})
}

// A call that comes when the next may go, but before the line was looked at, gets in line.
func TestPacerIsNotOvertakenByACallThatComesAtATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		run(t.Context(), p, 0, nil)
		start := time.Now()
		var went [2]time.Duration
		var wg sync.WaitGroup
		one := func(i int) {
			wg.Go(func() {
				_ = retry.Run(t.Context(), p, func(context.Context) error {
					went[i] = time.Since(start)
					return nil
				})
			})
			synctest.Wait()
		}
		one(0)
		p.mu.Lock()
		p.line.timer.Stop()
		p.mu.Unlock()
		time.Sleep(5 * time.Second)
		one(1)
		wg.Wait()
		if went[0] != 5*time.Second || went[1] < 6*time.Second {
			t.Errorf("they went after %v", went)
		}
	})
}

func TestPacerCountsThoseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		run(t.Context(), p, 0, nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { run(t.Context(), p, 0, nil) })
		}
		synctest.Wait()
		start := time.Now()
		for _, c := range []struct {
			deadline time.Duration
			is       error
		}{{3500 * time.Millisecond, ErrLimited}, {4500 * time.Millisecond, nil}} {
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			err := run(ctx, p, 0, nil)
			if wait, _ := retry.RetryAfter(err); !errors.Is(err, c.is) ||
				err != nil &&
					(time.Since(start) > 0 || wait < 4*time.Second ||
						wait > 4100*time.Millisecond) {
				t.Errorf("deadline %v: %v after %v", c.deadline, err, time.Since(start))
			}
			cancel()
		}
		wg.Wait()
	})
}

// A call whose turn came when its context had ended makes room at once.
func TestPacerGivesBackATurnToTheNextInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1))
		c, err := p.admit(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var at time.Time
		go func() { run(t.Context(), p, 0, nil); at = time.Now() }()
		time.Sleep(time.Second)
		p.undo(c)
		synctest.Wait()
		if !at.Equal(time.Now()) {
			t.Errorf("the next went at %v, want now", at)
		}
	})
}

func TestPacerRefusalTellsWhoAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Minute, MaxWait(time.Second))
		var rec retry.Record
		err := retry.Run(t.Context(), retry.Chain(retry.Observe(rec.Add), p), pass1)
		r, ok := retry.Rejected(err)
		if !ok || r.Policy != "pacer" || !errors.Is(r.Cause, errPage) {
			t.Errorf("got %+v", r)
		}
		i := slices.IndexFunc(rec.Events(), func(e retry.Event) bool {
			return e.Kind == retry.KindReject
		})
		if i < 0 || rec.Events()[i].Err != err || rec.Events()[i].Wait != r.RetryAfter ||
			rec.Events()[i].Policy != "pacer" {
			t.Errorf("heard of %v", rec.Events())
		}
	})
}

func TestPacerMakesNoCallUnderAContextThatHasEnded(t *testing.T) {
	p, cause := steady(), errors.New("shutdown")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	err := retry.Run(ctx, p, func(context.Context) error { t.Error("called"); return nil })
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || p.used {
		t.Errorf("got %v", err)
	}
}
