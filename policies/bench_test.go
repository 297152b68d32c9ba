package policies_test

import (
	"context"
	"errors"
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
	keys := policies.Keyed(func(context.Context) string { return "a" },
		func(string) retry.Policy { return &plain{} })
	for name, p := range map[string]retry.Policy{
		"plain":       &plain{},
		"exponential": policies.Exponential(),
		"budget":      policies.Exponential(policies.WithBudget(policies.NewTokenBudget(10, 0.1))),
		"classify":    policies.Classify(policies.On(policies.ServerErrors)),
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

// A loop written by hand, beside ours.
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
