package policies_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// The figures that count are those of the policy alone: Do allocates once for any chain.
func BenchmarkAdaptive(b *testing.B) { benchLoad(b, policies.NewAdaptive()) }
func BenchmarkThrottle(b *testing.B) { benchLoad(b, policies.NewThrottle()) }

func benchLoad(b *testing.B, p retry.Policy) {
	ctx := context.Background()
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = p.Do(ctx, retry.Next{})
		}
	})
	b.Run("in Run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = retry.Run(ctx, p, succeed)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				_ = p.Do(ctx, retry.Next{})
			}
		})
	})
}

func BenchmarkRunWithoutPolicy(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = retry.Run(context.Background(), retry.Chain(policies.Classify()), succeed)
	}
}
