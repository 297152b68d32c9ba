package otelretry_test

import (
	"context"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/otelretry"
)

// BenchmarkObserver is what metrics cost a call that succeeds at once:
//
//	go test -run '^$' -bench Observer -benchmem ./retry/otelretry
func BenchmarkObserver(b *testing.B) {
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	for name, guard := range map[string]retry.Policy{
		"without": retry.Chain(retry.Observe(func(context.Context, retry.Event) {})),
		"metrics": retry.Chain(
			retry.Observe(otelretry.Observer(otelretry.WithMeterProvider(meters)))),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = retry.Run(b.Context(), guard, func(context.Context) error { return nil })
			}
		})
	}
}
