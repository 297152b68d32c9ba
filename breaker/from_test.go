package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

func adopted(s gobreaker.Settings) (*gobreaker.TwoStepCircuitBreaker[int], retry.Policy) {
	s.Name = "own"
	s.ReadyToTrip = func(c gobreaker.Counts) bool { return c.TotalFailures >= 2 }
	cb := gobreaker.NewTwoStepCircuitBreaker[int](s)
	return cb, breaker.From(cb)
}

func TestFromRejectsAsABreakerDoes(t *testing.T) {
	in(t, func(t *testing.T) {
		_, p := adopted(gobreaker.Settings{Timeout: time.Second})
		if err := retry.Validate(p); err != nil || retry.Describe(p) != "breaker own(closed)" {
			t.Fatal(err, retry.Describe(p))
		}
		for range 2 {
			if err := run(p, fail); err != errBoom {
				t.Fatal(err)
			}
		}
		err := run(p, func(context.Context) error { t.Error("called while open"); return nil })
		r, ok := retry.Rejected(err)
		if !ok || !errors.Is(err, breaker.ErrOpen) || !errors.Is(err, gobreaker.ErrOpenState) ||
			errors.Is(err, errBoom) {
			t.Fatal(err)
		}
		if r.Policy != "breaker own" || r.RetryAfter != 0 || r.Cause != errBoom {
			t.Fatalf("%+v", r)
		}
		time.Sleep(time.Second + 1)
		if err := run(p, succeed); err != nil || retry.Describe(p) != "breaker own(closed)" {
			t.Fatal(err, retry.Describe(p))
		}
	})
}

func TestFromCounts(t *testing.T) {
	cancelled, stop := context.WithCancel(context.Background())
	leaves := func(context.Context) error { stop(); return errBoom }
	gives := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	for _, c := range []struct {
		name                string
		ctx                 context.Context
		call                func(context.Context) error
		successes, failures uint32
	}{
		{"nil", nil, succeed, 1, 0},
		{"error", nil, fail, 0, 1},
		{"final answer", nil, gives(retry.Neutral(retry.Permanent(errBoom))), 1, 0},
		{"neutral", nil, gives(retry.Neutral(errBoom)), 0, 0},
		{"rejection inside", nil, gives(&retry.Rejection{Reason: errBoom}), 0, 0},
		{"configuration", nil, gives(retry.ConfigErrorf("x", "bad")), 0, 0},
		{"caller cancels", cancelled, leaves, 0, 0},
		{"goexit", nil, func(context.Context) error { runtime.Goexit(); return nil }, 0, 1},
		{"panic", nil, func(context.Context) error { panic(errBoom) }, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			cb, p := adopted(gobreaker.Settings{})
			over := make(chan bool)
			go func() {
				defer close(over)
				defer func() { _ = recover() }()
				ctx := c.ctx
				if ctx == nil {
					ctx = context.Background()
				}
				_ = retry.Run(ctx, p, c.call)
			}()
			<-over
			if n := cb.Counts(); n.TotalSuccesses != c.successes || n.TotalFailures != c.failures {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestFromHalfOpen(t *testing.T) {
	in(t, func(t *testing.T) {
		cb, p := adopted(gobreaker.Settings{Timeout: time.Second, IsExcluded: retry.IsNeutral})
		_, _ = run(p, fail), run(p, fail)
		time.Sleep(time.Second + 1)
		_ = run(p, func(context.Context) error { return retry.Neutral(errBoom) })
		if s := cb.State(); s != gobreaker.StateHalfOpen {
			t.Fatal(s)
		}
		err := run(p, func(ctx context.Context) error {
			if err := run(p, succeed); !errors.Is(err, breaker.ErrOpen) ||
				!errors.Is(err, gobreaker.ErrTooManyRequests) {
				t.Errorf("another call: %v", err)
			}
			return retry.Run(ctx, p, succeed) // part of the probe
		})
		if err != nil || cb.State() != gobreaker.StateClosed {
			t.Fatal(err, cb.State())
		}
	})
}

func TestFromNil(t *testing.T) {
	p := breaker.From[int](nil)
	err := run(p, func(context.Context) error { t.Error("called"); return nil })
	if !errors.Is(err, retry.ErrConfig) || !errors.Is(retry.Validate(p), retry.ErrConfig) ||
		err.Error() != "breaker.From: cb: must not be nil" {
		t.Fatal(err)
	}
	_ = retry.Describe(p)
	if s := p.(interface{ Stats() []retry.Stat }).Stats(); s != nil {
		t.Error(s)
	}
}

func TestFromTellsOfItself(t *testing.T) {
	cb, p := adopted(gobreaker.Settings{})
	_, _ = run(p, succeed), run(p, fail)
	tells := p.(interface {
		Name() string
		Stats() []retry.Stat
	})
	text := fmt.Sprintf("%s %+v", tells.Name(), p)
	for _, s := range tells.Stats() {
		text += fmt.Sprintf(" %s=%g%s", s.Name, s.Value, s.Text)
	}
	want := "own breaker own(closed) state=0closed successes=1 failures=1 " +
		"neutral=0 consecutive_failures=1"
	if text != want || cb.Counts().Requests != 2 {
		t.Error(text)
	}
	bulky := &bulkyError{}
	_ = run(p, func(context.Context) error { return bulky })
	if r, ok := retry.Rejected(run(p, succeed)); !ok || errors.As(r.Cause, &bulky) {
		t.Errorf("%T is kept", r.Cause)
	}
}
