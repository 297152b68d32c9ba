package breaker_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

func TestBadOptionFailsEveryCallAndSaysWhatItMustBe(t *testing.T) {
	for _, c := range []struct {
		option breaker.Option
		want   string
	}{
		{nil, "option 2: must not be nil"},
		{breaker.ConsecutiveFailures(0), "ConsecutiveFailures(0): must be at least 1"},
		{breaker.ConsecutiveFailures(-1), "ConsecutiveFailures(-1): must be at least 1"},
		{breaker.FailureCount(0), "FailureCount(0): must be at least 1"},
		{breaker.FailureCount(-7), "FailureCount(-7): must be at least 1"},
		{breaker.FailureRate(0, 1), "FailureRate(0, 1): must have a ratio above 0 and at most 1"},
		{breaker.FailureRate(1.1, 1),
			"FailureRate(1.1, 1): must have a ratio above 0 and at most 1"},
		{breaker.FailureRate(math.NaN(), 1),
			"FailureRate(NaN, 1): must have a ratio above 0 and at most 1"},
		{breaker.FailureRate(0.5, 0), "FailureRate(0.5, 0): must have a minimum of at least 1"},
		{breaker.Window(0, 1), "Window(0s, 1): must be of a positive duration"},
		{breaker.Window(-1, 1), "Window(-1ns, 1): must be of a positive duration"},
		{breaker.Window(time.Second, 0), "Window(1s, 0): must have at least 1 bucket"},
		{breaker.Window(1, 2), "Window(1ns, 2): must have at most 1 buckets"},
		{breaker.Window(time.Hour, 1<<17),
			"Window(1h0m0s, 131072): must have at most 65536 buckets"},
		{breaker.OpenFor(0), "OpenFor(0s): must be positive"},
		{breaker.OpenFor(-time.Second), "OpenFor(-1s): must be positive"},
		{breaker.OpenGrowth(0.9, time.Hour),
			"OpenGrowth(0.9, 1h0m0s): must have a finite factor of at least 1"},
		{breaker.OpenGrowth(math.NaN(), time.Hour),
			"OpenGrowth(NaN, 1h0m0s): must have a finite factor of at least 1"},
		{breaker.OpenGrowth(math.Inf(1), time.Hour),
			"OpenGrowth(+Inf, 1h0m0s): must have a finite factor of at least 1"},
		{breaker.OpenGrowth(2, -1), "OpenGrowth(2, -1ns): must have a positive max"},
		{breaker.OpenGrowth(2, time.Second),
			"OpenGrowth(2, 1s): must have a max of at least the open time of 30s"},
		{breaker.Probes(0), "Probes(0): must be at least 1"},
		{breaker.Probes(-1), "Probes(-1): must be at least 1"},
		{breaker.Probes(2_000_000), "Probes(2000000): must be at most 1000000"},
		{breaker.ProbeLimit(-1), "ProbeLimit(-1ns): must be positive"},
		{breaker.SlowCall(-1), "SlowCall(-1ns): must be positive"},
		{breaker.SlowCall(0), "SlowCall(0s): must be positive"},
		{breaker.SlowInFlight(), "SlowInFlight(): must stand beside SlowCall"},
		{breaker.Ramp(-1), "Ramp(-1ns): must be positive"},
		{breaker.OnChange(nil), "OnChange(nil): must be a function"},
	} {
		b := breaker.New("x", breaker.FailureRate(0.5, 1), c.option)
		err := run(b, func(context.Context) error { t.Error("called"); return nil })
		if !errors.Is(err, retry.ErrConfig) || !errors.Is(retry.Validate(b), retry.ErrConfig) ||
			err.Error() != "breaker.New: "+c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		if done, err := b.Allow(t.Context()); done != nil || !errors.Is(err, retry.ErrConfig) {
			t.Errorf("Allow: %v", err)
		}
		useAll(b)
	}
	err := breaker.New("x", breaker.Window(time.Second, 10), breaker.OpenFor(-1)).Validate()
	if err == nil ||
		err.Error() != "breaker.New: OpenFor(-1ns): must be positive; Window(1s, 10): must stand "+
			"beside FailureRate or FailureCount" {
		t.Error(err)
	}
}

// useAll calls every method that is not a call.
func useAll(b *breaker.Breaker) {
	b.Trip(errBoom)
	b.Isolate()
	b.Trip(nil)
	_, _, _, _, _ = b.State(), b.Counts(), b.Idle(), b.Snapshot(), b.ShadowCounts()
	_, _, _, _ = b.Name(), b.String(), b.Stats(), b.Restore(breaker.Snapshot{})
	b.Release()
}

func TestBreakerThatNewHasNotMadeIsAConfigurationError(t *testing.T) {
	for name, b := range map[string]*breaker.Breaker{"nil": nil, "zero": {}} {
		err := run(b, func(context.Context) error { t.Error("called"); return nil })
		if !errors.Is(err, retry.ErrConfig) || err.Error() != "breaker: made without breaker.New" {
			t.Errorf("%s: %v", name, err)
		}
		if done, err := b.Allow(t.Context()); done != nil || !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: Allow: %v", name, err)
		}
		restored := b.Restore(breaker.Snapshot{State: breaker.Closed, Since: time.Now()})
		if !errors.Is(restored, retry.ErrConfig) {
			t.Errorf("%s: Restore: %v", name, restored)
		}
		useAll(b)
		if b.State() != 0 || b.Idle() || b.Counts() != (breaker.Counts{}) {
			t.Errorf("%s: %v, idle %v", name, b.State(), b.Idle())
		}
		useAll(b) // no lock is left behind
	}
}
