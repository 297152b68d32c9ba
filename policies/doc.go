// Package policies has the policies that need no state of the callee: retry loops and their schedules, classification of
// errors, time limits, retry budgets, a bulkhead, one policy per key, and the typed wrappers Hedge and Fallback.
//
//	guard := retry.Chain(
//		policies.Timeout(10*time.Second),                        // for all attempts together
//		policies.Exponential(policies.Attempts(4)),              // 100ms, 200ms, 400ms, each +-50 %
//		policies.Timeout(2*time.Second),                         // for each attempt
//		policies.Classify(policies.Final(policies.Is(sql.ErrNoRows))),   // an answer, not a failure
//	)
//
// # Retry loops
//
// [Exponential], [Fibonacci], [Constant], [Random], [Delays] and [Backoff] differ in how long they wait; the [Option] values
// are the same for all. A loop
//
//   - makes no further attempt after a permanent error ([retry.Permanent]), one that [RetryIf] denies, or the end of its context;
//   - waits at least as long as the callee asks ([retry.After]);
//   - burns no attempt on a rejection ([retry.Rejection]), but waits until the time it names, at most Attempts times in a row;
//   - gives up at once on a rejection that names no time (a bulkhead is full, a breaker isolated, a budget spent), and where
//     the callee or a rejection asks for more than [HintCap];
//   - begins no wait that cannot end before the deadline or within [MaxElapsed];
//   - asks its [Budget] before every further attempt.
//
// Loops inside each other multiply: see [OutermostOnly] and [MaxCalls].
//
// # What wraps a call
//
// A policy does not see results. What must see them wraps the call itself, and composes with retry.Wrap and retry.Check:
// [Hedge] makes a second call where the first is slow, [Fallback] an other one where it failed.
package policies
