package breaker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// in runs f in a bubble of virtual time.
func in(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func run(b retry.Policy, call func(context.Context) error) error {
	return retry.Run(context.Background(), b, call)
}

func want(t *testing.T, b *breaker.Breaker, s breaker.State) {
	t.Helper()
	if got := b.State(); got != s {
		t.Fatalf("state %v, want %v", got, s)
	}
}

func takes(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return err }
}

func TestWhatCounts(t *testing.T) {
	const s = time.Second
	withDeadline := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, s)
	}
	withCause := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, s, errors.New("shutdown"))
	}
	cancelled := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, stop := context.WithCancel(ctx)
		time.AfterFunc(s, stop)
		return ctx, stop
	}
	slow := breaker.SlowCall(500 * time.Millisecond)
	wait := func(ctx context.Context) error { <-ctx.Done(); return errors.New("transport: gone") }
	ret := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	for _, c := range []struct {
		name             string
		ctx              func(context.Context) (context.Context, context.CancelFunc)
		call             func(context.Context) error
		opts             []breaker.Option
		ok, bad, neutral int
	}{
		{"nil", nil, ret(nil), nil, 1, 0, 0},
		{"error", nil, ret(errBoom), nil, 0, 1, 0},
		{"permanent", nil, ret(retry.Permanent(errBoom)), nil, 0, 1, 0},
		{"neutral", nil, ret(retry.Neutral(errBoom)), nil, 0, 0, 1},
		{"final answer", nil, ret(retry.Neutral(retry.Permanent(errBoom))), nil, 1, 0, 0},
		{"hidden mark", nil, ret(retry.Unmark(retry.Neutral(errBoom))), nil, 0, 1, 0},
		{"rejection inside", nil, ret(&retry.Rejection{Reason: errBoom}), nil, 0, 0, 1},
		{"bare rejection inside", nil,
			ret(fmt.Errorf("quota: %w", retry.ErrRejected)), nil, 0, 0, 1},
		{"loop refused its first attempt", nil,
			ret(&retry.Error{Reason: &retry.Rejection{Reason: errBoom}}), nil, 0, 0, 1},
		{"loop refused a further attempt", nil,
			ret(&retry.Error{Reason: &retry.Rejection{Reason: errBoom}, Attempts: 1,
				Last: errBoom}), nil, 0, 1, 0},
		{"loop refused a further attempt after a neutral failure", nil,
			ret(&retry.Error{Reason: &retry.Rejection{Reason: errBoom}, Attempts: 1,
				Last: retry.Neutral(errBoom)}), nil, 0, 0, 1},
		{"hidden rejection", nil,
			ret(retry.Unmark(&retry.Rejection{Reason: errBoom})), nil, 0, 1, 0},
		{"configuration", nil, ret(retry.ConfigErrorf("x", "bad")), nil, 0, 0, 0},
		{"slow configuration", nil, takes(s, retry.ConfigErrorf("x", "bad")),
			[]breaker.Option{slow}, 0, 0, 0},
		{"context error of its own", nil, ret(context.Canceled), nil, 0, 1, 0},
		{"inner timeout", nil, ret(context.DeadlineExceeded), nil, 0, 1, 0},
		{"caller cancels", cancelled, wait, nil, 0, 0, 1},
		{"caller cancels and it succeeds", cancelled, takes(2*s, nil), nil, 1, 0, 0},
		{"caller's deadline", withDeadline, wait, nil, 0, 1, 0},
		{"caller's deadline ignored", withDeadline, wait,
			[]breaker.Option{breaker.IgnoreDeadline()}, 0, 0, 1},
		{"caller's deadline with a cause ignored", withCause, wait,
			[]breaker.Option{breaker.IgnoreDeadline()}, 0, 0, 1},
		{"cancellation called a final answer", cancelled, func(ctx context.Context) error {
			return retry.Permanent(retry.Neutral(wait(ctx)))
		}, nil, 0, 0, 1},
		{"slow success", nil, takes(s, nil), []breaker.Option{slow}, 0, 1, 0},
		{"exactly the limit", nil, takes(500*time.Millisecond, nil),
			[]breaker.Option{slow}, 1, 0, 0},
		{"slow and cancelled", cancelled, wait, []breaker.Option{slow}, 0, 1, 0},
		{"slow and refused", nil, takes(s, &retry.Rejection{Reason: errBoom}),
			[]breaker.Option{slow}, 0, 0, 1},
		{"slow and neutral", nil, takes(s, retry.Neutral(errBoom)),
			[]breaker.Option{slow}, 0, 1, 0},
		{"goexit", nil, func(context.Context) error { runtime.Goexit(); return nil }, nil, 0, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := breaker.New("x", c.opts...)
				done := make(chan struct{})
				go func() {
					defer close(done)
					ctx, stop := context.Background(), context.CancelFunc(func() {})
					if c.ctx != nil {
						ctx, stop = c.ctx(ctx)
					}
					defer stop()
					_ = retry.Run(ctx, b, c.call)
				}()
				<-done
				if n := b.Counts(); n.Successes != c.ok || n.Failures != c.bad ||
					n.Neutral != c.neutral {
					t.Fatalf("%+v", n)
				}
			})
		})
	}
}

func TestDeadlineOfAPolicyIsNotIgnored(t *testing.T) {
	timeout := policies.Timeout(time.Second)
	hang := func(ctx context.Context) error { <-ctx.Done(); return errors.New("transport: gone") }
	for name, chain := range map[string]func(b retry.Policy) retry.Policy{
		"around": func(b retry.Policy) retry.Policy { return retry.Chain(timeout, b) },
		"inside": func(b retry.Policy) retry.Policy { return retry.Chain(b, timeout) },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := breaker.New("x", breaker.IgnoreDeadline())
				_ = run(chain(b), hang)
				if n := b.Counts(); n.Failures != 1 {
					t.Fatalf("%+v", n)
				}
			})
		})
	}
}

func TestPanicReachesTheCallerAndCounts(t *testing.T) {
	b := breaker.New("x", breaker.ConsecutiveFailures(1))
	func() {
		defer func() {
			if recover() != errBoom {
				t.Error("another value")
			}
		}()
		_ = run(b, func(context.Context) error { panic(errBoom) })
	}()
	want(t, b, breaker.Open)
}

func TestEndedContextIsNotLetIn(t *testing.T) {
	ctx, stop := context.WithCancelCause(context.Background())
	stop(errBoom)
	err := retry.Run(ctx, retry.Chain(breaker.New("x"), breaker.New("y")),
		func(context.Context) error { t.Error("called"); return nil })
	if !errors.Is(err, errBoom) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestRateNeedsItsMinimumAndForgetsOldBuckets(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.FailureRate(0.5, 4), breaker.Window(10*time.Second, 10))
		for range 3 {
			_ = run(b, fail)
		}
		want(t, b, breaker.Closed) // 100 %, too few
		time.Sleep(10 * time.Second)
		_ = run(b, fail)
		want(t, b, breaker.Closed) // the three have left
		_, _ = run(b, succeed), run(b, succeed)
		_ = run(b, fail)
		want(t, b, breaker.Open) // 2 of 4
	})
}

func TestFailureCountWithinTheWindowWhateverSucceeded(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.FailureCount(3), breaker.Window(time.Minute, 60))
		fails := func(n int) {
			for range n {
				_ = run(b, fail)
				for range 100 {
					_ = run(b, succeed)
				}
			}
		}
		fails(2)
		time.Sleep(time.Minute)
		fails(2)
		want(t, b, breaker.Closed) // the first two have left
		time.Sleep(59 * time.Second)
		fails(1)
		want(t, b, breaker.Open)
		b = breaker.New("x", breaker.FailureCount(100))
		for range 99 {
			_ = run(b, fail)
		}
		want(t, b, breaker.Closed) // it replaces the default rule
	})
}

func TestResultOfACallThatBeganBeforeTheWindowCounts(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.FailureRate(1, 2), breaker.Window(time.Second, 2))
		for range 2 {
			go func() { _ = run(b, takes(time.Minute, errBoom)) }()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want(t, b, breaker.Open)
	})
}

func TestProbes(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second),
			breaker.Probes(2), breaker.ProbeLimit(5*time.Second))
		_ = run(b, fail)
		time.Sleep(time.Second)
		for range 2 {
			go func() { _ = run(b, takes(time.Hour, nil)) }()
		}
		synctest.Wait()
		if after, _ := retry.RetryAfter(run(b, succeed)); after != 100*time.Millisecond {
			t.Fatalf("with the probes just out: %v", after) // a tenth of the open time
		}
		time.Sleep(time.Second)
		err := run(b, succeed)
		if r, ok := retry.Rejected(err); !ok || !errors.Is(err, breaker.ErrOpen) ||
			r.RetryAfter != time.Second || r.Cause != errBoom {
			t.Fatalf("third probe: %+v", err)
		}
		time.Sleep(4*time.Second - 1)
		if after, _ := retry.RetryAfter(run(b, succeed)); after != 1 {
			t.Fatalf("just before the limit of the probes: %v", after)
		}
		time.Sleep(1) // the probes hang, and hold no place any more
		want(t, b, breaker.HalfOpen)
		_ = run(b, func(context.Context) error { return retry.Neutral(errBoom) })
		want(t, b, breaker.HalfOpen)
		_ = run(b, succeed)
		want(t, b, breaker.HalfOpen)
		_ = run(b, succeed)
		want(t, b, breaker.Closed)
		time.Sleep(2 * time.Hour) // the hung ones return, late
		want(t, b, breaker.Closed)
	})
}

func TestOpenTimeGrowsAndStartsAnewWhenClosed(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second),
			breaker.OpenGrowth(2, 3*time.Second))
		for _, d := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second,
			3 * time.Second} {
			_ = run(b, fail)
			if after, _ := retry.RetryAfter(run(b, succeed)); after != d {
				t.Fatalf("%v, want %v", after, d)
			}
			time.Sleep(d)
		}
		_ = run(b, succeed)
		_ = run(b, fail)
		if after, _ := retry.RetryAfter(run(b, succeed)); after != time.Second {
			t.Fatal(after)
		}
	})
}

func TestWhoWaitsForTheShortestOpenTimeIsAdmitted(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(1))
		for range 3 {
			_ = run(b, fail)
			after, _ := retry.RetryAfter(run(b, succeed))
			time.Sleep(after)
			if err := run(b, succeed); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The longest duration means for ever, at any time of the breaker's life.
func TestNumbersOfAnySize(t *testing.T) {
	const forever = math.MaxInt64
	one := breaker.ConsecutiveFailures(1)
	trip := func(b *breaker.Breaker) { _ = run(b, fail) }
	openHalf := func(b *breaker.Breaker) { trip(b); time.Sleep(30 * time.Second) }
	probe := func(b *breaker.Breaker) {
		openHalf(b)
		go func() { _ = run(b, takes(time.Hour, nil)) }()
	}
	for name, c := range map[string]struct {
		opts []breaker.Option
		do   func(b *breaker.Breaker)
		want breaker.State
	}{
		"OpenFor": {[]breaker.Option{one, breaker.OpenFor(forever)}, trip, breaker.Open},
		"OpenGrowth": {[]breaker.Option{one, breaker.OpenGrowth(1e18, forever)},
			func(b *breaker.Breaker) { openHalf(b); trip(b) }, breaker.Open},
		"ProbeLimit": {[]breaker.Option{one, breaker.ProbeLimit(forever)}, probe, breaker.HalfOpen},
		"Window": {[]breaker.Option{breaker.FailureRate(1, 2), breaker.Window(forever, 10)},
			trip, breaker.Closed},
		"Ramp": {[]breaker.Option{one, breaker.Ramp(forever)}, func(b *breaker.Breaker) {
			openHalf(b)
			_ = run(b, succeed)
		}, breaker.Closed},
		"restored on its ramp": {
			[]breaker.Option{one, breaker.Ramp(forever)}, func(b *breaker.Breaker) {
				_ = b.Restore(
					breaker.Snapshot{State: breaker.Closed, Since: time.Now(), Cause: "boom"})
			}, breaker.Closed},
		"restored": {[]breaker.Option{one, breaker.OpenFor(forever)}, func(b *breaker.Breaker) {
			_ = b.Restore(breaker.Snapshot{State: breaker.Open, Since: time.Now(),
				OpenFor: forever})
		}, breaker.Open},
		"ConsecutiveFailures": {
			[]breaker.Option{breaker.ConsecutiveFailures(math.MaxInt)}, trip, breaker.Closed},
		"FailureRate": {
			[]breaker.Option{breaker.FailureRate(0.5, math.MaxInt)}, trip, breaker.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := breaker.New("x", c.opts...)
				if err := b.Validate(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				c.do(b)
				synctest.Wait()
				for _, d := range []time.Duration{0, time.Second, 10 * time.Minute} {
					time.Sleep(d)
					if c.want != breaker.Closed {
						if after, refused := retry.RetryAfter(run(b, succeed)); !refused ||
							after < time.Second {
							t.Errorf("refused: %v, for %v", refused, after)
						}
					}
					want(t, b, c.want)
				}
				if idle := name == "ConsecutiveFailures" ||
					name == "FailureRate"; b.Idle() != idle {
					t.Errorf("idle: %v", !idle)
				}
				time.Sleep(time.Hour) // the probe's
			})
		})
	}
}

func TestIsolatedUntilReleased(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x")
		go func() { _ = run(b, takes(time.Second, nil)) }()
		synctest.Wait()
		b.Isolate()
		time.Sleep(time.Hour)
		want(t, b, breaker.Isolated)
		err := run(b, succeed)
		if r, ok := retry.Rejected(err); !ok || r.RetryAfter != 0 ||
			!errors.Is(err, breaker.ErrOpen) ||
			err.Error() != "breaker x: isolated until it is released" {
			t.Fatal(err)
		}
		b.Release()
		want(t, b, breaker.Closed)
		if c := b.Counts(); c != (breaker.Counts{}) {
			t.Fatalf("%+v", c)
		}
	})
}

func TestListenersMayCallTheBreakerAndSeeTheOrder(t *testing.T) {
	var b *breaker.Breaker
	var first, second []breaker.State
	b = breaker.New("x", breaker.ConsecutiveFailures(1),
		breaker.OnChange(func(c breaker.Change) {
			first = append(first, c.To)
			if c.To == breaker.Open {
				b.Isolate()
				_, _ = b.State(), b.Counts()
				b.Release()
			}
		}),
		breaker.OnChange(func(c breaker.Change) { second = append(second, c.To) }))
	_ = run(b, fail)
	order := []breaker.State{breaker.Open, breaker.Isolated, breaker.Closed}
	if !slices.Equal(first, order) || !slices.Equal(second, order) {
		t.Fatal(first, second)
	}
}

func TestPanickingListenerLosesNoPermit(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1),
			breaker.OnChange(func(c breaker.Change) {
				if c.To == breaker.HalfOpen {
					panic("listener")
				}
			}))
		_ = run(b, fail)
		time.Sleep(30 * time.Second)
		func() {
			defer func() { _ = recover() }()
			_ = run(b, succeed)
		}()
		want(t, b, breaker.Open) // the probe counted as failed
	})
}

func TestRetryAroundABreakerThatOpens(t *testing.T) {
	in(t, func(t *testing.T) {
		calls := 0
		count := func(context.Context) error { calls++; return errBoom }
		start := time.Now()
		b := breaker.New("x", breaker.ConsecutiveFailures(2))
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		err := retry.Run(ctx, retry.Chain(policies.Constant(0, policies.Attempts(9)), b), count)
		if !errors.Is(err, breaker.ErrOpen) || !errors.Is(err, errBoom) || calls != 2 ||
			time.Since(start) != 0 {
			t.Fatal(err, calls, time.Since(start))
		}
		err = retry.Run(context.Background(),
			retry.Chain(policies.Constant(0, policies.Patience(time.Minute)), b), succeed)
		if err != nil || time.Since(start) != 30*time.Second {
			t.Fatal(err, time.Since(start)) // it waits exactly until the probe
		}
	})
}

func TestHangingBackendTripsWithinSlowCall(t *testing.T) {
	for _, inFlight := range []bool{false, true} {
		in(t, func(t *testing.T) {
			opts := []breaker.Option{breaker.SlowCall(time.Second)}
			if inFlight {
				opts = append(opts, breaker.SlowInFlight())
			}
			b := breaker.New("x", opts...)
			var sent atomic.Int64
			for range 300 {
				go func() {
					_ = run(b, func(context.Context) error {
						sent.Add(1)
						time.Sleep(30 * time.Second)
						return errBoom
					})
				}()
				time.Sleep(10 * time.Millisecond)
			}
			if n := sent.Load(); inFlight && n > 106 || !inFlight && n != 300 {
				t.Fatalf("in flight %v: %d sent", inFlight, sent.Load())
			}
			time.Sleep(time.Minute)
		})
	}
}

func TestCallInFlightIsNeverCountedTwice(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.SlowCall(time.Second), breaker.SlowInFlight(),
			breaker.FailureRate(1, 9), breaker.Window(10*time.Second, 10))
		failures := func(n int) {
			t.Helper()
			if c := b.Counts(); c.Failures != n || c.ConsecutiveFailures > 2 {
				t.Fatalf("%+v, want %d", c, n)
			}
		}
		go func() { _ = run(b, takes(5*time.Second, nil)) }()
		time.Sleep(time.Second)
		failures(0)
		time.Sleep(time.Nanosecond)
		failures(1)
		time.Sleep(5 * time.Second)
		failures(1)
		time.Sleep(10 * time.Second)
		failures(0)
		go func() { _ = run(b, takes(60*time.Second, nil)) }()
		time.Sleep(2 * time.Second)
		b.Counts()
		time.Sleep(58 * time.Second)
		synctest.Wait()
		failures(1) // it left the window while it ran, and came back when it ended
		time.Sleep(time.Minute)
		_ = run(b, succeed)
		go func() { _ = run(b, takes(2*time.Second, retry.ConfigErrorf("x", "bad"))) }()
		time.Sleep(1500 * time.Millisecond)
		failures(1)
		time.Sleep(time.Second)
		failures(0)
	})
}

// The backend falls over when it gets more than 40 calls a second within 10 s of its recovery; the
// load is 100.
func TestRampDoesNotFlapWhereAPlainBreakerDoes(t *testing.T) {
	plain, ramp := flaps(t), flaps(t, breaker.Ramp(30*time.Second))
	if plain < 3 || ramp != 0 {
		t.Fatalf("plain flaps %d times, with a ramp %d times", plain, ramp)
	}
}

// flaps counts how often a breaker opens again in a minute after the outage.
func flaps(t *testing.T, opts ...breaker.Option) (n int) {
	in(t, func(t *testing.T) {
		b := breaker.New("x",
			append(opts, breaker.OpenFor(5*time.Second), breaker.OnChange(func(c breaker.Change) {
				if c.To == breaker.Open {
					n++
				}
			}))...)
		downUntil := time.Now().Add(3 * time.Second)
		for range 60 {
			served := 0 // in this second
			for range 100 {
				_ = run(b, func(context.Context) error {
					served++
					now := time.Now()
					if now.Before(downUntil) {
						return errBoom
					}
					if served > 40 && now.Before(downUntil.Add(10*time.Second)) {
						downUntil = now.Add(3 * time.Second)
						return errBoom
					}
					return nil
				})
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	return n - 1
}

func TestShadowEnforcesNothingAndTellsHowOftenItWasWrong(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.Shadow())
		_ = run(b, fail)
		if err := run(b, succeed); err != nil {
			t.Fatal(err)
		}
		if err := run(b, fail); err != errBoom {
			t.Fatal(err)
		}
		if c := b.ShadowCounts(); c != (breaker.ShadowCounts{Refused: 2, Wrong: 1}) {
			t.Fatalf("%+v", c)
		}
		want(t, b, breaker.Open)
		time.Sleep(30 * time.Second)
		_ = run(b, succeed)
		want(t, b, breaker.Closed)
	})
}

func TestStateSurvivesARestart(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenGrowth(2, time.Hour))
		_ = run(b, fail)
		time.Sleep(30 * time.Second)
		_ = run(b, fail) // open for 60 s now
		text, err := json.Marshal(b.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		restored := func() *breaker.Breaker {
			var s breaker.Snapshot
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenGrowth(2, time.Hour))
			if err := b.Restore(s); err != nil {
				t.Fatal(err)
			}
			return b
		}
		time.Sleep(20 * time.Second)
		c := restored()
		r, ok := retry.Rejected(run(c, succeed))
		if !ok || r.RetryAfter != 40*time.Second || r.Cause.Error() != "boom" {
			t.Fatalf("%+v", r)
		}
		time.Sleep(40*time.Second - 1)
		want(t, c, breaker.Open)
		time.Sleep(time.Nanosecond)
		_ = run(c, fail)
		if after, _ := retry.RetryAfter(run(c, succeed)); after != 2*time.Minute {
			t.Fatal(after) // the growth goes on
		}
		time.Sleep(time.Hour)
		c = restored()
		if err := run(c, succeed); err != nil {
			t.Fatal(err)
		}
		want(t, c, breaker.Closed)
	})
}

func TestIdleWhenNothingWouldBeForgotten(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x")
		idle := func(want bool) {
			t.Helper()
			if b.Idle() != want {
				t.Fatalf("idle: %v in state %v", !want, b.State())
			}
		}
		idle(true)
		_ = run(b, fail)
		idle(false)
		time.Sleep(30 * time.Second)
		idle(true)
		for range 4 {
			_ = run(b, fail)
		}
		time.Sleep(20 * time.Second)
		_ = run(b, succeed) // rejected, but somebody asked
		time.Sleep(5*time.Minute - 1)
		idle(false)
		time.Sleep(1) // ten open times without a call
		idle(true)
		want(t, b, breaker.HalfOpen) // to look is not to ask
		idle(true)
		go func() { _ = run(b, takes(time.Hour, retry.Neutral(errBoom))) }()
		synctest.Wait()
		idle(false)
		time.Sleep(5 * time.Minute) // its probe hangs
		idle(true)
		_ = run(b, func(context.Context) error { return retry.Neutral(errBoom) })
		time.Sleep(5*time.Minute - 1)
		idle(false)
		_ = run(b, succeed)
		idle(true)
		b.Isolate()
		time.Sleep(time.Hour)
		idle(false)
	})
}

func TestClosedCostsNoAllocation(t *testing.T) {
	ctx := context.Background()
	for _, b := range []*breaker.Breaker{
		breaker.New("x"), breaker.New("x", breaker.FailureRate(0.5, 10),
			breaker.SlowCall(time.Second), breaker.SlowInFlight(), breaker.Shadow()),
	} {
		if n := testing.AllocsPerRun(100, func() { _ = b.Do(ctx, retry.Next{}) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// A budget is spent in an outage, just when a breaker around the loop is to open.
func TestBreakerAroundALoopWithoutBudgetOpens(t *testing.T) {
	b := breaker.New("x")
	spent := policies.NewTokenBudget(1, 0.1)
	p := retry.Chain(b, policies.Constant(0, policies.WithBudget(spent)))
	for range 5 {
		if err := run(p, fail); !errors.Is(err, errBoom) {
			t.Fatal(err)
		}
	}
	if b.State() != breaker.Open {
		t.Fatal(b)
	}
}
