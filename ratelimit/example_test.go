package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func ExampleNew() {
	limit := ratelimit.New(rate.Every(time.Hour), 1, ratelimit.MaxWait(time.Minute))
	call := func(context.Context) error { fmt.Println("called"); return nil }
	for range 2 {
		err := retry.Run(context.Background(), limit, call)
		if r, ok := retry.Rejected(err); ok {
			fmt.Println(errors.Is(err, ratelimit.ErrLimited), "come back in",
				r.RetryAfter.Round(time.Minute))
		}
	}
	// Output:
	// called
	// true come back in 1h0m0s
}

// Several limits hold at once: a call takes from all of them or waits and takes from none.
func ExampleAll() {
	fmt.Println(ratelimit.All(ratelimit.New(10, 10),
		ratelimit.New(rate.Every(time.Minute/270), 30)))
	// Output: limiter(10/s, burst 10; 4.5/s, burst 30)
}

// A shadow lets every call go and counts what the limit would have done.
func ExampleShadow() {
	limit := ratelimit.New(0, 2, ratelimit.Shadow())
	for range 5 {
		_ = retry.Run(context.Background(), limit, func(context.Context) error { return nil })
	}
	fmt.Println(limit.Counts())
	// Output: 2 at once, 0 delayed by 0s in all, 3 refused, 0 abandoned
}
