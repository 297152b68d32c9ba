package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

const ms = time.Millisecond

func TestLoopEndsWithItsContext(t *testing.T) {
	bubble(t, "cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := outcomes(nil)
		wantIs(t, s.run(ctx, policies.Exponential()), context.Canceled)
		s.wantAt(t)
	})
	bubble(t, "cancelled with a cause in the wait", func(t *testing.T) {
		shutdown := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*ms, func() { cancel(shutdown) })
		s := outcomes(errBoom)
		start := time.Now()
		err := s.run(ctx, policies.Constant(time.Second))
		wantIs(t, err, context.Canceled, shutdown, errBoom)
		if d := time.Since(start); d != 50*ms {
			t.Errorf("returned after %v", d)
		}
		s.wantAt(t, 0)
	})
	bubble(t, "a wait beyond the deadline is not begun", func(t *testing.T) {
		s := outcomes(errBoom)
		start := time.Now()
		err := s.run(within(t, 300*ms), policies.Constant(time.Hour))
		wantIs(t, err, context.DeadlineExceeded, errBoom)
		if e := wantError(t, err); e.Wait != time.Hour || time.Since(start) != 0 {
			t.Errorf("wait %v after %v", e.Wait, time.Since(start))
		}
	})
	bubble(t, "cancelled during an attempt", func(t *testing.T) {
		for _, outcome := range []error{nil, errBoom} {
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			v, err := retry.Do(ctx, policies.Constant(0), func(context.Context) (int, error) {
				calls++
				cancel()
				return 7, outcome
			})
			if v != 7 || calls != 1 || (err == nil) != (outcome == nil) {
				t.Errorf("%d calls: %d, %v", calls, v, err)
			}
			if err != nil {
				wantIs(t, err, context.Canceled, errBoom)
			}
		}
	})
	for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
		bubble(t, "during a later attempt that returns nothing but "+end.Error(), func(t *testing.T) {
			ctx, cancel := context.WithCancel(within(t, time.Second))
			defer cancel()
			calls := 0
			err := retry.Run(ctx, policies.Constant(0), func(ctx context.Context) error {
				if calls++; calls == 1 {
					return errBoom
				}
				if end == context.Canceled {
					cancel()
				}
				<-ctx.Done()
				return ctx.Err()
			})
			wantIs(t, err, end, errBoom)
			if e := wantError(t, err); e.Attempts != 2 || e.Last != errBoom {
				t.Errorf("%+v", e)
			}
		})
	}
	bubble(t, "MaxElapsed", func(t *testing.T) {
		s := outcomes(errBoom)
		err := s.run(t.Context(), policies.Constant(60*ms, policies.MaxElapsed(100*ms)))
		wantIs(t, err, retry.ErrExhausted, errBoom)
		s.wantAt(t, 0, 60)
	})
}

func TestLoopOutcomes(t *testing.T) {
	var final = retry.Permanent(errBoom)
	for _, c := range []struct {
		name  string
		p     retry.Policy
		s     *script
		calls int
		as    error // comes back as it was
		is    []error
	}{
		{"success", policies.Constant(0), outcomes(nil), 1, nil, nil},
		{"later success", policies.Constant(0), outcomes(errBoom, nil), 2, nil, nil},
		{"exhausted", policies.Constant(0), outcomes(errBoom), 3, nil, []error{retry.ErrExhausted, errBoom}},
		{"one attempt", policies.Constant(time.Hour, policies.Attempts(1)), outcomes(errBoom), 1, nil, []error{retry.ErrExhausted, errBoom}},
		{"permanent at once", policies.Constant(0), outcomes(final), 1, final, nil},
		{"permanent later", policies.Constant(0), outcomes(errBoom, final), 2, nil, []error{retry.ErrPermanent, errBoom}},
		{"permanent beats the predicate", policies.Constant(0, policies.Unlimited(), policies.RetryIf(func(error) bool { return true })), outcomes(final), 1, final, nil},
		{"denied at once", policies.Constant(0, policies.RetryIf(func(error) bool { return false })), outcomes(errBoom), 1, errBoom, nil},
		{"cenkalti's permanent", policies.Constant(0), outcomes(errBoom, fmt.Errorf("x: %w", backoff.Permanent(errBoom))), 2, nil, []error{retry.ErrPermanent, errBoom}},
		{"unmarked", policies.Constant(0), outcomes(retry.Unmark(final)), 3, nil, []error{retry.ErrExhausted, errBoom}},
		{"configuration", policies.Constant(0), outcomes(retry.ConfigErrorf("x", "bad")), 1, nil, []error{retry.ErrConfig}},
		{"bare refusal", policies.Constant(0), outcomes(retry.ErrRejected), 1, retry.ErrRejected, nil},
	} {
		bubble(t, c.name, func(t *testing.T) {
			v, err := retry.Do(t.Context(), c.p, c.s.call)
			if len(c.s.at) != c.calls || v != c.calls {
				t.Errorf("%d calls, want %d; value %d", len(c.s.at), c.calls, v)
			}
			if c.is == nil && err != c.as {
				t.Errorf("got %v, want %v as it is", err, c.as)
			}
			wantIs(t, err, c.is...)
			if e, ok := errors.AsType[*retry.Error](err); ok && (e.Attempts != c.calls || e.Last == nil) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestLoopTellsOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		tell := func(who string) policies.Option {
			return policies.OnRetry(func(_ context.Context, attempt int, wait time.Duration, err error) {
				told = append(told, fmt.Sprint(who, attempt, wait, err))
			})
		}
		_ = outcomes(errBoom).run(within(t, time.Second), policies.Delays([]time.Duration{ms, time.Minute}, tell("a"), tell("b")))
		if want := []string{"a1 1ms boom", "b1 1ms boom"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q: the wait that does not fit is not told", told, want)
		}
	})
}

func TestLoopTellsWhichAttemptItWaitsAfter(t *testing.T) {
	refused := &retry.Rejection{Policy: "p", Reason: errOpen, RetryAfter: 2 * ms}
	for _, tc := range []struct {
		name   string
		around retry.Policy
		depth  int
	}{
		{"alone", retry.Chain(), 1},
		{"in another loop", again(2), 2},
	} {
		bubble(t, tc.name, func(t *testing.T) {
			var told []string
			watch := retry.Observe(func(_ context.Context, e retry.Event) {
				if e.Kind == retry.KindWait || e.Kind == retry.KindRetry || e.Kind == retry.KindGiveUp {
					told = append(told, fmt.Sprint(e.Kind, " ", e.Attempt, " ", e.Wait))
					if e.Depth != tc.depth || e.Policy != "constant" {
						t.Errorf("%v at depth %d by %s", e.Kind, e.Depth, e.Policy)
					}
				}
			})
			s := outcomes(refused, errBoom, errBoom, refused, errBoom)
			_ = s.run(t.Context(), retry.Chain(watch, tc.around, policies.Constant(ms)))
			want := []string{"wait 1 2ms", "retry 1 1ms", "wait 1 1ms", "retry 2 1ms", "wait 2 1ms", "wait 3 2ms", "give up 3 0s"}
			if !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
}

// again makes nothing but the n-th attempt of a loop.
func again(n int) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error { return next.Try(ctx, n) })
}

func TestLoopHeedsHints(t *testing.T) {
	bubble(t, "a lower bound", func(t *testing.T) {
		s := outcomes(retry.After(errBoom, 2*time.Second), retry.After(errBoom, 0), retry.After(errBoom, 10*ms), nil)
		if err := s.run(t.Context(), policies.Constant(100*ms, policies.Attempts(4))); err != nil {
			t.Error(err)
		}
		s.wantAt(t, 0, 2000, 2100, 2200)
	})
	bubble(t, "jittered upwards within the cap", func(t *testing.T) {
		for range 200 {
			s := outcomes(retry.After(errBoom, 10*time.Second), nil)
			_ = s.run(t.Context(), policies.Exponential(policies.HintCap(10*time.Second+500*ms)))
			if d := s.at[1]; d < 10*time.Second || d > 10*time.Second+500*ms {
				t.Fatalf("waited %v", d)
			}
		}
	})
	for name, c := range map[string]struct {
		within time.Duration
		opt    policies.Option
	}{
		"jittered within the deadline":  {time.Second, policies.Attempts(2)},
		"jittered within MaxElapsed":    {time.Hour, policies.MaxElapsed(time.Second)},
		"not jittered below the wish":   {950*ms + 1, policies.Attempts(2)},
		"not jittered below either one": {950*ms + 1, policies.MaxElapsed(950 * ms)},
	} {
		bubble(t, name, func(t *testing.T) {
			for range 200 {
				s := outcomes(retry.After(errBoom, 950*ms), nil)
				if err := s.run(within(t, c.within), policies.Exponential(c.opt)); err != nil || s.at[1] < 950*ms {
					t.Fatalf("called at %v: %v", s.at, err)
				}
			}
		})
	}
	bubble(t, "over the cap", func(t *testing.T) {
		s := outcomes(retry.After(errBoom, 6*time.Minute))
		err := s.run(t.Context(), policies.Constant(0))
		wantIs(t, err, retry.ErrExhausted, errBoom)
		if e := wantError(t, err); e.Wait != 6*time.Minute {
			t.Errorf("wait %v", e.Wait)
		}
		s.wantAt(t, 0)
	})
}

var errOpen = errors.New("open")

func TestLoopWaitsForRejections(t *testing.T) {
	refuse := func(d time.Duration) error {
		return &retry.Rejection{Policy: "p", Reason: errOpen, RetryAfter: d}
	}
	bubble(t, "without using attempts", func(t *testing.T) {
		s := outcomes(refuse(time.Second), errBoom, refuse(time.Second), refuse(ms), nil)
		if err := s.run(t.Context(), policies.Constant(0, policies.Attempts(2))); err != nil {
			t.Error(err)
		}
		s.wantAt(t, 0, 1000, 1000, 2000, 2001)
	})
	bubble(t, "only so often in a row", func(t *testing.T) {
		s := outcomes(refuse(time.Second))
		err := s.run(t.Context(), policies.Constant(0))
		wantIs(t, err, errOpen, retry.ErrRejected, retry.ErrExhausted)
		s.wantAt(t, 0, 1000, 2000, 3000)
	})
	for _, unknown := range []time.Duration{0, -time.Second} {
		bubble(t, "unknown time", func(t *testing.T) {
			r := refuse(unknown)
			if err := outcomes(r).run(t.Context(), policies.Constant(0)); err != r {
				t.Errorf("got %v", err)
			}
			err := outcomes(errBoom, r).run(t.Context(), policies.Constant(0))
			wantIs(t, err, errOpen, errBoom)
			if e := wantError(t, err); e.Attempts != 1 {
				t.Errorf("%d attempts", e.Attempts)
			}
		})
	}
	bubble(t, "unknown time beside a failure's hint", func(t *testing.T) {
		s := outcomes(retry.After(errBoom, time.Second))
		inner := policies.Constant(0, policies.Attempts(5), policies.WithBudget(policies.NewCostBudget(1, 1, 1)))
		err := s.run(t.Context(), retry.Chain(policies.Constant(0, policies.Attempts(4)), inner))
		wantIs(t, err, policies.ErrBudget, errBoom)
		s.wantAt(t, 0, 1000)
	})
	for name, c := range map[string]struct {
		refusal error
		at      int
	}{
		"a time beside a hint that an inner loop waited for": {&retry.Error{Reason: refuse(time.Second), Last: retry.After(errBoom, time.Minute)}, 1000},
		"a time beside a longer hint":                        {errors.Join(refuse(time.Second), retry.After(errBoom, time.Minute)), 60_000},
		"a refusal marked with its time":                     {retry.After(refuse(0), time.Second), 1000},
		"a bare refusal marked with its time":                {retry.After(fmt.Errorf("quota: %w", retry.ErrRejected), time.Second), 1000},
	} {
		bubble(t, name, func(t *testing.T) {
			s := outcomes(c.refusal, nil)
			if err := s.run(t.Context(), policies.Constant(0, policies.Attempts(2))); err != nil {
				t.Error(err)
			}
			s.wantAt(t, 0, c.at)
		})
	}
	bubble(t, "a time that does not fit", func(t *testing.T) {
		err := outcomes(errBoom, refuse(time.Minute)).run(within(t, time.Second), policies.Constant(0))
		wantIs(t, err, errOpen, errBoom, context.DeadlineExceeded)
		if e := wantError(t, err); e.Wait != time.Minute {
			t.Errorf("wait %v", e.Wait)
		}
		err = outcomes(refuse(time.Hour)).run(t.Context(), policies.Constant(0))
		wantIs(t, err, errOpen, retry.ErrExhausted)
	})
	bubble(t, "cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms, cancel)
		wantIs(t, outcomes(refuse(time.Second)).run(ctx, policies.Constant(0)), errOpen, context.Canceled)
	})
}

func TestLoopIsSharedWithoutSharingState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policies.Exponential(policies.WithJitter(policies.NoJitter), policies.Attempts(4))
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				s := outcomes(errBoom)
				_ = s.run(t.Context(), p)
				s.wantAt(t, 0, 100, 300, 700)
			})
		}
		all.Wait()
	})
}

func TestLoopLetsPanicsAndGoexitThrough(t *testing.T) {
	budget := policies.NewCostBudget(5, 5, 1)
	p := policies.Constant(0, policies.WithBudget(budget), policies.OnRetry(func(context.Context, int, time.Duration, error) { panic("listener") }))
	func() {
		defer func() {
			if v := recover(); v != "listener" {
				t.Errorf("recovered %v", v)
			}
		}()
		_ = retry.Run(t.Context(), p, fail)
	}()
	if !budget.Idle() {
		t.Error("the token of a retry that was not made is lost")
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		_ = retry.Run(t.Context(), p, func(context.Context) error { runtime.Goexit(); return nil })
	}()
	<-done
}

// The heap is looked at while the loop runs: what it holds then is gone when it has returned.
func TestUnlimitedLoopStaysFlat(t *testing.T) {
	const first, last = 1_000, 21_000
	alive := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	n, grown := 0, int64(0)
	err := retry.Run(t.Context(), policies.Constant(0, policies.Unlimited()), func(context.Context) error {
		switch n++; n {
		case first:
			grown = -alive()
		case last:
			grown += alive()
			return nil
		}
		return errBoom
	})
	if err != nil || n != last || grown > 4*(last-first) { // less than a pointer for each attempt
		t.Errorf("%v after %d calls; the heap grew by %d bytes", err, n, grown)
	}
}

func TestAllocations(t *testing.T) {
	ctx := context.Background()
	base := testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, &plain{}, succeed) })
	for name, p := range map[string]retry.Policy{
		"loop": policies.Exponential(policies.WithBudget(policies.NewTokenBudget(10, 0.1))), "ratio": policies.Constant(0, policies.WithBudget(policies.NewRatioBudget(0.1, 1))),
		"classify": policies.Classify(policies.On(policies.ServerErrors)), "bulkhead": policies.NewBulkhead(1, 0),
		"keyed": policies.Keyed(func(context.Context) string { return "a" }, func(string) retry.Policy { return &plain{} }),
	} {
		if n := testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, p, succeed) }); n > base {
			t.Errorf("%s: %v allocations on success", name, n-base)
		}
	}
	few, many := policies.Exponential(policies.Initial(0), policies.Attempts(2)), policies.Exponential(policies.Initial(0), policies.Attempts(102))
	n := testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, many, fail) }) - testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, few, fail) })
	if n/100 > 3 {
		t.Errorf("%v allocations per retry", n/100)
	}
}
