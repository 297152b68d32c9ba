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

var errBusy = errors.New("busy")

// says is a call that answers after took: refused with a wait.
func says(took, wait time.Duration) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(took)
		return retry.After(errBusy, wait)
	}
}

func takes(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// The ramp after the probe: the k-th follower goes 100ms × log2(k) after the first.
const ramp3 = 158496250 * time.Nanosecond

func TestAfterAPauseOneGoesFirstAndTheOthersFollowSpreadOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		probe time.Duration // until its answer
		from  time.Duration // the first follower goes
	}{
		{"answered at once", 0, 1000 * ms},
		{"answered after a while", 300 * ms, 1300 * ms},
		{"not answered in time", time.Minute, 2000 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(rate.Inf, 1)
				l.Pause(time.Second)
				s.call(bg, l, 0, takes(c.probe))
				for i := range 4 {
					s.call(bg, l, 1+i, nil)
				}
				s.expect(1000*ms, c.from, c.from+100*ms, c.from+ramp3, c.from+200*ms)
			})
		})
	}
}

func TestHintPausesEveryCaller(t *testing.T) {
	quota := func(q retry.Quota) func(context.Context) error {
		return func(ctx context.Context) error { retry.Report(ctx, q); return nil }
	}
	rejection := &retry.Rejection{Policy: "breaker", Reason: errBusy, RetryAfter: time.Minute}
	for _, c := range []struct {
		name string
		call func(context.Context) error
		opts []ratelimit.Option
		want time.Duration
	}{
		{"a mark", says(0, 2*time.Second), nil, 2 * time.Second},
		{"a mark without a time", says(0, 0), nil, 500 * ms},
		{"a mark over the cap", says(0, time.Hour),
			[]ratelimit.Option{ratelimit.HintCap(time.Second)}, time.Second},
		{"a mark over the default cap", says(0, 3*time.Hour), nil, time.Hour},
		{"a mark with a cap of 0", says(0, time.Hour), []ratelimit.Option{ratelimit.HintCap(0)}, 0},
		{"a quota used up, on a success",
			quota(retry.Quota{Limit: 9, Reset: 3 * time.Second}), nil, 3 * time.Second},
		{"a quota overdrawn, on a success",
			quota(retry.Quota{Limit: 9, Remaining: -3, Reset: 3 * time.Second}),
			nil, 3 * time.Second},
		{"a quota without a reset", quota(retry.Quota{Limit: 9, Remaining: -3}), nil, 0},
		{"a quota not used up", quota(retry.Quota{Remaining: 1, Reset: 3 * time.Second}), nil, 0},
		{"a rejection is no hint", func(context.Context) error { return rejection }, nil, 0},
		{"the callee's mark beside a rejection", func(context.Context) error {
			return &retry.Error{Reason: rejection, Attempts: 1,
				Last: retry.After(errBusy, time.Second)}
		}, nil, time.Second},
		{"the callee's mark, then a rejection on a second way", func(context.Context) error {
			return fmt.Errorf("second: %w, after: %w", rejection,
				fmt.Errorf("first: %w", retry.After(errBusy, time.Second)))
		}, nil, time.Second},
		{"the callee's mark in a loop's last failure", func(context.Context) error {
			return &retry.Error{Reason: rejection, Attempts: 1,
				Last: errors.Join(retry.After(errBusy, time.Second), rejection)}
		}, nil, time.Second},
		{"an inner service's mark", func(context.Context) error {
			return retry.Unmark(retry.After(errBusy, time.Second))
		}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(rate.Inf, 1, c.opts...)
				s.call(bg, l, 0, c.call)
				s.call(bg, l, 1, nil)
				s.expect(0, c.want)
			})
		})
	}
}

func TestBurstOfHintsCountsOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		calls []func(context.Context) error
		want  time.Duration
	}{
		{"the latest end counts",
			[]func(context.Context) error{says(0, time.Second), says(10*ms, time.Second),
				says(20*ms, 100*ms)}, 1010 * ms},
		{"without a time",
			[]func(context.Context) error{says(0, 0), says(10*ms, 0), says(20*ms, 0)}, 500 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(rate.Inf, 1)
				for i, f := range c.calls { // all are out before the first answer
					s.wg.Go(func() {
						_ = retry.Run(bg, l, func(ctx context.Context) error {
							time.Sleep(ms)
							return f(ctx)
						})
					})
					_ = i
				}
				time.Sleep(30 * ms)
				s.call(bg, l, 0, nil)
				s.expect(c.want + ms)
			})
		})
	}
}

func TestRefusedProbePausesAnewAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(rate.Inf, 1)
		for i := range 4 {
			s.call(bg, l, i, says(0, 0))
		}
		s.call(bg, l, 4, nil)
		s.call(bg, l, 5, says(0, 0))
		s.call(bg, l, 6, nil)
		// 0.5, 1, 2 and 4 s; the accepted probe sets it back to 0.5 s.
		s.expect(0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 7500*ms, 8000*ms)
	})
}

func TestARestIsNoLongerThanHalfAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(rate.Inf, 1)
		want, rests := []time.Duration{0},
			[]time.Duration{500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000}
		for i, rest := range rests {
			s.call(bg, l, i, says(0, 0))
			want = append(want, want[i]+rest*ms)
		}
		for i := range 70 { // a shift by so much would be none
			s.call(bg, l, len(rests)+i, says(0, 0))
			want = append(want, want[len(want)-1]+30*time.Second)
		}
		s.expect(want[:len(rests)+70]...)
	})
}

// The probe of the first pause answers when that of the second is out.
func TestTheAnswerOfAnEarlierProbeDoesNotOpen(t *testing.T) {
	for name, answer := range map[string]func(context.Context) error{
		"answered": func(context.Context) error { return nil },
		"refused":  func(context.Context) error { return retry.After(errBusy, 0) },
		"unmade":   func(context.Context) error { return &retry.Rejection{Reason: errBusy} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(rate.Inf, 1)
				l.Pause(time.Second)
				s.call(bg, l, 0, func(ctx context.Context) error {
					time.Sleep(1800 * ms)
					return answer(ctx)
				})
				time.Sleep(1500 * ms)
				l.Pause(time.Second)
				s.call(bg, l, 1, takes(900*ms))
				s.call(bg, l, 2, nil)
				s.expect(1000*ms, 2500*ms, 3400*ms)
			})
		})
	}
}

// A refused probe whose hint is ignored has answered.
func TestAProbeWhoseHintIsIgnoredOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(rate.Inf, 1, ratelimit.HintCap(0))
		l.Pause(time.Second)
		s.call(bg, l, 0, says(300*ms, time.Minute))
		s.call(bg, l, 1, nil)
		s.expect(1000*ms, 1300*ms)
	})
	t.Run("but another call has not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(rate.Inf, 1, ratelimit.HintCap(0))
			s.call(bg, l, 0, says(1500*ms, time.Minute))
			l.Pause(time.Second)
			s.call(bg, l, 1, takes(800*ms))
			s.call(bg, l, 2, nil)
			s.expect(0, 1000*ms, 1800*ms)
		})
	})
}

// Of two calls that come long after, none is a probe.
func TestAPauseThatPassedWithAnEmptyLineIsForgotten(t *testing.T) {
	for late, second := range map[time.Duration]time.Duration{999 * ms: 1999*ms + 700*ms,
		1000 * ms: 2000 * ms, time.Hour: time.Hour + time.Second} {
		t.Run(fmt.Sprint(late, " after its end"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(rate.Inf, 1)
				l.Pause(time.Second)
				time.Sleep(time.Second + late)
				if idle := second == time.Second+late; l.Idle() != idle {
					t.Errorf("idle %v, want %v", !idle, idle)
				}
				s.call(bg, l, 0, takes(700*ms))
				s.call(bg, l, 1, nil)
				s.expect(time.Second+late, second)
			})
		})
	}
	t.Run("but not while somebody waits for a token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(.1, 2)
			s.call(bg, l.N(2), 0, nil)
			l.Pause(time.Second)
			s.call(bg, l, 1, takes(800*ms))
			time.Sleep(10 * time.Second)
			l.SetLimit(rate.Inf)
			s.call(bg, l, 2, nil)
			s.expect(0, 10*time.Second, 10800*ms)
		})
	})
}

func TestProbeThatIsLostGivesItsPlaceToTheNext(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(ctx context.Context, cancel func()) error
	}{
		{"cancelled", func(ctx context.Context, cancel func()) error {
			cancel()
			return ctx.Err()
		}},
		{"refused further in", func(context.Context, func()) error {
			return &retry.Rejection{Reason: errBusy}
		}},
		{"goexit", func(context.Context, func()) error { runtime.Goexit(); return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(rate.Inf, 1)
				l.Pause(time.Second)
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				s.call(ctx, l, 0, func(ctx context.Context) error {
					time.Sleep(100 * ms)
					return c.lose(ctx, cancel)
				})
				s.call(bg, l, 1, takes(300*ms)) // the next probe: nobody goes with it
				s.call(bg, l, 2, nil)
				s.expect(1000*ms, 1100*ms, 1400*ms)
			})
		})
	}
	t.Run("panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(rate.Inf, 1)
			l.Pause(time.Second)
			s.wg.Go(func() {
				defer func() {
					if r := recover(); r != "boom" {
						t.Errorf("recovered %v", r)
					}
				}()
				_ = retry.Run(bg, l, func(context.Context) error {
					time.Sleep(100 * ms)
					panic("boom")
				})
			})
			synctest.Wait()
			s.call(bg, l, 0, nil)
			s.expect(1100 * ms)
		})
	})
	t.Run("cancelled in line", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(rate.Inf, 1)
			l.Pause(time.Second)
			ctx, cancel := context.WithCancel(bg)
			s.call(ctx, l, 0, nil)
			s.call(bg, l, 1, nil)
			cancel()
			s.expect(never, 1000*ms)
		})
	})
}

func TestPauseRejectsCallsThatCannotWaitThatLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(1, 1)
		s.call(bg, l, 0, nil)
		ctx, cancel := context.WithTimeout(bg, 5*time.Second)
		defer cancel()
		err := s.call(ctx, l, 1, nil)
		l.Pause(10 * time.Second)
		synctest.Wait()
		r, ok := retry.Rejected(*err)
		if !ok || !errors.Is(*err, context.DeadlineExceeded) || r.RetryAfter != 10*time.Second ||
			s.now() != 0 {
			t.Errorf("got %v at %v", *err, s.now())
		}
	})
}

func TestMaxWaitEndsAWaitForALateProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(rate.Inf, 1, ratelimit.MaxWait(1500*ms))
		l.Pause(time.Second)
		s.call(bg, l, 0, takes(time.Minute))
		var err error
		var at time.Duration
		s.wg.Go(func() { err = retry.Run(bg, l, nop); at = s.now() })
		s.expect(1000 * ms)
		if wait, _ := retry.RetryAfter(err); !errors.Is(err, ratelimit.ErrLimited) ||
			at != 1500*ms || wait != 500*ms {
			t.Errorf("got %v at %v", err, at)
		}
	})
	t.Run("0", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(rate.Inf, 1, ratelimit.MaxWait(0))
			l.Pause(time.Second)
			time.Sleep(time.Second)
			s.call(bg, l, 0, takes(900*ms))
			time.Sleep(100 * ms)
			err := retry.Run(bg, l, nop)
			if wait, _ := retry.RetryAfter(err); !errors.Is(err, ratelimit.ErrLimited) ||
				wait != 900*ms || s.now() != 1100*ms {
				t.Errorf("got %v at %v, want 900ms until nobody waits for the probe any more", err,
					s.now())
			}
			s.wg.Wait()
		})
	})
}
