// Package ratelimit decides when a call may go, for all goroutines that share a limit.
//
// Use a [Limiter] where the limit is known: a contract, a documented quota, a resource of your own.
//
//	limit := ratelimit.New(10, 5)                               // 10 a second, 5 at once
//	limit := ratelimit.All(ratelimit.New(10, 10), ratelimit.New(4.5, 30))  // several limits, all or none
//
// A bucket lets its burst go besides its rate. Who counts in windows, 300 in any minute, wants both
// to stay within that: 4.5 a second are 270 a minute, and 30 at once.
//
// Use a [Pacer] where it is not: somebody else's server that answers too quick a client with 429,
// 503, a ban or a page for robots. It learns the limit from the answers, and keeps looking whether
// the limit has moved.
//
//	pace := ratelimit.NewPacer(ratelimit.MaxRate(50))           // never above 50 a second, whatever the server bears
//
// Both are policies: of the waiting calls the higher priority goes first ([retry.WithPriority]),
// and first in, first out within one; a wait that cannot end before the context's deadline, or
// within [MaxWait], is refused at once with the time it would have taken ([ErrLimited]), also if it
// is others going first that made it too long; an abandoned wait leaves no trace and is a rejection
// too; and a call that was refused further in gives back what it took. So their place is inside the
// retry loop, where each attempt pays, and outside of the breaker, to which queueing is then no
// slow call:
//
//	retry.Chain(loop, limit, breaker)
//
// One limiter stands for one limit. Share it; for a limit per host, keep one per host with
// policies.Keyed.
//
// A policy that is used in a testing/synctest bubble is best made inside it: to one from outside a
// clock that goes back is not time passed, but it brings along what it holds, and goroutines must
// not wait at it inside and outside of a bubble at once.
//
// What a callee says of its patience is heard by both: a mark by [retry.After], which httpx puts on
// a 429 and on a 503 with Retry-After, and a quota told with [retry.Report], which httpx does with
// RateLimit fields. One call hears it, every caller is held, and then one goes first: see
// [Limiter.Pause].
//
// Processes that are under one limit together share it through a store: see [Shared], and the
// module ratelimit/redislimit for one on Redis. Without a store a Limiter must be told its part,
// and a Pacer will find one, though not always a fair one. If a server permits no burst at all,
// several pacers starve one another: let one process ask for all.
//
// What no pacing can fix: a server that does not count requests but judges who makes them. A TLS or
// header fingerprint, a JavaScript challenge, a captcha for an address of bad name, a login wall:
// these refuse the first request as they refuse the thousandth, and going slower only takes longer.
package ratelimit
