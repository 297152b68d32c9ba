package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// hears asks for reports as a limiter does.
type hears struct {
	since time.Duration // how long before the call reports count
	got   *[]retry.Quota
}

func (h hears) Do(ctx context.Context, next retry.Next) error {
	since := time.Now().Add(-h.since)
	err := next.Do(ctx)
	q, ok := retry.Reported(ctx, since)
	if !ok {
		q.Limit = -1
	}
	*h.got = append(*h.got, q)
	return err
}

func TestReportsReachEveryPolicyOfTheirDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outer, middle, inner []retry.Quota
		chain := retry.Chain(hears{got: &outer}, again(2), hears{got: &middle})
		err := retry.Run(t.Context(), chain, func(ctx context.Context) error {
			if retry.Attempt(ctx) == 1 {
				retry.Report(ctx, retry.Quota{Limit: 10, Remaining: 3, Reset: 20 * time.Second})
			}
			time.Sleep(time.Second)
			return retry.Run(ctx, hears{got: &inner, since: time.Hour}, func(ctx context.Context) error {
				derived, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				if retry.Attempt(ctx) == 2 {
					retry.Report(derived, retry.Quota{Limit: 10, Remaining: 2, Reset: 5 * time.Second})
					time.Sleep(time.Second)
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		none := retry.Quota{Limit: -1}
		for i, tc := range []struct{ got, want []retry.Quota }{
			{inner, []retry.Quota{none, {Limit: 10, Remaining: 2, Reset: 4 * time.Second}}},   // an inner Do does not hear what was said before it
			{middle, []retry.Quota{{Limit: 10, Remaining: 3, Reset: 19 * time.Second}, none}}, // what an inner Do heard stays there
			{outer, []retry.Quota{{Limit: 10, Remaining: 3, Reset: 17 * time.Second}}},
		} {
			if len(tc.got) != len(tc.want) {
				t.Fatalf("%d: heard %v, want %v", i, tc.got, tc.want)
			}
			for j := range tc.want {
				if tc.got[j] != tc.want[j] {
					t.Errorf("%d.%d: heard %v, want %v", i, j, tc.got[j], tc.want[j])
				}
			}
		}
	})
}

func TestOldAndEmptyReportsAreNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []retry.Quota
		calls := 0
		twice := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			_ = next.Do(ctx)
			time.Sleep(time.Second)
			return next.Do(ctx)
		})
		_ = retry.Run(t.Context(), retry.Chain(twice, hears{got: &got}), func(ctx context.Context) error {
			if calls++; calls == 1 {
				retry.Report(ctx, retry.Quota{Limit: 5})
			}
			retry.Report(ctx, retry.Quota{})
			return nil
		})
		if len(got) != 2 || got[0].Limit != 5 || got[1].Limit != -1 {
			t.Errorf("heard %v", got)
		}
	})
	retry.Report(t.Context(), retry.Quota{Limit: 1}) // outside of a Do: nothing happens
	if _, ok := retry.Reported(t.Context(), time.Time{}); ok {
		t.Error("heard outside of a Do")
	}
}
