package ratelimit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

func TestShadowCountsAndEnforcesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 2, ratelimit.Shadow(), ratelimit.MaxWait(200*ms))
		for i := range 6 {
			s.call(bg, l, i, nil)
		}
		s.expect(0, 0, 0, 0, 0, 0)
		want := ratelimit.Counts{Immediate: 2, Delayed: 2, Refused: 2, Waited: 300 * ms}
		if got := l.Counts(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		time.Sleep(400 * ms)
		l.Pause(150 * ms)
		s.call(bg, l, 6, nil)
		want.Delayed, want.Waited = want.Delayed+1, want.Waited+150*ms
		if got := l.Counts(); got != want || s.now() != 400*ms {
			t.Errorf("got %v at %v, want %v", got, s.now(), want)
		}
	})
}

func TestShadowRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 1, ratelimit.Shadow())
		rejected := func(context.Context) error { return &retry.Rejection{Policy: "breaker"} }
		short, cancel := context.WithTimeout(bg, 50*ms)
		defer cancel()
		s.call(bg, l, 0, nil)
		// as it does not fit its deadline it has no token to give back
		s.call(short, l, 1, rejected)
		s.call(short, l, 2, nil)
		s.call(bg, l, 3, rejected) // this one has
		s.call(bg, l, 4, nil)
		s.expect(0, 0, 0, 0, 0)
		want := ratelimit.Counts{Immediate: 1, Delayed: 2, Refused: 2, Waited: 200 * ms}
		if got := l.Counts(); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// What nobody enforces is told to nobody as a pause.
func TestShadowTellsOfNoPause(t *testing.T) {
	told := 0
	chain := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Kind == retry.KindChange {
			told++
		}
	}), ratelimit.New(10, 1, ratelimit.Shadow()))
	_ = retry.Run(bg, chain, func(context.Context) error {
		return retry.After(errRefused, time.Second)
	})
	if told != 0 {
		t.Errorf("told of %d pauses", told)
	}
}
