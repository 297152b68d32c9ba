package policies_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestTimeout(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("%w: %w", errBoom, ctx.Err()) }
	bubble(t, "ends the call", func(t *testing.T) {
		wantIs(t, retry.Run(t.Context(), policies.Timeout(time.Second), hang), policies.ErrTimeout, context.DeadlineExceeded, errBoom)
	})
	bubble(t, "is not the caller's deadline or cancellation", func(t *testing.T) {
		wantNot(t, retry.Run(within(t, ms), policies.Timeout(time.Second), hang), policies.ErrTimeout)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms, cancel)
		err := retry.Run(ctx, policies.Timeout(time.Second), hang)
		wantIs(t, err, context.Canceled)
		wantNot(t, err, policies.ErrTimeout)
	})
	bubble(t, "a late success is a success", func(t *testing.T) {
		v, err := retry.Do(t.Context(), policies.Timeout(ms), func(context.Context) (int, error) { time.Sleep(time.Second); return 7, nil })
		if v != 7 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
	})
	bubble(t, "a wait beyond it is not begun", func(t *testing.T) {
		start := time.Now()
		err := retry.Run(t.Context(), retry.Chain(policies.Timeout(time.Second), policies.Constant(time.Hour)), fail)
		wantIs(t, err, policies.ErrTimeout, context.DeadlineExceeded, errBoom)
		if time.Since(start) != 0 {
			t.Errorf("returned after %v", time.Since(start))
		}
		err = retry.Run(within(t, ms), retry.Chain(policies.Timeout(time.Second), policies.Constant(time.Hour)), fail)
		wantNot(t, err, policies.ErrTimeout)
	})
	bubble(t, "of an attempt is retried", func(t *testing.T) {
		start := time.Now()
		err := retry.Run(t.Context(), retry.Chain(policies.Constant(0), policies.Timeout(time.Second)), hang)
		wantIs(t, err, retry.ErrExhausted, policies.ErrTimeout)
		if time.Since(start) != 3*time.Second {
			t.Errorf("took %v", time.Since(start))
		}
	})
}

type status int

func (s status) Error() string   { return fmt.Sprint("status ", int(s)) }
func (s status) StatusCode() int { return int(s) }

func TestClassify(t *testing.T) {
	other := errors.New("other")
	type marks struct{ permanent, neutral bool }
	finally, none := marks{true, true}, marks{}
	for _, c := range []struct {
		name  string
		rules []policies.Rule
		err   error
		want  marks
	}{
		{"no rule", nil, errBoom, none},
		{"listed status", []policies.Rule{policies.Statuses(404)}, status(404), none},
		{"other 4xx", []policies.Rule{policies.Statuses(404)}, status(400), finally},
		{"other 5xx", []policies.Rule{policies.Statuses(404)}, status(500), marks{permanent: true}},
		{"no status", []policies.Rule{policies.Statuses(404)}, errBoom, none},
		{"wrapped status", []policies.Rule{policies.ServerErrors()}, errors.Join(other, fmt.Errorf("x: %w", status(404))), finally},
		{"server error", []policies.Rule{policies.ServerErrors()}, status(503), none},
		{"listed error", []policies.Rule{policies.OnError(other, errBoom)}, errBoom, none},
		{"unlisted error", []policies.Rule{policies.OnError(other)}, errBoom, marks{permanent: true}},
		{"status beside On", []policies.Rule{policies.OnError(other)}, status(404), none},
		{"type", []policies.Rule{policies.FinalType[status]()}, status(503), finally},
		{"first rule wins", []policies.Rule{policies.OnMatch(func(error) bool { return true }), policies.FinalError(errBoom)}, errBoom, none},
		{"final status", []policies.Rule{policies.FinalStatuses(503), policies.ServerErrors()}, status(503), finally},
		{"final only", []policies.Rule{policies.FinalMatch(func(err error) bool { return err == other })}, errBoom, none},
		{"neutral", []policies.Rule{policies.NeutralStatuses(429), policies.ServerErrors()}, status(429), marks{neutral: true}},
		{"neutral type", []policies.Rule{policies.NeutralType[status]()}, status(500), marks{neutral: true}},
		{"rejection", []policies.Rule{policies.OnError(other)}, &retry.Rejection{Reason: errOpen}, none},
	} {
		err := retry.Run(t.Context(), policies.Classify(c.rules...), func(context.Context) error { return c.err })
		if got := (marks{retry.IsPermanent(err), retry.IsNeutral(err)}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		wantIs(t, err, c.err)
	}
}

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
		wantIs(t, outcomes(errBoom).run(t.Context(), policies.Constant(time.Second, policies.WithBudget(b))), retry.ErrRejected, errBoom)
		if time.Since(start) != 0 {
			t.Errorf("returned after %v", time.Since(start))
		}
	})
}

func TestCostBudget(t *testing.T) {
	b := policies.NewCostBudget(11, 5, 1)
	p := policies.Constant(0, policies.WithBudget(b))
	count := func(s *script) int { _ = s.run(t.Context(), p); return len(s.at) }
	for i, c := range []struct {
		s    *script
		want int
	}{
		{outcomes(errBoom, nil), 2}, {outcomes(errBoom, nil), 2}, {outcomes(errBoom, nil), 2}, // each comes back
		{outcomes(errBoom), 3}, {outcomes(errBoom), 1}, // 1 left
		{outcomes(nil), 1}, {outcomes(nil), 1}, {outcomes(nil), 1}, {outcomes(errBoom), 1}, // 4
		{outcomes(nil), 1}, {outcomes(errBoom, nil), 2}, // 5
	} {
		if n := count(c.s); n != c.want {
			t.Errorf("step %d: %d calls, want %d", i, n, c.want)
		}
	}
}

func TestRatioBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := policies.NewRatioBudget(0.1, 0.2) // a reserve of 2 in 10 s
		p := policies.Constant(0, policies.Unlimited(), policies.WithBudget(b))
		retries := func() int { s := outcomes(errBoom); _ = s.run(t.Context(), p); return len(s.at) - 1 }
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

func TestBulkhead(t *testing.T) {
	bubble(t, "is first in, first out, and bounded", func(t *testing.T) {
		b := policies.NewBulkhead(1, 3)
		var order []int
		var all sync.WaitGroup
		for i := range 4 {
			ctx := t.Context()
			if i == 2 {
				ctx = within(t, 5*ms) // leaves its place
			}
			all.Go(func() {
				err := retry.Run(ctx, b, func(context.Context) error { time.Sleep(10 * ms); order = append(order, i); return nil })
				if (err != nil) != (i == 2) {
					t.Errorf("call %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		err := retry.Run(t.Context(), b, succeed)
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 3}) || !b.Idle() {
			t.Errorf("order %v, idle %v", order, b.Idle())
		}
	})
	bubble(t, "a free slot admits whatever the deadline", func(t *testing.T) {
		if err := retry.Run(within(t, 1), policies.NewBulkhead(1, 0), succeed); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "gives the slot back after a panic", func(t *testing.T) {
		b := policies.NewBulkhead(1, 0)
		func() {
			defer func() { _ = recover() }()
			_ = retry.Run(t.Context(), b, func(context.Context) error { panic(1) })
		}()
		if !b.Idle() {
			t.Error("slot lost")
		}
	})
	bubble(t, "cancelling and handing over at once loses no slot", func(t *testing.T) {
		b := policies.NewBulkhead(2, 100)
		var all sync.WaitGroup
		for i := range 100 {
			ctx := within(t, time.Duration(i%7+1)*ms) // just when slots are handed over
			all.Go(func() { _ = retry.Run(ctx, b, func(context.Context) error { time.Sleep(ms); return nil }) })
		}
		all.Wait()
		if running, waiting := b.Load(); running+waiting != 0 {
			t.Errorf("%d running, %d waiting", running, waiting)
		}
	})
}

func TestNestedLoops(t *testing.T) {
	three := func(opts ...policies.Option) retry.Policy { return policies.Constant(0, opts...) }
	calls := func(ps ...retry.Policy) (n int, err error) {
		_, err = retry.Do(t.Context(), retry.Chain(ps...), func(context.Context) (int, error) { n++; return n, errBoom })
		return n, err
	}
	for _, c := range []struct {
		name string
		want int
		ps   []retry.Policy
	}{
		{"as written", 27, []retry.Policy{three(), three(), three()}},
		{"outermost only", 3, []retry.Policy{three(), three(policies.OutermostOnly()), three(policies.OutermostOnly())}},
		{"outermost only, alone", 3, []retry.Policy{three(policies.OutermostOnly())}},
		{"at most 5", 5, []retry.Policy{three(policies.MaxCalls(5)), three(), three()}},
		{"at most 1", 1, []retry.Policy{three(policies.MaxCalls(1)), three(), three()}},
		{"inner cap", 6, []retry.Policy{three(), three(policies.MaxCalls(2)), three()}},
		{"both caps", 5, []retry.Policy{three(policies.MaxCalls(5)), three(policies.MaxCalls(2)), three()}},
		{"cap not reached", 27, []retry.Policy{three(policies.MaxCalls(100)), three(), three()}},
	} {
		n, err := calls(c.ps...)
		if n != c.want {
			t.Errorf("%s: %d calls at the leaf, want %d", c.name, n, c.want)
		}
		wantIs(t, err, retry.ErrExhausted, errBoom)
	}
}
