package retry_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/retry"
)

func ExampleDo() {
	twice := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		if err := next.Try(ctx, 1); err == nil {
			return nil
		}
		return next.Try(ctx, 2)
	})
	greeting, err := retry.Do(context.Background(), twice,
		func(ctx context.Context) (string, error) {
			if retry.Attempt(ctx) == 1 {
				return "", errors.New("not yet")
			}
			return "hello", nil
		})
	fmt.Println(greeting, err)
	// Output: hello <nil>
}

// The first policy of a chain is the outermost.
func ExampleChain() {
	say := func(name string) retry.Policy {
		return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			fmt.Println("into", name)
			defer fmt.Println("out of", name)
			return next.Do(ctx)
		})
	}
	_ = retry.Run(context.Background(), retry.Chain(say("first"), say("second")),
		func(context.Context) error {
			fmt.Println("the call")
			return nil
		})
	// Output:
	// into first
	// into second
	// the call
	// out of second
	// out of first
}

// A custom policy is a function literal.
func ExamplePolicyFunc() {
	report := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		err := next.Do(ctx)
		fmt.Println("the call returned:", err)
		return err
	})
	_ = retry.Run(context.Background(), report, func(context.Context) error {
		return errors.New("no route")
	})
	// Output: the call returned: no route
}

func ExamplePermanent() {
	err := fmt.Errorf("loading user 7: %w", retry.Permanent(errors.New("no such user")))
	fmt.Println(retry.IsPermanent(err), err)
	// Output: true loading user 7: no such user
}

func ExampleGate() {
	tickets := make(chan struct{}, 1)
	single := retry.Gate(func(ctx context.Context) (func(error), error) {
		select {
		case tickets <- struct{}{}:
			return func(error) { <-tickets }, nil
		default:
			return nil, &retry.Rejection{Policy: "single", Reason: errors.New("busy")}
		}
	})
	fmt.Println(retry.Run(context.Background(), single, func(ctx context.Context) error {
		return retry.Run(ctx, single, func(context.Context) error { return nil })
	}))
	// Output: single: busy
}
