package policies_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
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
		bubble(t, "during a later attempt that returns just "+end.Error(), func(t *testing.T) {
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
		{"exhausted", policies.Constant(0), outcomes(errBoom), 3, nil,
			[]error{retry.ErrExhausted, errBoom}},
		{"one attempt", policies.Constant(time.Hour, policies.Attempts(1)), outcomes(errBoom),
			1, nil, []error{retry.ErrExhausted, errBoom}},
		{"permanent at once", policies.Constant(0), outcomes(final), 1, final, nil},
		{"permanent later", policies.Constant(0), outcomes(errBoom, final), 2, nil,
			[]error{retry.ErrPermanent, errBoom}},
		{"permanent beats the predicate",
			policies.Constant(0, policies.Unlimited(),
				policies.RetryIf(func(error) bool { return true })),
			outcomes(final), 1, final, nil},
		{"denied at once",
			policies.Constant(0, policies.RetryIf(func(error) bool { return false })),
			outcomes(errBoom), 1, errBoom, nil},
		{"cenkalti's permanent", policies.Constant(0),
			outcomes(errBoom, fmt.Errorf("x: %w", backoff.Permanent(errBoom))), 2, nil,
			[]error{retry.ErrPermanent, errBoom}},
		{"unmarked", policies.Constant(0), outcomes(retry.Unmark(final)), 3, nil,
			[]error{retry.ErrExhausted, errBoom}},
		{"configuration", policies.Constant(0), outcomes(retry.ConfigErrorf("x", "bad")), 1, nil,
			[]error{retry.ErrConfig}},
		{"bare refusal", policies.Constant(0), outcomes(retry.ErrRejected),
			1, retry.ErrRejected, nil},
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
			if e, ok := errors.AsType[*retry.Error](err); ok &&
				(e.Attempts != c.calls || e.Last == nil) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestLoopTellsOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		tell := func(who string) policies.Option {
			return policies.OnRetry(
				func(_ context.Context, attempt int, wait time.Duration, err error) {
					told = append(told, fmt.Sprint(who, attempt, wait, err))
				})
		}
		_ = outcomes(errBoom).run(within(t, time.Second),
			policies.Delays([]time.Duration{ms, time.Minute}, tell("a"), tell("b")))
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
				if e.Kind == retry.KindWait || e.Kind == retry.KindRetry ||
					e.Kind == retry.KindGiveUp {
					told = append(told, fmt.Sprint(e.Kind, " ", e.Attempt, " ", e.Wait))
					if e.Depth != tc.depth || e.Policy != "constant" {
						t.Errorf("%v at depth %d by %s", e.Kind, e.Depth, e.Policy)
					}
				}
			})
			s := outcomes(refused, errBoom, errBoom, refused, errBoom)
			_ = s.run(t.Context(),
				retry.Chain(watch, tc.around,
					policies.Constant(ms, policies.Patience(time.Second))))
			want := []string{"wait 1 2ms", "retry 1 1ms", "wait 1 1ms", "retry 2 1ms", "wait 2 1ms",
				"wait 3 2ms", "give up 3 0s"}
			if !slices.Equal(told, want) {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	}
}

// again makes nothing but the n-th attempt of a loop.
func again(n int) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Try(ctx, n)
	})
}

func TestLoopHeedsHints(t *testing.T) {
	bubble(t, "a lower bound", func(t *testing.T) {
		s := outcomes(retry.After(errBoom, 2*time.Second), retry.After(errBoom, 0),
			retry.After(errBoom, 10*ms), nil)
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
				if err := s.run(within(t, c.within), policies.Exponential(c.opt)); err != nil ||
					s.at[1] < 950*ms {
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
		got, want := err.Error(),
			"constant: gave up after 1 attempt: the callee asked for 6m0s, "+
				"above HintCap (5m0s): boom"
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		s.wantAt(t, 0)
	})
}

var errOpen = errors.New("open")

func refuse(after time.Duration) error {
	return &retry.Rejection{Policy: "p", Reason: errOpen, RetryAfter: after}
}

// A refusal is waited for only if that takes no longer than the wait that would now follow on a
// failure.
func TestLoopFailsFastOnRejections(t *testing.T) {
	plain := policies.WithJitter(policies.NoJitter)
	for _, c := range []struct {
		name     string
		p        retry.Policy
		outcomes []error
		at       []int
		attempts int // told by the error; 0: it is the rejection as it was
	}{
		{"longer than the first wait", policies.Exponential(plain),
			[]error{refuse(101 * ms)}, []int{0}, 0},
		{"as long as the first wait", policies.Exponential(plain),
			[]error{refuse(100 * ms), nil}, []int{0, 100}, 0},
		{"as long as the second wait", policies.Exponential(plain),
			[]error{errBoom, refuse(200 * ms), nil}, []int{0, 100, 300}, 0},
		{"longer than the second wait", policies.Exponential(plain),
			[]error{errBoom, refuse(201 * ms)}, []int{0, 100}, 1},
		{"before jitter", policies.Exponential(policies.WithJitter(policies.Full)),
			[]error{refuse(100 * ms), nil}, []int{0, 100}, 0},
		{"the schedule is not advanced", policies.Exponential(plain, policies.Attempts(4)),
			[]error{errBoom, refuse(10 * ms), errBoom, errBoom, nil},
			[]int{0, 100, 110, 310, 710}, 0},
		{"no attempt is used", policies.Constant(ms, policies.Attempts(2)),
			[]error{refuse(ms), errBoom, refuse(ms), refuse(ms), nil}, []int{0, 1, 2, 3, 4}, 0},
		{"as often as attempts in a row", policies.Constant(ms),
			[]error{refuse(ms)}, []int{0, 1, 2, 3}, 0},
		{"a single attempt waits for none", policies.Constant(ms, policies.Attempts(1)),
			[]error{refuse(ms)}, []int{0}, 0},
		{"unknown time", policies.Constant(ms), []error{refuse(0)}, []int{0}, 0},
		{"negative time", policies.Constant(ms), []error{refuse(-ms)}, []int{0}, 0},
		{"unknown time later", policies.Constant(ms), []error{errBoom, refuse(0)}, []int{0, 1}, 1},
		{"beyond MaxElapsed", policies.Constant(ms, policies.MaxElapsed(ms/2)),
			[]error{refuse(ms)}, []int{0}, 0},
		{"the schedule has stopped",
			policies.Backoff(func() backoff.BackOff { return &backoff.StopBackOff{} }),
			[]error{refuse(ms)}, []int{0}, 0},
		{"HintCap is for hints", policies.Constant(time.Second, policies.HintCap(ms)),
			[]error{refuse(time.Second), nil}, []int{0, 1000}, 0},
		{"a permanent one", policies.Constant(ms),
			[]error{retry.Permanent(refuse(ms))}, []int{0}, 0},
	} {
		bubble(t, c.name, func(t *testing.T) {
			s := outcomes(c.outcomes...)
			err := s.run(t.Context(), retry.Chain(policies.Timeout(time.Hour), c.p))
			s.wantAt(t, c.at...)
			last := c.outcomes[len(c.outcomes)-1]
			switch {
			case last == nil || c.attempts == 0:
				if err != last {
					t.Errorf("got %v, want %v as it is", err, last)
				}
			default:
				wantIs(t, err, errOpen, retry.ErrRejected, errBoom)
				if e := wantError(t, err); e.Attempts != c.attempts || e.Last != errBoom ||
					e.Wait != 0 {
					t.Errorf("%#v", e)
				}
			}
			wantNot(t, err, retry.ErrExhausted, context.DeadlineExceeded, policies.ErrTimeout)
		})
	}
}

func TestLoopWithPatience(t *testing.T) {
	plain := policies.WithJitter(policies.NoJitter)
	for _, c := range []struct {
		name     string
		p        retry.Policy
		outcomes []error
		at       []int // seconds
	}{
		{"fits", policies.Constant(0, policies.Patience(10*time.Second)),
			[]error{refuse(10 * time.Second), nil}, []int{0, 10}},
		{"does not fit", policies.Constant(0, policies.Patience(10*time.Second)),
			[]error{refuse(11 * time.Second)}, []int{0}},
		{"for refusals in a row", policies.Constant(0, policies.Patience(10*time.Second)),
			[]error{refuse(4 * time.Second)}, []int{0, 4, 8}},
		{"more of them than attempts",
			policies.Constant(0, policies.Attempts(1), policies.Patience(10*time.Second)),
			[]error{refuse(2 * time.Second)}, []int{0, 2, 4, 6, 8, 10}},
		{"anew after a failure", policies.Constant(0, policies.Patience(10*time.Second)),
			[]error{refuse(8 * time.Second), errBoom, refuse(8 * time.Second), nil},
			[]int{0, 8, 8, 16}},
		{"unknown time by the schedule",
			policies.Exponential(plain, policies.Initial(time.Second),
				policies.Patience(10*time.Second)), []error{refuse(0)}, []int{0, 1, 3, 7}},
		{"unknown time leaves the schedule of failures alone",
			policies.Exponential(plain, policies.Initial(time.Second),
				policies.Patience(time.Minute)),
			[]error{refuse(0), refuse(0), errBoom, nil}, []int{0, 1, 3, 4}},
		{"unknown time and no waits", policies.Constant(0, policies.Patience(time.Hour)),
			[]error{refuse(0)}, []int{0}},
		{"short times are asked for less and less",
			policies.Exponential(plain, policies.Initial(time.Second), policies.Attempts(2),
				policies.Patience(10*time.Second)), []error{refuse(1)}, []int{0, 0, 0, 1, 3, 7}},
		{"none", policies.Constant(time.Second, policies.Patience(0)),
			[]error{refuse(1)}, []int{0}},
		{"bounded by MaxElapsed",
			policies.Constant(0, policies.Patience(time.Minute),
				policies.MaxElapsed(5*time.Second)), []error{refuse(4 * time.Second)}, []int{0, 4}},
		{"above HintCap", policies.Constant(0, policies.Patience(time.Hour),
			policies.HintCap(time.Second)), []error{refuse(time.Hour), nil}, []int{0, 3600}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			s := outcomes(c.outcomes...)
			err := s.run(t.Context(), c.p)
			for i := range s.at {
				s.at[i] = s.at[i].Truncate(ms)
			}
			for i := range c.at {
				c.at[i] *= 1000
			}
			s.wantAt(t, c.at...)
			if last := c.outcomes[len(c.outcomes)-1]; err != last {
				t.Errorf("got %v, want %v", err, last)
			}
		})
	}
}

func TestLoopWaitsForRejections(t *testing.T) {
	bubble(t, "unknown time beside a failure's hint", func(t *testing.T) {
		s := outcomes(retry.After(errBoom, time.Second))
		inner := policies.Constant(0, policies.Attempts(5),
			policies.WithBudget(policies.NewCostBudget(1, 1, 1)))
		err := s.run(t.Context(), retry.Chain(policies.Constant(0, policies.Attempts(4)), inner))
		wantIs(t, err, policies.ErrBudget, errBoom)
		s.wantAt(t, 0, 1000)
	})
	for name, c := range map[string]struct {
		refusal error
		at      int
	}{
		"a time beside a hint that an inner loop waited for": {
			&retry.Error{Reason: refuse(time.Second), Last: retry.After(errBoom, time.Minute)},
			1000},
		"a time beside a longer hint": {
			errors.Join(refuse(time.Second), retry.After(errBoom, time.Minute)), 60_000},
		"a refusal marked with its time": {retry.After(refuse(0), time.Second), 1000},
		"a bare refusal marked with its time": {
			retry.After(fmt.Errorf("quota: %w", retry.ErrRejected), time.Second), 1000},
	} {
		bubble(t, name, func(t *testing.T) {
			s := outcomes(c.refusal, nil)
			err := s.run(t.Context(), policies.Constant(0, policies.Patience(time.Minute)))
			if err != nil {
				t.Error(err)
			}
			s.wantAt(t, 0, c.at)
		})
	}
	bubble(t, "a time that would be waited for but for the deadline", func(t *testing.T) {
		err := outcomes(errBoom, refuse(time.Minute)).run(within(t, time.Second),
			policies.Constant(0, policies.Patience(time.Hour)))
		wantIs(t, err, errOpen, errBoom, context.DeadlineExceeded)
		if e := wantError(t, err); e.Wait != time.Minute {
			t.Errorf("wait %v", e.Wait)
		}
		p := retry.Chain(policies.Timeout(time.Second), policies.Constant(time.Minute))
		wantIs(t, outcomes(refuse(time.Minute)).run(t.Context(), p), errOpen,
			context.DeadlineExceeded, policies.ErrTimeout)
	})
	bubble(t, "cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms, cancel)
		wantIs(t, outcomes(refuse(time.Second)).run(ctx, policies.Constant(time.Second)), errOpen,
			context.Canceled)
	})
}

// What a loop's RetryIf denies ends that loop only: one further out decides for itself.
func TestLoopDeclines(t *testing.T) {
	busy, expired := status(503), status(401)
	is := func(target error) policies.Option {
		return policies.RetryIf(func(err error) bool { return errors.Is(err, target) })
	}
	bubble(t, "the inner loop's no is not the outer's", func(t *testing.T) {
		s := outcomes(expired, busy, nil)
		err := s.run(t.Context(),
			retry.Chain(policies.Exponential(is(busy)),
				policies.Constant(0, policies.Attempts(2), is(expired))))
		if err != nil || len(s.at) != 3 {
			t.Errorf("%d calls: %v", len(s.at), err)
		}
	})
	bubble(t, "on the first attempt", func(t *testing.T) {
		if err := outcomes(busy).run(t.Context(), policies.Constant(0, is(expired))); err != busy {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, "later", func(t *testing.T) {
		err := outcomes(expired, busy).run(t.Context(), policies.Constant(0, is(expired)))
		wantIs(t, err, retry.ErrDeclined, busy)
		if e := wantError(t, err); e.Reason != retry.ErrDeclined || retry.IsPermanent(err) {
			t.Errorf("%#v", e)
		}
	})
}

func TestLoopKnowsCommandsThatCannotRun(t *testing.T) {
	unexecutable := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(unexecutable, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(name string) error { return exec.CommandContext(t.Context(), name).Run() }
	for name, c := range map[string]struct {
		err  error
		p    retry.Policy
		want int
	}{
		"not in the path": {run("no-such-command-anywhere"), policies.Constant(0), 1},
		"no such file":    {run("/no/such/command"), policies.Constant(0), 1},
		"a directory":     {run("/"), policies.Constant(0), 1},
		"may not be run":  {run(unexecutable), policies.Constant(0), 1},
		"bare":            {fmt.Errorf("x: %w", exec.ErrNotFound), policies.Constant(0), 1},
		"asked for": {
			exec.ErrNotFound,
			policies.Constant(0, policies.RetryIf(func(error) bool { return true })), 3},
		"behind Unmark": {retry.Unmark(exec.ErrNotFound), policies.Constant(0), 3},
		"a file of the callee": {
			&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}, policies.Constant(0), 3},
	} {
		s := outcomes(c.err)
		if _ = s.run(t.Context(), c.p); len(s.at) != c.want {
			t.Errorf("%s: %d calls, want %d: %v", name, len(s.at), c.want, c.err)
		}
	}
}

func TestLoopResetAfter(t *testing.T) {
	for _, c := range []struct {
		name     string
		opts     []policies.Option
		ran      []time.Duration // each attempt, then it fails
		at       []int           // seconds
		attempts []int           // their numbers
	}{
		{"a long attempt is the first of a new row", nil, []time.Duration{0, 0, time.Minute, 0, 0},
			[]int{0, 1, 3, 64, 66}, []int{1, 2, 3, 2, 3}},
		{"of exactly the time", nil, []time.Duration{0, 10 * time.Second, 0, 0},
			[]int{0, 1, 12, 14}, []int{1, 2, 2, 3}},
		{"a little less", nil, []time.Duration{0, 10*time.Second - 1, 0},
			[]int{0, 1, 13}, []int{1, 2, 3}},
		{"for ever", nil, []time.Duration{time.Minute, time.Minute, time.Minute, time.Minute, 0, 0},
			[]int{0, 61, 122, 183, 244, 246}, []int{1, 2, 2, 2, 2, 3}},
		{"MaxElapsed counts anew", []policies.Option{policies.MaxElapsed(time.Minute)},
			[]time.Duration{time.Hour, time.Hour, 0, 0},
			[]int{0, 3601, 7202, 7204}, []int{1, 2, 2, 3}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			p := policies.Exponential(append(c.opts, policies.Initial(time.Second),
				policies.WithJitter(policies.NoJitter), policies.ResetAfter(10*time.Second))...)
			start := time.Now()
			var at, attempts []int
			err := retry.Run(t.Context(), p, func(ctx context.Context) error {
				n := len(at)
				at, attempts = append(at, int((time.Since(start)+ms).Seconds())),
					append(attempts, retry.Attempt(ctx))
				time.Sleep(c.ran[min(n, len(c.ran)-1)])
				return errBoom
			})
			if !slices.Equal(at, c.at) || !slices.Equal(attempts, c.attempts) {
				t.Errorf("attempts %v at %v s, want %v at %v", attempts, at, c.attempts, c.at)
			}
			if e := wantError(t, err); e.Attempts != len(c.at) || e.Reason != retry.ErrExhausted {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestLoopStopOn(t *testing.T) {
	bubble(t, "closed before: one attempt", func(t *testing.T) {
		done := make(chan struct{})
		close(done)
		for _, s := range []*script{outcomes(errBoom), outcomes(refuse(ms))} {
			start := time.Now()
			err := s.run(t.Context(), policies.Constant(ms, policies.StopOn(done)))
			wantIs(t, err, retry.ErrStopped, s.outcomes[0])
			s.wantAt(t, 0)
			if d := time.Since(start); d != 0 {
				t.Errorf("waited %v", d)
			}
		}
		s := outcomes(nil)
		if s.run(t.Context(), policies.Constant(ms, policies.StopOn(done))) != nil {
			t.Error("the attempt that was made has succeeded")
		}
	})
	for name, outcome := range map[string]error{"in a wait": errBoom,
		"in a wait for a refusal": refuse(time.Minute)} {
		bubble(t, name, func(t *testing.T) {
			done := make(chan struct{})
			time.AfterFunc(50*ms, func() { close(done) })
			start := time.Now()
			err := outcomes(outcome).run(t.Context(),
				policies.Constant(time.Minute, policies.StopOn(done)))
			wantIs(t, err, retry.ErrStopped, outcome)
			wantNot(t, err, context.Canceled, retry.ErrExhausted)
			if d := time.Since(start); d != 50*ms {
				t.Errorf("returned after %v", d)
			}
		})
	}
	for name, outcome := range map[string]error{"what runs may succeed": nil,
		"what runs may fail": errBoom} {
		bubble(t, name, func(t *testing.T) {
			done := make(chan struct{})
			time.AfterFunc(ms, func() { close(done) })
			calls := 0
			v, err := retry.Do(t.Context(), policies.Constant(0, policies.StopOn(done)),
				func(ctx context.Context) (int, error) {
					calls++
					time.Sleep(time.Second)
					if ctx.Err() != nil {
						t.Error("the attempt was cut off")
					}
					return 7, outcome
				})
			if calls != 1 || v != 7 || (err == nil) != (outcome == nil) {
				t.Errorf("%d calls, %d, %v", calls, v, err)
			}
			if outcome != nil {
				wantIs(t, err, retry.ErrStopped, errBoom)
			}
		})
	}
}

func TestLoopTellsItself(t *testing.T) {
	budget := policies.NewTokenBudget(10, 0.1, policies.Named("catalog"))
	for _, c := range []struct {
		p    retry.Policy
		want string
	}{
		{policies.Exponential(policies.Attempts(4)),
			"exponential(4 attempts, 100ms x2, up to 30s, ±50 %)"},
		{policies.Exponential(policies.Unlimited(), policies.Initial(time.Second),
			policies.Factor(1.5), policies.MaxDelay(time.Minute),
			policies.WithJitter(policies.Full), policies.MaxElapsed(time.Hour)),
			"exponential(unlimited, 1s x1.5, up to 1m0s, full jitter, within 1h0m0s)"},
		{policies.Constant(5*ms, policies.Attempts(1)), "constant(1 attempt, 5ms)"},
		{policies.Fibonacci(), "fibonacci(3 attempts, 100ms x1, 2, 3, 5, up to 30s, ±50 %)"},
		{policies.Random(ms, 5*ms), "random(3 attempts, 1ms to 5ms)"},
		{policies.Delays([]time.Duration{ms, 5 * ms}), "delays(3 attempts, 1ms 5ms)"},
		{policies.Backoff(func() backoff.BackOff { return &backoff.ZeroBackOff{} },
			policies.Patience(time.Second)), "backoff(3 attempts, patience 1s)"},
		{policies.Constant(0, policies.WithBudget(budget)),
			"constant(3 attempts, 0s, budget catalog(10 of 10 tokens left))"},
		{policies.Constant(-1), "constant(misconfigured)"},
		{policies.Timeout(2 * time.Second), "timeout(2s)"},
		{policies.Classify(policies.On(policies.ServerErrors)), "classify(1 rule)"},
	} {
		if got := retry.Describe(c.p); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
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
	p := policies.Constant(0, policies.WithBudget(budget),
		policies.OnRetry(func(context.Context, int, time.Duration, error) { panic("listener") }))
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
	err := retry.Run(t.Context(), policies.Constant(0, policies.Unlimited()),
		func(context.Context) error {
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
		"loop":     policies.Exponential(policies.WithBudget(policies.NewTokenBudget(10, 0.1))),
		"ratio":    policies.Constant(0, policies.WithBudget(policies.NewRatioBudget(0.1, 1))),
		"classify": policies.Classify(policies.On(policies.ServerErrors)),
		"bulkhead": policies.NewBulkhead(1, 0),
		"keyed": policies.Keyed(func(context.Context) string { return "a" },
			func(string) retry.Policy { return &plain{} }),
	} {
		if n := testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, p, succeed) }); n > base {
			t.Errorf("%s: %v allocations on success", name, n-base)
		}
	}
	few, many := policies.Exponential(policies.Initial(0), policies.Attempts(2)),
		policies.Exponential(policies.Initial(0), policies.Attempts(102))
	n := testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, many, fail) }) -
		testing.AllocsPerRun(100, func() { _ = retry.Run(ctx, few, fail) })
	if n/100 > 3 {
		t.Errorf("%v allocations per retry", n/100)
	}
}

// A nil pointer returned as an error is a failure as any other.
func TestNilPointerOfALoopsErrorIsAFailure(t *testing.T) {
	for _, p := range []retry.Policy{
		policies.Constant(0), policies.Constant(0, policies.Patience(1)), policies.Timeout(1 << 40),
	} {
		err := retry.Run(t.Context(), p, func(context.Context) error { return (*retry.Error)(nil) })
		if err == nil || err.Error() == "" {
			t.Errorf("%v: %v", p, err)
		}
	}
}
