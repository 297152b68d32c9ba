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
	t.Run("a policy finds itself, and where", func(t *testing.T) {
		marked := map[any]bool{}
		ofB := func(policy, in any) bool { return policy == b && marked[in] }
		in(t.Context(), b, func(ctx context.Context) {
			if p, _ := retry.Holder(ctx, ofB); p != nil {
				t.Errorf("found %v, which the policy does not know", p)
			}
		})
		holds := func(mark func(*retry.Held, context.Context) any) retry.Policy {
			return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				var h retry.Held
				in := mark(&h, ctx)
				marked[in] = true
				defer h.Leave()
				defer delete(marked, in)
				return next.Do(ctx)
			})
		}
		for name, p := range map[string]retry.Policy{
			"entered": holds(func(h *retry.Held, ctx context.Context) any {
				return h.Enter(ctx, b)
			}),
			"stays": holds(func(h *retry.Held, ctx context.Context) any { return h.Stay(ctx, b) }),
		} {
			_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
				in(ctx, a, func(ctx context.Context) {
					if p, in := retry.Holder(ctx, ofB); p != b || !marked[in] {
						t.Errorf("%s: found %v in %v", name, p, in)
					}
				})
				return nil
			})
		}
		if p, _ := retry.Holder(t.Context(), ofB); p != nil {
			t.Errorf("found %v outside", p)
		}
	})
	t.Run("only the first mark of a Do stays, and hides nothing around", func(t *testing.T) {
		stay := func(ctx context.Context) bool {
			var h retry.Held
			return h.Stay(ctx, a) != nil
		}
		if stay(t.Context()) {
			t.Error("stays without a Do")
		}
		_ = retry.Run(t.Context(), again(1), func(ctx context.Context) error {
			in(ctx, b, func(ctx context.Context) {
				_ = retry.Run(ctx, again(1), func(ctx context.Context) error {
					if !stay(ctx) || stay(ctx) {
						t.Error("inside another Do: want that the first stays, the second does not")
					}
					want(t, ctx, b, true, true)
					return nil
				})
			})
			if !stay(ctx) || stay(ctx) {
				t.Error("want that the first stays and the second does not")
			}
			want(t, ctx, b, false, false)
			in(ctx, b, func(ctx context.Context) { want(t, ctx, b, true, true) })
			return nil
		})
	})
	t.Run("out of order", func(t *testing.T) {
		_ = retry.Run(t.Context(),
			retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
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
