package ratelimit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

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
		want := ratelimit.Counts{Immediate: 1, Delayed: 1, Refused: 1, Abandoned: 1,
			Waited: 100 * ms}
		if got := l.Counts(); got != want {
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
		step("who comes now is the probe", false)
		time.Sleep(time.Second)
		step("the pause is forgotten", true)
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
		want := []retry.Kind{retry.KindAdmit, retry.KindWait, retry.KindAdmit, retry.KindChange,
			retry.KindReject}
		if !slices.Equal(kinds, want) {
			t.Errorf("heard of %v", kinds)
		}
		if waited.Wait != 100*ms || waited.Took != 100*ms {
			t.Errorf("asked %v, took %v", waited.Wait, waited.Took)
		}
	})
}

func TestOnePauseIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notes []string
		watch := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindChange {
				notes = append(notes, e.To)
			}
		})
		s, p := newScript(t), retry.Chain(watch, ratelimit.New(rate.Inf, 1))
		for i := range 3 { // each makes it longer
			s.call(bg, p, i, says(ms+time.Duration(i), time.Second))
		}
		s.wg.Wait()
		if len(notes) != 1 || notes[0] != "paused for 1s" {
			t.Errorf("heard of %q", notes)
		}
	})
}

func TestIdleAndStringSeeTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(rate.Inf, 1)
		is := func(want string) {
			t.Helper()
			if got := l.String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		is("limiter(no limit)")
		l.Pause(time.Second)
		is("limiter(no limit, paused for 1s)")
		for i := range 4 {
			s.call(bg, l, i, nil)
		}
		is("limiter(no limit, paused for 1s, 4 waiting)")
		time.Sleep(1050 * ms) // nothing but the line keeps the others
		is("limiter(no limit, paused for 50ms, 2 waiting)")
		if l.Idle() {
			t.Error("idle while two wait")
		}
		s.wg.Wait()
		if !l.Idle() {
			t.Error("not idle when they have gone")
		}
		both := ratelimit.All(ratelimit.New(10, 5), ratelimit.New(rate.Inf, 1))
		if got := both.String(); got != "limiter(10/s, burst 5; no limit)" {
			t.Errorf("All: %q", got)
		}
	})
}

func TestObserverThatPanicsAtAnAdmissionCostsNoToken(t *testing.T) {
	l := ratelimit.New(rate.Every(time.Hour), 1, ratelimit.MaxWait(0))
	watch := retry.ObserveOnly(func(context.Context, retry.Event) { panic("observer") },
		retry.KindAdmit)
	func() {
		defer func() { _ = recover() }()
		_ = retry.Run(bg, retry.Chain(watch, l), nop)
		t.Error("the observer was not told")
	}()
	if err := retry.Run(bg, l, nop); err != nil {
		t.Error(err)
	}
}
