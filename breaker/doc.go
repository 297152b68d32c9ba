// Package breaker stops calls to a callee that fails, and finds out when it is well again.
//
//	guard := retry.Chain(policies.Exponential(), breaker.New("catalog"))
//
//	            enough failures                     the open time is over
//	  closed ---------------------> open --------------------------------> half-open
//	    ^                             ^                                      |    |
//	    |                             +--- a probe fails, is slow or hangs --+    |
//	    +--------------------------------- all probes succeed --------------------+
//
//	  Isolate: from any state to isolated, which only Release leaves, to closed
//
// # When to trip by what
//
//   - [ConsecutiveFailures], the default: for callees that work or do not work, and for little traffic. One success in
//     between starts the count anew, so it is blind to a callee that fails half of the time.
//   - [FailureRate] over a [Window]: for steady traffic. Its minimum keeps two failures at night from opening it.
//   - [SlowCall]: for callees that get slow before they fail. It makes slow calls failures of either rule. With
//     [SlowInFlight] they count before they end: for callees that hang.
//
// [OpenFor] should be about what a restart of the callee takes; with [OpenGrowth] an outage of hours is probed less and
// less. [Ramp] is for callees that fall over when all traffic comes back at once. Try the figures with [Shadow] first.
//
// # What counts
//
//   - success: nil, and the final answer of a healthy callee, an error marked both Permanent and Neutral
//   - failure: any other error, the caller's deadline ([IgnoreDeadline]), a panic, runtime.Goexit, a slow call
//   - no verdict: the caller cancelled, the error is marked Neutral, a policy further in rejected the call
//
// Configuration errors are not counted at all. A call that was admitted before the state last changed changes nothing.
//
// A refused call gets a [retry.Rejection] that Is [ErrOpen]: with the failure behind it, and the time to the next probe,
// which a retry loop around the breaker waits for if it fits. Outside of the loop the breaker counts its outcome once; inside
// it counts every attempt, which is the usual place.
package breaker
