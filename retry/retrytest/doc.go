// Package retrytest helps to test code that is guarded by policies. It has a scripted callee, a
// recorder to assert on, and policies that force a state.
//
//	callee := retrytest.NewScript(
//		retrytest.Step[User]{Err: errDown, Took: 50 * time.Millisecond, Times: 2},
//		retrytest.Step[User]{Value: ada},
//	)
//	rec := retrytest.Observe(t) // prints the timeline of the call if the test fails
//	user, err := retry.Do(ctx, retry.Chain(rec, guard), callee.Call)
//	if got := rec.Waits(); !slices.Equal(got, want) { ... }
//
// Use it inside testing/synctest: hours of backoff pass at once, and waits are exact. A real
// listener does not live in a bubble, so give an HTTP client a [http.RoundTripper] of your own
// instead: see the example of package httpx.
//
// [Refuse] and [Fail] stand in for policies that are open, full or broken, so that a test of the
// code around a guard need not bring a real breaker into that state.
package retrytest
