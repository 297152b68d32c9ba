package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestTokenOfACallThatWasNotMadeComesBack(t *testing.T) {
	boom := errors.New("boom")
	rejection := &retry.Rejection{Policy: "breaker", Reason: boom, RetryAfter: time.Second}
	for _, c := range []struct {
		name string
		err  error
		back bool
	}{
		{"rejected further in", rejection, true},
		{"misconfigured further in", retry.ConfigErrorf("x", "y"), true},
		{"rejected before the first attempt", &retry.Error{Reason: rejection}, true},
		{"rejected after an attempt",
			&retry.Error{Reason: rejection, Attempts: 1, Last: boom}, false},
		{"failed", boom, false},
		{"rejected by a service that was called", retry.Unmark(rejection), false},
		{"rejected, as the caller words it", fmt.Errorf("%w: %w", boom, rejection), true},
		{"refused by the callee, then rejected on a second way",
			fmt.Errorf("%w, after: %w", rejection, retry.After(boom, 0)), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := ratelimit.New(0, 1)
			_ = retry.Run(bg, l, func(context.Context) error { return c.err })
			if err := retry.Run(bg, l, nop); (err == nil) != c.back {
				t.Errorf("token back: %v, want %v", err == nil, c.back)
			}
		})
	}
	t.Run("wakes the line", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(1, 1)
			s.call(bg, l, 0, func(context.Context) error { time.Sleep(300 * ms); return rejection })
			s.call(bg, l, 1, nil)
			s.call(bg, l, 2, nil)
			s.expect(0, 300*ms, 1300*ms) // the bucket of one was full by then
		})
	})
}

func TestACallCancelledAtItsTurnHoldsNothing(t *testing.T) {
	lost := 0
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(1, 1)
			ctx, cancel := context.WithCancel(bg)
			inLine := make(chan struct{})
			refused := func(context.Context) error {
				<-inLine
				return &retry.Rejection{Policy: "breaker"}
			}
			s.wg.Go(func() {
				_ = retry.Run(bg, l, refused) // gives its token to the one in line,
				cancel()                      // which may not have woken up yet
			})
			synctest.Wait()
			s.call(ctx, l, 0, nil)
			close(inLine)
			s.wg.Wait()
			_, made := s.went[0]
			s.call(bg, l, 1, nil)
			if made {
				s.expect(0, time.Second)
			} else {
				lost++
				s.expect(never, 0)
			}
		})
	}
	t.Logf("cancelled in time: %d of 200", lost)
}

func TestTheTokensOfALargeCallComeBackTogether(t *testing.T) {
	l := ratelimit.New(0, 5)
	_ = retry.Run(bg, l.N(5), func(context.Context) error {
		return &retry.Rejection{Policy: "breaker"}
	})
	if err := retry.Run(bg, l.N(5), nop); err != nil {
		t.Error(err)
	}
}

// A bucket without limit gives no token, so there is none to come back when it has a limit by then.
func TestATokenThatWasNeverTakenDoesNotComeBack(t *testing.T) {
	alone, inAll := ratelimit.New(rate.Inf, 1), ratelimit.New(rate.Inf, 1)
	for _, c := range []struct {
		name    string
		set     *ratelimit.Limiter
		through retry.Policy
	}{
		{"New", alone, alone},
		{"All", inAll, ratelimit.All(ratelimit.New(9, 9), inAll)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				s.call(bg, c.through, 0, func(context.Context) error {
					time.Sleep(ms)
					return &retry.Rejection{Policy: "breaker"}
				})
				c.set.SetLimit(.001)
				// took one
				s.call(bg, c.through, 1, func(context.Context) error {
					return &retry.Rejection{Policy: "breaker"}
				})
				s.call(bg, c.through, 2, nil)
				s.expect(0, 0, 0)
				ctx, cancel := context.WithTimeout(bg, time.Second)
				defer cancel()
				if err := retry.Run(ctx, c.through, nop); !errors.Is(err, ratelimit.ErrLimited) {
					t.Errorf("one more went: %v", err)
				}
			})
		})
	}
}

// The callee may have seen it.
func TestTheTokenOfACallThatPanickedIsSpent(t *testing.T) {
	for name, end := range map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	} {
		for _, pause := range []time.Duration{0, time.Second} { // after it the call is the probe
			t.Run(fmt.Sprint(name, " after ", pause), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, l := newScript(t), ratelimit.New(1, 1)
					l.Pause(pause)
					s.wg.Go(func() {
						defer func() { _ = recover() }()
						_ = retry.Run(bg, l, func(context.Context) error { end(); return nil })
					})
					synctest.Wait()
					s.call(bg, l, 0, nil)
					s.expect(pause + time.Second)
				})
			})
		}
	}
}

func TestACallThatLeavesTheHeadOfTheLineFreesTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(1, 5)
		ctx, cancel := context.WithCancel(bg)
		s.call(bg, l.N(4), 0, nil)
		s.call(ctx, l.N(5), 1, nil)
		s.call(bg, l, 2, nil) // a token is there
		time.Sleep(500 * ms)
		cancel()
		s.expect(0, never, 500*ms)
	})
}
