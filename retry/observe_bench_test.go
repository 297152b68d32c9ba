package retry_test

import (
	"context"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// usual is the chain that most calls go through.
func usual() []retry.Policy {
	return []retry.Policy{policies.Exponential(), ratelimit.New(1e9, 1e9), breaker.New("bench")}
}

// BenchmarkObserve is what an observer that only counts adds to a call that succeeds at once:
// through a loop, and through the usual chain, whose limiter tells what is left; and one that
// counts calls alone. Calls with and without it take turns, and "ns-more" is the median of the
// differences: it does not depend on what else the machine does.
//
//	go test -run '^$' -bench Observe -benchmem ./retry
func BenchmarkObserve(b *testing.B) {
	var events atomic.Int64
	count := func(context.Context, retry.Event) { events.Add(1) }
	all, calls := retry.Observe(count), retry.ObserveOnly(count, retry.KindCall)
	loop := func() []retry.Policy { return []retry.Policy{policies.Exponential()} }
	for _, bc := range []struct {
		name     string
		observer retry.Policy
		chain    func() []retry.Policy
	}{
		{"loop", all, loop}, {"usual", all, usual},
		{"loop,calls-alone", calls, loop}, {"usual,calls-alone", calls, usual},
	} {
		b.Run(bc.name, func(b *testing.B) {
			with := append([]retry.Policy{bc.observer}, bc.chain()...)
			compare(b, retry.Chain(bc.chain()...), retry.Chain(with...))
		})
	}
	if events.Load() == 0 {
		b.Error("nothing was told")
	}
}

// BenchmarkUnobserved is what it costs n policies that do nothing to ask whether anybody observes.
func BenchmarkUnobserved(b *testing.B) {
	for _, n := range []int{1, 8} {
		without := make([]retry.Policy, n)
		with := make([]retry.Policy, n)
		for i := range n {
			without[i] = retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				return next.Do(ctx)
			})
			with[i] = retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				if retry.Observed(ctx) {
					retry.Emit(ctx, retry.Event{Kind: retry.KindChange, Policy: "test"})
				}
				return next.Do(ctx)
			})
		}
		b.Run("policies="+string(rune('0'+n)), func(b *testing.B) {
			compare(b, retry.Chain(without...), retry.Chain(with...))
		})
	}
}

// TestObserversThatCountAllocateNothing: also if several stand in front of the chain, and for a
// failure that is retried.
func TestObserversThatCountAllocateNothing(t *testing.T) {
	if underRace() {
		t.Skip("the race detector allocates too")
	}
	events := 0
	count := retry.Observe(func(context.Context, retry.Event) { events++ })
	fails := 0
	thirdTime := func(context.Context) error {
		if fails++; fails%3 != 0 {
			return errBoom
		}
		return nil
	}
	quick := []retry.Policy{policies.Constant(0), ratelimit.New(1e9, 1e9), breaker.New("test")}
	for name, tc := range map[string]struct {
		chain []retry.Policy
		call  func(context.Context) error
	}{
		"success":             {usual(), func(context.Context) error { return nil }},
		"success without one": {nil, func(context.Context) error { return nil }},
		"the third attempt":   {quick, thirdTime},
	} {
		allocs := func(observers ...retry.Policy) float64 {
			p := retry.Chain(append(observers, tc.chain...)...)
			return testing.AllocsPerRun(300, func() {
				if err := retry.Run(t.Context(), p, tc.call); err != nil {
					t.Error(err)
				}
			})
		}
		without := max(1, allocs()) // the context of the call; an empty chain makes none
		if one, three := allocs(count), allocs(count, count, count); one > without ||
			three > without {
			t.Errorf("%s: %v allocations, %v with an observer, %v with three", name, without, one,
				three)
		}
	}
	if events == 0 {
		t.Error("nothing was told")
	}
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// compare reports what calls through p cost (ns-whole) and what they cost more than those through
// base (ns-more), and beside it a control: x/time's Wait. The three take turns, so ns-more and
// more/control are the medians of figures that were taken at one moment. The quartiles are what it
// costs while nobody else uses the machine.
func compare(b *testing.B, base, p retry.Policy) {
	ctx := b.Context()
	const calls = 50
	took := func(f func()) float64 {
		start := time.Now()
		for range calls {
			f()
		}
		return float64(time.Since(start)) / calls
	}
	through := func(p retry.Policy) func() {
		return func() { _ = retry.Run(ctx, p, func(context.Context) error { return nil }) }
	}
	limiter := rate.NewLimiter(1e9, 1e9)
	control := func() { _ = limiter.Wait(ctx) }
	without, with := through(base), through(p)
	var wholes, mores, controls, ratios []float64
	b.ReportAllocs()
	for b.Loop() {
		c, a, z := took(control), took(without), took(with)
		wholes, mores = append(wholes, z), append(mores, z-a)
		controls, ratios = append(controls, c), append(ratios, (z-a)/c)
	}
	report := func(of []float64, unit string) {
		slices.Sort(of)
		b.ReportMetric(of[len(of)/2], unit)
		b.ReportMetric(of[len(of)/4], unit+"-quartile")
	}
	report(wholes, "ns-whole")
	report(mores, "ns-more")
	report(controls, "ns-control")
	report(ratios, "more/control")
	b.ReportMetric(0, "ns/op")
}
