package policies_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestNestedLoops(t *testing.T) {
	three := func(opts ...policies.Option) retry.Policy { return policies.Constant(0, opts...) }
	calls := func(ps ...retry.Policy) (n int, err error) {
		_, err = retry.Do(t.Context(), retry.Chain(ps...), func(context.Context) (int, error) {
			n++
			return n, errBoom
		})
		return n, err
	}
	for _, c := range []struct {
		name string
		want int
		ps   []retry.Policy
	}{
		{"as written", 27, []retry.Policy{three(), three(), three()}},
		{"outermost only", 3, []retry.Policy{three(), three(policies.OutermostOnly()),
			three(policies.OutermostOnly())}},
		{"outermost only, alone", 3, []retry.Policy{three(policies.OutermostOnly())}},
		{"at most 5", 5, []retry.Policy{three(policies.MaxCalls(5)), three(), three()}},
		{"at most 1", 1, []retry.Policy{three(policies.MaxCalls(1)), three(), three()}},
		{"inner cap", 6, []retry.Policy{three(), three(policies.MaxCalls(2)), three()}},
		{"both caps", 5,
			[]retry.Policy{three(policies.MaxCalls(5)), three(policies.MaxCalls(2)), three()}},
		{"cap not reached", 27, []retry.Policy{three(policies.MaxCalls(100)), three(), three()}},
	} {
		n, err := calls(c.ps...)
		if n != c.want {
			t.Errorf("%s: %d calls at the leaf, want %d", c.name, n, c.want)
		}
		wantIs(t, err, retry.ErrExhausted, errBoom)
	}
}

// An attempt that makes calls at the same time, each in a loop: the calls at the leaf are counted
// exactly.
func TestMaxCallsOverConcurrentLoops(t *testing.T) {
	for _, c := range []struct {
		name  string
		most  int
		inner retry.Policy
		want  int64
	}{
		{"one call", 1, policies.Constant(0), 1},
		{"ends within the first attempt", 29, policies.Constant(0), 29},
		{"ends with the first attempt", 30, policies.Constant(0), 30},
		{"ends within the second", 50, policies.Constant(0), 50},
		{"one less than all", 89, policies.Constant(0), 89},
		{"more than all", 1000, policies.Constant(0), 90},
		{"inner caps too", 50, policies.Constant(0, policies.MaxCalls(2)), 50},
		{"inner caps bind", 1000, policies.Constant(0, policies.MaxCalls(2)), 60},
		{"without loops inside", 1000, retry.Chain(), 30},
	} {
		outer := policies.Constant(0, policies.MaxCalls(c.most))
		for range 50 {
			var leaf atomic.Int64
			err := retry.Run(t.Context(), outer, func(ctx context.Context) error {
				return together(10, func() error {
					return retry.Run(ctx, c.inner, func(context.Context) error {
						leaf.Add(1)
						return errBoom
					})
				})
			})
			wantIs(t, err, retry.ErrExhausted, errBoom)
			if n := leaf.Load(); n != c.want {
				t.Fatalf("%s: %d calls at the leaf, want %d", c.name, n, c.want)
			}
		}
	}
}

// A rejected call does not count: what it had taken goes to others, and never more calls than the
// cap are made.
func TestMaxCallsOverConcurrentRefusals(t *testing.T) {
	const most = 40
	outer := policies.Constant(0, policies.MaxCalls(most), policies.Unlimited())
	for range 50 {
		var leaf, asked atomic.Int64
		inner := retry.Chain(policies.Constant(0),
			retry.Gate(func(context.Context) (func(error), error) {
				if asked.Add(1)%2 == 0 {
					return nil, &retry.Rejection{Policy: "every other", Reason: errOpen}
				}
				return nil, nil
			}))
		_ = retry.Run(t.Context(), outer, func(ctx context.Context) error {
			_ = together(10, func() error {
				return retry.Run(ctx, inner, func(context.Context) error {
					leaf.Add(1)
					return errBoom
				})
			})
			return errBoom
		})
		// the last of them may have met a call that was about to be given back
		if n := leaf.Load(); n > most || n < most-10 {
			t.Fatalf("%d calls at the leaf, want %d", n, most)
		}
	}
}

// together runs f so many times at once, and returns what they failed with.
func together(n int, f func() error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = f() })
	}
	all.Wait()
	return errors.Join(errs...)
}
