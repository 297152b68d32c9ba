package ratelimit_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestARejectionTellsTheLimitAndWhatIsLeft(t *testing.T) {
	for _, c := range []struct {
		name  string
		l     *ratelimit.Limiter
		do    func(*script, *ratelimit.Limiter)
		n     int // tokens of the call that is rejected
		quota retry.Quota
		after time.Duration
	}{
		{"nothing left", ratelimit.New(10, 2, ratelimit.MaxWait(0)),
			func(s *script, l *ratelimit.Limiter) {
				s.call(bg, l.N(2), 0, nil)
				time.Sleep(30 * ms)
			}, 1, retry.Quota{Limit: 2, Window: 200 * ms, Reset: 70 * ms}, 70 * ms},
		{"too little left", ratelimit.New(10, 5, ratelimit.MaxWait(0)),
			func(s *script, l *ratelimit.Limiter) {
				s.call(bg, l.N(3), 0, nil)
			}, 4, retry.Quota{Limit: 5, Remaining: 2, Window: 500 * ms, Reset: 100 * ms}, 200 * ms},
		{"the line has it", ratelimit.New(1, 3, ratelimit.MaxWait(2*time.Second)),
			func(s *script, l *ratelimit.Limiter) {
				s.call(bg, l, 0, nil)
				s.call(bg, l.N(3), 1, nil)
				s.call(bg, l, 2, nil)
			}, 1, retry.Quota{Limit: 3, Window: 3 * time.Second, Reset: 3 * time.Second},
			3 * time.Second},
		{"paused", ratelimit.New(1, 3, ratelimit.MaxWait(0)),
			func(s *script, l *ratelimit.Limiter) {
				l.Pause(time.Minute)
			}, 1, retry.Quota{Limit: 3, Window: 3 * time.Second, Reset: time.Minute}, time.Minute},
		{"limit 0", ratelimit.New(0, 3), func(s *script, l *ratelimit.Limiter) {
			s.call(bg, l.N(3), 0, nil)
		}, 1, retry.Quota{Limit: 3}, 0},
		{"no limit, paused", ratelimit.New(rate.Inf, 3, ratelimit.MaxWait(0)),
			func(s *script, l *ratelimit.Limiter) {
				l.Pause(time.Minute)
			}, 1, retry.Quota{}, time.Minute},
		{"All tells the one that binds",
			ratelimit.All(ratelimit.New(10, 9, ratelimit.MaxWait(0)), ratelimit.New(1, 2)),
			func(s *script, l *ratelimit.Limiter) {
				s.call(bg, l.N(2), 0, nil)
			}, 1, retry.Quota{Limit: 2, Window: 2 * time.Second, Reset: time.Second}, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				c.do(s, c.l)
				r, ok := retry.Rejected(retry.Run(bg, c.l.N(c.n), nop))
				if !ok || r.Quota != c.quota || r.RetryAfter != c.after {
					t.Errorf("got %+v, want %+v after %v", r, c.quota, c.after)
				}
				s.wg.Wait()
			})
		})
	}
}

func TestAdmissionsAreToldWithWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []retry.Event
		watch := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindAdmit {
				told = append(told, e)
			}
		})
		chain := retry.Chain(watch, ratelimit.New(10, 3, ratelimit.Named("catalog")))
		for range 3 {
			_ = retry.Run(bg, chain, func(context.Context) error {
				if len(told) == 0 {
					t.Error("told only after the call")
				}
				return nil
			})
		}
		_ = retry.Run(bg, retry.Chain(watch, ratelimit.New(10, 3, ratelimit.Shadow())), nop)
		if len(told) != 3 {
			t.Fatalf("told of %d admissions, want 3", len(told))
		}
		for i, e := range told {
			want := retry.Quota{Limit: 3, Remaining: 2 - i, Window: 300 * ms, Reset: 100 * ms}
			if e.Quota != want || e.Policy != "limiter catalog" {
				t.Errorf("call %d: %s %+v, want %+v", i, e.Policy, e.Quota, want)
			}
		}
	})
}

func TestNames(t *testing.T) {
	catalog, crawl := ratelimit.New(10, 5, ratelimit.Named("catalog")),
		ratelimit.New(100, 50, ratelimit.Named("crawl"))
	named := func(p retry.Policy) string { return p.(interface{ Name() string }).Name() }
	for _, c := range []struct {
		policy     retry.Policy
		name, text string
	}{
		{ratelimit.New(10, 5), "", "limiter(10/s, burst 5)"},
		{catalog, "catalog", "limiter catalog(10/s, burst 5)"},
		{ratelimit.From(rate.NewLimiter(.5, 1), ratelimit.Named("a b")), "a b",
			"limiter a b(0.5/s, burst 1)"},
		{catalog.N(3), "catalog", "limiter catalog(10/s, burst 5, 3 tokens a call)"},
		{ratelimit.All(catalog, ratelimit.New(rate.Inf, 1), crawl), "catalog+crawl",
			"limiter catalog+crawl(10/s, burst 5; no limit; 100/s, burst 50)"},
		{ratelimit.New(rate.Inf, 1, ratelimit.Named("x")), "x", "limiter x(no limit)"},
	} {
		if named(c.policy) != c.name || retry.Describe(c.policy) != c.text {
			t.Errorf("got %q, %q, want %q, %q", named(c.policy), retry.Describe(c.policy), c.name,
				c.text)
		}
	}
	var paths []string
	retry.Walk(retry.Chain(catalog.N(3)), func(path string, _ retry.Policy) bool {
		paths = append(paths, path)
		return true
	})
	if got := strings.Join(paths, " "); got != "limiter catalog limiter catalog/limiter catalog" {
		t.Errorf("a walk finds %s", got)
	}
	_ = retry.Run(bg, ratelimit.New(0, 1), nop)
	used := ratelimit.New(0, 1, ratelimit.Named("used"))
	_ = retry.Run(bg, used, nop)
	if err := retry.Run(bg, used, nop); err == nil || err.Error() != "limiter used: rate limited" {
		t.Errorf("got %v", err)
	}
}

func TestConfigurationErrorsNameTheOptionTheValueAndWhatItMustBe(t *testing.T) {
	nan := rate.Limit(math.NaN())
	set := func(change func(*ratelimit.Limiter)) *ratelimit.Limiter {
		l := ratelimit.New(1, 1)
		change(l)
		return l
	}
	good := ratelimit.New(1, 1, ratelimit.Named("good"))
	for want, p := range map[string]retry.Policy{
		"ratelimit.New: limit -1: must be a number, not negative":  ratelimit.New(-1, 1),
		"ratelimit.New: limit NaN: must be a number, not negative": ratelimit.New(nan, 1),
		"ratelimit.New: burst -5: must be at least 1":              ratelimit.New(1, -5),
		"ratelimit.From: limit -2: must be a number, not negative": ratelimit.From(
			rate.NewLimiter(-2, 1)),
		"ratelimit.From: bucket nil: must be made by rate.NewLimiter": ratelimit.From(nil),
		"ratelimit.New: MaxWait(-1s): must not be negative": ratelimit.New(1, 1,
			ratelimit.MaxWait(-time.Second)),
		"ratelimit.New: HintCap(-1ns): must not be negative": ratelimit.New(1, 1,
			ratelimit.HintCap(-1)),
		"ratelimit.New: MaxRate(5): must not be given here": ratelimit.New(1, 1,
			ratelimit.MaxRate(5)),
		"ratelimit.New: Option{}: must be made by a function of this package": ratelimit.New(1, 1,
			ratelimit.Option{}),
		"ratelimit.NewPacer: Shadow(): must not be given here": ratelimit.NewPacer(
			ratelimit.Shadow()),
		"ratelimit.NewPacer: StartRate(-1): must be a positive number": ratelimit.NewPacer(
			ratelimit.StartRate(-1)),
		"ratelimit.NewPacer: MaxInFlight(0): must be at least 1": ratelimit.NewPacer(
			ratelimit.MaxInFlight(0)),
		"ratelimit.NewPacer: Refused(nil): must be a function": ratelimit.NewPacer(
			ratelimit.Refused(nil)),
		"ratelimit.SetLimit: limit NaN: must be a number, not negative": set(
			func(l *ratelimit.Limiter) { l.SetLimit(nan) }),
		"ratelimit.SetBurst: burst 0: must be at least 1": set(
			func(l *ratelimit.Limiter) { l.SetBurst(0) }),
		"ratelimit: N(0): must be at least 1":                           good.N(0),
		"ratelimit: zero Limiter: must be made by New, From or All":     &ratelimit.Limiter{},
		"ratelimit: nil Limiter: must be made by New, From or All":      (*ratelimit.Limiter)(nil),
		"ratelimit.All: no limiters: must be at least one":              ratelimit.All(),
		"ratelimit.All: nil limiter: must be made by New, From or All":  ratelimit.All(good, nil),
		"ratelimit.All: limiter good twice: must be different limiters": ratelimit.All(good, good),
		"ratelimit.All: Shadow(): must be given to all limiters or to none": ratelimit.All(good,
			ratelimit.New(1, 1, ratelimit.Shadow())),
		"ratelimit.New: MaxWait(-1s): must not be negative; " +
			"HintCap(-1s): must not be negative": ratelimit.New(1, 1,
			ratelimit.MaxWait(-time.Second), ratelimit.HintCap(-time.Second)),
	} {
		if err := retry.Validate(p); !errors.Is(err, retry.ErrConfig) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// Whatever is called on a limiter that was never made, it says so or does nothing.
func TestEveryMethodOfANilAndAZeroLimiterIsSafe(t *testing.T) {
	for name, l := range map[string]*ratelimit.Limiter{"nil": nil, "zero": {}} {
		l.SetLimit(1)
		l.SetBurst(1)
		l.Pause(time.Second)
		l.Charge(5)
		l.Charge(-5)
		if l.Limit() != 0 || l.Burst() != 0 || l.Counts() != (ratelimit.Counts{}) ||
			l.Stats() != nil || l.Name() != "" {
			t.Errorf("%s: %v, %v, %v, %v, %q", name, l.Limit(), l.Burst(), l.Counts(), l.Stats(),
				l.Name())
		}
		for _, p := range []retry.Policy{l, l.N(2), ratelimit.All(l)} {
			if err := retry.Run(bg, p, nop); !errors.Is(err, retry.ErrConfig) ||
				!errors.Is(retry.Validate(p), retry.ErrConfig) {
				t.Errorf("%s: %v", name, err)
			}
			p.(retry.Idler).Idle()
			if retry.Describe(p) == "" || p.(interface{ Stats() []retry.Stat }).Stats() != nil {
				t.Errorf("%s: %q", name, retry.Describe(p))
			}
		}
	}
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(2, 1)
		s.call(bg, l, 0, nil)
		s.call(bg, l, 1, nil)
		got := map[string]retry.Stat{}
		for _, stat := range l.Stats() {
			got[stat.Name] = stat
		}
		for _, want := range []retry.Stat{
			{Name: "limit", Value: 2, Unit: "1/s"}, {Name: "burst", Value: 1}, {Name: "tokens"},
			{Name: "waiting", Value: 1},
			{Name: "paused", Unit: "s"}, {Name: "immediate", Value: 1}, {Name: "refused"},
		} {
			if got[want.Name] != want {
				t.Errorf("%s: got %+v, want %+v", want.Name, got[want.Name], want)
			}
		}
		s.wg.Wait()
	})
}
