package main

import (
	"context"
	"time"

	uber "go.uber.org/ratelimit"
)

var uberGo = library{
	name: "uber ratelimit v0.3.1",
	limiter: func(interval time.Duration, burst int) run {
		l := uber.New(1, uber.Per(interval), uber.WithSlack(burst-1))
		return func(ctx context.Context, f call) (int, error) {
			l.Take() // it has no context
			return f(ctx)
		}
	},
}
