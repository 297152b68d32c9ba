package retrytest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrytest"
)

var errDown = errors.New("down")

// patient is a loop as small as can be, so that this package needs no other.
func patient(attempts int, wait time.Duration) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) (err error) {
		for i := range attempts {
			if i > 0 {
				if err := retry.Sleep(ctx, retry.Event{Policy: "patient", Wait: wait}); err != nil {
					return err
				}
			}
			if err = next.Try(ctx, i+1); err == nil {
				return nil
			}
		}
		return err
	})
}

func TestScript(t *testing.T) {
	type step = retrytest.Step[string]
	for _, tc := range []struct {
		name  string
		steps []step
		limit time.Duration // of the context
		value string
		is    error
		took  time.Duration
		calls int
	}{
		{"no steps", nil, time.Hour, "", nil, 0, 1},
		{"fails twice, then a value",
			[]step{{Err: errDown, Times: 2}, {Value: "v", Took: time.Second}}, time.Hour,
			"v", nil, 3 * time.Second, 3},
		{"the last step is repeated", []step{{Value: "v", Err: errDown}}, time.Hour, "v",
			errDown, 2 * time.Second, 3},
		{"takes its time", []step{{Took: time.Minute}}, time.Hour, "", nil, time.Minute, 1},
		{"ends with its context", []step{{Took: time.Minute}}, time.Second, "",
			context.DeadlineExceeded, time.Second, 1},
		{"hangs", []step{{Hang: true}}, time.Second, "", context.DeadlineExceeded, time.Second, 1},
		{"is deaf", []step{{Took: time.Minute, Deaf: true}}, time.Second, "", nil, time.Minute, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.limit)
				defer cancel()
				callee := retrytest.NewScript(tc.steps...)
				start := time.Now()
				v, err := retry.Do(ctx, patient(3, time.Second), callee.Call)
				if v != tc.value || !errors.Is(err, tc.is) || (err == nil) != (tc.is == nil) {
					t.Errorf("%q, %v", v, err)
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				for i, c := range callee.Calls() {
					if c.Attempt != i+1 || c.At.Before(start) {
						t.Errorf("call %d: %+v", i, c)
					}
				}
				if callee.Count() != tc.calls {
					t.Errorf("%d calls", callee.Count())
				}
			})
		})
	}
}

func TestScriptPanics(t *testing.T) {
	callee := retrytest.NewScript(retrytest.Step[int]{Panic: "ouch"})
	defer func() {
		if got := recover(); got != "ouch" || callee.Count() != 1 {
			t.Errorf("recovered %v after %d calls", got, callee.Count())
		}
	}()
	_, _ = callee.Call(t.Context())
}

func TestRefuse(t *testing.T) {
	rec := retrytest.Observe(nil)
	called := false
	err := retry.Run(t.Context(), retry.Chain(rec, retrytest.Refuse(errDown, time.Second)),
		func(context.Context) error { called = true; return nil })
	r, ok := retry.Rejected(err)
	if called || !ok || r.RetryAfter != time.Second || !errors.Is(err, errDown) ||
		!errors.Is(err, retry.ErrRejected) {
		t.Errorf("called %v, %v", called, err)
	}
	if got := rec.Refusals(); !slices.Equal(got, []string{"retrytest"}) {
		t.Errorf("%q", got)
	}
	if err := retry.Run(t.Context(), retrytest.Fail(errDown, 0), func(context.Context) error {
		called = true
		return nil
	}); err != errDown || called {
		t.Errorf("Fail: called %v, %v", called, err)
	}
}

// failing is a test that has failed.
type failing struct {
	testing.TB
	cleanup func()
	logged  string
}

func (f *failing) Cleanup(c func())                { f.cleanup = c }
func (f *failing) Failed() bool                    { return true }
func (f *failing) Logf(format string, args ...any) { f.logged = fmt.Sprintf(format, args...) }

func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{}
		rec := retrytest.Observe(f)
		callee := retrytest.NewScript(retrytest.Step[int]{Err: errDown, Times: 2},
			retrytest.Step[int]{Value: 7})
		v, err := retry.Do(t.Context(), retry.Chain(rec, patient(3, time.Second)), callee.Call)
		if v != 7 || err != nil ||
			!slices.Equal(rec.Waits(), []time.Duration{time.Second, time.Second}) {
			t.Errorf("%d, %v, waits %v", v, err, rec.Waits())
		}
		if calls := rec.Calls(); !slices.Equal(calls, []error{errDown, errDown, nil}) ||
			rec.Count(retry.KindDone) != 1 {
			t.Errorf("calls %v, %v", calls, rec.Events())
		}
		if f.cleanup(); len(f.logged) < 100 {
			t.Errorf("a test that failed is told: %q", f.logged)
		}
	})
}

func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outage retry.Record
		callee := retrytest.NewScript(retrytest.Step[int]{Err: errDown, Took: time.Second,
			Times: 2}, retrytest.Step[int]{Value: 1, Took: time.Minute})
		_, err := retry.Do(t.Context(),
			retry.Chain(retry.Observe(outage.Add), patient(3, time.Hour)), callee.Call)
		if err != nil {
			t.Fatal(err)
		}
		for _, attempts := range []int{2, 3, 4} {
			start, called := time.Now(), 0
			rec := retrytest.Observe(t)
			err := retry.Run(t.Context(),
				retry.Chain(rec, patient(attempts, 0), retrytest.Replay(&outage)),
				func(context.Context) error {
					called++
					return nil
				})
			want := time.Duration(min(attempts, 2))*time.Second + time.Duration(max(0,
				min(1, attempts-2)))*time.Minute
			if took := time.Since(start); took != want || (err != nil) != (attempts < 3) ||
				called != max(0, min(1, attempts-2)) {
				t.Errorf("%d attempts: %v in %v, want %v; called %d times", attempts, err, took,
					want, called)
			}
			if n := len(rec.Calls()); n != min(attempts, 3) {
				t.Errorf("%d attempts: observers saw %d calls", attempts, n)
			}
		}
	})
}
