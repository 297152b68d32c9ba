package retry_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

func TestARemoteAttemptIsInsideALoop(t *testing.T) {
	if retry.RemoteLoop(t.Context()) {
		t.Error("without one")
	}
	for _, tc := range []struct{ n, want int }{{3, 3}, {1, 1}, {0, 1}, {-5, 1}} {
		ctx := retry.WithRemoteAttempt(t.Context(), tc.n)
		if a, d := retry.Attempt(ctx), retry.Depth(ctx); a != tc.want || d != 1 ||
			!retry.RemoteLoop(ctx) {
			t.Errorf("%d: attempt %d, depth %d", tc.n, a, d)
		}
		_ = retry.Run(ctx, again(1), func(ctx context.Context) error {
			if a, d := retry.Attempt(ctx), retry.Depth(ctx); a != 1 || d != 2 ||
				!retry.RemoteLoop(ctx) {
				t.Errorf("in a loop inside: attempt %d, depth %d", a, d)
			}
			return nil
		})
	}
}

func TestObserversStayAroundARemoteAttempt(t *testing.T) {
	var rec retry.Record
	_ = retry.Run(t.Context(), retry.Observe(rec.Add), func(ctx context.Context) error {
		retry.Emit(retry.WithRemoteAttempt(ctx, 2),
			retry.Event{Kind: retry.KindReject, Policy: "p"})
		return nil
	})
	for _, e := range rec.Events() {
		if e.Kind == retry.KindReject && e.Attempt == 2 && e.Depth == 1 {
			return
		}
	}
	t.Errorf("not told: %v", &rec)
}

type spentSaid bool

func (spentSaid) Error() string        { return "told" }
func (t spentSaid) RetriesSpent() bool { return bool(t) }

func TestSpent(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":   {nil, false},
		"a failure": {errBoom, false},
		"all attempts": {
			&retry.Error{Reason: retry.ErrExhausted, Attempts: 3, Last: errBoom}, true},
		"wrapped": {
			fmt.Errorf("loading: %w", &retry.Error{Reason: retry.ErrExhausted, Attempts: 2}), true},
		"no attempt repeated": {
			&retry.Error{Reason: retry.ErrExhausted, Attempts: 1, Last: errBoom}, false},
		"a final answer": {
			&retry.Error{Reason: retry.ErrPermanent, Attempts: 2, Last: errBoom}, false},
		"the callee's own loop": {retry.Permanent(spentSaid(true)), true},
		"the callee has none":   {retry.Permanent(spentSaid(false)), false},
	} {
		if got := retry.Spent(tc.err); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
