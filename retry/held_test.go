package retry_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

func TestHeld(t *testing.T) {
	type policy struct{ name string }
	a, b := &policy{"a"}, &policy{"b"}
	in := func(ctx context.Context, who *policy, f func(context.Context)) {
		p := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			var h retry.Held
			h.Enter(ctx, who)
			defer h.Leave()
			return next.Do(ctx)
		})
		_ = retry.Run(ctx, p, func(ctx context.Context) error { f(ctx); return nil })
	}
	want := func(t *testing.T, ctx context.Context, who *policy, inside, shares bool) func() {
		t.Helper()
		is, unshare := retry.Inside(ctx, who)
		if is != inside || (unshare != nil) != shares {
			t.Errorf("%s: inside %v, may share %v; want %v, %v", who.name, is, unshare != nil,
				inside, shares)
		}
		return unshare
	}
	t.Run("outside of any Do", func(t *testing.T) {
		want(t, t.Context(), a, false, false)
		var h retry.Held
		h.Enter(t.Context(), a)
		h.Leave()
	})
	t.Run("one shares, the next not, until it is over", func(t *testing.T) {
		in(t.Context(), a, func(ctx context.Context) {
			unshare := want(t, ctx, a, true, true)
			want(t, ctx, a, true, false)
			want(t, ctx, b, false, false)
			unshare()
			want(t, ctx, a, true, true)
		})
	})
	t.Run("a nested call that shares lends its share on", func(t *testing.T) {
		in(t.Context(), a, func(ctx context.Context) {
			want(t, ctx, a, true, true)
			in(ctx, a, func(ctx context.Context) {
				want(t, ctx, a, true, true)
				want(t, ctx, a, true, false)
			})
		})
	})
	t.Run("policies of one Do are told apart", func(t *testing.T) {
		in(t.Context(), a, func(ctx context.Context) {
			in(ctx, b, func(ctx context.Context) {
				want(t, ctx, a, true, true)
				want(t, ctx, b, true, true)
			})
			want(t, ctx, b, false, false)
		})
	})
	t.Run("through the nodes between", func(t *testing.T) {
		holds := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			var h retry.Held
			h.Enter(ctx, a)
			defer h.Leave()
			return next.Do(ctx)
		})
		for name, between := range map[string]retry.Policy{
			"an observer":    retry.Observe(func(context.Context, retry.Event) {}),
			"many attempts":  again(9),
			"a loop in loop": retry.Chain(again(2), again(2)),
		} {
			t.Run(name, func(t *testing.T) {
				p := retry.Chain(holds, between)
				_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
					want(t, ctx, a, true, true)()
					want(t, retry.Hedged(ctx, 1), a, true, true)()
					_ = retry.Run(ctx, again(1), func(ctx context.Context) error {
						want(t, ctx, a, true, true)()
						return nil
					})
					return nil
				})
			})
		}
	})
	t.Run("once the call is over nothing is inside, and a Held serves again", func(t *testing.T) {
		var h retry.Held
		var left context.Context
		p := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			h.Enter(ctx, a)
			defer h.Leave()
			return next.Do(ctx)
		})
		for range 2 {
			_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
				left = ctx
				want(t, ctx, a, true, true)
				return nil
			})
			want(t, left, a, false, false)
		}
	})
	t.Run("a policy finds itself, and knows when that call is over", func(t *testing.T) {
		ofB := func(policy any) bool { return policy == b }
		in(t.Context(), b, func(ctx context.Context) {
			in(ctx, a, func(ctx context.Context) {
				if p, _ := retry.Holder(ctx, ofB); p != b {
					t.Errorf("found %v", p)
				}
			})
		})
		if p, _ := retry.Holder(t.Context(), ofB); p != nil {
			t.Errorf("found %v outside", p)
		}
		_ = retry.Run(t.Context(), retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			var h retry.Held
			h.Enter(ctx, b)
			_, entry := retry.Holder(ctx, ofB)
			if entry != h.Entry() {
				t.Errorf("entry %d, want %d", entry, h.Entry())
			}
			h.Leave()
			if entry == h.Entry() {
				t.Error("the entry does not tell that it was left")
			}
			return nil
		}), func(context.Context) error { return nil })
	})
	t.Run("out of order", func(t *testing.T) {
		_ = retry.Run(t.Context(), retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			var first, second retry.Held
			first.Enter(ctx, a)
			second.Enter(ctx, b)
			first.Leave()
			want(t, ctx, a, false, false)
			want(t, ctx, b, true, true)
			second.Leave()
			want(t, ctx, b, false, false)
			return nil
		}), func(context.Context) error { return nil })
	})
}
