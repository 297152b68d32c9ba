package policies_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestTokenBudget(t *testing.T) {
	b := policies.NewTokenBudget(10, 0.1)
	p := policies.Constant(0, policies.Unlimited(), policies.WithBudget(b))
	s := outcomes(errBoom)
	err := s.run(t.Context(), p)
	wantIs(t, err, policies.ErrBudget, retry.ErrRejected, errBoom)
	if len(s.at) != 5 {
		t.Errorf("%d calls, want 5: the fifth failure leaves half", len(s.at))
	}
	for range 11 { // 5 -> 6.1, so that the next failure leaves 5.1
		_ = outcomes(nil).run(t.Context(), p)
	}
	_ = outcomes(retry.Permanent(errBoom)).run(t.Context(), p)
	if s = outcomes(errBoom); s.run(t.Context(), p) == nil || len(s.at) != 2 {
		t.Errorf("%d calls, want 2", len(s.at))
	}
}

func TestBudgetRefusesWithoutSleeping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := policies.NewTokenBudget(1, 0.1)
		wantIs(t, outcomes(errBoom).run(t.Context(),
			policies.Constant(time.Second, policies.WithBudget(b))), retry.ErrRejected, errBoom)
		if time.Since(start) != 0 {
			t.Errorf("returned after %v", time.Since(start))
		}
	})
}

func TestABudgetsRefusalIsToldOfTheAttemptThatFailed(t *testing.T) {
	budget := policies.NewCostBudget(10, 5, 1)
	var told []string
	watch := retry.ObserveOnly(func(_ context.Context, e retry.Event) {
		told = append(told, fmt.Sprint(e.Policy, " ", e.Attempt))
	}, retry.KindReject)
	loop := policies.Constant(0, policies.Attempts(9), policies.WithBudget(budget))
	_ = retry.Run(t.Context(), retry.Chain(watch, loop), fail)
	if want := []string{"budget 3"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

func TestCostBudget(t *testing.T) {
	b := policies.NewCostBudget(11, 5, 1)
	p := policies.Constant(0, policies.WithBudget(b))
	count := func(s *script) int { _ = s.run(t.Context(), p); return len(s.at) }
	for i, c := range []struct {
		s    *script
		want int
	}{
		// Each comes back.
		{outcomes(errBoom, nil), 2}, {outcomes(errBoom, nil), 2}, {outcomes(errBoom, nil), 2},
		{outcomes(errBoom), 3}, {outcomes(errBoom), 1}, // 1 left
		{outcomes(nil), 1}, {outcomes(nil), 1}, {outcomes(nil), 1}, {outcomes(errBoom), 1}, // 4
		{outcomes(nil), 1}, {outcomes(errBoom, nil), 2}, // 5
	} {
		if n := count(c.s); n != c.want {
			t.Errorf("step %d: %d calls, want %d", i, n, c.want)
		}
	}
}

func TestCostBudgetOfAnySize(t *testing.T) {
	p := policies.Constant(0,
		policies.WithBudget(policies.NewCostBudget(math.MaxInt, 5, math.MaxInt)))
	_ = outcomes(nil).run(t.Context(), p)
	if s := outcomes(errBoom, nil); s.run(t.Context(), p) != nil {
		t.Errorf("%d calls: a success has emptied it", len(s.at))
	}
}

func TestCostBudgetTakesLessForAThrottledRetry(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		retries int // of 500
	}{
		{"a transient failure", errBoom, 35},
		{"a throttled one", retry.After(errBoom, 0), 100},
	} {
		p := policies.Constant(0, policies.Unlimited(),
			policies.WithBudget(policies.NewCostBudget(500, 14, 1)))
		if s := outcomes(c.err); s.run(t.Context(), p) == nil || len(s.at)-1 != c.retries {
			t.Errorf("%s: %d retries, want %d", c.name, len(s.at)-1, c.retries)
		}
	}
	b := policies.NewCostBudget(20, 14, 1) // what comes back is what was paid
	_ = outcomes(retry.After(errBoom, 0), nil).run(t.Context(),
		policies.Constant(0, policies.WithBudget(b)))
	if !b.Idle() {
		t.Errorf("%v after a throttled retry that succeeded", b)
	}
}

// What is given back is what is held. A retry that panics was made, as one that fails.
func TestCostBudgetIsSpentByARetryThatPanics(t *testing.T) {
	b := policies.NewCostBudget(5, 5, 1)
	p := policies.Constant(0, policies.WithBudget(b))
	n := 0
	func() {
		defer func() { _ = recover() }()
		_ = retry.Run(t.Context(), p, func(context.Context) error {
			if n++; n == 2 {
				panic("bang")
			}
			return errBoom
		})
	}()
	if b.Idle() || n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestRatioBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewRatioBudget(0.1, 0.2) // a reserve of 2 in 10 s
		p := policies.Constant(0, policies.Unlimited(), policies.WithBudget(b))
		retries := func() int {
			s := outcomes(errBoom)
			_ = s.run(t.Context(), p)
			return len(s.at) - 1
		}
		if n := retries(); n != 2 {
			t.Errorf("%d retries on the reserve, want 2", n)
		}
		time.Sleep(11 * time.Second)
		for range 29 {
			_ = outcomes(nil).run(t.Context(), p)
		}
		if n := retries(); n != 5 { // with its own deposit: 3 and the reserve
			t.Errorf("%d retries, want 5", n)
		}
		for range 100 {
			_ = outcomes(nil).run(t.Context(), p)
		}
		time.Sleep(11 * time.Second)
		if n := retries(); n != 2 {
			t.Errorf("%d retries after the deposits expired, want 2", n)
		}
	})
}
