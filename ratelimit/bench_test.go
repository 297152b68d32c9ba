package ratelimit_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
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

var waiters = []struct {
	name string
	idle func() retry.Policy // lets one call go and has all others wait
}{
	{"xtime", func() retry.Policy { return plain(rate.NewLimiter(1e-6, 1)) }},
	{"limiter", func() retry.Policy { return ratelimit.New(1e-6, 1) }},
	{"pacer", func() retry.Policy { return ratelimit.NewPacer(ratelimit.MaxRate(1e-6)) }},
}

// BenchmarkWaiter prints what one waiting goroutine holds: of the heap, and of stacks.
func BenchmarkWaiter(b *testing.B) {
	for _, w := range waiters {
		b.Run(w.name, func(b *testing.B) {
			for b.Loop() {
				heap, stack := heldBy(w.idle(), 10_000)
				b.ReportMetric(heap, "B/waiter")
				b.ReportMetric(stack, "stack-B/waiter")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heldBy(p retry.Policy, n int) (heap, stack float64) {
	var before, after runtime.MemStats
	ctx, cancel := context.WithCancel(bg)
	var wg sync.WaitGroup
	_ = retry.Run(bg, p, nop)
	runtime.GC()
	runtime.ReadMemStats(&before)
	var begun atomic.Int64
	for range n {
		wg.Go(func() { begun.Add(1); _ = retry.Run(ctx, p, nop) })
	}
	for begun.Load() < int64(n) {
		time.Sleep(ms)
	}
	// until they all wait; a few that do not are lost in the mean
	for runtime.Gosched(); ; time.Sleep(10 * ms) {
		runtime.GC()
		last := after.HeapAlloc
		if runtime.ReadMemStats(&after); after.HeapAlloc <= last {
			break
		}
	}
	cancel()
	wg.Wait()
	per := func(b, a uint64) float64 { return (float64(a) - float64(b)) / float64(n) }
	return per(before.HeapAlloc, after.HeapAlloc), per(before.StackInuse, after.StackInuse)
}

// A waiting goroutine costs no more than one that waits on a timer of its own, as x/time's do.
func TestAWaiterCostsNoMoreThanATimer(t *testing.T) {
	if testing.Short() || ratelimit.RaceEnabled {
		t.Skip("measures memory")
	}
	const n, rounds = 2000, 5
	heldBy(waiters[0].idle(), n) // goroutines are made once and used again
	heap, stack := map[string][]float64{}, map[string][]float64{}
	for range rounds {
		for _, w := range waiters {
			h, s := heldBy(w.idle(), n)
			heap[w.name], stack[w.name] = append(heap[w.name], h), append(stack[w.name], s)
		}
	}
	median := func(x []float64) float64 { slices.Sort(x); return x[len(x)/2] }
	most := 1.1 * median(heap["xtime"])
	for _, w := range waiters {
		held := median(heap[w.name])
		t.Logf("%s: %.0f B of heap, %.0f B of stack", w.name, held, median(stack[w.name]))
		if held > most {
			t.Errorf("%s: a waiter holds %.0f B, want no more than %.0f", w.name, held, most)
		}
	}
}

// A pacer's calls find the call around them by a context of their own, which is an allocation.
func TestAdmissionAllocatesNothing(t *testing.T) {
	bare := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Do(ctx)
	})
	allocs := func(p retry.Policy) float64 {
		return testing.AllocsPerRun(100, func() { _ = retry.Run(bg, p, nop) })
	}
	without := allocs(bare)
	for _, c := range []struct {
		name  string
		p     retry.Policy
		extra float64
	}{{"limiter", ratelimit.New(1e12, 1e9), 0}, {"pacer", ratelimit.NewPacer(), 1}} {
		if with := allocs(c.p); with != without+c.extra {
			t.Errorf("%v allocations with the %s, %v without, want %v more", with, c.name, without,
				c.extra)
		}
	}
}
