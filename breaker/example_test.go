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
		err := retry.Run(context.Background(), catalog, func(context.Context) error { return errors.New("connection refused") })
		fmt.Println(errors.Is(err, breaker.ErrOpen), catalog.State())
	}
	// Output:
	// false closed
	// false open
	// true open
}
