package retry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

type broken struct{ err error }

func (b broken) Do(context.Context, retry.Next) error { return b.err }
func (b broken) Validate() error                      { return b.err }

func TestConfigurationMistakesAreReported(t *testing.T) {
	one, two := retry.ConfigErrorf("one", "attempts must be at least 1, not %d", 0),
		retry.ConfigErrorf("two", "nil key")
	fine := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Do(ctx)
	})
	for _, tc := range []struct {
		name   string
		policy retry.Policy
		want   string
	}{
		{"none", nil, ""},
		{"identity", retry.Chain(), ""},
		{"a good chain", retry.Chain(fine, fine), ""},
		{"a bad policy", broken{one}, "one: attempts must be at least 1, not 0"},
		{"two in a chain", retry.Chain(fine, broken{one}, retry.Chain(fine, broken{two})),
			"one: attempts must be at least 1, not 0; two: nil key"},
		{"an error of another family", broken{errBoom}, "bad configuration: boom"},
		{"nil function", retry.PolicyFunc(nil), "retry.PolicyFunc: nil function"},
		{"nil admit", retry.Gate(nil), "retry.Gate: nil admit function"},
		{"nil observer", retry.Observe(nil), "retry.Observe: nil observer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := retry.Validate(tc.policy)
			if tc.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if !errors.Is(err, retry.ErrConfig) || err.Error() != tc.want ||
				strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want %s", err, tc.want)
			}
			called := false
			_, err = retry.Do(t.Context(), retry.Chain(fine, tc.policy),
				func(context.Context) (int, error) { called = true; return 0, nil })
			if called || !errors.Is(err, retry.ErrConfig) {
				t.Errorf("first use: called %v, got %v", called, err)
			}
			if tc.name != "an error of another family" {
				_, err = retry.Do(t.Context(), tc.policy, func(context.Context) (int, error) {
					called = true
					return 0, nil
				})
				if called || !errors.Is(err, retry.ErrConfig) {
					t.Errorf("alone: called %v, got %v", called, err)
				}
			}
		})
	}
}

func TestNilCallsAreConfigurationMistakes(t *testing.T) {
	_, do := retry.Do[int](t.Context(), nil, nil)
	_, wrap := retry.Wrap[int](nil, nil)(t.Context())
	_, check := retry.Check(succeed, nil)(t.Context())
	_, checkNil := retry.Check(nil, func(int) error { return nil })(t.Context())
	for i, err := range []error{do, wrap, check, checkNil, retry.Run(t.Context(), nil, nil)} {
		if !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%d: got %v", i, err)
		}
	}
}

func TestChainIsIdleWhenEveryMemberSaysSo(t *testing.T) {
	for _, tc := range []struct {
		chain retry.Policy
		want  bool
	}{
		{retry.Chain(), true},
		{retry.Chain(idle(true), idle(true)), true},
		{retry.Chain(idle(true), idle(false)), false},
		{retry.Chain(idle(true), forget{}), false},
		{retry.Chain(idle(true), retry.Observe(func(context.Context, retry.Event) {})), true},
	} {
		if got := tc.chain.(retry.Idler).Idle(); got != tc.want {
			t.Errorf("%v: idle %v", tc.chain, got)
		}
	}
}

type idle bool

func (i idle) Do(ctx context.Context, next retry.Next) error { return next.Do(ctx) }
func (i idle) Idle() bool                                    { return bool(i) }
