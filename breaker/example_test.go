package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

func Example() {
	catalog := breaker.New("catalog", breaker.ConsecutiveFailures(2), breaker.OpenFor(time.Minute))
	for range 3 {
		err := retry.Run(context.Background(), catalog, func(context.Context) error {
			return errors.New("connection refused")
		})
		fmt.Println(errors.Is(err, breaker.ErrOpen), catalog.State())
	}
	// Output:
	// false closed
	// false open
	// true open
}

// Three members of a fleet, here in one process. One that fails alone holds itself only; when two
// of three have failed all are open.
func ExampleShared() {
	store := breaker.NewStore() // redisbreaker.New(client) for many processes
	var members []*breaker.Breaker
	for range 3 {
		members = append(members, breaker.New("catalog", breaker.ConsecutiveFailures(1),
			breaker.Shared(store, breaker.Every(10*time.Millisecond))))
	}
	call := func(b *breaker.Breaker, err error) {
		_ = retry.Run(context.Background(), b, func(context.Context) error { return err })
	}
	// A member hears of the others while it is in use.
	until := func(open int) {
		began := time.Now()
		for ; time.Since(began) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
			n := 0
			for _, b := range members {
				call(b, nil)
				if b.State() == breaker.Open {
					n++
				}
			}
			if n == open && time.Since(began) > 100*time.Millisecond {
				break
			}
		}
		fmt.Println(members[0].State(), members[1].State(), members[2].State())
	}
	until(0)
	call(members[0], errors.New("no route to host"))
	until(1)
	call(members[1], errors.New("connection refused"))
	until(3)
	// Output:
	// closed closed closed
	// open closed closed
	// open open open
}

// A stream says more than once how its callee is: when it is established, and when it breaks. Here
// it counts as one call, which is over when the first message has come.
func ExampleBreaker_Allow() {
	prices := breaker.New("prices", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Minute))
	follow := func(ctx context.Context, stream func() (string, error)) (err error) {
		done, err := prices.Allow(ctx)
		if err != nil {
			return err
		}
		defer func() { done(err) }() // if it breaks before that; done counts once
		for {
			message, err := stream()
			if err != nil {
				return err
			}
			done(nil) // the callee is well, whatever becomes of the stream in the next hours
			fmt.Println(message)
		}
	}

	messages := []string{"12.50", "12.70"}
	lively := func() (string, error) {
		if len(messages) == 0 {
			return "", errors.New("connection reset")
		}
		m := messages[0]
		messages = messages[1:]
		return m, nil
	}
	dead := func() (string, error) { return "", errors.New("connection refused") }

	for _, stream := range []func() (string, error){lively, dead, dead} {
		err := follow(context.Background(), stream)
		fmt.Println(err, "-", prices.State())
	}
	// Output:
	// 12.50
	// 12.70
	// connection reset - closed
	// connection refused - open
	// breaker prices: open, next probe in 1m0s (last failure: connection refused) - open
}
