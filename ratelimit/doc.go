// Package ratelimit has rate limiters: they decide when a call may go, for all goroutines that
// share a limit.
//
// Use a [Limiter] if the limit is known: a contract, a documented quota, a resource of your own.
//
//	limit := ratelimit.New(10, 5) // 10 a second, 5 at once
//
//	limit := ratelimit.All( // several limits, all or none
//		ratelimit.New(10, 10),
//		ratelimit.New(4.5, 30),
//	)
//
// A token bucket admits its burst on top of its rate. For a limit that is counted in windows, 300
// in any minute, keep rate·60 + burst <= 300: 4.5 a second are 270 a minute, and 30 at once.
//
// Use a [Pacer] if it is not known: somebody else's server that answers a client that is too quick
// with 429, 503, a ban or a captcha. It learns the limit from the answers, and keeps checking
// whether the limit has moved.
//
//	// never above 50 a second, whatever the server bears
//	pace := ratelimit.NewPacer(ratelimit.MaxRate(50))
//
// Both are policies. Waiting calls go by priority ([retry.WithPriority]), and first in, first out
// within one. A wait that cannot end before the context's deadline, or within [MaxWait], is
// rejected at once with the time it would have taken ([ErrLimited]); so is a wait that becomes too
// long because others go first. An abandoned wait leaves no trace and is a rejection too. A call
// that was rejected further in gives back what it took. Put them inside the retry loop, where each
// attempt pays, and outside the breaker, which then does not count queueing as a slow call:
//
//	retry.Chain(loop, limit, breaker)
//
// One limiter stands for one limit. Share it; for a limit per host, keep one per host with
// policies.Keyed.
//
// Make a policy that is used in a testing/synctest bubble inside that bubble. A policy from outside
// works too, because a clock that jumps back counts as no time passed. But it keeps the tokens and
// pauses that it has, and goroutines inside and outside the bubble must not wait at it at the same
// time.
//
// Both obey what a callee asks for: a mark by [retry.After], which httpx puts on a 429 and on a 503
// with Retry-After, and a quota told by [retry.Report], which httpx does with RateLimit fields. If
// one call hears of it, every caller is held, and afterwards one call goes first: see
// [Limiter.Pause].
//
// Processes that are under one limit together share it through a store: see [Shared], and the
// module ratelimit/redislimit for one on Redis. Without a store a Limiter must be told its part,
// and a Pacer finds its part, though not always a fair one. If a server permits no burst at all,
// several pacers starve one another: let one process make all requests.
//
// No pacing helps against a server that does not count requests but judges who makes them. A TLS or
// header fingerprint, a JavaScript challenge, a captcha for an address with a bad reputation, a
// login wall: these refuse the first request like the thousandth, and going slower only takes
// longer.
package ratelimit
