package policies_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// One adaptive limit for each callee, inside the loop and outside the timeout: so each attempt
// takes a slot, and what takes too long counts as overload.
func ExampleNewAdaptive() {
	limit := policies.NewAdaptive(policies.Named("catalog"), policies.StartLimit(1))
	guard := retry.Chain(policies.Exponential(), limit, policies.Timeout(2*time.Second))

	err := retry.Run(context.Background(), guard, func(ctx context.Context) error {
		fmt.Println(limit)
		// A call of someone else, while the only slot is taken:
		return retry.Run(context.Background(), limit, func(context.Context) error { return nil })
	})
	fmt.Println(errors.Is(err, policies.ErrFull))
	// Output:
	// adaptive catalog(limit 1, 1 in flight)
	// true
}

// Batch jobs are shed before people wait.
func ExampleNewAdaptive_priorities() {
	limit := policies.NewAdaptive(policies.Named("catalog"), policies.QueueOf(100),
		policies.MaxWait(50*time.Millisecond))

	batch := retry.WithPriority(context.Background(), retry.Sheddable)
	err := retry.Run(batch, limit, func(context.Context) error { return nil })
	fmt.Println(err)
	// Output: <nil>
}

func ExampleNewThrottle() {
	throttle := policies.NewThrottle(policies.Named("catalog"))
	down := errors.New("connection refused")

	made := 0
	for range 10_000 {
		_ = retry.Run(context.Background(), throttle, func(context.Context) error {
			made++
			return down
		})
	}
	fmt.Println(throttle)
	fmt.Println("fewer than one in ten was sent:", made < 1000)
	// Output:
	// throttle catalog(rejects 95 %)
	// fewer than one in ten was sent: true
}

// A drill: for calls that carry a mark, one in ten fails and one in five is slow.
func ExampleChaos() {
	type drill struct{}
	chaos := policies.Chaos(1,
		policies.Enabled(func(ctx context.Context) bool { return ctx.Value(drill{}) != nil }),
		policies.Latency(0.2, time.Millisecond),
		policies.Fault(0.1, errors.New("injected")),
	)
	failed := 0
	ctx := context.WithValue(context.Background(), drill{}, true)
	for range 100 {
		if retry.Run(ctx, chaos, func(context.Context) error { return nil }) != nil {
			failed++
		}
	}
	fmt.Println(chaos)
	fmt.Println(failed, "of 100 failed")
	// Output:
	// chaos(latency 1ms 20 %, fault 10 %)
	// 10 of 100 failed
}
