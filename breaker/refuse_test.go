package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// bypass embeds a breaker and lets some calls go past it.
type bypass struct {
	*breaker.Breaker
	all bool
}

func (b bypass) Do(ctx context.Context, next retry.Next) error {
	if b.all {
		return next.Do(ctx)
	}
	return b.Breaker.Do(ctx, next)
}

// An open breaker refuses before Do of a policy is called, but for itself only.
func TestRefuse(t *testing.T) {
	open, shadow := breaker.New("open"), breaker.New("shadow", breaker.Shadow())
	open.Trip(nil)
	shadow.Trip(nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		p     retry.Policy
		want  error
		calls int
	}{
		{"open", t.Context(), open, breaker.ErrOpen, 0},
		{"closed", t.Context(), breaker.New("closed"), nil, 1},
		{"a shadow lets all through", t.Context(), shadow, nil, 1},
		{"embedded, and passed by", t.Context(), bypass{open, true}, nil, 1},
		{"embedded, and asked", t.Context(), bypass{open, false}, breaker.ErrOpen, 0},
		{"the end of the context comes first", ended, open, context.Canceled, 0},
		{"zero", t.Context(), &breaker.Breaker{}, retry.ErrConfig, 0},
		{"nil", t.Context(), (*breaker.Breaker)(nil), retry.ErrConfig, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls := 0
			_, err := retry.Do(tc.ctx, tc.p, func(context.Context) (int, error) {
				calls++
				return 0, nil
			})
			if !errors.Is(err, tc.want) || calls != tc.calls ||
				tc.want == context.Canceled && errors.Is(err, breaker.ErrOpen) {
				t.Errorf("%v and %d calls, want %v and %d", err, calls, tc.want, tc.calls)
			}
			err = retry.Run(tc.ctx, tc.p, func(context.Context) error { return nil })
			if !errors.Is(err, tc.want) {
				t.Errorf("Run: %v, want %v", err, tc.want)
			}
		})
	}
}

// A chain asks an open breaker behind its loops before it makes anything for the call. That must
// not be seen: observed, the same chain goes the ordinary way.
func TestRefuseBehindALoop(t *testing.T) {
	const openFor = 30 * time.Second
	waits := policies.Constant(openFor, policies.Attempts(2))
	for _, tc := range []struct {
		name  string
		loops []retry.Policy
		took  time.Duration // until the call is made or refused
		calls int
	}{
		{"a loop with short waits", []retry.Policy{policies.Exponential()}, 0, 0},
		{"a loop whose own wait is as long", []retry.Policy{waits}, openFor, 1},
		{"a loop of one attempt",
			[]retry.Policy{policies.Constant(time.Hour, policies.Attempts(1))}, 0, 0},
		{"a loop with patience",
			[]retry.Policy{policies.Exponential(policies.Patience(time.Minute))}, openFor, 1},
		{"a loop with a schedule of cenkalti's",
			[]retry.Policy{policies.Backoff(fresh(time.Hour))}, openFor, 1},
		{"two loops, the outer waits", []retry.Policy{waits, policies.Exponential()}, openFor, 1},
		{"two loops, neither waits",
			[]retry.Policy{policies.Exponential(), policies.Constant(0)}, 0, 0},
	} {
		for _, observed := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, ", observed ", observed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := breaker.New("b", breaker.OpenFor(openFor))
					b.Trip(errBoom)
					ctx, calls, rejections := t.Context(), 0, 0
					p := retry.Chain(append(slices.Clone(tc.loops), b)...)
					call := func(context.Context) (int, error) { calls++; return calls, nil }
					start, err := time.Now(), error(nil)
					if observed {
						p = retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
							if e.Kind == retry.KindReject {
								rejections++
							}
						}), p)
					}
					_, err = retry.Do(ctx, p, call)
					if took := time.Since(start); took != tc.took || calls != tc.calls {
						t.Errorf("%d calls after %v, want %d after %v", calls, took, tc.calls,
							tc.took)
					}
					if r, ok := err.(*retry.Rejection); tc.calls == 0 &&
						(!ok || r.RetryAfter != openFor || r.Cause != errBoom) {
						t.Errorf("got %v, want the breaker's own rejection", err)
					}
					if observed && rejections != 1 {
						t.Errorf("%d rejections are told of, want 1", rejections)
					}
				})
			})
		}
	}
}

// Inside an Observe of another Do every rejection is told once, and the loop tells that it gives
// up.
func TestRefuseBehindALoopIsObserved(t *testing.T) {
	b := breaker.New("b")
	b.Trip(nil)
	inner := retry.Chain(policies.Exponential(), b)
	var told []retry.Kind
	watch := retry.Observe(func(_ context.Context, e retry.Event) { told = append(told, e.Kind) })
	_ = retry.Run(t.Context(), watch, func(ctx context.Context) error {
		return retry.Run(ctx, inner, func(context.Context) error { return nil })
	})
	want := []retry.Kind{retry.KindReject, retry.KindGiveUp, retry.KindCall, retry.KindDone}
	if !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

func fresh(d time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff { return backoff.NewConstantBackOff(d) }
}
