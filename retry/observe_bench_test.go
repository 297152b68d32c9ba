package retry_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

// BenchmarkObserve is what an observer that only counts costs a call:
//
//	go test -run '^$' -bench Observe -benchmem ./retry
func BenchmarkObserve(b *testing.B) {
	var events atomic.Int64
	pass := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error { return next.Do(ctx) })
	for name, p := range map[string]retry.Policy{
		"off": pass,
		"on":  retry.Chain(retry.Observe(func(context.Context, retry.Event) { events.Add(1) }), pass),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = retry.Run(b.Context(), p, func(context.Context) error { return nil })
			}
		})
	}
}
