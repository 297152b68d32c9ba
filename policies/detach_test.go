package policies_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// deaf is a callee that knows no context.
func deaf(d time.Duration, v int, err error) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { time.Sleep(d); return v, err }
}

func TestDetach(t *testing.T) {
	bubble(t, "returns what the call returns in time", func(t *testing.T) {
		for _, want := range []error{nil, errBoom} {
			if v, err := policies.Detach(deaf(ms, 7, want), nil)(within(t, time.Second)); v != 7 ||
				err != want {
				t.Errorf("got %d, %v", v, err)
			}
		}
	})
	bubble(t, "returns in time though the callee ignores ctx: a failure", func(t *testing.T) {
		var discarded []int
		detached := policies.Detach(deaf(time.Minute, 7, nil), func(v int) {
			discarded = append(discarded, v)
		})
		start := time.Now()
		v, err := retry.Do(t.Context(), policies.Timeout(100*ms), detached)
		wantIs(t, err, policies.ErrTimeout, context.DeadlineExceeded)
		if d := time.Since(start); v != 0 || d != 100*ms {
			t.Errorf("got %d after %v", v, d)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(discarded) != 1 || discarded[0] != 7 {
			t.Errorf("discarded %v", discarded)
		}
	})
	bubble(t, "in a loop each attempt is left behind", func(t *testing.T) {
		start := time.Now()
		chain := retry.Chain(policies.Constant(0), policies.Timeout(100*ms))
		_, err := retry.Do(t.Context(), chain, policies.Detach(deaf(time.Minute, 7, nil), nil))
		wantIs(t, err, policies.ErrTimeout, retry.ErrExhausted)
		if d := time.Since(start); d != 300*ms {
			t.Errorf("took %v", d)
		}
		time.Sleep(time.Hour)
	})
	bubble(t, "leaves only so many behind", func(t *testing.T) {
		detached := policies.Detach(deaf(time.Minute, 7, nil), nil, policies.MaxDetached(2),
			policies.Named("driver"))
		for range 2 {
			_, err := detached(within(t, ms))
			wantIs(t, err, context.DeadlineExceeded)
		}
		_, err := detached(within(t, ms))
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		if err.Error() != "detach driver: full" {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if v, err := detached(within(t, time.Hour)); v != 7 || err != nil {
			t.Errorf("once they are over: %d, %v", v, err)
		}
	})
	bubble(t, "the last moment", func(t *testing.T) {
		var kept, discarded atomic.Int32
		detached := policies.Detach(deaf(ms, 7, nil), func(int) { discarded.Add(1) },
			policies.MaxDetached(1))
		for range 100 {
			if v, err := detached(within(t, ms)); err == nil && v == 7 {
				kept.Add(1)
			} else {
				wantIs(t, err, context.DeadlineExceeded)
			}
			synctest.Wait()
		}
		if kept.Load()+discarded.Load() != 100 {
			t.Errorf("%d kept, %d discarded", kept.Load(), discarded.Load())
		}
	})
	t.Run("a panic and Goexit reach the caller", func(t *testing.T) {
		if v, _ := abruptly(func() {
			_, _ = policies.Detach(func(context.Context) (int, error) { panic("bang") },
				nil)(t.Context())
		}); v != "bang" {
			t.Errorf("recovered %v", v)
		}
		if v, returned := abruptly(func() {
			_, _ = policies.Detach(func(context.Context) (int, error) {
				runtime.Goexit()
				return 0, nil
			}, nil)(t.Context())
		}); v != nil || returned {
			t.Errorf("recovered %v, returned %v", v, returned)
		}
	})
	for want, f := range map[string]func(context.Context) (int, error){
		"policies.Detach: nil function": policies.Detach[int](nil, nil),
		"policies.Detach: MaxDetached(0): must be at least 1": policies.Detach(deaf(0, 0, nil),
			nil, policies.MaxDetached(0)),
		"policies.Detach: Attempts(2): does not apply here": policies.Detach(deaf(0, 0, nil),
			nil, policies.Attempts(2)),
		"policies.Hedge: max 0: must be at least 1": policies.Hedge(deaf(0, 0, nil), 0, 0, nil),
		"policies.Hedge: MaxDetached(2): does not apply here": policies.Hedge(deaf(0, 0, nil),
			0, 1, nil, policies.MaxDetached(2)),
		"policies.Hedge: after -1ns: must not be negative": policies.Hedge(deaf(0, 0, nil),
			-1, 1, nil),
		"policies.Coalesce: nil function": policies.Coalesce[string](nil,
			deaf(0, 0, nil)),
		"policies.Failover: no calls: must be at least 1": policies.Failover[int](),
		"policies.Failover: call 2: must not be nil":      policies.Failover(deaf(0, 0, nil), nil),
	} {
		if _, err := f(t.Context()); err == nil || err.Error() != want ||
			!errors.Is(err, retry.ErrConfig) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
