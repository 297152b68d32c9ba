package main

import (
	"context"

	backoff "github.com/cenkalti/backoff/v4"
)

var backoff4 = library{
	name: "backoff v4.3.0",
	loop: func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			var schedule backoff.BackOff = &backoff.ZeroBackOff{}
			if p.first > 0 {
				schedule = backoff.NewExponentialBackOff(backoff.WithInitialInterval(p.first),
					backoff.WithMaxInterval(p.most))
			}
			schedule = backoff.WithContext(backoff.WithMaxRetries(schedule, uint64(p.attempts-1)),
				ctx)
			return backoff.RetryWithData(func() (int, error) { return f(ctx) }, schedule)
		}
	},
}
