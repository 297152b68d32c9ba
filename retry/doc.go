// Package retry sends any fallible call through a chain of policies.
//
//	guard := retry.Chain( // first is outermost; built once, shared by every type
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
// This package is the vocabulary: [Do], [Policy], [Next], [Chain], the marks on errors, [Error] and
// [Rejection]. It imports the standard library only. The policies live beside it in packages
// policies, breaker and ratelimit, and httpx binds them to HTTP. A policy of your own is a function
// literal:
//
//	timed := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
//		start := time.Now()
//		err := next.Do(ctx)
//		log.Printf("took %v: %v", time.Since(start), err)
//		return err
//	})
//
// # The order of a chain
//
//	Do -> first policy -> second policy -> ... -> the call
//	Do <- first policy <- second policy <- ... <- its value and error
//
// # Promises
//
// Every policy of this module keeps them. A policy of your own can break them, for example by
// returning nil for a failure.
//
//  1. The first policy of a chain is the outermost. Retry(Breaker(f)) counts every attempt,
//     Breaker(Retry(f)) once.
//  2. A policy may call next zero, one or many times, one at a time, and has returned from it
//     before it returns.
//  3. A policy value is safe for concurrent use and for any mix of result types: all per-call state
//     is made per call. Deriving one chain from another never changes the first.
//  4. The error that comes back matches, by errors.Is and errors.As, the one the function returned
//     and what ended the call: context.Cause(ctx), [ErrExhausted], a rejection. The last value
//     comes back with it, in every mode. A permanent error on the first attempt comes back as it
//     was.
//  5. Whatever a policy takes (a breaker's permit, a bulkhead's slot, a budget's token) it gives
//     back on every way out: return, panic, runtime.Goexit, cancellation. A panic reaches the
//     caller with its own value.
//  6. No policy waits in vain: a wait that cannot end before the context's deadline is not begun.
//     Do returns at once, and the error Is context.DeadlineExceeded, Is the last failure, and says
//     which wait did not fit.
//
// # Verdicts
//
// Verdicts travel outward as marks on the error: the code that knows what a failure means marks it,
// the loop and the breaker around it read the marks ([VerdictOf]). [Permanent] says "no further
// attempt". [Neutral] says "not the callee's fault". Both together are the final answer of a
// healthy callee, such as 404 or "no rows". [After] carries the callee's wish for patience.
// [Unmark] hides the marks of an inner service from the chain further out.
//
// # Rejections
//
// Policies that refuse a call return a [Rejection]: breaker open, limit reached, bulkhead full,
// budget spent, or a wait in a queue that the context ended. Each names its policy, its reason, and
// when it is worth coming back. The callee was not reached, so a rejection is not a failure: it
// uses no attempt, a breaker further out does not count it, a limiter further out takes its token
// back.
//
// A rejection fails fast. A loop waits for it only if its time is no longer than the delay that the
// loop would take anyway, or if policies.Patience allows more. So a guard in front of a dead
// service costs its callers nothing.
//
// # Observation
//
// [Observe] tells a function of every call, wait and decision inside it. [LogTo] writes them to
// slog, and a [Record] answers where the time of one call went. Without an Observe nothing is
// collected. Metrics and spans are in the module retry/otelretry (OpenTelemetry). [Describe] prints
// a chain, [Walk] finds its members for a health page, and every stateful policy has Stats.
//
// # Tests
//
// All policies obey the virtual time of testing/synctest. Make a policy inside the bubble that uses
// it. A bubble's clock starts in the year 2000, so time would jump back for a policy made outside.
package retry
