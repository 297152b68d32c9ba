package breaker_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// A bubble begins in the year 2000. So a breaker that was used outside, or for an hour in another
// bubble, sees the clock go back.

func TestClockThatGoesBackLosesNothing(t *testing.T) {
	const s = time.Second
	for name, opts := range map[string][]breaker.Option{
		"rate":        {breaker.FailureRate(0.5, 1)},
		"consecutive": {breaker.ConsecutiveFailures(1)},
		"slow":        {breaker.ConsecutiveFailures(1), breaker.SlowCall(time.Minute)},
		"slow in flight": {
			breaker.FailureRate(0.5, 1), breaker.SlowCall(time.Minute), breaker.SlowInFlight()},
	} {
		t.Run(name, func(t *testing.T) {
			b := breaker.New("x", append(opts, breaker.OpenFor(s), breaker.ProbeLimit(s))...)
			opens := func(t *testing.T) {
				t.Helper()
				if err := run(b, fail); err != errBoom {
					t.Fatalf("not admitted: %v", err)
				}
				want(t, b, breaker.Open)
			}
			closes := func(t *testing.T) {
				t.Helper()
				r, ok := retry.Rejected(run(b, succeed))
				if !ok || r.RetryAfter <= 0 || r.RetryAfter > s {
					t.Fatalf("told %+v", r)
				}
				time.Sleep(r.RetryAfter)
				if err := run(b, succeed); err != nil {
					t.Fatalf("after the time it was told: %v", err)
				}
				want(t, b, breaker.Closed)
			}
			_ = run(b, succeed) // in real time
			// more than the 292 years that a duration holds, if each leap added up
			for range 15 {
				in(t, func(t *testing.T) { opens(t); closes(t); opens(t) })
				in(t, func(t *testing.T) { closes(t); time.Sleep(time.Hour); _ = run(b, succeed) })
				in(t, func(t *testing.T) {
					opens(t)
					time.Sleep(s)
					_ = run(b, fail)
					want(t, b, breaker.Open)
				})
				in(t, closes)
				_ = run(b, succeed) // forward again, by decades
			}
		})
	}
}

func TestProbeOfAnotherTimeIsNotWaitedForForEver(t *testing.T) {
	b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Nanosecond),
		breaker.ProbeLimit(time.Hour))
	_ = run(b, fail)
	for b.State() != breaker.HalfOpen {
		runtime.Gosched()
	}
	var probe sync.WaitGroup
	defer probe.Wait()
	end, begun := make(chan bool), make(chan bool)
	defer close(end)
	probe.Go(func() { _ = run(b, func(context.Context) error { close(begun); <-end; return nil }) })
	<-begun
	in(t, func(t *testing.T) {
		want(t, b, breaker.HalfOpen)
		time.Sleep(time.Hour)           // its limit
		time.Sleep(2 * time.Nanosecond) // the shortest open time
		if err := run(b, succeed); err != nil {
			t.Fatal(err)
		}
		want(t, b, breaker.Closed)
	})
}

func TestWindowRollsOnAfterTheClockWentBack(t *testing.T) {
	b := breaker.New("x", breaker.FailureRate(0.5, 2), breaker.Window(10*time.Second, 10))
	in(t, func(*testing.T) { time.Sleep(time.Hour); _ = run(b, fail) })
	in(t, func(t *testing.T) {
		time.Sleep(11 * time.Second)
		_ = b.State() // it has seen the new time now
		time.Sleep(11 * time.Second)
		_ = run(b, fail)
		want(t, b, breaker.Closed) // the first failure is too old
		_ = run(b, fail)
		want(t, b, breaker.Open)
	})
}

func TestChangesTellTheTimeOfTheClockThatWentBack(t *testing.T) {
	var at time.Time
	b := breaker.New("x", breaker.ConsecutiveFailures(1),
		breaker.OnChange(func(c breaker.Change) { at = c.Time }))
	_ = run(b, succeed)
	in(t, func(t *testing.T) {
		_ = b.State()
		time.Sleep(time.Second)
		_ = run(b, fail)
		if since := time.Since(at); since != 0 {
			t.Errorf("told at %v, %v ago", at, since)
		}
	})
}
