package ratelimit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func pass1(context.Context) error { return nil }

// wakes makes one call of p and returns how long it took and how often p's timer woke it. A line
// that spins is given up.
func wakes(t *testing.T, p retry.Policy) (took time.Duration, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
	defer cancel()
	counting := func(wake func()) *time.Timer {
		timer := time.AfterFunc(time.Hour, func() {
			if n++; n > 100 {
				cancel()
			}
			wake()
		})
		timer.Stop()
		return timer
	}
	switch p := p.(type) {
	case *Limiter:
		_ = p.String() // sees the time, so that the timer that is put in its place is not forgotten
		p.line.timer = counting(p.wake)
	case *Pacer:
		p.State()
		p.line.timer = counting(p.wake)
	}
	start := time.Now()
	if err := retry.Run(ctx, p, pass1); err != nil {
		t.Errorf("%v after %v and %d wakes: %v", p, time.Since(start), n, err)
	}
	return time.Since(start), n
}

// bubble runs f in a time that begins in 2000, later by so much.
func bubble(t *testing.T, later time.Duration, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { time.Sleep(later); f(t) })
}

// Each limit is 10/s and burst 5, and used up by one clock before the next call comes by another.
func TestAClockThatGoesBackCountsAsNoTimePassed(t *testing.T) {
	spend := func(t *testing.T, p retry.Policy) {
		for range 5 {
			if err := retry.Run(t.Context(), p, pass1); err != nil {
				t.Error(err)
			}
		}
	}
	policies := map[string]func() (before, after retry.Policy){
		"New": func() (_, _ retry.Policy) { l := New(10, 5); return l, l },
		"MaxWait": func() (_, _ retry.Policy) {
			l := New(10, 5, MaxWait(time.Second))
			return l, l
		},
		"From":      func() (_, _ retry.Policy) { l := From(rate.NewLimiter(10, 5)); return l, l },
		"All":       func() (_, _ retry.Policy) { l := All(New(10, 5), New(100, 50)); return l, l },
		"All later": func() (_, _ retry.Policy) { l := New(10, 5); return l, All(l, New(100, 50)) },
		"one of All": func() (_, _ retry.Policy) {
			l := New(10, 5)
			return All(l, New(100, 50)), l
		},
		"a bucket that others used": func() (_, _ retry.Policy) {
			b := rate.NewLimiter(10, 5)
			return From(b), From(b)
		},
		"Pacer": func() (_, _ retry.Policy) { p := NewPacer(MaxRate(10)); return p, p },
	}
	for name, make := range policies {
		check := func(t *testing.T, p retry.Policy) {
			t.Helper()
			const most = 102 * time.Millisecond // a pacer scatters
			for range 5 {                       // a slow machine has let a token come
				if took, n := wakes(t, p); took > most || n > 3 {
					t.Errorf("waited %v and woke %d times, want once within %v", took, n, most)
				}
			}
			if took, n := wakes(t, p); took < 95*time.Millisecond || took > most || n < 1 || n > 3 {
				t.Errorf("then waited %v and woke %d times, want once within %v", took, n, most)
			}
		}
		t.Run(name+"/real time, then a bubble", func(t *testing.T) {
			before, after := make()
			spend(t, before)
			bubble(t, 0, func(t *testing.T) { check(t, after) })
		})
		t.Run(name+"/a bubble, then a bubble", func(t *testing.T) {
			before, after := make()
			bubble(t, time.Hour, func(t *testing.T) { spend(t, before) })
			bubble(t, time.Minute, func(t *testing.T) { check(t, after) })
			bubble(t, 0, func(t *testing.T) { check(t, after) })
		})
		t.Run(name+"/a bubble, then real time, then a bubble", func(t *testing.T) {
			before, after := make()
			bubble(t, 0, func(t *testing.T) { spend(t, before) })
			// years have passed, as far as it can know
			spend(t, after)
			if took, n := wakes(t, after); took > 10*time.Second || n > 3 { // a machine may be slow
				t.Errorf("waited %v and woke %d times in real time", took, n)
			}
			bubble(t, 0, func(t *testing.T) { check(t, after) })
		})
	}
}

// A bucket that is ahead by less than a second is found too, however quick it fills.
func TestABucketThatIsALittleAhead(t *testing.T) {
	b := rate.NewLimiter(1e6, 1)
	bubble(t, time.Second/2, func(t *testing.T) { b.Allow() })
	bubble(t, 0, func(t *testing.T) {
		if took, n := wakes(t, From(b)); took != time.Microsecond || n > 3 {
			t.Errorf("waited %v and woke %d times", took, n)
		}
	})
}

func TestAPauseKeepsItsLengthWhenTheClockGoesBack(t *testing.T) {
	within := func(t *testing.T, p retry.Policy) {
		t.Helper()
		if took, n := wakes(t, p); took > time.Hour+2*time.Minute || took < time.Hour-time.Second ||
			n > 3 {
			t.Errorf("paused for %v more with %d wakes, want an hour", took, n)
		}
	}
	for name, make := range map[string]func(t *testing.T) retry.Policy{
		"Limiter": func(*testing.T) retry.Policy { l := New(10, 5); l.Pause(time.Hour); return l },
		"Pacer":   func(t *testing.T) retry.Policy { return parked(t, time.Hour) },
	} {
		t.Run(name+"/real time, then a bubble", func(t *testing.T) {
			p := make(t)
			bubble(t, 0, func(t *testing.T) { within(t, p) })
		})
		t.Run(name+"/a bubble, then a bubble", func(t *testing.T) {
			var p retry.Policy
			bubble(t, time.Hour, func(t *testing.T) { p = make(t) })
			bubble(t, 0, func(t *testing.T) { within(t, p) })
		})
	}
	t.Run("a member of All", func(t *testing.T) {
		m := New(10, 5)
		m.Pause(time.Hour)
		bubble(t, 0, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			if err := retry.Run(ctx, All(m), pass1); err != nil || time.Since(start) > time.Hour {
				t.Errorf("paused for %v, %v", time.Since(start), err)
			}
		})
	})
}

func TestAShadowAndIdleFollowAClockThatGoesBack(t *testing.T) {
	bucket := rate.NewLimiter(10, 1)
	shadow, other, limiter, pacer := New(10, 1, Shadow(), MaxWait(0)), From(bucket), New(10, 1),
		NewPacer(MaxRate(10))
	for _, p := range []retry.Policy{shadow, From(bucket), limiter, pacer} {
		_ = retry.Run(t.Context(), p, pass1)
	}
	limiter.Pause(time.Minute)
	bubble(t, 0, func(t *testing.T) {
		_ = retry.Run(t.Context(), shadow, pass1)
		if s := shadow.Counts(); s.Refused != 1 {
			t.Errorf("at once: %v", s)
		}
		idlers := map[string]retry.Idler{"From": other, "Limiter": limiter, "Pacer": pacer}
		for name, p := range idlers {
			if p.Idle() {
				t.Errorf("%s: idle at once", name)
			}
		}
		time.Sleep(2 * time.Minute)
		_ = retry.Run(t.Context(), shadow, pass1)
		if s := shadow.Counts(); s.Immediate != 2 {
			t.Errorf("later: %v", s)
		}
		for name, p := range idlers {
			if !p.Idle() {
				t.Errorf("%s: never idle again", name)
			}
		}
	})
}

// Time that goes back between two readings of one clock, as an order of calls can make it look, is
// none of that.
func TestALateCallIsNotTakenForAClockThatGoesBack(t *testing.T) {
	bubble(t, time.Minute, func(t *testing.T) {
		l := New(10, 5)
		l.Pause(time.Minute)
		until := l.pause.until
		l.mu.Lock()
		now := l.seen(time.Now().Add(-time.Millisecond))
		l.mu.Unlock()
		if !now.Equal(time.Now()) || !l.pause.until.Equal(until) {
			t.Errorf("now %v, the pause ends at %v", now, l.pause.until)
		}
	})
}

// A line that looks at its bucket every second begins to when it begins.
func TestALineThatIsServedWithinASecondWakesOnce(t *testing.T) {
	for name, l := range map[string]*Limiter{"From": From(rate.NewLimiter(10, 1)),
		"All": All(New(10, 1))} {
		bubble(t, time.Hour, func(t *testing.T) {
			_ = retry.Run(t.Context(), l, pass1)
			if took, n := wakes(t, l); took != 100*time.Millisecond || n != 1 {
				t.Errorf("%s: waited %v and woke %d times", name, took, n)
			}
		})
	}
}
