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
			return retry.Run(ctx, hears{got: &inner, since: time.Hour},
				func(ctx context.Context) error {
					derived, cancel := context.WithTimeout(ctx, time.Minute)
					defer cancel()
					if retry.Attempt(ctx) == 2 {
						retry.Report(derived,
							retry.Quota{Limit: 10, Remaining: 2, Reset: 5 * time.Second})
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
			// An inner Do does not hear what was said before it.
			{inner, []retry.Quota{none, {Limit: 10, Remaining: 2, Reset: 4 * time.Second}}},
			// What an inner Do heard stays there.
			{middle, []retry.Quota{{Limit: 10, Remaining: 3, Reset: 19 * time.Second}, none}},
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
		_ = retry.Run(t.Context(), retry.Chain(twice, hears{got: &got}),
			func(ctx context.Context) error {
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
	retry.Report(t.Context(), retry.Quota{Limit: 1}) // outside a Do: nothing happens
	if _, ok := retry.Reported(t.Context(), time.Time{}); ok {
		t.Error("heard outside of a Do")
	}
}

func TestWhichReportHolds(t *testing.T) {
	tight := retry.Quota{Limit: 10, Remaining: 1, Reset: 10 * time.Second}
	loose := retry.Quota{Limit: 1000, Remaining: 900, Reset: 10 * time.Second}
	spent := retry.Quota{Limit: 5, Reset: time.Second}
	silent := retry.Quota{Limit: -1}
	report := func(qs ...retry.Quota) func(context.Context) {
		return func(ctx context.Context) {
			for _, q := range qs {
				retry.Report(ctx, q)
			}
		}
	}
	in := func(p retry.Policy, call func(context.Context)) func(context.Context) {
		return func(ctx context.Context) {
			_ = retry.Run(ctx, p, func(ctx context.Context) error { call(ctx); return nil })
		}
	}
	valued := func(call func(context.Context)) func(context.Context) {
		return func(ctx context.Context) {
			_, _ = retry.Do(ctx, retry.Chain(), func(ctx context.Context) (int, error) {
				call(ctx)
				return 1, nil
			})
		}
	}
	shield := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		err := next.Do(ctx)
		retry.Shield(ctx)
		return err
	})
	says := func(q retry.Quota) retry.Policy {
		return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			retry.Report(ctx, q)
			return next.Do(ctx)
		})
	}
	for name, tc := range map[string]struct {
		inside retry.Policy
		call   func(context.Context)
		want   retry.Quota
	}{
		"the one that binds":      {nil, report(loose, tight, loose), tight},
		"nothing left binds most": {nil, report(tight, spent, loose), spent},
		"of two attempts the newer": {
			again(2), func(ctx context.Context) {
				report([]retry.Quota{tight, loose}[retry.Attempt(ctx)-1])(ctx)
			}, loose},
		"another Do's stays its own":  {nil, in(again(1), report(tight)), silent},
		"so does an empty chain's":    {nil, in(retry.Chain(), report(tight)), silent},
		"and with a value":            {nil, valued(report(tight)), silent},
		"without a chain it is ours":  {nil, in(nil, report(tight)), tight},
		"a container shields":         {shield, report(tight), silent},
		"and what came before it too": {retry.Chain(again(1), shield), report(tight), silent},
		"but not what was said around it": {
			retry.Chain(says(tight), again(1), shield), report(), tight,
		},
		"thousands are few": {nil, func(ctx context.Context) {
			report(spent)(ctx)
			for range 5000 {
				retry.Report(ctx, spent)
			}
		}, spent},
	} {
		for _, first := range []bool{false, true} {
			if first {
				retry.NothingNoticed()
			}
			synctest.Test(t, func(t *testing.T) {
				var got []retry.Quota
				err := retry.Run(t.Context(), retry.Chain(hears{got: &got}, tc.inside),
					func(ctx context.Context) error { tc.call(ctx); return nil })
				if err != nil || len(got) != 1 || got[0] != tc.want {
					t.Errorf("%s, the first report %v: heard %v, want %v",
						name, first, got, tc.want)
				}
			})
		}
	}
}
