package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// All or none: what a full bucket gave before an empty one refused is there again.
func TestAllGivesBackIfOneBucketIsEmpty(t *testing.T) {
	quick, slow := ratelimit.New(0, 3), ratelimit.New(0, 1)
	both := ratelimit.All(quick, slow)
	for i, want := range []error{nil, ratelimit.ErrLimited, ratelimit.ErrLimited} {
		if err := retry.Run(bg, both, nop); !errors.Is(err, want) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if err := retry.Run(bg, quick.N(2), nop); err != nil {
		t.Errorf("two tokens are left: %v", err)
	}
}

func TestAllHasTheLeastOfItsMembers(t *testing.T) {
	type of = []*ratelimit.Limiter
	long := func() *ratelimit.Limiter {
		return ratelimit.New(20, 9, ratelimit.MaxWait(time.Minute), ratelimit.HintCap(time.Minute))
	}
	short := func() *ratelimit.Limiter {
		return ratelimit.New(10, 5, ratelimit.MaxWait(time.Second), ratelimit.HintCap(time.Second))
	}
	plain := func() *ratelimit.Limiter { return ratelimit.New(30, 7) }
	for i, members := range []of{{long(), short(), plain()}, {short(), plain(), long()},
		{plain(), long(), short()}} {
		synctest.Test(t, func(t *testing.T) {
			all := ratelimit.All(members...)
			if all.Limit() != 10 || all.Burst() != 5 {
				t.Errorf("order %d: %v a second, burst %d", i, all.Limit(), all.Burst())
			}
			s := newScript(t)
			s.call(bg, all, 0, says(0, time.Hour))
			s.call(bg, all, 1, nil)
			s.expect(0, time.Second)
			members[0].Pause(time.Second + 1)
			err := retry.Run(bg, all, nop)
			if wait, _ := retry.RetryAfter(err); !errors.Is(err, ratelimit.ErrLimited) ||
				wait != time.Second+1 {
				t.Errorf("order %d: MaxWait: %v", i, err)
			}
		})
	}
}

func TestAPauseOfAMembersMemberHoldsAll(t *testing.T) {
	for name, which := range map[string]int{"of All in All": 0, "of its member": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inmost := ratelimit.New(rate.Inf, 1)
				inner := ratelimit.All(inmost, ratelimit.New(rate.Inf, 1))
				outer := ratelimit.All(ratelimit.New(rate.Inf, 1), inner)
				[]*ratelimit.Limiter{inner, inmost}[which].Pause(time.Second)
				if outer.Idle() {
					t.Error("idle")
				}
				s := newScript(t)
				s.call(bg, outer, 0, nil)
				s.expect(time.Second)
			})
		})
	}
}

func TestAfterAMembersPauseOneOfAllGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, host := newScript(t), ratelimit.New(rate.Inf, 1)
		both := ratelimit.All(ratelimit.New(rate.Inf, 1), host)
		host.Pause(time.Second)
		s.call(bg, both, 0, takes(300*ms))
		for i := range 4 {
			s.call(bg, both, 1+i, nil)
		}
		s.expect(1000*ms, 1300*ms, 1400*ms, 1300*ms+ramp3, 1500*ms)
	})
}

func TestAllHasNoLimitOfItsOwnToSet(t *testing.T) {
	for name, set := range map[string]func(*ratelimit.Limiter){
		"SetLimit": func(l *ratelimit.Limiter) { l.SetLimit(1) },
		"SetBurst": func(l *ratelimit.Limiter) { l.SetBurst(1) },
	} {
		all := ratelimit.All(ratelimit.New(5, 5))
		set(all)
		if err := all.Validate(); !errors.Is(err, retry.ErrConfig) || all.Limit() != 5 ||
			all.Burst() != 5 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token that comes back through All may be the one that a member's own caller waits for.
func TestAMembersOwnLineLearnsOfATokenThatAllGaveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, host := newScript(t), ratelimit.New(.001, 1)
		both, other := ratelimit.All(host, ratelimit.New(rate.Inf, 1)),
			ratelimit.All(ratelimit.New(rate.Inf, 1), host)
		refused := func(context.Context) error {
			time.Sleep(1200 * ms)
			return &retry.Rejection{Policy: "breaker"}
		}
		s.call(bg, both, 0, refused)
		s.call(bg, host, 1, refused)
		s.call(bg, other, 2, nil)
		s.expect(0, 1200*ms, 3000*ms) // the other All looks every second
	})
}

// Those in line at a bucket that others change find out within a second, and do not wait in vain.
func TestACallThatNoLongerFitsIsRejectedWithinASecond(t *testing.T) {
	nan := rate.Limit(math.NaN())
	for _, c := range []struct {
		name   string
		change func(b *rate.Limiter, member *ratelimit.Limiter)
		from   bool // through From, else through All
		is     error
		wait   time.Duration
	}{
		{"the bucket is slower", func(b *rate.Limiter, _ *ratelimit.Limiter) { b.SetLimit(.01) },
			true, ratelimit.ErrLimited, 10 * time.Second},
		{"the member is slower", func(_ *rate.Limiter, m *ratelimit.Limiter) { m.SetLimit(.01) },
			false, ratelimit.ErrLimited, 10 * time.Second},
		{"the member is paused", func(_ *rate.Limiter, m *ratelimit.Limiter) {
			m.Pause(time.Minute)
		}, false, ratelimit.ErrLimited, 10 * time.Second},
		{"the member is broken", func(_ *rate.Limiter, m *ratelimit.Limiter) { m.SetLimit(nan) },
			false, retry.ErrConfig, 0},
		{"the other member is broken", func(b *rate.Limiter, _ *ratelimit.Limiter) {
			b.SetLimit(-1)
		}, false, ratelimit.ErrLimited, 0},
	} {
		for _, byDeadline := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, deadline %v", c.name, byDeadline), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, opts := bg, []ratelimit.Option{ratelimit.MaxWait(5 * time.Second)}
					if byDeadline {
						opts = nil
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(bg, 5*time.Second)
						defer cancel()
					}
					s, bucket, member := newScript(t), rate.NewLimiter(1, 1), ratelimit.New(1, 1)
					l := ratelimit.From(bucket, opts...)
					if !c.from {
						l = ratelimit.All(member, l)
					}
					s.call(ctx, l, 0, nil)
					var errs []*error
					for i := range 3 {
						errs = append(errs, s.call(ctx, l, 1+i, nil))
					}
					time.Sleep(100 * ms)
					c.change(bucket, member)
					time.Sleep(900 * ms)
					synctest.Wait()
					for i, err := range errs {
						wait, _ := retry.RetryAfter(*err)
						if !errors.Is(*err, c.is) || wait < c.wait || s.now() != time.Second {
							t.Errorf("waiter %d: %v at %v", i, *err, s.now())
						}
						if c.wait > 0 && errors.Is(*err, context.DeadlineExceeded) != byDeadline {
							t.Errorf("waiter %d: %v", i, *err)
						}
					}
					s.expect(0, never, never, never)
				})
			})
		}
	}
}
