package ratelimit_test

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// BenchmarkPacerBesideXtime prints what a call through a pacer costs in parts of one through
// x/time's Wait, both by retry.Run, with nobody else and nothing to wait for. The two run in turn,
// in batches so short that few are interrupted, so the ratio holds on a loaded machine too:
// "min-ratio" is that of the least times, "ratio" that of the lower quartiles.
//
//	go test -run '^$' -bench PacerBesideXtime -benchtime 1000x -cpu 1 ./ratelimit
func BenchmarkPacerBesideXtime(b *testing.B) {
	const calls = 500
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	policies := [...]retry.Policy{plain(rate.NewLimiter(1e12, 1e9)), ratelimit.NewPacer()}
	var took [len(policies)][]float64
	for b.Loop() {
		for i, p := range policies {
			start := time.Now()
			for range calls {
				_ = retry.Run(ctx, p, nop)
			}
			took[i] = append(took[i], float64(time.Since(start).Nanoseconds())/calls)
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	xtime, pacer, quartile := took[0], took[1], len(took[0])/4
	b.ReportMetric(xtime[0], "min-ns/xtime")
	b.ReportMetric(pacer[0], "min-ns/pacer")
	b.ReportMetric(pacer[0]/xtime[0], "min-ratio")
	b.ReportMetric(pacer[quartile]/xtime[quartile], "ratio")
	b.ReportMetric(0, "ns/op")
}

// A pacer that nobody has refused is small: there may be one for each host.
func TestAPacerIsSmall(t *testing.T) {
	const n, most = 1000, 4 << 10
	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	pacers := make([]*ratelimit.Pacer, n)
	before := held()
	for i := range pacers {
		pacers[i] = ratelimit.NewPacer()
		for range 50 {
			_ = retry.Run(bg, pacers[i], nop)
		}
	}
	after := held()
	size := (int64(after) - int64(before)) / n
	runtime.KeepAlive(pacers)
	t.Logf("%d B a pacer", size)
	if size > most {
		t.Errorf("a pacer holds %d B, want no more than %d", size, most)
	}
}
