package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func ExampleExponential() {
	loop := policies.Exponential(
		policies.Initial(time.Millisecond), policies.WithJitter(policies.NoJitter),
		policies.OnRetry(func(_ context.Context, attempt int, wait time.Duration, err error) {
			fmt.Printf("attempt %d: %v; the next in %v\n", attempt, err, wait)
		}))
	calls := 0
	answer, err := retry.Do(context.Background(), loop, func(context.Context) (string, error) {
		if calls++; calls < 3 {
			return "", errors.New("busy")
		}
		return "done", nil
	})
	fmt.Println(answer, err)
	// Output:
	// attempt 1: busy; the next in 1ms
	// attempt 2: busy; the next in 2ms
	// done <nil>
}

func ExampleKeys_All() {
	type host struct{}
	breakers := policies.Keyed(
		func(ctx context.Context) string { name, _ := ctx.Value(host{}).(string); return name },
		func(name string) retry.Policy { return breaker.New(name, breaker.ConsecutiveFailures(1)) },
	)
	guard := retry.Chain(policies.Timeout(time.Second), breakers)
	for name, answer := range map[string]error{"up.example": nil, "down.example": errors.New("connection refused")} {
		ctx := context.WithValue(context.Background(), host{}, name)
		_ = retry.Run(ctx, guard, func(context.Context) error { return answer })
	}
	for name, p := range breakers.All() {
		fmt.Println(name, p.(*breaker.Breaker).State())
	}
	// Unordered output:
	// up.example closed
	// down.example open
}

func ExampleOutermostOnly() {
	calls := 0
	guard := retry.Chain(policies.Constant(0), policies.Constant(0, policies.OutermostOnly()))
	_ = retry.Run(context.Background(), guard, func(context.Context) error { calls++; return errors.New("down") })
	fmt.Println(calls, "calls")
	// Output: 3 calls
}
