package main

import (
	"context"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

var failsafeGo = library{
	name: "failsafe-go v0.9.8",
	loop: func(p plan) run { return failsafely(failsafeLoop(p)) },
	breaker: func(failures int, open time.Duration) run {
		return failsafely(failsafeBreaker(failures, open))
	},
	inLoop: func(failures int, open time.Duration) run {
		return failsafely(failsafeLoop(plan{attempts: 3}), failsafeBreaker(failures, open))
	},
	limiter: func(interval time.Duration, burst int) run {
		return failsafely(failsafeLimiter(interval, burst))
	},
	chain: func(interval time.Duration, burst, failures int, open time.Duration) run {
		return failsafely(failsafeLoop(plan{attempts: 3}), failsafeLimiter(interval, burst),
			failsafeBreaker(failures, open))
	},
	client: func(base http.RoundTripper, first time.Duration) send {
		builder := failsafehttp.NewRetryPolicyBuilder() // three attempts
		if first > 0 {
			// without jitter, which would shorten a Retry-After too
			builder = builder.WithBackoff(first, 30*time.Second)
		}
		return requesting((&http.Client{Transport: failsafehttp.NewRoundTripper(base,
			builder.Build())}).Do)
	},
}

func failsafely(ps ...failsafe.Policy[int]) run {
	executor := failsafe.With(ps...)
	return func(ctx context.Context, f call) (int, error) {
		return executor.WithContext(ctx).Get(func() (int, error) { return f(ctx) })
	}
}

func failsafeLoop(p plan) retrypolicy.RetryPolicy[int] {
	builder := retrypolicy.NewBuilder[int]().WithMaxAttempts(p.attempts)
	if p.first > 0 {
		builder = builder.WithBackoff(p.first, p.most).WithJitterFactor(0.5)
	}
	return builder.Build()
}

func failsafeBreaker(failures int, open time.Duration) failsafe.Policy[int] {
	return circuitbreaker.NewBuilder[int]().WithFailureThreshold(uint(failures)).WithDelay(open).
		WithSuccessThreshold(1).Build()
}

// failsafeLimiter is its smooth limiter, which has no burst, or the bursty one, which counts in
// periods.
func failsafeLimiter(interval time.Duration, burst int) failsafe.Policy[int] {
	if burst == 1 {
		return ratelimiter.NewSmoothBuilderWithMaxRate[int](interval).
			WithMaxWaitTime(24 * time.Hour).Build()
	}
	return ratelimiter.NewBurstyBuilder[int](uint(burst),
		time.Duration(burst)*interval).WithMaxWaitTime(24 * time.Hour).Build()
}
