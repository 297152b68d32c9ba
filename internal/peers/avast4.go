package main

import (
	"context"

	avast "github.com/avast/retry-go/v4"
)

var avast4 = library{
	name: "avast/retry-go v4.7.0",
	loop: func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			opts := []avast.Option{avast.Context(ctx), avast.Attempts(uint(p.attempts)),
				avast.Delay(p.first), avast.MaxDelay(p.most)}
			if p.first == 0 {
				opts = append(opts, avast.DelayType(avast.FixedDelay))
			}
			return avast.DoWithData(func() (int, error) { return f(ctx) }, opts...)
		}
	},
}
