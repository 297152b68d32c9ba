package reprise_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// seconds is a loop of n attempts, a second apart.
func everySecond(n int, opts ...policies.Option) retry.Policy {
	return policies.Constant(time.Second, append(opts, policies.Attempts(n))...)
}

// TestLint names each warning and, beside it, shows the harm: how many calls the callee gets, over
// how long, with this order and with the better one.
func TestLint(t *testing.T) {
	type harm struct {
		calls int
		took  time.Duration
	}
	answer := policies.Classify(policies.Final(policies.Is(errDown)))
	for _, tc := range []struct {
		name     string
		bad      func() retry.Policy
		good     func() retry.Policy
		rules    []string
		runs     int
		had, has harm
	}{
		{"the last attempts are never made",
			func() retry.Policy {
				return retry.Chain(policies.Timeout(2*time.Second), everySecond(4))
			},
			func() retry.Policy {
				return retry.Chain(policies.Timeout(10*time.Second), everySecond(4))
			},
			[]string{"timeout-shorter-than-delays"}, 1, harm{2, time.Second}, harm{4,
				3 * time.Second}},
		{"a breaker counts a loop once",
			func() retry.Policy {
				return retry.Chain(breaker.New("b", breaker.ConsecutiveFailures(2)),
					policies.Constant(0, policies.Attempts(3)))
			},
			func() retry.Policy {
				return retry.Chain(policies.Constant(0, policies.Attempts(2)),
					breaker.New("b", breaker.ConsecutiveFailures(2)))
			},
			[]string{"loop-inside-breaker"}, 5, harm{6, 0}, harm{2, 0}},
		{"one call opens the breaker for all",
			func() retry.Policy {
				return retry.Chain(policies.Constant(0, policies.Attempts(9)), breaker.New("b"))
			},
			func() retry.Policy {
				return retry.Chain(policies.Constant(0, policies.Attempts(3)),
					breaker.New("b", breaker.ConsecutiveFailures(30)))
			},
			[]string{"breaker-opened-by-one-call"}, 3, harm{5, 0}, harm{9, 0}},
		{"retries are not limited",
			func() retry.Policy {
				return retry.Chain(ratelimit.New(1, 1), policies.Constant(0, policies.Attempts(3)))
			},
			func() retry.Policy {
				return retry.Chain(policies.Constant(0, policies.Attempts(3)), ratelimit.New(1, 1))
			},
			[]string{"limiter-outside-loop"}, 2, harm{6, time.Second}, harm{6, 5 * time.Second}},
		{"a breaker that does not see what an answer is",
			func() retry.Policy {
				return retry.Chain(answer, breaker.New("b", breaker.ConsecutiveFailures(2)))
			},
			func() retry.Policy {
				return retry.Chain(breaker.New("b", breaker.ConsecutiveFailures(2)), answer)
			},
			[]string{"classifier-outside-breaker"}, 5, harm{2, 0}, harm{5, 0}},
		{"loops multiply",
			func() retry.Policy { return retry.Chain(everySecond(3), everySecond(3)) },
			func() retry.Policy {
				return retry.Chain(everySecond(3), everySecond(3, policies.OutermostOnly()))
			},
			[]string{"two-loops"}, 1, harm{9, 8 * time.Second}, harm{3, 2 * time.Second}},
		{"faults that the callee has not",
			func() retry.Policy {
				always := policies.Enabled(func(context.Context) bool { return true })
				return retry.Chain(everySecond(3),
					policies.Chaos(1, policies.Fault(1, errDown), always))
			},
			func() retry.Policy { return everySecond(3) },
			[]string{"chaos"}, 1, harm{0, 2 * time.Second}, harm{3, 2 * time.Second}},
		{"patience that no caller has",
			func() retry.Policy {
				return retry.Chain(policies.Timeout(10*time.Second),
					everySecond(2, policies.Patience(time.Minute)), isolatedFor(30*time.Second))
			},
			func() retry.Policy {
				return retry.Chain(policies.Timeout(time.Minute),
					everySecond(2, policies.Patience(time.Minute)), isolatedFor(30*time.Second))
			},
			[]string{"patience-longer-than-timeout"}, 1, harm{0, 0}, harm{2, 31 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, c := range []struct {
				make  func() retry.Policy
				rules []string
				want  harm
			}{{tc.bad, tc.rules, tc.had}, {tc.good, nil, tc.has}} {
				synctest.Test(t, func(t *testing.T) {
					p := c.make()
					var rules []string
					for _, w := range retry.Lint(p) {
						rules = append(rules, w.Rule)
						t.Log(w)
					}
					if !slices.Equal(rules, c.rules) {
						t.Errorf("%s: %q, want %q", retry.Describe(p), rules, c.rules)
					}
					got, start := harm{}, time.Now()
					for range tc.runs {
						_ = retry.Run(t.Context(), p, func(context.Context) error {
							got.calls++
							return errDown
						})
					}
					if got.took = time.Since(start); got != c.want {
						t.Errorf("%s: %+v, want %+v", retry.Describe(p), got, c.want)
					}
				})
			}
		})
	}
}

// isolatedFor rejects calls until d has passed.
func isolatedFor(d time.Duration) retry.Policy {
	until := time.Now().Add(d)
	return retry.Gate(func(context.Context) (func(error), error) {
		if left := time.Until(until); left > 0 {
			return nil, &retry.Rejection{Policy: "test", Reason: errors.New("closed"),
				RetryAfter: left}
		}
		return nil, nil
	})
}

// TestLintOfHugeNumbers does not count them one by one, and they do not overflow.
func TestLintOfHugeNumbers(t *testing.T) {
	for name, loop := range map[string]retry.Policy{
		"no wait":       policies.Constant(0, policies.Attempts(math.MaxInt)),
		"waits of 1 ns": policies.Constant(1, policies.Attempts(math.MaxInt)),
		"growing for long": policies.Exponential(policies.Factor(1.0001),
			policies.Attempts(math.MaxInt)),
		"waits of a year": policies.Constant(365*24*time.Hour, policies.Attempts(math.MaxInt)),
	} {
		want := []string{"timeout-shorter-than-delays", "two-loops"}
		if name == "no wait" {
			want = want[1:]
		}
		var rules []string
		for _, w := range retry.Lint(retry.Chain(policies.Timeout(time.Minute), loop, loop)) {
			if strings.Contains(w.Harm, "-") {
				t.Errorf("%s: %s", name, w)
			}
			rules = append(rules, w.Rule)
		}
		slices.Sort(rules)
		if rules = slices.Compact(rules); !slices.Equal(rules, want) {
			t.Errorf("%s: %q, want %q", name, rules, want)
		}
	}
}

func TestLintIsContentWithTheUsualChains(t *testing.T) {
	for _, p := range []retry.Policy{
		nil, retry.Chain(), policies.Exponential(),
		retry.Chain(policies.Exponential(policies.Attempts(4)),
			ratelimit.New(10, 5, ratelimit.MaxWait(time.Second)), breaker.New("catalog"),
			policies.Timeout(2*time.Second),
			policies.Classify(policies.Final(policies.Is(errDown)))),
		retry.Chain(policies.Timeout(10*time.Second), policies.Exponential(policies.Attempts(4)),
			policies.Timeout(2*time.Second)),
	} {
		if w := retry.Lint(p); len(w) > 0 {
			t.Errorf("%s: %v", retry.Describe(p), w)
		}
	}
}
