package main

import (
	"context"
	"time"

	seth "github.com/sethvargo/go-retry"
)

var sethvargo = library{
	name: "sethvargo/go-retry v0.5.0",
	loop: func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			schedule := seth.Backoff(seth.BackoffFunc(func() (time.Duration, bool) {
				return 0, false
			}))
			if p.first > 0 {
				schedule = seth.WithCappedDuration(p.most,
					seth.WithJitterPercent(50, seth.NewExponential(p.first)))
			}
			schedule = seth.WithMaxRetries(uint64(p.attempts-1), schedule)
			return seth.DoValue(ctx, schedule, func(ctx context.Context) (int, error) {
				v, err := f(ctx)
				return v, seth.RetryableError(err)
			})
		}
	},
}
