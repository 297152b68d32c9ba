package ratelimit_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// lavish is a store that always has what is asked for.
type lavish struct{}

func (lavish) Take(_ context.Context, _ string, a ratelimit.Ask) (ratelimit.Grant, error) {
	n := max(a.Need, a.Want)
	return ratelimit.Grant{Tokens: n, Now: n, Members: 1, Floor: -time.Hour}, nil
}

// BenchmarkShared is a call that finds a token in stock.
func BenchmarkShared(b *testing.B) {
	for _, c := range []struct {
		name string
		l    retry.Policy
	}{
		{"none", retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			return next.Do(ctx)
		})},
		{"bucket", ratelimit.New(1e9, 1e9)},
		{"shared", ratelimit.New(1e9, 1e9, ratelimit.Shared(lavish{}, "catalog"))},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range 1000 { // until its use is known
				_ = retry.Run(bg, c.l, nop)
				time.Sleep(200 * time.Microsecond)
			}
			const batch = 100 // a clock reading costs as much as a decision
			took := make([]time.Duration, 0, b.N/batch+1)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N/batch + 1 {
				begin := time.Now()
				for range batch {
					_ = retry.Run(bg, c.l, nop)
				}
				took = append(took, time.Since(begin)/batch)
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
			b.Log(c.l)
		})
	}
}
