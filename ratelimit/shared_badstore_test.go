package ratelimit_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
)

var errBad = errors.New("bad day")

// badTake is a Take that may ask a store in memory.
type badTake func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error)

// badStores are stores that answer as they should, by the one in memory, until bad is set.
var badStores = []struct {
	name string
	says string // the cause
	take badTake
}{
	{"refuses", "bad day",
		func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error) {
			return ratelimit.Grant{}, errBad
		}},
	{"refuses, with a grant", "bad day",
		func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error) {
			return ratelimit.Grant{Tokens: 50, Now: 50, Members: 1, Lead: true}, errBad
		}},
	{"panics", "the store panicked: bad day",
		func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error) {
			panic(errBad)
		}},
	{"panics with nil", "panic called with nil argument",
		func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error) {
			panic(nil)
		}},
	{"exits", "the store's goroutine exited",
		func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error) {
			runtime.Goexit()
			return ratelimit.Grant{}, nil
		}},
	{"hangs as long as it is let", "no answer in time",
		func(ctx context.Context, _ ratelimit.Store, _ string,
			_ ratelimit.Ask) (ratelimit.Grant, error) {
			<-ctx.Done()
			return ratelimit.Grant{}, context.Cause(ctx)
		}},
	{"does not heed its context", "no answer in time",
		func(_ context.Context, s ratelimit.Store, name string,
			a ratelimit.Ask) (ratelimit.Grant, error) {
			g, err := s.Take(bg, name, a)
			time.Sleep(20 * time.Second) // and then it has granted something
			return g, err
		}},
	{"grants from nowhere", "makes no sense",
		func(context.Context, ratelimit.Store, string, ratelimit.Ask) (ratelimit.Grant, error) {
			return ratelimit.Grant{Tokens: math.MinInt, Now: math.MaxInt, First: math.MinInt64,
				Members: -1, Limit: math.NaN()}, nil
		}},
}

// badDay is a store and the switch.
func badDay(take badTake) (*counted, *atomic.Bool) {
	var bad atomic.Bool
	memory := ratelimit.NewStore()
	return &counted{Store: storeFunc(
		func(ctx context.Context, name string, a ratelimit.Ask) (ratelimit.Grant, error) {
			if bad.Load() {
				return take(ctx, memory, name, a)
			}
			return memory.Take(ctx, name, a)
		})}, &bad
}

// Whatever a store does, at most two goroutines wait for it, OnLoss holds, the rejection and String
// say why, the bound is kept, and the member comes back by itself.
func TestSharedWithABadStore(t *testing.T) {
	for _, c := range badStores {
		for _, loss := range []ratelimit.Loss{ratelimit.Share, ratelimit.Closed} {
			t.Run(c.name+", "+loss.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, bad := badDay(c.take)
					l := ratelimit.New(100, 10,
						ratelimit.Shared(store, "x", ratelimit.OnLoss(loss)))
					var all crowd
					ctx, cancel := context.WithCancel(bg)
					all.greedy(ctx, 0, 8, l)
					during := func(d time.Duration) int {
						before := len(all.seen())
						time.Sleep(d)
						return len(all.seen()) - before
					}
					if n := during(5 * time.Second); n < 450 {
						t.Errorf("%d calls in 5 s", n)
					}
					bad.Store(true)
					n := during(10 * time.Second)
					if loss == ratelimit.Share && (n < 900 || n > 1050) ||
						loss == ratelimit.Closed && n > 50 {
						t.Errorf("%d calls in 10 s of a bad store", n)
					}
					short, done := context.WithTimeout(bg, ms)
					err := retry.Run(short, l.N(9), nop)
					done()
					var r *retry.Rejection
					if loss == ratelimit.Closed &&
						(!errors.As(err, &r) || r.Cause == nil ||
							!strings.Contains(r.Cause.Error(), c.says)) {
						t.Errorf("rejected with %v", err)
					}
					if s := l.String(); !strings.Contains(s, c.says) {
						t.Errorf("it says %s, want %s", s, c.says)
					}
					bad.Store(false)
					time.Sleep(25 * time.Second)
					if n := during(5 * time.Second); n < 450 ||
						strings.Contains(l.String(), "away") {
						t.Errorf("%d calls in 5 s afterwards; it says %s", n, l)
					}
					cancel()
					all.wg.Wait()
					time.Sleep(time.Minute)
					if most := store.atOnce(); most > 2 {
						t.Errorf("%d questions at once", most)
					}
					if need := needed(all.seen(), 100); need > 10+2*20 {
						t.Errorf("needed %.0f", need)
					}
				})
			})
		}
	}
}

// A pacer goes on alone with Share and rejects with Closed, and its fleet takes it back.
func TestPacerWithABadStore(t *testing.T) {
	for _, c := range badStores {
		for _, loss := range []ratelimit.Loss{ratelimit.Share, ratelimit.Closed} {
			t.Run(c.name+", "+loss.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, bad := badDay(c.take)
					p := seeded(1, ratelimit.Shared(store, "x", ratelimit.OnLoss(loss)))
					g := gang{call: served(limitertest.Nginx(10, 20, true))}
					ctx, cancel := context.WithCancel(bg)
					defer cancel()
					g.crawl(ctx, 8, p)
					time.Sleep(time.Minute)
					bad.Store(true)
					time.Sleep(time.Second)
					before := g.served()
					time.Sleep(30 * time.Second)
					n := g.served() - before
					if loss == ratelimit.Share && n < 200 || loss == ratelimit.Closed && n > 0 {
						t.Errorf("%d calls served in 30 s of a bad store; it says %s", n, p)
					}
					if loss == ratelimit.Closed {
						var r *retry.Rejection
						err := retry.Run(bg, p, nop)
						if !errors.As(err, &r) || r.Cause == nil ||
							!strings.Contains(r.Cause.Error(), c.says) {
							t.Errorf("rejected with %v", err)
						}
					}
					if s := p.String(); !strings.Contains(s, c.says) {
						t.Errorf("it says %s, want %s", s, c.says)
					}
					bad.Store(false)
					time.Sleep(25 * time.Second)
					before = g.served()
					time.Sleep(30 * time.Second)
					if n := g.served() - before; n < 200 || strings.Contains(p.String(), "away") {
						t.Errorf("%d calls served in 30 s afterwards; it says %s", n, p)
					}
					cancel()
					g.wg.Wait()
					time.Sleep(time.Hour)
					if most := store.atOnce(); most > 2 {
						t.Errorf("%d questions at once", most)
					}
				})
			})
		}
	}
}

// An observer that panics at the news that the store is away takes nothing with it.
func TestObserverThatPanicsAtAStoresLossCostsNothing(t *testing.T) {
	for name, guard := range map[string]func(ratelimit.Store) retry.Policy{
		"limiter": func(s ratelimit.Store) retry.Policy {
			return ratelimit.New(1, 3, ratelimit.Shared(s, "x"))
		},
		"pacer": func(s ratelimit.Store) retry.Policy {
			return ratelimit.NewPacer(ratelimit.Shared(s, "x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, bad := badDay(badStores[0].take)
				p := guard(store)
				panicked := false
				watch := retry.ObserveOnly(func(context.Context, retry.Event) {
					panicked = true
					panic("observer")
				}, retry.KindChange)
				calls, passed := 0, 0
				for ; !panicked && calls < 1000; calls++ {
					bad.Store(calls > 10)
					func() {
						defer func() { _ = recover() }()
						_ = retry.Run(bg, retry.Chain(watch, p), func(context.Context) error {
							passed++
							return nil
						})
					}()
					time.Sleep(time.Second)
				}
				if !panicked || passed < calls-1 {
					t.Errorf("panicked: %v; %d of %d calls passed", panicked, passed, calls)
				}
				time.Sleep(time.Hour)
				if !p.(retry.Idler).Idle() {
					t.Errorf("not idle: %v", p)
				}
			})
		})
	}
}
