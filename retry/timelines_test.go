package retry_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

var update = flag.Bool("update", false, "write testdata anew")

// call takes d and returns the next of errs, the last one again and again.
func call(d time.Duration, errs ...error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := errs[0]
		if len(errs) > 1 {
			errs = errs[1:]
		}
		select {
		case <-time.After(d):
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestTimelines holds what a person reads of ten situations:
//
//	go test ./retry -run Timelines -update
func TestTimelines(t *testing.T) {
	const ms = time.Millisecond
	exponential := func(n int) retry.Policy {
		return policies.Exponential(policies.Attempts(n), policies.WithJitter(policies.NoJitter))
	}
	for name, tc := range map[string]struct {
		chain func() retry.Policy
		call  func(context.Context) error
		limit time.Duration // of the caller; 0: none
	}{
		"success": {func() retry.Policy { return exponential(3) }, call(20*ms, nil), 0},
		"third_attempt": {
			func() retry.Policy { return exponential(3) }, call(20*ms, errBoom, errBoom, nil), 0},
		"exhausted": {func() retry.Policy { return exponential(3) }, call(20*ms, errBoom), 0},
		"final_answer": {func() retry.Policy { return exponential(3) },
			call(20*ms, errBoom, retry.Permanent(retry.Neutral(errors.New("no rows")))), 0},
		"retry_after": {func() retry.Policy { return exponential(3) },
			call(20*ms, retry.After(errors.New("429"), 2*time.Second), nil), 0},
		"does_not_fit": {
			func() retry.Policy { return exponential(5) }, call(20*ms, errBoom), 500 * ms},
		"breaker_opens": {func() retry.Policy {
			return retry.Chain(exponential(5),
				breaker.New("catalog", breaker.ConsecutiveFailures(2)))
		}, call(20*ms, errBoom), 0},
		"waits_for_limit": {func() retry.Policy {
			return retry.Chain(exponential(3), ratelimit.New(2, 1, ratelimit.Named("catalog")))
		}, call(20*ms, errBoom, nil), 0},
		"attempt_timeouts": {
			func() retry.Policy { return retry.Chain(exponential(2), policies.Timeout(50*ms)) },
			call(time.Second, nil), 0},
		"nested_loops": {func() retry.Policy {
			return retry.Chain(exponential(2), policies.Constant(10*ms, policies.Attempts(2)))
		}, call(20*ms, errBoom), 0},
		"hedged": {
			func() retry.Policy { return retry.Chain() }, func() func(context.Context) error {
				slow, fast := call(time.Second, nil), call(30*ms, nil)
				hedge := policies.Hedge(
					retry.Wrap(policies.Timeout(time.Minute),
						func(ctx context.Context) (int, error) {
							if retry.Attempt(ctx) == 1 {
								return 0, slow(ctx)
							}
							return 1, fast(ctx)
						}), 50*ms, 2, nil)
				return func(ctx context.Context) error {
					_, err := hedge(ctx)
					time.Sleep(10 * ms) // else this call ends beside the loser's, in any order
					return err
				}
			}(), 0},
		"a_call_with_a_loop_inside": {
			func() retry.Policy { return exponential(2) }, func(ctx context.Context) error {
				time.Sleep(5 * ms)
				return retry.Run(ctx, policies.Constant(10*ms, policies.Attempts(2)),
					call(20*ms, errBoom))
			}, 0},
		"many_attempts": {
			func() retry.Policy { return policies.Constant(time.Second, policies.Attempts(1000)) },
			call(20*ms, errBoom), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tc.limit > 0 {
					ctx, cancel = context.WithTimeout(ctx, tc.limit)
				}
				defer cancel()
				var rec retry.Record
				_ = retry.Run(ctx, retry.Chain(retry.Observe(rec.Add), tc.chain()), tc.call)
				synctest.Wait() // a hedge's loser ends later
				got = rec.String() + "\n"
			})
			file := filepath.Join("testdata", "timelines", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
