package policies_test

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// A million keys, and calls that ask for them at random. Each call's key is a fresh copy, in the
// order of the calls, as that of a request that has just been read: it costs the bare harness next
// to nothing, and what is known of it is out of the caches. All keys share one policy, so that what
// is measured is Keyed itself. The zero Next leaves out what retry.Do costs. ns/touch is what
// memory takes to answer once, measured in turns with the calls: on a noisy machine the ratio says
// more.
func BenchmarkKeyed(b *testing.B) {
	b.Run("string", func(b *testing.B) {
		benchmarkKeyed(b, func(n int) string { return "host-" + strconv.Itoa(n) + ".example:443" })
	})
	b.Run("long string", func(b *testing.B) {
		benchmarkKeyed(b, func(n int) string {
			return "/catalogue.v1.Catalogue/GetItem-" + strconv.Itoa(n)
		})
	})
	b.Run("uint64", func(b *testing.B) {
		benchmarkKeyed(b, func(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 })
	})
}

func benchmarkKeyed[K comparable](b *testing.B, name func(int) K) {
	const n = 1_000_000
	ctx := context.Background()
	var next retry.Next
	one := &plain{}
	asked := make([]K, n)
	for at, i := range rand.Perm(n) {
		asked[at] = name(i)
	}
	calls := 0
	key := func(context.Context) K { calls++; return asked[calls%n] }
	before := heap()
	keys := policies.Keyed(key, func(K) retry.Policy { return one })
	for i := range n {
		_ = keys.For(name(i)).Do(ctx, next)
	}
	perKey := float64(heap()-before) / n

	b.Run("random", func(b *testing.B) {
		b.ReportAllocs()
		touch := toucher(n)
		var touched time.Duration
		turns := 0
		for i := 0; b.Loop(); i++ {
			_ = keys.Do(ctx, next)
			if i%100_000 == 0 {
				b.StopTimer()
				touched += touch(10_000)
				turns++
				b.StartTimer()
			}
		}
		b.ReportMetric(float64(touched)/10_000/float64(turns), "ns/touch")
		b.ReportMetric(perKey, "B/key")
	})
	b.Run("random, harness alone", func(b *testing.B) {
		seed, sum := maphash.MakeSeed(), uint64(0)
		for b.Loop() {
			sum += maphash.Comparable(seed, key(ctx)) // so that all of the key is read
			_ = one.Do(ctx, next)
		}
		runtime.KeepAlive(sum)
	})
	b.Run("hot", func(b *testing.B) {
		hot := policies.Keyed(func(context.Context) K { return asked[0] },
			func(K) retry.Policy { return one })
		for i := range n {
			_ = hot.For(name(i)).Do(ctx, next)
		}
		b.ReportAllocs()
		for b.Loop() {
			_ = hot.Do(ctx, next)
		}
	})
	b.Run("random, by hand in one map", func(b *testing.B) {
		m := make(map[K]*plain, n)
		for i := range n {
			m[name(i)] = one
		}
		for b.Loop() {
			_ = m[key(ctx)].Do(ctx, next)
		}
	})
	b.Run("random, by hand in a map of counted entries under an RWMutex", func(b *testing.B) {
		type counted struct {
			policy retry.Policy
			users  atomic.Int32
		}
		var mu sync.RWMutex
		m := make(map[K]*counted, n)
		for i := range n {
			m[name(i)] = &counted{policy: one}
		}
		for b.Loop() {
			mu.RLock()
			e := m[key(ctx)]
			e.users.Add(1)
			mu.RUnlock()
			_ = e.policy.Do(ctx, next)
			e.users.Add(-1)
		}
	})
	b.Run("random, by hand in a sync.Map", func(b *testing.B) {
		var m sync.Map
		for i := range n {
			m.Store(name(i), &plain{})
		}
		for b.Loop() {
			p, _ := m.Load(key(ctx))
			_ = p.(*plain).Do(ctx, next)
		}
	})
	b.Run("sweep", func(b *testing.B) {
		one.idle = true
		known := heap()
		for b.Loop() {
			policies.Sweep(keys)
			policies.Sweep(keys)
		}
		if freed := float64(known-heap()) / n; freed > 1 {
			b.Logf("1,000,000 keys swept: %.1f B/key freed of %.1f", freed, perKey)
		}
		b.ReportMetric(float64(keys.Len()), "keys")
		runtime.KeepAlive(asked)
	})
}

// toucher returns a function that follows a chain through so many cache lines, in no order, and
// says how long it took.
func toucher(n int) func(steps int) time.Duration {
	type line struct {
		next int
		_    [7]int
	}
	lines, order := make([]line, n), rand.Perm(n)
	for i, at := range order {
		lines[at].next = order[(i+1)%n]
	}
	at := 0
	return func(steps int) time.Duration {
		start := time.Now()
		for range steps {
			at = lines[at].next
		}
		return time.Since(start)
	}
}

// heap is what is alive.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
