package main

import (
	"context"

	backoff "github.com/cenkalti/backoff/v5"
)

var backoff5 = library{
	name: "backoff v5.0.3",
	loop: func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			var schedule backoff.BackOff = &backoff.ZeroBackOff{}
			if p.first > 0 {
				exponential := backoff.NewExponentialBackOff()
				exponential.InitialInterval, exponential.MaxInterval = p.first, p.most
				schedule = exponential
			}
			return backoff.Retry(ctx, func() (int, error) { return f(ctx) },
				backoff.WithBackOff(schedule), backoff.WithMaxTries(uint(p.attempts)))
		}
	},
}
