package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

var breakers = of(func(l library) func(int, time.Duration) run { return l.breaker }, reprise, sony,
	failsafeGo)

func TestTableBreakers(t *testing.T) {
	type guard = func(int, time.Duration) run
	afterProbe := func(t *testing.T, g guard, probe func()) bool {
		do := g(5, time.Minute)
		for range 5 {
			_, _ = do(t.Context(), fail)
		}
		time.Sleep(2 * time.Minute)
		go func() {
			defer func() { _ = recover() }()
			_, _ = do(t.Context(), func(context.Context) (int, error) { probe(); return 0, nil })
		}()
		time.Sleep(10 * time.Minute)
		_, err := do(t.Context(), succeed)
		return err == nil
	}
	prove(t, "breakers", breakers, []fact[guard]{
		{"5 calls cancelled by their caller: stays closed", func(t *testing.T, g guard) string {
			do := g(5, time.Minute)
			for range 5 {
				ctx, cancel := context.WithCancel(t.Context())
				_, _ = do(ctx, func(ctx context.Context) (int, error) {
					cancel()
					return 0, ctx.Err()
				})
			}
			_, err := do(t.Context(), succeed)
			return yes(err == nil)
		}, []string{"yes", "no", "no"}},
		{"cancelled before it began: calls made", func(t *testing.T, g guard) string {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			calls := 0
			_, _ = g(5, time.Minute)(ctx, func(context.Context) (int, error) {
				calls++
				return 0, nil
			})
			return fmt.Sprint(calls)
		}, []string{"0", "1", "1"}},
		{"5 panics: opens", func(t *testing.T, g guard) string {
			do := g(5, time.Minute)
			for range 5 {
				func() {
					defer func() { _ = recover() }()
					_, _ = do(t.Context(), func(context.Context) (int, error) { panic("boom") })
				}()
			}
			_, err := do(t.Context(), succeed)
			return yes(err != nil)
		}, []string{"yes", "yes", "no"}},
		{"the only probe was 10 min ago: admits the next, if it",
			func(t *testing.T, g guard) string {
				return those("panicked", afterProbe(t, g, func() { panic("boom") }),
					"ended by Goexit", afterProbe(t, g, runtime.Goexit),
					"still hangs", afterProbe(t, g, func() { time.Sleep(30 * time.Minute) }))
			}, []string{"panicked, ended by Goexit, still hangs", "panicked", "nothing"}},
		{"a refusal tells the failure that opened it", func(t *testing.T, g guard) string {
			do := g(1, time.Minute)
			_, _ = do(t.Context(), fail)
			_, err := do(t.Context(), succeed)
			return yes(err != nil && strings.Contains(err.Error(), errBoom.Error()))
		}, []string{"yes", "no", "no"}},
	})
}

// One call per interval, and a burst of one.
var limiters = of(func(l library) func(time.Duration) run {
	return func(interval time.Duration) run { return l.limiter(interval, 1) }
}, reprise, xtime, failsafeGo, uberGo)

func TestTableLimiters(t *testing.T) {
	type limiter = func(time.Duration) run
	late := func(t *testing.T, l limiter) error {
		do := l(time.Minute)
		_, _ = do(t.Context(), succeed)
		_, err := do(within(t, 300*time.Millisecond), succeed)
		return err
	}
	abandoned := func(t *testing.T, l limiter, order func(i int) int) string {
		do := l(time.Minute)
		_, _ = do(t.Context(), succeed)
		var cancels [10]context.CancelFunc
		for i := range cancels {
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			go func() { _, _ = do(ctx, succeed) }()
			synctest.Wait()
		}
		for i := range cancels {
			cancels[order(i)]()
			synctest.Wait()
		}
		return took(func() { _, _ = do(t.Context(), succeed) })
	}
	prove(t, "limiters", limiters, []fact[limiter]{
		{"300 ms left, its turn in 1 min: returns", func(t *testing.T, l limiter) string {
			return took(func() { _ = late(t, l) })
		}, []string{"at once", "at once", "300ms", "1m0s"}},
		{"its error matches", func(t *testing.T, l limiter) string {
			return those("deadline", errors.Is(late(t, l), context.DeadlineExceeded))
		}, []string{"deadline", "nothing", "deadline", "nothing"}},
		{"1 call a min, 10 waits abandoned, oldest first: the next waits",
			func(t *testing.T, l limiter) string {
				return abandoned(t, l, func(i int) int { return i })
			}, []string{"1m0s", "10m0s", "11m0s", "11m0s"}},
		{"the same, newest first", func(t *testing.T, l limiter) string {
			return abandoned(t, l, func(i int) int { return 9 - i })
		}, []string{"1m0s", "1m0s", "11m0s", "11m0s"}},
	})
}

// chain is a retry loop of three attempts without waits, around a limiter of 3 calls a minute,
// around a breaker that opens for the given time after so many failures. limited goes through the
// limiter alone.
type chain struct{ guarded, limited run }

var chains = []peer[func(failures int, open time.Duration) chain]{
	{"reprise", func(failures int, open time.Duration) chain {
		l := ratelimit.New(rate.Every(20*time.Second), 3)
		return chain{through(retry.Chain(policies.Constant(0), l, repriseBreaker(failures, open))),
			through(l)}
	}},
	{"failsafe-go v0.9.8", func(failures int, open time.Duration) chain {
		l := failsafeLimiter(20*time.Second, 3)
		return chain{failsafely(failsafeLoop(plan{attempts: 3}), l,
			failsafeBreaker(failures, open)), failsafely(l)}
	}},
}

func TestTableChains(t *testing.T) {
	type make = func(int, time.Duration) chain
	// opened has an open breaker and a full limiter
	opened := func(t *testing.T, m make, open time.Duration) chain {
		c := m(1, open)
		_, _ = c.guarded(within(t, time.Millisecond), fail)
		return c
	}
	prove(t, "loop, limiter, breaker", chains, []fact[make]{
		{"the 2nd failure opens the breaker: the error matches", func(t *testing.T, m make) string {
			_, err := m(2, time.Hour).guarded(t.Context(), fail)
			return those("open", errors.Is(err, breaker.ErrOpen) ||
				errors.Is(err, circuitbreaker.ErrOpen), "failure", errors.Is(err, errBoom))
		}, []string{"open, failure", "open"}},
		{"open for 1 h: of 3 tokens, a refused call leaves", func(t *testing.T, m make) string {
			c := opened(t, m, time.Hour)
			time.Sleep(10 * time.Minute) // the limiter is full again
			_, _ = c.guarded(t.Context(), succeed)
			left := 0
			for start := time.Now(); left < 10; left++ {
				if _, _ = c.limited(t.Context(), succeed); time.Since(start) > 0 {
					break
				}
			}
			return fmt.Sprint(left)
		}, []string{"3", "0"}},
		{"open for another min, no deadline: a call returns", func(t *testing.T, m make) string {
			c := opened(t, m, 2*time.Minute)
			time.Sleep(time.Minute)
			var err error
			after := took(func() { _, err = c.guarded(t.Context(), succeed) })
			return those(after+" with success", err == nil, after+" with an error", err != nil)
		}, []string{"at once with an error", "at once with an error"}},
	})
}
