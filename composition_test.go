package reprise_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// How policies of different packages behave around each other. What one policy does alone is tested
// where it lives.

var errDown = errors.New("connection refused")

// step is one call through a chain: when it began, what it returned, how often the function ran.
type script struct {
	t     *testing.T
	chain retry.Policy
	calls int
}

func (s *script) run(ctx context.Context,
	f func(context.Context) error) (error, time.Duration, int) {
	before, start := s.calls, time.Now()
	err := retry.Run(ctx, s.chain, func(ctx context.Context) error { s.calls++; return f(ctx) })
	return err, time.Since(start), s.calls - before
}

func fail(context.Context) error { return errDown }
func fine(context.Context) error { return nil }

func loop(opts ...policies.Option) retry.Policy {
	return policies.Exponential(append([]policies.Option{policies.WithJitter(policies.NoJitter),
		policies.Initial(time.Second)}, opts...)...)
}

var wantIs, wantNot = check.Is, check.Not

func TestRetryAroundABreakerThatOpensUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New("catalog", breaker.ConsecutiveFailures(3), breaker.OpenFor(30*time.Second))
		chain := func(opts ...policies.Option) retry.Policy {
			return retry.Chain(policies.Timeout(20*time.Second),
				loop(append(opts, policies.Attempts(5))...), b)
		}
		s := &script{t: t, chain: chain()}
		// 0, 1, 3 s: open; the next probe is 26 s away, the next wait would be 8 s
		err, took, calls := s.run(t.Context(), fail)
		wantIs(t, err, breaker.ErrOpen, retry.ErrRejected, errDown)
		wantNot(t, err, context.DeadlineExceeded, policies.ErrTimeout, retry.ErrExhausted)
		if calls != 3 || took != 7*time.Second {
			t.Errorf("%d calls in %v: %v", calls, took, err)
		}
		if e, ok := errors.AsType[*retry.Error](err); !ok || e.Attempts != 3 || e.Last != errDown {
			t.Errorf("got %#v", err)
		}

		err, took, calls = s.run(t.Context(), fine)
		wantIs(t, err, breaker.ErrOpen)
		wantNot(t, err, context.DeadlineExceeded, policies.ErrTimeout)
		if calls != 0 || took != 0 {
			t.Errorf("%d calls in %v: %v", calls, took, err)
		}

		s.chain = chain(policies.Patience(time.Minute)) // it would wait, but the time is not there
		err, took, _ = s.run(t.Context(), fine)
		wantIs(t, err, breaker.ErrOpen, context.DeadlineExceeded, policies.ErrTimeout)
		if took != 0 {
			t.Errorf("took %v", took)
		}
		time.Sleep(10 * time.Second)
		err, took, calls = s.run(t.Context(), fine) // it waits for the probe, and is admitted
		if err != nil || calls != 1 || b.State() != breaker.Closed {
			t.Errorf("%d calls in %v: %v, %v", calls, took, err, b.State())
		}
		b.Isolate()
		s.chain = chain()
		err, took, calls = s.run(t.Context(), fine)
		wantIs(t, err, breaker.ErrOpen, retry.ErrRejected)
		if calls != 0 || took != 0 {
			t.Errorf("isolated: %d calls in %v", calls, took)
		}
	})
}

// The guard that README begins with is safe in front of a service that is down, hangs, or is asked
// for more than it bears.
func TestAGuardFailsFast(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, c := range []struct {
		name   string
		callee func(context.Context) error
		every  time.Duration
		median time.Duration
		names  string // who refused, at the end of the minute
	}{
		{"dead", fail, 100 * time.Millisecond, 0, "breaker catalog:"},
		{"dead, and busy", fail, 10 * time.Millisecond, 0, "breaker catalog:"},
		{"hanging", hang, 100 * time.Millisecond, 0, "breaker catalog:"},
		{"hanging, and busy", hang, 10 * time.Millisecond, 0, "breaker catalog:"},
		{"well, but asked ten times too much", fine,
			10 * time.Millisecond, time.Second, "limiter:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard := retry.Chain(
					policies.Exponential(policies.Attempts(4)),
					ratelimit.New(10, 5, ratelimit.MaxWait(time.Second)),
					breaker.New("catalog"),
					policies.Timeout(2*time.Second),
					policies.Classify(policies.Final(policies.Is(sql.ErrNoRows))),
				)
				var mu sync.Mutex
				var took []time.Duration
				var last error
				waiting, most := 0, 0
				count := func(by int) {
					mu.Lock()
					defer mu.Unlock()
					waiting += by
				}
				var all sync.WaitGroup
				n := int(time.Minute / c.every)
				for i := range n {
					all.Go(func() {
						time.Sleep(time.Duration(i) * c.every)
						start, inside := time.Now(), false
						count(1)
						err := retry.Run(t.Context(), guard, func(ctx context.Context) error {
							inside = true
							count(-1)
							defer count(1)
							return c.callee(ctx)
						})
						count(-1)
						mu.Lock()
						defer mu.Unlock()
						took = append(took, time.Since(start))
						if err != nil && !inside {
							last = err
							wantNot(t, err, context.DeadlineExceeded, policies.ErrTimeout)
						}
					})
				}
				for range int(time.Minute / (5 * time.Millisecond)) {
					time.Sleep(5 * time.Millisecond)
					synctest.Wait() // whoever is refused at once has gone
					mu.Lock()
					most = max(most, waiting)
					mu.Unlock()
				}
				all.Wait()
				slices.Sort(took)
				if median, longest := took[n/2], took[n-1]; median > c.median ||
					longest > 10*time.Second || most > 15 {
					t.Errorf("median %v, longest %v, %d waiting at once", median, longest, most)
				}
				if last == nil || !strings.HasPrefix(last.Error(), c.names) {
					t.Errorf("does not name %s: %v", c.names, last)
				}
			})
		})
	}
}

// Hosts that failed and are never asked again do not keep new ones out for ever.
func TestDeadKeysAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := policies.Keyed(nil,
			func(host int) retry.Policy { return breaker.New(strconv.Itoa(host)) },
			policies.MaxKeys(1000))
		for host := range 1000 {
			for range 5 {
				_ = retry.Run(t.Context(), hosts.For(host), fail)
			}
		}
		time.Sleep(time.Minute)
		// their breakers still protect somebody
		wantIs(t, retry.Run(t.Context(), hosts.For(-1), fine), policies.ErrKeys)
		wantIs(t, retry.Run(t.Context(), hosts.For(0), fail), errDown)
		time.Sleep(10 * time.Minute)
		if err := retry.Run(t.Context(), hosts.For(-1), fine); err != nil {
			t.Error(err)
		}
	})
}

func TestBreakerAroundALimiterIsNotOpenedByRejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New("catalog", breaker.ConsecutiveFailures(2))
		s := &script{t: t, chain: retry.Chain(b, ratelimit.New(1, 1, ratelimit.MaxWait(0)))}
		_, _, _ = s.run(t.Context(), fine)
		for range 10 {
			err, _, calls := s.run(t.Context(), fine)
			wantIs(t, err, ratelimit.ErrLimited, retry.ErrRejected)
			if calls != 0 || b.State() != breaker.Closed {
				t.Fatalf("%d calls, %v", calls, b.State())
			}
		}
	})
}

func TestLimiterAroundAnOpenBreakerGetsItsTokensBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New("catalog")
		s := &script{t: t, chain: retry.Chain(ratelimit.New(1, 2), b)}
		b.Isolate()
		for range 100 {
			err, took, _ := s.run(t.Context(), fine)
			wantIs(t, err, breaker.ErrOpen)
			if took != 0 {
				t.Fatalf("waited %v: a refused call spent a token", took)
			}
		}
		b.Release()
		for i, want := range []time.Duration{0, 0, time.Second} {
			if err, took, _ := s.run(t.Context(), fine); err != nil || took != want {
				t.Errorf("call %d: %v after %v, want %v", i, err, took, want)
			}
		}
	})
}

func TestTimeoutAroundAndInsideARetry(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, tc := range []struct {
		name  string
		chain retry.Policy
		call  func(context.Context) error
		took  time.Duration
		calls int
		is    []error
	}{
		{"a delay that cannot fit is not begun",
			retry.Chain(policies.Timeout(2*time.Second), loop(policies.Attempts(9))), fail,
			time.Second, 2, []error{policies.ErrTimeout, context.DeadlineExceeded, errDown}},
		{"it ends a call that hangs",
			retry.Chain(policies.Timeout(2*time.Second), loop(policies.Attempts(9))), hang,
			2 * time.Second, 1, []error{policies.ErrTimeout, context.DeadlineExceeded}},
		{"a timed-out attempt is retried",
			retry.Chain(loop(policies.Attempts(2)), policies.Timeout(2*time.Second)), hang,
			5 * time.Second, 2,
			[]error{retry.ErrExhausted, policies.ErrTimeout, context.DeadlineExceeded}},
		{"a limiter's wait that cannot fit",
			retry.Chain(policies.Timeout(time.Second), ratelimit.New(0.1, 1), again(2)),
			fail, 0, 2, []error{errDown}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, chain: tc.chain}
				err, took, calls := s.run(t.Context(), tc.call)
				wantIs(t, err, tc.is...)
				if took != tc.took || calls != tc.calls {
					t.Errorf("%d calls in %v, want %d in %v: %v", calls, took, tc.calls, tc.took,
						err)
				}
			})
		})
	}
}

func again(n int) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) (err error) {
		for i := range n {
			err = next.Try(ctx, i+1)
		}
		return err
	})
}

// TestCancelledBeforeTheCall: no built-in policy lets a call in once the context has ended.
func TestCancelledBeforeTheCall(t *testing.T) {
	shutdown := errors.New("shutdown")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(shutdown)
	for name, p := range map[string]retry.Policy{
		"exponential": policies.Exponential(),
		"constant":    policies.Constant(0),
		"delays":      policies.Delays([]time.Duration{1}),
		"timeout":     policies.Timeout(time.Second),
		"bulkhead":    policies.NewBulkhead(1, 1),
		"classify":    policies.Classify(policies.On(policies.ServerErrors)),
		"keyed": policies.Keyed(func(context.Context) int { return 1 },
			func(int) retry.Policy { return breaker.New("b") }),
		"breaker": breaker.New("b"),
		"limiter": ratelimit.New(1, 1),
		"all":     ratelimit.All(ratelimit.New(1, 1)),
	} {
		called := false
		v, err := retry.Do(ctx, p, func(context.Context) (int, error) {
			called = true
			return 7, nil
		})
		if called || v != 0 {
			t.Errorf("%s: the function ran", name)
		}
		wantIs(t, fmt.Errorf("%s: %w", name, err), context.Canceled, shutdown)
	}
	for name, p := range map[string]retry.Policy{"nil": nil, "identity": retry.Chain()} {
		v, err := retry.Do(ctx, p, func(context.Context) (int, error) { return 7, nil })
		if v != 7 || err != nil {
			t.Errorf("%s: got (%d, %v)", name, v, err)
		}
	}
}

// TestBooksAreSettledOnEveryWayOut: after panic and Goexit every policy admits as if the call had
// never been.
func TestBooksAreSettledOnEveryWayOut(t *testing.T) {
	for name, exit := range map[string]func(){
		"panic":  func() { panic("ouch") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New("b", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second))
				bulkhead := policies.NewBulkhead(1, 0)
				chain := retry.Chain(loop(), bulkhead, policies.Timeout(time.Minute), b)
				for range 3 { // the last two are probes
					finished := make(chan any)
					go func() {
						defer func() { finished <- recover() }()
						_ = retry.Run(t.Context(), chain, func(context.Context) error {
							exit()
							return nil
						})
					}()
					if got := <-finished; (got == "ouch") != (name == "panic") {
						t.Errorf("recovered %v", got)
					}
					if b.State() != breaker.Open {
						t.Errorf("the breaker is %v: the way out was not counted", b.State())
					}
					time.Sleep(2 * time.Second)
				}
				if err := retry.Run(t.Context(), chain, fine); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestLastValueInEveryMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, tc := range map[string]struct {
			deadline, cancel time.Duration
			err              error
			is               error
		}{
			"exhausted": {time.Hour, time.Hour, errDown, retry.ErrExhausted},
			"permanent": {time.Hour, time.Hour, retry.Permanent(errDown), errDown},
			"deadline":  {1500 * time.Millisecond, time.Hour, errDown, context.DeadlineExceeded},
			"cancelled": {time.Hour, 500 * time.Millisecond, errDown, context.Canceled},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), tc.deadline)
			defer cancel()
			time.AfterFunc(tc.cancel, cancel)
			v, err := retry.Do(ctx, loop(), func(context.Context) (int, error) { return 7, tc.err })
			wantIs(t, fmt.Errorf("%s: %w", name, err), tc.is, errDown)
			if v != 7 {
				t.Errorf("%s: value %d", name, v)
			}
		}
	})
}

func TestConfigurationErrorsAreNeitherRetriedNorCounted(t *testing.T) {
	b := breaker.New("b", breaker.ConsecutiveFailures(1))
	inner := policies.Keyed(func(context.Context) int { return 1 },
		func(int) retry.Policy { return policies.Timeout(-1) })
	s := &script{t: t, chain: retry.Chain(loop(policies.Attempts(5)), b, inner)}
	err, took, calls := s.run(t.Context(), fine)
	wantIs(t, err, retry.ErrConfig)
	if calls != 0 || took > time.Second/2 || b.State() != breaker.Closed {
		t.Errorf("%d calls in %v, breaker %v", calls, took, b.State())
	}
	for name, p := range map[string]retry.Policy{
		"attempts": policies.Exponential(policies.Attempts(0)),
		"limit":    ratelimit.New(-1, 1),
		"breaker":  breaker.New("b", breaker.ConsecutiveFailures(0)),
		"bulkhead": policies.NewBulkhead(0, 0),
		"timeout":  policies.Timeout(0),
		"max wait": ratelimit.New(1, 1, ratelimit.MaxWait(-1)),
	} {
		if !errors.Is(retry.Validate(retry.Chain(loop(), p)), retry.ErrConfig) {
			t.Errorf("%s: Validate says %v", name, retry.Validate(p))
		}
	}
}

func TestPoliciesMadeByHandAreConfigurationErrors(t *testing.T) {
	for name, p := range map[string]retry.Policy{
		"breaker": &breaker.Breaker{}, "nil breaker": (*breaker.Breaker)(nil),
		"bulkhead": &policies.Bulkhead{}, "nil bulkhead": (*policies.Bulkhead)(nil),
		"budget":     loop(policies.WithBudget(&policies.Budget{})),
		"nil budget": loop(policies.WithBudget(nil)),
	} {
		for where, p := range map[string]retry.Policy{"alone": p,
			"in a chain": retry.Chain(retry.Chain(), p, policies.Classify())} {
			err := retry.Validate(p)
			got := retry.Run(t.Context(), p, fail)
			if !errors.Is(err, retry.ErrConfig) || got == nil || got.Error() != err.Error() {
				t.Errorf("%s, %s: Validate says %v, the call %v", name, where, err, got)
			}
		}
	}
	hedged := policies.Hedge(func(context.Context) (int, error) { return 0, errDown }, 0, 2, nil,
		policies.WithBudget(&policies.Budget{}))
	if _, err := hedged(t.Context()); !errors.Is(err, retry.ErrConfig) {
		t.Errorf("hedge: %v", err)
	}
}

func TestTimeInTheBulkheadsQueueIsNotTheCallees(t *testing.T) {
	shutdown := errors.New("shutdown")
	for _, tc := range []struct {
		name   string
		around retry.Policy
		cancel time.Duration // with shutdown
		is     []error
		took   time.Duration
	}{
		{"once", retry.Chain(), time.Hour,
			[]error{policies.ErrTimeout, context.DeadlineExceeded}, time.Second},
		{"in a loop", loop(), time.Hour,
			[]error{policies.ErrTimeout, context.DeadlineExceeded}, time.Second},
		{"the caller goes away", loop(), time.Second / 2,
			[]error{shutdown, context.Canceled}, time.Second / 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, bulkhead := breaker.New("b", breaker.ConsecutiveFailures(1)),
					policies.NewBulkhead(1, 9)
				go func() {
					_ = retry.Run(t.Context(), bulkhead, func(ctx context.Context) error {
						<-ctx.Done()
						return nil
					})
				}()
				synctest.Wait()
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(tc.cancel, func() { cancel(shutdown) })
				budget := policies.NewTokenBudget(2, 1)
				s := &script{t: t,
					chain: retry.Chain(tc.around, policies.Constant(0, policies.WithBudget(budget)),
						b, policies.Timeout(time.Second), bulkhead)}
				err, took, calls := s.run(ctx, fine)
				wantIs(t, err, append(tc.is, retry.ErrRejected)...)
				if r, ok := retry.Rejected(err); !ok || r.Policy != "bulkhead" ||
					!errors.Is(err, policies.ErrFull) {
					t.Errorf("not told that it was the bulkhead: %v", err)
				}
				if took != tc.took || calls != 0 || b.State() != breaker.Closed || !budget.Idle() {
					t.Errorf("%d calls in %v, breaker %v, %v", calls, took, b.State(), err)
				}
				if e, ok := errors.AsType[*retry.Error](err); ok && e.Attempts != 0 {
					t.Errorf("%d attempts", e.Attempts)
				}
			})
		})
	}
}

func TestTimeInAPacersLineIsNotTheCallees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New("b", breaker.ConsecutiveFailures(1))
		pacer := ratelimit.NewPacer(ratelimit.MaxInFlight(1))
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			_ = retry.Run(ctx, pacer, func(ctx context.Context) error { <-ctx.Done(); return nil })
		}()
		synctest.Wait()
		s := &script{t: t, chain: retry.Chain(b, policies.Timeout(time.Second), pacer)}
		for range 3 {
			err, took, calls := s.run(t.Context(), fine)
			wantIs(t, err, policies.ErrTimeout, retry.ErrRejected, ratelimit.ErrLimited)
			if took != time.Second || calls != 0 || b.State() != breaker.Closed {
				t.Errorf("%d calls in %v, breaker %v: %v", calls, took, b.State(), err)
			}
		}
		leave()
	})
}

func TestGivingUpNamesTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last retry.Event
		watch := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindGiveUp {
				last = e
			}
		})
		_ = retry.Run(t.Context(), retry.Chain(watch, loop(policies.Attempts(4))), fail)
		if last.Attempt != 4 || last.Depth != 1 || !errors.Is(last.Err, retry.ErrExhausted) {
			t.Errorf("attempt %d, depth %d, %v", last.Attempt, last.Depth, last.Err)
		}
	})
}
