package ratelimit_test

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestSleepersAreReplannedInOrder(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ratelimit.Limiter)
		want   []time.Duration
	}{
		{"raised", func(l *ratelimit.Limiter) { l.SetLimit(10) },
			[]time.Duration{0, 550 * ms, 650 * ms, 750 * ms}},
		{"lowered", func(l *ratelimit.Limiter) { l.SetLimit(.5) },
			[]time.Duration{0, 1500 * ms, 3500 * ms, 5500 * ms}},
		{"lifted", func(l *ratelimit.Limiter) { l.SetLimit(rate.Inf) },
			[]time.Duration{0, 500 * ms, 500 * ms, 500 * ms}},
		{"stopped", func(l *ratelimit.Limiter) { l.SetLimit(0) },
			[]time.Duration{0, never, never, never}},
		{"broken", func(l *ratelimit.Limiter) { l.SetLimit(-1) },
			[]time.Duration{0, never, never, never}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(1, 1)
				for i := range 4 {
					s.call(bg, l, i, nil)
				}
				time.Sleep(500 * ms)
				c.change(l)
				synctest.Wait()
				s.expect(c.want...)
			})
		})
	}
	for name, spoil := range map[string]func(*ratelimit.Limiter){
		"NaN":      func(l *ratelimit.Limiter) { l.SetLimit(rate.Limit(math.NaN())) },
		"negative": func(l *ratelimit.Limiter) { l.SetLimit(-1) },
		"no burst": func(l *ratelimit.Limiter) { l.SetBurst(0) },
	} {
		t.Run("broken, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(1, 1)
				s.call(bg, l, 0, nil)
				err := s.call(bg, l, 1, nil)
				spoil(l)
				s.expect(0, never)
				want := (ratelimit.Counts{Immediate: 1, Refused: 1})
				if !errors.Is(*err, retry.ErrConfig) || s.now() != 0 || l.Counts() != want {
					t.Errorf("got %v at %v, %v", *err, s.now(), l.Counts())
				}
			})
		})
	}
	t.Run("a call that no longer fits is rejected at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(1, 1, ratelimit.MaxWait(3*time.Second))
			var errs []*error
			for i := range 4 {
				errs = append(errs, s.call(bg, l, i, nil))
			}
			l.SetLimit(.5)
			synctest.Wait()
			if !errors.Is(*errs[2], ratelimit.ErrLimited) || s.now() != 0 {
				t.Errorf("got %v at %v", *errs[2], s.now())
			}
			s.expect(0, 2000*ms, never, never)
			if got := l.Counts().Refused; got != 2 {
				t.Errorf("%d counted as refused, want 2", got)
			}
		})
	})
}

func TestSetBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(1, 1)
		s.call(bg, l, 0, nil)
		s.call(bg, l, 1, nil)
		l.SetBurst(3)
		time.Sleep(10 * time.Second)
		for i := range 4 {
			s.call(bg, l, 2+i, nil)
		}
		s.expect(0, time.Second, 10*time.Second, 10*time.Second, 10*time.Second, 11*time.Second)
		if l.Burst() != 3 || l.Limit() != 1 {
			t.Errorf("burst %d, limit %v", l.Burst(), l.Limit())
		}
	})
}

// A limit that is set wrong and then right again leaves no debt, and its bucket still counts its
// tokens.
func TestSetRightAgainItLimits(t *testing.T) {
	nan, inf := rate.Limit(math.NaN()), rate.Limit(math.Inf(1))
	set := func(change func(*ratelimit.Limiter)) *ratelimit.Limiter {
		l := ratelimit.New(1, 1)
		change(l)
		return l
	}
	for name, spoilt := range map[string]func() *ratelimit.Limiter{
		"NaN": func() *ratelimit.Limiter {
			return set(func(l *ratelimit.Limiter) { l.SetLimit(nan) })
		},
		"made with NaN": func() *ratelimit.Limiter { return ratelimit.New(nan, 1) },
		"-Inf": func() *ratelimit.Limiter {
			return set(func(l *ratelimit.Limiter) { l.SetLimit(-inf) })
		},
		"infinite": func() *ratelimit.Limiter {
			return set(func(l *ratelimit.Limiter) { l.SetLimit(inf) })
		},
		"a bucket of +Inf": func() *ratelimit.Limiter {
			return ratelimit.From(rate.NewLimiter(inf, 1))
		},
		"burst below 0": func() *ratelimit.Limiter {
			return set(func(l *ratelimit.Limiter) { l.SetBurst(-5) })
		},
		"made with a burst -5": func() *ratelimit.Limiter { return ratelimit.New(1, -5) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := spoilt()
				for range 2 {
					_ = retry.Run(bg, l, nop)
				}
				l.SetBurst(1)
				l.SetLimit(1)
				time.Sleep(time.Second)
				s := newScript(t)
				for i := range 4 {
					s.call(bg, l, i, nil)
				}
				s.expect(0, 1*time.Second, 2*time.Second, 3*time.Second)
			})
		})
	}
}
