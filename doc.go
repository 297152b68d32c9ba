// Package reprise is the root of a toolkit of composable resilience policies around any fallible
// call: retries with exponential backoff and jitter, circuit breakers, token bucket rate limiters,
// bulkheads, retry budgets, timeouts, fallbacks, hedging, adaptive concurrency limits and load
// shedding, with metrics and traces by OpenTelemetry (and so Prometheus). It holds no code of its
// own. Start with one of
//
//   - package retry: Do, Policy, Chain, and what errors tell; the vocabulary of all others
//   - package policies: retry loops, Classify, Timeout, budgets, Bulkhead, Keyed, Hedge, Fallback,
//     ...
//   - package breaker: the circuit breaker, on sony/gobreaker
//   - package ratelimit: a Limiter that is told the rate, on x/time/rate, and a Pacer that learns
//     it
//   - package httpx: an HTTP client, an http.RoundTripper and a server's guard on the same policies
//
// A guard is a chain of policies, made once and shared by all goroutines:
//
//	guard := retry.Chain( // first is outermost
//		policies.Exponential(policies.Attempts(4)),
//		ratelimit.New(10, 5, ratelimit.MaxWait(time.Second)),
//		breaker.New("catalog"),
//		policies.Timeout(2*time.Second), // of each attempt
//		policies.Classify(policies.Final(policies.Is(sql.ErrNoRows))), // an answer, not a failure
//	)
//	user, err := retry.Do(ctx, guard, func(ctx context.Context) (User, error) {
//		return store.User(ctx, id)
//	})
//
// Packages that need further dependencies are modules of their own; get each by its path:
// ratelimit/redislimit and breaker/redisbreaker (one limit and one breaker for a fleet, on Redis),
// retry/otelretry (OpenTelemetry), retry/grpcretry (gRPC), httpx/htmlpage (HTML, charsets,
// sitemaps).
package reprise
