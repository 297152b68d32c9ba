package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// The policy alone: no retry.Do around it, as gobreaker's calls have nothing around them either.
func BenchmarkClosed(b *testing.B) {
	ctx := context.Background()
	twoStep := func() error {
		done, err := peer.Allow()
		if err == nil {
			done(nil)
		}
		return err
	}
	rated := breaker.New("rated", breaker.FailureRate(0.5, 10))
	slow := breaker.New("slow", breaker.SlowCall(time.Second))
	inFlight := breaker.New("in flight", breaker.SlowCall(time.Second), breaker.SlowInFlight())
	plain := breaker.New("plain")
	for _, bench := range []struct {
		name string
		call func() error
	}{
		{"gobreaker", twoStep},
		{"breaker", func() error { return plain.Do(ctx, retry.Next{}) }},
		{"breaker/FailureRate", func() error { return rated.Do(ctx, retry.Next{}) }},
		{"breaker/SlowCall", func() error { return slow.Do(ctx, retry.Next{}) }},
		{"breaker/SlowInFlight", func() error { return inFlight.Do(ctx, retry.Next{}) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if bench.call() != nil {
					b.Fatal("refused")
				}
			}
		})
		b.Run("parallel/"+bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = bench.call()
				}
			})
		})
	}
}

var peer = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{})

func BenchmarkRefused(b *testing.B) {
	ctx := context.Background()
	boom := errors.New("boom")
	peer := gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{Timeout: time.Hour})
	for range 6 {
		done, _ := peer.Allow()
		done(boom)
	}
	open := breaker.New("open", breaker.OpenFor(time.Hour))
	for range 5 {
		_ = retry.Run(ctx, open, func(context.Context) error { return boom })
	}
	for _, bench := range []struct {
		name string
		call func() error
	}{
		{"gobreaker", func() error { _, err := peer.Allow(); return err }},
		{"breaker", func() error { return open.Do(ctx, retry.Next{}) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if bench.call() == nil {
					b.Fatal("admitted")
				}
			}
		})
		b.Run("parallel/"+bench.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					_ = bench.call()
				}
			})
		})
	}
}
