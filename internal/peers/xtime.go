package main

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

var xtime = library{
	name: "x/time v0.16.0",
	limiter: func(interval time.Duration, burst int) run {
		l := rate.NewLimiter(rate.Every(interval), burst)
		return func(ctx context.Context, f call) (int, error) {
			if err := l.Wait(ctx); err != nil {
				return 0, err
			}
			return f(ctx)
		}
	},
}
