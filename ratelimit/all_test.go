package ratelimit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestAllTakesFromEachOrFromNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		quick, slow := ratelimit.New(10, 1), ratelimit.New(1, 2)
		both := ratelimit.All(quick, slow)
		for i := range 4 {
			s.call(bg, both, i, nil)
		}
		time.Sleep(500 * ms)
		s.call(bg, quick, 4, nil) // those who wait for the slow one hold nothing of the quick one
		s.expect(0, 100*ms, 1000*ms, 2000*ms, 500*ms)
	})
}

func TestAllIsPausedByItsMembersButPausesOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		crawl, host := ratelimit.New(rate.Inf, 1), ratelimit.New(rate.Inf, 1)
		both := ratelimit.All(crawl, host)
		crawl.Pause(time.Second)
		s.call(bg, both, 0, says(0, 2*time.Second))
		time.Sleep(1500 * ms)
		s.call(bg, crawl, 1, nil)
		s.call(bg, both, 2, nil)
		s.expect(1000*ms, 1500*ms, 3000*ms)
	})
}

func TestWhatTheOwnerOfABucketChangesIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t)
		bucket := rate.NewLimiter(.01, 1)
		l := ratelimit.From(bucket)
		s.call(bg, l, 0, nil)
		s.call(bg, l, 1, nil)
		time.Sleep(500 * ms)
		bucket.SetLimit(100)
		s.expect(0, 1000*ms)
	})
}

func TestShadowCountsAndEnforcesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 2, ratelimit.Shadow(), ratelimit.MaxWait(200*ms))
		for i := range 6 {
			s.call(bg, l, i, nil)
		}
		s.expect(0, 0, 0, 0, 0, 0)
		want := ratelimit.Stats{Immediate: 2, Delayed: 2, Refused: 2, Waited: 300 * ms}
		if got := l.Stats(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		time.Sleep(400 * ms)
		l.Pause(150 * ms)
		s.call(bg, l, 6, nil)
		want.Delayed, want.Waited = want.Delayed+1, want.Waited+150*ms
		if got := l.Stats(); got != want || s.now() != 400*ms {
			t.Errorf("got %v at %v, want %v", got, s.now(), want)
		}
	})
}

func TestStatsTellWhatBecameOfEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 1)
		ctx, cancel := context.WithCancel(bg)
		short, stop := context.WithTimeout(bg, ms)
		defer stop()
		s.call(bg, l, 0, nil)
		s.call(bg, l, 1, nil)
		s.call(ctx, l, 2, nil)
		s.call(short, l, 3, nil)
		cancel()
		s.expect(0, 100*ms, never, never)
		want := ratelimit.Stats{Immediate: 1, Delayed: 1, Refused: 1, Abandoned: 1, Waited: 100 * ms}
		if got := l.Stats(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestIdleWhenForgettingChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ratelimit.New(10, 1)
		step := func(at string, want bool) {
			t.Helper()
			if got := l.Idle(); got != want {
				t.Errorf("%s: idle %v, want %v", at, got, want)
			}
		}
		step("new", true)
		_ = retry.Run(bg, l, nop)
		step("a token is out", false)
		time.Sleep(100 * ms)
		step("full again", true)
		l.Pause(time.Second)
		step("paused", false)
		time.Sleep(time.Second)
		step("the pause has passed", true)
	})
}

func TestObserversHearOfWaitsRefusalsAndPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kinds []retry.Kind
		var waited retry.Event
		watch := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind != retry.KindCall && e.Kind != retry.KindDone {
				kinds = append(kinds, e.Kind)
			}
			if e.Kind == retry.KindWait {
				waited = e
			}
		})
		l := ratelimit.New(10, 1, ratelimit.MaxWait(time.Second))
		p := retry.Chain(watch, l)
		_ = retry.Run(bg, p, nop)
		_ = retry.Run(bg, p, says(0, time.Minute))
		if err := retry.Run(bg, p, nop); !errors.Is(err, ratelimit.ErrLimited) {
			t.Errorf("got %v", err)
		}
		if len(kinds) != 3 || kinds[0] != retry.KindWait || kinds[1] != retry.KindChange || kinds[2] != retry.KindReject {
			t.Errorf("heard of %v", kinds)
		}
		if waited.Wait != 100*ms || waited.Took != 100*ms {
			t.Errorf("asked %v, took %v", waited.Wait, waited.Took)
		}
	})
}
