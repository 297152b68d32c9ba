package reprise_test

import (
	"context"
	"testing"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// What a chain of retry, limiter and breaker costs around a call that succeeds at once, beside the
// same three calls written by hand. Read the ratio of two lines of one run:
//
//	go test -run '^$' -bench BenchmarkSuccess -benchmem -count 5 .

func answer(context.Context) (int, error) { return 42, nil }

type callFunc = func(context.Context, func(context.Context) (int, error)) (int, error)

// byHand is what one would write: a loop that asks the limiter and the breaker before each attempt
// and tells the breaker.
func byHand() callFunc {
	limiter := rate.NewLimiter(1e9, 1e9)
	breaker := gobreaker.NewTwoStepCircuitBreaker[int](gobreaker.Settings{Name: "bench"})
	return func(ctx context.Context,
		call func(context.Context) (int, error)) (value int, err error) {
		for range 3 {
			if err = limiter.Wait(ctx); err != nil {
				return value, err
			}
			done, rejected := breaker.Allow()
			if rejected != nil {
				return value, rejected
			}
			value, err = call(ctx)
			done(err)
			if err == nil {
				return value, nil
			}
		}
		return value, err
	}
}

func guard() retry.Policy {
	return retry.Chain(policies.Exponential(), ratelimit.New(1e9, 1e9), breaker.New("bench"))
}

func through(p retry.Policy) callFunc {
	return func(ctx context.Context, call func(context.Context) (int, error)) (int, error) {
		return retry.Do(ctx, p, call)
	}
}

func BenchmarkSuccess(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, bc := range []struct {
		name string
		do   callFunc
	}{{"byhand", byHand()}, {"chain", through(guard())}, {"empty", through(retry.Chain())}, {"bare",
		through(nil)}} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bc.do(ctx, answer); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bc.name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := bc.do(ctx, answer); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// TestCostOfAChain pins what does not depend on the machine: allocations and bytes.
func TestCostOfAChain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	chain := guard()
	name := func(context.Context) (string, error) { return "v", nil }
	for what, do := range map[string]func() error{
		"int":    func() error { _, err := retry.Do(ctx, chain, answer); return err },
		"string": func() error { _, err := retry.Do(ctx, chain, name); return err },
	} {
		allocs, bytes := allocated(t, do)
		t.Logf("%s: %d allocations, %d bytes a call", what, allocs, bytes)
		if allocs > 1 || bytes > 64 {
			t.Errorf("%s: %d allocations and %d bytes a call, want at most 1 and 64", what,
				allocs, bytes)
		}
	}
	allocs := testing.AllocsPerRun(100, func() { _, _ = retry.Do(ctx, retry.Chain(), answer) })
	if allocs != 0 {
		t.Errorf("empty chain: %v allocations", allocs)
	}
}
