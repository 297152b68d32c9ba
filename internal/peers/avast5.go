package main

import (
	"context"

	avast "github.com/avast/retry-go/v5"
)

var avast5 = library{
	name: "avast/retry-go v5.1.1",
	loop: func(p plan) run {
		// the context is an option of the retrier
		return func(ctx context.Context, f call) (int, error) {
			opts := []avast.Option{avast.Context(ctx), avast.Attempts(uint(p.attempts)),
				avast.Delay(p.first), avast.MaxDelay(p.most)}
			if p.first == 0 {
				opts = append(opts, avast.DelayType(avast.FixedDelay))
			}
			return avast.NewWithData[int](opts...).Do(func() (int, error) { return f(ctx) })
		}
	},
}
