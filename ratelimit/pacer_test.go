package ratelimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

var errPage = errors.New("429")

func steady(opts ...Option) *Pacer { return newPacer(rand.New(rand.NewPCG(1, 2)), opts) }

// run makes one call that takes d and ends in err.
func run(ctx context.Context, p *Pacer, d time.Duration, err error) error {
	return retry.Run(ctx, p, func(ctx context.Context) error {
		time.Sleep(d)
		return err
	})
}

// parked is a pacer that was refused with a wait.
func parked(t *testing.T, wait time.Duration, opts ...Option) *Pacer {
	t.Helper()
	p := steady(opts...)
	for range 30 {
		if err := run(t.Context(), p, time.Millisecond, nil); err != nil {
			t.Fatal(err)
		}
	}
	run(t.Context(), p, time.Millisecond, retry.After(errPage, wait))
	if s := p.State(); !s.Parked {
		t.Fatalf("not parked: %v", p)
	}
	return p
}

func TestPacerParksForTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 10*time.Second)
		start := time.Now()
		if err := run(t.Context(), p, 0, nil); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 10*time.Second || d > 10500*time.Millisecond {
			t.Errorf("the next call went after %v", d)
		}
		if p.State().Parked || p.Rate() == rate.Inf {
			t.Errorf("after the release: %v", p)
		}
	})
}

func TestPacerParksForHalfASecondWithoutAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 0)
		for _, want := range []time.Duration{500, 1000, 2000, 4000} {
			start := time.Now()
			run(t.Context(), p, 0, retry.After(errPage, 0))
			if d := time.Since(start); d < want*time.Millisecond || d > (want+5)*time.Millisecond {
				t.Errorf("parked for %v, want %v ms", d, int(want))
			}
		}
	})
}

func TestPacerSendsOneWhileHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		var mu sync.Mutex
		var gone []time.Duration
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				retry.Run(t.Context(), p, func(context.Context) error {
					mu.Lock()
					gone = append(gone, time.Since(start))
					mu.Unlock()
					time.Sleep(3 * time.Second)
					return nil
				})
			})
		}
		wg.Wait()
		if gone[0] < time.Second {
			t.Errorf("the first went after %v, within the park", gone[0])
		}
		if gone[1] < gone[0]+3*time.Second {
			t.Errorf("the second went after %v, before the first was answered", gone[1])
		}
	})
}

func TestPacerCancelledProbeFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go retry.Run(ctx, p, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(2 * time.Second)
		if s := p.State(); s.InFlight != 1 || !s.Parked {
			t.Fatalf("the probe is not out: %v", p)
		}
		done := make(chan time.Time)
		go func() { run(t.Context(), p, 0, nil); done <- time.Now() }()
		time.Sleep(time.Second)
		cancelled := time.Now()
		cancel()
		if at := <-done; at.Sub(cancelled) > 0 {
			t.Errorf("the next went %v after the probe was cancelled", at.Sub(cancelled))
		}
	})
}

// What its caller gave up says nothing: the next goes alone as it would have.
func TestPacerDoesNotCountACancelledCallAsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go retry.Run(ctx, p, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(2 * time.Second)
		var went []time.Time
		for range 2 {
			go retry.Run(t.Context(), p, func(context.Context) error {
				went = append(went, time.Now())
				time.Sleep(3 * time.Second)
				return nil
			})
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if s := p.State(); !s.Parked || s.InFlight != 1 {
			t.Errorf("after the cancellation: %v", p)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := went[1].Sub(went[0]); d < 3*time.Second {
			t.Errorf("the second went %v after the first, before its answer", d)
		}
	})
}

func TestPacerSettlesOnPanicAndGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			retry.Run(t.Context(), p, func(context.Context) error { panic("boom") })
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			retry.Run(t.Context(), p, func(context.Context) error { runtime.Goexit(); return nil })
		}()
		<-done
		if s := p.State(); s.InFlight != 0 {
			t.Errorf("left behind: %v", p)
		}
		start := time.Now()
		if err := run(t.Context(), p, 0, nil); err != nil ||
			time.Since(start) > 100*time.Millisecond {
			t.Errorf("the next call: %v after %v", err, time.Since(start))
		}
	})
}

func TestPacerGivesTheTurnBackOfACallThatWasNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		run(t.Context(), p, 0, nil)
		time.Sleep(2 * time.Second)
		rejected := &retry.Rejection{Policy: "breaker", Reason: errors.New("open")}
		start := time.Now()
		for range 5 {
			run(t.Context(), p, 0, rejected)
		}
		run(t.Context(), p, 0, nil)
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

// A pacer with real goroutines learns a bucket's rate.
func TestPacerLearnsTheRate(t *testing.T) {
	for name, server := range map[string]*limitertest.Server{
		"429": {Rule: limitertest.Bucket(20, 10), Latency: 30 * time.Millisecond, Seed: 1},
		"503": {Rule: limitertest.Bucket(20, 10), Latency: 30 * time.Millisecond, Seed: 1,
			Refuse: limitertest.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := steady()
			start := time.Now()
			var mu sync.Mutex
			pages := 0
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for ctx.Err() == nil {
						err := retry.Run(ctx, p, func(context.Context) error {
							time.Sleep(2 * time.Millisecond)
							a := server.Serve(time.Since(start))
							time.Sleep(a.Busy)
							switch {
							case a.Status == 429:
								return retry.After(statusError(429), 0)
							case a.Status != 200:
								return statusError(a.Status)
							}
							return nil
						})
						if errors.Is(err, retry.ErrRejected) { // the deadline is near
							return
						}
						if err == nil {
							mu.Lock()
							pages++
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			s := server.Stats()
			if pages < 1080 || s.Violations > 20 { // of 1210
				t.Errorf("%s: %d pages, %d violations, %v", name, pages, s.Violations, p)
			}
		})
	}
}

// Whatever ends the single request, and wherever, the next goes at that moment.
func TestPacerSingleRequestThatIsLostFreesItsPlace(t *testing.T) {
	lost := errors.New("lost")
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"panic in the call", func() error { panic("boom") }},
		{"Goexit in the call", func() error { runtime.Goexit(); return nil }},
		{"panic in Refused", func() error { return lost }},
		{"rejected further in", func() error { return &retry.Rejection{Reason: lost} }},
		{"not reached", func() error { return &net.OpError{Op: "dial", Err: lost} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := parked(t, time.Second, Refused(func(err error) bool {
					if err == lost {
						panic("boom")
					}
					return false
				}))
				var ended time.Time
				go func() {
					defer func() {
						if v := recover(); v != nil && v != "boom" {
							t.Errorf("recovered %v", v)
						}
					}()
					retry.Run(t.Context(), p, func(context.Context) error {
						time.Sleep(time.Second)
						ended = time.Now()
						return c.call()
					})
				}()
				synctest.Wait()
				if err := run(t.Context(), p, 0, nil); err != nil {
					t.Fatal(err)
				}
				// the pace holds
				if d := time.Since(ended); ended.IsZero() || d > 100*time.Millisecond {
					t.Errorf("the next went %v after it ended", d)
				}
				if s := p.State(); s.InFlight != 0 || s.Parked {
					t.Errorf("left behind: %v", p)
				}
			})
		})
	}
}

func TestPacerObserverThatPanicsLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		run(t.Context(), p, 0, nil)
		watch := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindWait {
				panic("boom")
			}
		})
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			retry.Run(t.Context(), retry.Chain(watch, p), func(context.Context) error {
				return nil
			})
		}()
		if s := p.State(); s.InFlight != 0 {
			t.Errorf("left behind: %v", p)
		}
		start := time.Now()
		if run(t.Context(), p, 0, nil); time.Since(start) > 0 {
			t.Errorf("its turn is lost: the next waited %v", time.Since(start))
		}
	})
}

// In real time, for the race detector: one pacer, many goroutines, several types of results.
func TestPacerIsSafeForConcurrentUse(t *testing.T) {
	p := NewPacer(MaxInFlight(30))
	var flying, most atomic.Int64
	var wg sync.WaitGroup
	work := func(ctx context.Context, i int) error {
		n := flying.Add(1)
		defer flying.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Duration(i%7) * 10 * time.Microsecond)
		switch i % 5 {
		case 1:
			retry.Report(ctx,
				retry.Quota{Limit: 1e6, Remaining: 1e6, Window: time.Second, Reset: time.Second})
		case 2:
			return statusError(500)
		}
		return ctx.Err()
	}
	for i := range 100 {
		wg.Go(func() {
			for j := range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%11 == 0 {
					time.AfterFunc(50*time.Microsecond, cancel)
				}
				var err error
				switch i % 3 {
				case 0:
					_, err = retry.Do(ctx, p, func(ctx context.Context) (int, error) {
						return i, work(ctx, j)
					})
				case 1:
					_, err = retry.Do(ctx, p, func(ctx context.Context) (string, error) {
						return "x", work(ctx, j)
					})
				default:
					_, err = retry.Do(ctx, p, func(ctx context.Context) ([]error, error) {
						return nil, work(ctx, j)
					})
				}
				if err != nil && !errors.Is(err, context.Canceled) &&
					!errors.As(err, new(statusError)) {
					t.Errorf("got %v", err)
				}
				_, _, _ = p.State(), p.Idle(), p.String()
				cancel()
			}
		})
	}
	wg.Wait()
	if s := p.State(); s.InFlight != 0 || s.Waiting != 0 || most.Load() > 30 {
		t.Errorf("%d at once, and left behind: %v", most.Load(), p)
	}
}
