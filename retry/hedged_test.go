package retry_test

import (
	"context"
	"slices"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

// hedge makes three calls of one attempt, one after the other, as if beside each other.
func hedge(ctx context.Context, see func(context.Context)) {
	see(ctx)
	see(retry.Hedged(ctx, 1))
	see(retry.Hedged(ctx, 2))
}

func TestAttemptCountsHedgesAndAttempts(t *testing.T) {
	observed := retry.Observe(func(context.Context, retry.Event) {})
	for name, tc := range map[string]struct {
		chain retry.Policy
		want  []int
	}{
		"without a chain":            {nil, []int{1, 2, 3}},
		"without a loop":             {retry.Chain(observed), []int{1, 2, 3}},
		"in a loop":                  {again(3), []int{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		"in a loop, observed around": {retry.Chain(observed, again(2)), []int{1, 2, 3, 4, 5, 6}},
		"in a loop, observed inside": {retry.Chain(again(2), observed), []int{1, 2, 3, 4, 5, 6}},
		"in the inner of two loops": {
			retry.Chain(again(2), again(2)), []int{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6}},
	} {
		var got []int
		err := retry.Run(t.Context(), tc.chain, func(ctx context.Context) error {
			hedge(ctx, func(ctx context.Context) { got = append(got, retry.Attempt(ctx)) })
			return nil
		})
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: attempts %v, want %v (%v)", name, got, tc.want, err)
		}
	}
}

func TestAnOuterLoopDoesNotCountTheHedgesOfAnInnerOne(t *testing.T) {
	var outer []int
	see := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		outer = append(outer, retry.Attempt(ctx))
		return next.Do(ctx)
	})
	_ = retry.Run(t.Context(), retry.Chain(again(2), see, again(2)),
		func(ctx context.Context) error {
			hedge(ctx, func(context.Context) {})
			return nil
		})
	if !slices.Equal(outer, []int{1, 2}) {
		t.Errorf("%v", outer)
	}
}
