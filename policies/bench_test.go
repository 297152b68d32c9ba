package policies_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

var errBoom = errors.New("boom")

func succeed(context.Context) error { return nil }

// plain calls the rest and holds no state.
type plain struct{ idle bool }

func (p *plain) Do(ctx context.Context, next retry.Next) error { return next.Do(ctx) }
func (p *plain) Idle() bool                                    { return p.idle }

func BenchmarkSuccess(b *testing.B) {
	keys := policies.Keyed(func(context.Context) string { return "a" }, func(string) retry.Policy { return &plain{} })
	for name, p := range map[string]retry.Policy{
		"plain":       &plain{},
		"exponential": policies.Exponential(),
		"budget":      policies.Exponential(policies.WithBudget(policies.NewTokenBudget(10, 0.1))),
		"classify":    policies.Classify(policies.ServerErrors()),
		"bulkhead":    policies.NewBulkhead(1, 0),
		"keyed":       keys,
		"timeout":     policies.Timeout(time.Second),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = retry.Run(b.Context(), p, succeed)
			}
		})
	}
}

// The loop of a hand that has no policies, beside ours.
func BenchmarkRetriesWithoutWaiting(b *testing.B) {
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range 11 {
				if fail(b.Context()) == nil {
					break
				}
			}
		}
	})
	b.Run("constant", func(b *testing.B) {
		p := policies.Constant(0, policies.Attempts(11))
		b.ReportAllocs()
		for b.Loop() {
			_ = retry.Run(b.Context(), p, fail)
		}
	})
}

func fail(context.Context) error { return errBoom }

func BenchmarkKeyed(b *testing.B) {
	const n = 1_000_000
	ctx := context.Background()
	names := make([]string, n)
	for i := range names {
		names[i] = "host-" + strconv.Itoa(i) + ".example:443"
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	one := &plain{} // shared, so that what is measured is Keyed itself
	keys := policies.Keyed(func(context.Context) string { return names[0] }, func(string) retry.Policy { return one })
	for _, name := range names {
		_ = retry.Run(ctx, keys.For(name), succeed)
	}
	full := heap()
	var next retry.Next // the zero Next: Keyed alone, without what retry.Do costs
	b.Run("hot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = keys.Do(ctx, next)
		}
		b.ReportMetric((full-before)/n, "B/key")
	})
	b.Run("hot parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = keys.Do(ctx, next)
			}
		})
	})
	random := policies.Keyed(func(context.Context) string { return names[rand.Uint32N(n)] }, func(string) retry.Policy { return one })
	for _, name := range names {
		_ = retry.Run(ctx, random.For(name), succeed)
	}
	b.Run("random", func(b *testing.B) {
		for b.Loop() {
			_ = random.Do(ctx, next)
		}
	})
	b.Run("random, by hand in one map", func(b *testing.B) {
		m := make(map[string]*plain, n)
		for _, name := range names {
			m[name] = one
		}
		for b.Loop() {
			_ = m[names[rand.Uint32N(n)]].Do(ctx, next)
		}
	})
	b.Run("after a sweep", func(b *testing.B) {
		one.idle = true
		known := heap()
		for b.Loop() {
			policies.Sweep(keys)
			policies.Sweep(keys)
		}
		if freed := known - heap(); freed > 1<<20 {
			b.Logf("1,000,000 keys swept: %.1f B/key freed of %.1f", freed/n, (full-before)/n)
		}
		runtime.KeepAlive(random)
		b.ReportMetric(float64(keys.Len()), "keys")
	})
}
