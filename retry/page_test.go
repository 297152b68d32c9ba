package retry_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

type ownContext struct{ context.Context }

func (ownContext) Page() uint64 { return 7 }
func (c ownContext) Value(key any) any {
	if key == (retry.PageKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func TestPageOf(t *testing.T) {
	bg := context.Background()
	for name, c := range map[string]struct {
		ctx  context.Context
		want uint64
	}{
		"not said":              {bg, 0},
		"by WithPage":           {retry.WithPage(bg, 3), 3},
		"the innermost":         {retry.WithPage(retry.WithPage(bg, 3), 4), 4},
		"by a context's method": {ownContext{bg}, 7},
		"of another type":       {context.WithValue(bg, retry.PageKey{}, "x"), 0},
	} {
		if got := retry.PageOf(c.ctx); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		within := retry.Run(c.ctx,
			retry.Chain(retry.Observe(func(context.Context, retry.Event) {})),
			func(ctx context.Context) error {
				if got := retry.PageOf(ctx); got != c.want {
					t.Errorf("%s, inside a chain: %d, want %d", name, got, c.want)
				}
				return nil
			})
		if within != nil {
			t.Error(within)
		}
	}
}

type hearer struct {
	context.Context
	times *int
}

func (h hearer) Answered() { *h.times++; retry.Answered(h.Context) }
func (h hearer) Value(key any) any {
	if key == (retry.AnswerKey{}) {
		return h
	}
	return h.Context.Value(key)
}

func TestAnsweredReachesEveryHearerAround(t *testing.T) {
	var outer, inner int
	hears := func(times *int) retry.Policy {
		return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			return next.Do(hearer{ctx, times})
		})
	}
	err := retry.Run(t.Context(), retry.Chain(hears(&outer), hears(&inner)),
		func(ctx context.Context) error {
			retry.Answered(ctx)
			return nil
		})
	if err != nil || outer != 1 || inner != 1 {
		t.Errorf("outer %d, inner %d, %v", outer, inner, err)
	}
	retry.Answered(t.Context()) // nobody hears
}
