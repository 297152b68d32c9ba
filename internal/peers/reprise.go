package main

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

var reprise = library{
	name: "reprise",
	loop: func(p plan) run {
		if p.first == 0 {
			return through(policies.Constant(0, policies.Attempts(p.attempts)))
		}
		return through(policies.Exponential(policies.Attempts(p.attempts),
			policies.Initial(p.first), policies.MaxDelay(p.most)))
	},
	breaker: func(failures int, open time.Duration) run {
		return through(repriseBreaker(failures, open))
	},
	inLoop: func(failures int, open time.Duration) run {
		return through(retry.Chain(policies.Exponential(), repriseBreaker(failures, open)))
	},
	limiter: func(interval time.Duration, burst int) run {
		return through(ratelimit.New(rate.Every(interval), burst))
	},
	chain: func(interval time.Duration, burst, failures int, open time.Duration) run {
		return through(retry.Chain(policies.Constant(0), ratelimit.New(rate.Every(interval), burst),
			repriseBreaker(failures, open)))
	},
	client: func(base http.RoundTripper, first time.Duration) send {
		policy := policies.Exponential(policies.Initial(first))
		if first == 0 {
			policy = policies.Constant(0)
		}
		return requesting(httpx.New(httpx.WithClient(&http.Client{Transport: base}),
			httpx.WithPolicy(policy)).Do)
	},
	keyed: func(keys []string) func(string) error {
		guards := policies.Keyed(keyOf, func(string) retry.Policy { return nil })
		ctx, none := &keyContext{Context: context.Background()}, func(context.Context) error {
			return nil
		}
		do := func(key string) error { ctx.key = key; return retry.Run(ctx, guards, none) }
		for _, k := range keys {
			_ = do(k)
		}
		return do
	},
}

// nothing is a policy that does nothing: what a policy costs before it does anything.
var nothing = library{
	name: "reprise, a policy that does nothing",
	loop: func(p plan) run {
		if p.first < time.Millisecond {
			return nil // a job with failures, and it repeats nothing
		}
		return through(retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			return next.Do(ctx)
		}))
	},
}

func through(p retry.Policy) run {
	return func(ctx context.Context, f call) (int, error) { return retry.Do(ctx, p, f) }
}

func repriseBreaker(failures int, open time.Duration) retry.Policy {
	return breaker.New("peer", breaker.ConsecutiveFailures(failures), breaker.OpenFor(open))
}

// keyContext carries a key.
type keyContext struct {
	context.Context
	key string
}

type keyKey struct{}

func (c *keyContext) Value(k any) any {
	if k == (keyKey{}) {
		return c
	}
	return c.Context.Value(k)
}

func keyOf(ctx context.Context) string {
	c, _ := ctx.Value(keyKey{}).(*keyContext)
	return c.key
}
