package ratelimit_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// plain is x/time's own Wait as a policy, so that both sides of the comparison pay the same chain.
func plain(l *rate.Limiter) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		if err := l.Wait(ctx); err != nil {
			return err
		}
		return next.Do(ctx)
	})
}

// BenchmarkWait compares the cost of admission. Both limits are so high that nobody waits.
func BenchmarkWait(b *testing.B) {
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	for _, c := range []struct {
		name   string
		policy retry.Policy
	}{
		{"xtime", plain(rate.NewLimiter(1e12, 1e9))},
		{"limiter", ratelimit.New(1e12, 1e9)},
		{"pacer", ratelimit.NewPacer()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = retry.Run(ctx, c.policy, nop)
			}
		})
		b.Run(c.name+"-parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = retry.Run(ctx, c.policy, nop)
				}
			})
		})
	}
}

// BenchmarkWaiter prints what one waiting goroutine holds beside its stack.
func BenchmarkWaiter(b *testing.B) {
	for name, policy := range map[string]func() retry.Policy{
		"xtime":   func() retry.Policy { return plain(rate.NewLimiter(1e-6, 1)) },
		"limiter": func() retry.Policy { return ratelimit.New(1e-6, 1) },
		"pacer":   func() retry.Policy { return ratelimit.NewPacer(ratelimit.MaxRate(1e-6)) },
	} {
		b.Run(name, func(b *testing.B) {
			p := policy()
			_ = retry.Run(bg, p, nop) // the one token
			for b.Loop() {
				b.ReportMetric(heapOfWaiters(p, 10_000), "B/waiter")
			}
		})
	}
}

func heapOfWaiters(p retry.Policy, n int) float64 {
	ctx, cancel := context.WithCancel(bg)
	done := make(chan struct{})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range n {
		go func() { _ = retry.Run(ctx, p, nop); done <- struct{}{} }()
	}
	time.Sleep(100 * ms) // until they all wait; a few that do not are lost in the mean
	held := float64(heap()-before) / float64(n)
	cancel()
	for range n {
		<-done
	}
	return held
}

func TestAdmissionAllocatesNothing(t *testing.T) {
	l := ratelimit.New(1e12, 1e9)
	bare := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error { return next.Do(ctx) })
	allocs := func(p retry.Policy) float64 {
		return testing.AllocsPerRun(100, func() { _ = retry.Run(bg, p, nop) })
	}
	if with, without := allocs(l), allocs(bare); with != without {
		t.Errorf("%v allocations with the limiter, %v without", with, without)
	}
}
