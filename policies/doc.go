// Package policies has the policies that need to know of the callee only how its calls end: retry
// loops and their schedules, classification of errors, time limits, retry budgets, limits on calls
// at once, one policy per key, and wrappers of calls.
//
//	guard := retry.Chain(
//		policies.Timeout(10*time.Second),                              // for all attempts
//		policies.Exponential(policies.Attempts(4)),                    // 100, 200, 400 ms, ±50 %
//		policies.Timeout(2*time.Second),                               // for each attempt
//		policies.Classify(policies.Final(policies.Is(sql.ErrNoRows))), // an answer, not a failure
//	)
//
// # Retry loops
//
// [Exponential], [Fibonacci], [Constant], [Random], [Delays] and [Backoff] differ in how long they
// wait; their options are the same. A loop
//
//   - makes no further attempt after a permanent error ([retry.Permanent]), one that [RetryIf]
//     denies, or the end of its context;
//   - waits at least as long as the callee asks ([retry.After]), and gives up at once if that is
//     more than [HintCap];
//   - fails fast on a rejection ([retry.Rejection]): it uses no attempt, and it waits only if the
//     wait is no longer than the one that would follow a failure, or fits its [Patience];
//   - begins no wait that cannot end before the deadline or within [MaxElapsed];
//   - asks its [Budget] before every further attempt.
//
// Loops inside each other multiply: see [OutermostOnly] and [MaxCalls]. For streams see
// [ResetAfter], for a graceful shutdown [StopOn].
//
// # What wraps a call
//
// A policy does not see results. What must see them wraps the call itself, and composes with
// retry.Wrap and retry.Check: [Hedge] makes a second call if the first is slow, [Fallback] makes
// another one if it failed, [Failover] asks the next replica, [Coalesce] makes one call for many
// callers, and [Detach] leaves a call behind that does not heed its context.
//
// # Names
//
// Every stateful policy takes [Named], and describes itself on one line by String, which is safe
// while calls run.
package policies
