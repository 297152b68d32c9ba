// Package breaker has a circuit breaker: it stops calls to a callee that fails, and finds out when
// the callee is well again.
//
//	guard := retry.Chain(policies.Exponential(), breaker.New("catalog"))
//
//	            enough failures                     the open time is over
//	  closed ---------------------> open --------------------------------> half-open
//	    ^                             ^                                      |    |
//	    |                             +--------- a probe fails, is slow -----+    |
//	    +------------------------------- enough probes succeed -------------------+
//
//	  Trip: from any state but isolated to open
//	  Isolate: from any state to isolated, which only Release leaves, to closed
//
// # What to put it around
//
// One breaker stands around one thing that fails as a whole: a service, a host, a database, one
// replica of several. A breaker around two of them rejects calls to the one that works; one per URL
// or per customer never sees enough calls to decide. With policies.Keyed each host gets its own.
//
// It stands around a call that takes about as long as an answer: a request, a query, the attempt to
// connect. It does not fit a call that lives for hours: as a probe such a call looks as if it hung,
// and its end says little about its beginning. For a stream use [Breaker.Allow], which is told when
// the stream is established or that it broke.
//
// The usual place is inside the retry loop, where the breaker counts every attempt: it opens
// sooner, and the loop makes no further attempt against an open breaker. Around the loop it counts
// a call once. Limiters and bulkheads belong outside the breaker, so that waiting for them does
// not make a call slow.
//
// # When to open by what
//
//   - [ConsecutiveFailures], the default: for callees that work or do not work, and for little
//     traffic. One success in between starts the count anew, so it is blind to a callee that fails
//     half of the time.
//   - [FailureRate] over a [Window]: for steady traffic. Its minimum keeps two failures at night
//     from opening it.
//   - [FailureCount] over a [Window]: for callees whose n-th failure is one too many, whatever
//     succeeds.
//   - [SlowCall]: for callees that get slow before they fail. It makes slow calls failures of any
//     rule. With [SlowInFlight] they count before they end: for callees that hang.
//   - [Breaker.Trip]: for a health check that knows better.
//
// [OpenFor] should be about as long as a restart of the callee takes. With [OpenGrowth] the probes
// of a long outage become rarer. [Ramp] is for callees that fall over when all traffic comes back
// at once. Try the figures with [Shadow] first.
//
// # What counts
//
//   - success: nil, and the final answer of a healthy callee, an error marked both Permanent and
//     Neutral
//   - failure: any other error, the caller's deadline ([IgnoreDeadline]), a panic, runtime.Goexit,
//     a slow call
//   - no verdict: the caller cancelled, the error is marked Neutral, a policy further in rejected
//     the call
//
// Configuration errors are not counted at all. A call that was admitted before the state last
// changed changes nothing.
//
// A rejected call gets a [retry.Rejection] that Is [ErrOpen], with the failure that opened the
// breaker and the time to the next probe.
//
// # Probes
//
// A probe that takes longer than [ProbeLimit] no longer holds its place: another call may go beside
// it. Its own outcome still counts, so a callee that is slow can close the breaker and one that
// hangs cannot hold it. A call made from inside a probe, with its context and through the same
// breaker, is part of that probe: it is not counted and needs no place. One such call at a time
// goes through; others are rejected.
//
// # A fleet
//
// With [Shared] the breakers of the same name in many processes are one fleet on a [Store]: they
// open together when enough of them have opened, and send one probe for all. The module
// breaker/redisbreaker is a Store on Redis; its documentation says what is promised and what is
// not.
//
// # gobreaker
//
// Each opening is a two-step breaker of github.com/sony/gobreaker/v2: it hands out the probes and
// says closed or open again. [From] makes a policy of a gobreaker that you already have.
package breaker
