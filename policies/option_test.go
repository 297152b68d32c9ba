package policies_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestOptionMistakesNameTheOptionItsValueAndWhatItMustBe(t *testing.T) {
	E := policies.Exponential
	keyed := func(opts ...policies.Option) retry.Policy {
		return policies.Keyed(func(context.Context) int { return 0 },
			func(int) retry.Policy { return nil }, opts...)
	}
	budget := func(opts ...policies.Option) retry.Policy {
		return E(policies.WithBudget(policies.NewTokenBudget(10, 0.1, opts...)))
	}
	for want, p := range map[string]retry.Policy{
		"policies.Exponential: Attempts(0): must be at least 1": E(policies.Attempts(0)),
		"policies.Exponential: Factor(NaN): must be a number of at least 1": E(
			policies.Factor(math.NaN())),
		"policies.Exponential: WithJitter(Jitter(9)): must be one of this package": E(
			policies.WithJitter(9)),
		"policies.Exponential: RetryIf(nil): must not be nil":    E(policies.RetryIf(nil)),
		"policies.Exponential: WithBudget(nil): must not be nil": E(policies.WithBudget(nil)),
		"policies.Exponential: Initial(1m0s): must not be above MaxDelay(1s)": E(
			policies.Initial(time.Minute), policies.MaxDelay(time.Second)),
		"policies.Exponential: nil option; MaxDelay(0s): must be positive": E(nil,
			policies.MaxDelay(0)),
		`policies.Exponential: Named("x"): does not apply here`: E(policies.Named("x")),
		"policies.Constant: d -1ns: must not be negative; " +
			"Initial(1s): does not apply here": policies.Constant(-1,
			policies.Initial(time.Second)),
		"policies.Fibonacci: Factor(2): does not apply here": policies.Fibonacci(
			policies.Factor(2)),
		"policies.Keyed: MaxKeys(0): must be at least 1":   keyed(policies.MaxKeys(0)),
		"policies.Keyed: Unlimited(): does not apply here": keyed(policies.Unlimited()),
		"policies.Exponential: WithBudget: policies.NewTokenBudget: " +
			"Attempts(1): does not apply here": budget(policies.Attempts(1)),
		"policies.Exponential: WithBudget: policies.NewTokenBudget: max 0: must be at least 1": E(
			policies.WithBudget(policies.NewTokenBudget(0, 1))),
	} {
		err := retry.Validate(p)
		wantIs(t, err, retry.ErrConfig)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if got := retry.Run(t.Context(), p, succeed); got == nil || got.Error() != want {
			t.Errorf("the call: %v", got)
		}
	}
}

func TestMaxDelayDefaultsToTheLongerOf30sAndInitial(t *testing.T) {
	bubble(t, "an Initial of a minute", func(t *testing.T) {
		s := outcomes(errBoom)
		_ = s.run(t.Context(),
			policies.Exponential(policies.Initial(time.Minute),
				policies.WithJitter(policies.NoJitter)))
		s.wantAt(t, 0, 60_000, 120_000)
	})
}

func TestNamedIsToldByRejections(t *testing.T) {
	b := policies.NewTokenBudget(1, 0.1, policies.Named("catalog"))
	err := outcomes(errBoom).run(t.Context(), policies.Constant(0, policies.WithBudget(b)))
	if r, ok := retry.Rejected(err); !ok || r.Policy != "budget catalog" || b.Name() != "catalog" {
		t.Errorf("got %v, name %q", err, b.Name())
	}
}
