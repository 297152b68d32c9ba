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
	for name, answer := range map[string]error{"up.example": nil,
		"down.example": errors.New("connection refused")} {
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
	_ = retry.Run(context.Background(), guard, func(context.Context) error {
		calls++
		return errors.New("down")
	})
	fmt.Println(calls, "calls")
	// Output: 3 calls
}

// Each replica has its own breaker. If one fails or is refused, the next is asked at once.
func ExampleFailover() {
	replica := func(name string, err error) func(context.Context) (string, error) {
		return retry.Wrap(breaker.New(name), func(context.Context) (string, error) {
			return "from " + name, err
		})
	}
	read := policies.Failover(replica("a", errors.New("connection refused")), replica("b", nil))
	answer, err := read(context.Background())
	fmt.Println(answer, err)
	// Output: from b <nil>
}

// A callee that knows no context holds its caller no longer than the caller's time.
func ExampleDetach() {
	hash := policies.Detach(func(context.Context) (string, error) {
		time.Sleep(time.Second) // hears nothing
		return "late", nil
	}, nil)
	_, err := retry.Do(context.Background(), policies.Timeout(10*time.Millisecond), hash)
	fmt.Println(errors.Is(err, policies.ErrTimeout))
	// Output: true
}

// A subscription is expected to break now and then: what counts are failures in a row. On shutdown
// it is not begun again.
func ExampleResetAfter() {
	shutdown := make(chan struct{})
	guard := policies.Exponential(
		policies.ResetAfter(time.Minute), // one that held for a minute begins a new row
		policies.StopOn(shutdown),
	)
	err := retry.Run(context.Background(), guard, func(context.Context) error {
		close(shutdown)
		return errors.New("stream broken")
	})
	fmt.Println(errors.Is(err, retry.ErrStopped))
	// Output: true
}

// What each failure of a database means, to the loop and to the breaker around.
func ExampleClassify() {
	verdicts := policies.Classify(
		policies.Neutral(policies.SQLState("40001")), // serialization: again, and nobody's fault
		policies.Final(policies.SQLState("23505")),   // unique violation: an answer
		// invalid authorization: the database's, and final
		policies.Fatal(policies.SQLState("28")),
	)
	fmt.Println(retry.Describe(retry.Chain(policies.Constant(0), breaker.New("db"), verdicts)))
	// Output: constant(3 attempts, 0s) -> breaker db(closed) -> classify(3 rules)
}
