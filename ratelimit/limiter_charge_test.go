package ratelimit_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestChargeSettlesAfterwards(t *testing.T) {
	type step struct {
		call   int // tokens of a call; 0: none
		charge int
	}
	for _, c := range []struct {
		name  string
		limit rate.Limit
		burst int
		steps []step
		next  time.Duration // when a call of one token goes after that; never
		full  time.Duration // when the limiter is as new
	}{
		{"within the burst", 1, 5, []step{{1, 3}}, 0, 4 * time.Second},
		{"more than the burst is a debt", 1000, 60_000, []step{{1, 98_999}},
			39_001 * ms, 99 * time.Second},
		{"a debt grows", 1, 2, []step{{2, 3}, {0, 4}}, 8 * time.Second, 9 * time.Second},
		{"a debt is an hour at most", 2, 3, []step{{0, 1_000_000}},
			time.Hour + 500*ms, time.Hour + 1500*ms},
		{"the largest number there is", 2, 3, []step{{0, math.MaxInt}, {0, math.MaxInt}},
			time.Hour + 500*ms, time.Hour + 1500*ms},
		{"limit 0 bears no debt", 0, 5, []step{{1, 9}, {0, -4}}, 0, never},
		{"back what an estimate took too much", 1, 5, []step{{5, -3}}, 0, 2 * time.Second},
		{"back of a debt", 1, 5, []step{{5, 10}, {0, -12}}, 0, 3 * time.Second},
		{"back no more than the burst", 1, 5, []step{{3, 4}, {0, -100}}, 0, 0},
		{"back no more than was charged", 0, 5, []step{{0, 2}, {0, -1}, {0, -2}}, 0, 0},
		{"back what nobody took", 1, 5, []step{{0, -5}, {5, 0}}, time.Second, 5 * time.Second},
		{"the smallest number there is", 1, 5, []step{{5, 0}, {0, math.MinInt}}, 0, 0},
		{"nothing", 1, 5, []step{{5, 0}, {0, 0}}, time.Second, 5 * time.Second},
		{"without limit", rate.Inf, 5, []step{{5, 100}, {0, -7}}, 0, 0},
	} {
		for _, how := range []string{"New", "From", "All"} {
			t.Run(c.name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := ratelimit.New(c.limit, c.burst)
					switch how {
					case "From":
						l = ratelimit.From(rate.NewLimiter(c.limit, c.burst))
					case "All":
						l = ratelimit.All(l, ratelimit.New(rate.Inf, 1))
					}
					for _, step := range c.steps {
						if step.call > 0 {
							if err := retry.Run(bg, l.N(step.call), nop); err != nil {
								t.Fatal(err)
							}
						}
						l.Charge(step.charge)
					}
					if c.full >= 0 {
						within := func(d time.Duration) bool { // without taking anything
							time.Sleep(d)
							return l.Idle()
						}
						if c.full > 0 && within(c.full-ms) || !within(min(c.full, ms)) {
							t.Errorf("not as new after %v: %v", c.full, l.Stats())
						}
						return
					}
					s := newScript(t)
					s.call(bg, l, 0, nil)
					s.expect(c.next)
				})
			})
			t.Run(c.name+"/"+how+", next", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := ratelimit.New(c.limit, c.burst)
					for _, step := range c.steps {
						if step.call > 0 {
							_ = retry.Run(bg, l.N(step.call), nop)
						}
						l.Charge(step.charge)
					}
					s := newScript(t)
					s.call(bg, l, 0, nil)
					s.expect(c.next)
				})
			})
		}
	}
}

func TestAChargeIsFeltByThoseInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(1, 1)
		s.call(bg, l, 0, nil)
		ctx, cancel := context.WithTimeout(bg, 2500*ms)
		defer cancel()
		s.call(ctx, l, 1, nil)
		err := s.call(ctx, l, 2, nil)
		s.call(bg, l, 3, nil)
		l.Charge(1)
		synctest.Wait()
		if wait, _ := retry.RetryAfter(*err); !errors.Is(*err, ratelimit.ErrLimited) ||
			!errors.Is(*err, context.DeadlineExceeded) || wait != 3*time.Second {
			t.Errorf("who does not fit any more: %v", *err)
		}
		time.Sleep(1500 * ms)
		l.Charge(-1)
		s.expect(0, 1500*ms, never, 2500*ms)
	})
}

func TestMoreThanTheBurstIsRefusedForGoodAndSaysWhy(t *testing.T) {
	l := ratelimit.New(10, 60, ratelimit.Named("catalog"))
	for name, p := range map[string]retry.Policy{"N": l.N(5000),
		"All": ratelimit.All(l, ratelimit.New(1, 6000)).N(5000)} {
		err := retry.Run(bg, p, nop)
		if want := "limiter catalog: 5000 tokens are more than the burst of 60"; err == nil ||
			err.Error() != want {
			t.Errorf("%s: got  %v\nwant %s", name, err, want)
		}
		v := retry.VerdictOf(err)
		if !v.Permanent || v.Rejection == nil || !v.Unreached ||
			!errors.Is(err, ratelimit.ErrLimited) || v.Rejection.Quota.Limit != 60 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	synctest.Test(t, func(t *testing.T) { // one that waits when the burst shrinks
		s, l := newScript(t), ratelimit.New(1, 3)
		s.call(bg, l.N(3), 0, nil)
		err := s.call(bg, l.N(3), 1, nil)
		l.SetBurst(2)
		s.expect(0, never)
		if !retry.IsPermanent(*err) ||
			(*err).Error() != "limiter: 3 tokens are more than the burst of 2" {
			t.Errorf("got %v", *err)
		}
	})
}

// What others took of a bucket is not this limiter's to give back.
func TestAChargeGivesBackNoMoreThanThisLimiterTook(t *testing.T) {
	bucket := rate.NewLimiter(0, 10)
	bucket.AllowN(time.Now(), 7)
	l := ratelimit.From(bucket)
	_ = retry.Run(bg, l.N(2), nop)
	// gives its own back
	_ = retry.Run(bg, l.N(1), func(context.Context) error {
		return &retry.Rejection{Policy: "breaker"}
	})
	l.Charge(-100)
	if left := bucket.Tokens(); left != 3 {
		t.Errorf("%v tokens are left, want 3", left)
	}
}
