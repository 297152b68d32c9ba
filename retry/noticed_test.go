package retry_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

// An observer that is made when nothing has been noticed yet hears of an empty chain inside it.
func TestTheFirstObserverHearsTheCallOfAnEmptyChain(t *testing.T) {
	retry.NothingNoticed()
	calls := 0
	if retry.Observed(t.Context()) {
		t.Error("nobody observes")
	}
	seen := retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Kind == retry.KindCall {
			calls++
		}
	})
	one := func(context.Context) (int, error) { return 1, nil }
	_, err := retry.Do(t.Context(), seen, func(ctx context.Context) (int, error) {
		if !retry.Observed(ctx) || !retry.Observed(context.WithoutCancel(ctx)) {
			t.Error("not observed")
		}
		return retry.Do(ctx, retry.Chain(), one)
	})
	if err != nil || calls != 2 {
		t.Errorf("the observer heard of %d calls (%v), want the inner and the outer one",
			calls, err)
	}
}
