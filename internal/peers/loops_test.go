package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

var loops = of(func(l library) func(plan) run { return l.loop }, reprise, backoff4, backoff5,
	avast5, sethvargo, failsafeGo)

func TestTableLoops(t *testing.T) {
	type loop = func(plan) run
	prove(t, "retry loops", loops, []fact[loop]{
		{"300 ms left, next wait 1 min: returns", func(t *testing.T, l loop) string {
			return took(func() {
				_, _ = l(plan{3, time.Minute, time.Hour})(within(t, 300*time.Millisecond), fail)
			})
		}, []string{"at once", "300ms", "300ms", "300ms", "300ms", "300ms"}},
		{"its error matches", func(t *testing.T, l loop) string {
			_, err := l(plan{3, time.Minute, time.Hour})(within(t, 300*time.Millisecond), fail)
			return those("deadline", errors.Is(err, context.DeadlineExceeded), "failure",
				errors.Is(err, errBoom))
		}, []string{"deadline, failure", "deadline", "deadline",
			"deadline, failure", "deadline", "deadline"}},
		{"cancelled with a cause during a wait: the error matches",
			func(t *testing.T, l loop) string {
				cause := errors.New("shutdown")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
				_, err := l(plan{3, time.Second, time.Minute})(ctx, fail)
				return those("canceled", errors.Is(err, context.Canceled), "cause",
					errors.Is(err, cause), "failure", errors.Is(err, errBoom))
			}, []string{"canceled, cause, failure", "canceled", "cause",
				"cause, failure", "cause", "canceled"}},
		{"cancelled before it began: calls made", func(t *testing.T, l loop) string {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			calls := 0
			_, _ = l(plan{attempts: 3})(ctx, func(ctx context.Context) (int, error) {
				calls++
				return fail(ctx)
			})
			return fmt.Sprint(calls)
		}, []string{"0", "1", "1", "0", "0", "1"}},
		{"cancelled during a call that succeeds: returns its value",
			func(t *testing.T, l loop) string {
				ctx, cancel := context.WithCancel(t.Context())
				v, err := l(plan{attempts: 3})(ctx, func(ctx context.Context) (int, error) {
					cancel()
					return succeed(ctx)
				})
				return yes(v == 42 && err == nil)
			}, []string{"yes", "yes", "yes", "yes", "yes", "no"}},
		{"all attempts failed: returns the last value, and matches",
			func(t *testing.T, l loop) string {
				first, calls := errors.New("first"), 0
				v, err := l(plan{attempts: 3})(t.Context(), func(ctx context.Context) (int, error) {
					if calls++; calls == 1 {
						return 0, first
					}
					return fail(ctx)
				})
				return those("value", v == 7, "last failure",
					errors.Is(err, errBoom), "first failure",
					errors.Is(err, first))
			}, []string{"value, last failure", "value, last failure", "value, last failure",
				"last failure, first failure", "last failure", "last failure"}},
		{"the error of 3 failures is told from that of 1", func(t *testing.T, l loop) string {
			_, err := l(plan{attempts: 3})(t.Context(), fail)
			return yes(err != errBoom)
		}, []string{"yes", "no", "no", "yes", "no", "yes"}},
		{"cap 1 s, 100 waits with jitter: they are", func(t *testing.T, l loop) string {
			beyond, last := false, time.Now()
			atCap := 0
			_, _ = l(plan{101, time.Second, time.Second})(t.Context(),
				func(ctx context.Context) (int, error) {
					wait := time.Since(last)
					beyond = beyond || wait > time.Second
					if wait == time.Second {
						atCap++
					}
					last = time.Now()
					return fail(ctx)
				})
			return those("within", !beyond, "some beyond it", beyond,
				"90 or more of them equal to it", atCap >= 90)
		}, []string{"within", "some beyond it", "some beyond it",
			"within, 90 or more of them equal to it",
			"within, 90 or more of them equal to it", "some beyond it"}},
	})
}
