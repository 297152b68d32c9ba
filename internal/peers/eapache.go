package main

import (
	"context"
	"time"

	"github.com/eapache/go-resiliency/breaker"
	"github.com/eapache/go-resiliency/retrier"
)

// Its breaker has no context, and its policies no common type: a loop around a breaker is written
// by hand.
var eapache = library{
	name: "eapache/go-resiliency v1.7.0",
	loop: func(p plan) run {
		r := eapacheRetrier(p)
		return func(ctx context.Context, f call) (v int, err error) {
			err = r.RunCtx(ctx, func(ctx context.Context) error { v, err = f(ctx); return err })
			return v, err
		}
	},
	breaker: func(failures int, open time.Duration) run {
		b := breaker.New(failures, 1, open)
		return func(ctx context.Context, f call) (v int, err error) {
			err = b.Run(func() error { v, err = f(ctx); return err })
			return v, err
		}
	},
	inLoop: func(failures int, open time.Duration) run {
		b, r := breaker.New(failures, 1, open),
			retrier.New(retrier.ConstantBackoff(2, 0),
				retrier.BlacklistClassifier{breaker.ErrBreakerOpen})
		return func(ctx context.Context, f call) (v int, err error) {
			err = r.RunCtx(ctx, func(ctx context.Context) error {
				return b.Run(func() error { v, err = f(ctx); return err })
			})
			return v, err
		}
	},
}

func eapacheRetrier(p plan) *retrier.Retrier {
	r := retrier.New(retrier.LimitedExponentialBackoff(p.attempts-1, p.first, p.most), nil)
	r.SetJitter(0.5)
	return r
}
