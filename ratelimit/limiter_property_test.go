package ratelimit_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Whatever comes, leaves, is refused further in or changes the limit: between any two moments no
// more calls are made than the bucket holds and the limits of that time fill in.
func TestNeverMoreCallsThanTheLimitPermits(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			burst := 1 + rng.IntN(5)
			limit := rate.Limit(1 + rng.Float64()*50)
			l := ratelimit.New(limit, burst)
			start := time.Now()
			var mu sync.Mutex
			// how many tokens the limits had filled in when each call was made
			var made []float64
			filled, since := 0., start // tokens filled in since the start
			fill := func() float64 {
				now := time.Now()
				filled += now.Sub(since).Seconds() * float64(limit)
				since = now
				return filled
			}
			var wg sync.WaitGroup
			for range 300 {
				time.Sleep(time.Duration(rng.ExpFloat64() * float64(30*ms)))
				if rng.IntN(20) == 0 {
					mu.Lock()
					fill()
					limit = rate.Limit(1 + rng.Float64()*50)
					l.SetLimit(limit)
					mu.Unlock()
				}
				patience, refused := time.Duration(rng.ExpFloat64()*float64(500*ms)),
					rng.IntN(10) == 0
				cancels := rng.IntN(2) == 0
				wg.Go(func() {
					ctx, cancel := context.WithCancel(bg)
					defer cancel()
					if cancels {
						defer time.AfterFunc(patience, cancel).Stop()
					} else {
						var stop context.CancelFunc
						ctx, stop = context.WithTimeout(ctx, patience)
						defer stop()
					}
					_ = retry.Run(ctx, l, func(context.Context) error {
						if refused {
							return &retry.Rejection{Policy: "breaker"}
						}
						mu.Lock()
						defer mu.Unlock()
						made = append(made, fill())
						return nil
					})
				})
			}
			wg.Wait()
			for i := range made {
				for j := i; j < len(made); j++ {
					if n := float64(j - i + 1); n > float64(burst)+made[j]-made[i]+1e-6 {
						t.Fatalf("seed %d: %v calls where %v were permitted", seed, n,
							float64(burst)+made[j]-made[i])
					}
				}
			}
			if len(made) < 20 {
				t.Fatalf("seed %d: only %d calls were made: the test shows nothing", seed,
					len(made))
			}
		})
	}
}

func TestHalfOfTenThousandWaitersLeaveAndTheOthersTakeTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		l := ratelimit.New(1000, 1)
		start := time.Now()
		var mu sync.Mutex
		went := 0
		ctx, cancel := context.WithCancel(bg)
		var wg sync.WaitGroup
		for i := range n {
			mine := bg
			if i%2 == 1 {
				mine = ctx
			}
			wg.Go(func() {
				_ = retry.Run(mine, l, func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					if at := time.Since(start); i%2 == 1 || at != time.Duration(i/2)*ms {
						t.Errorf("call %d at %v", i, at)
					}
					went++
					return nil
				})
			})
			synctest.Wait()
		}
		cancel()
		wg.Wait()
		if went != n/2 {
			t.Errorf("%d went, want %d", went, n/2)
		}
		if s := l.Counts(); s.Abandoned != n/2 {
			t.Errorf("%v", s)
		}
	})
}

// Whichever answer of a burst names the latest time: nobody goes before it, whatever else is
// answered, given up or charged meanwhile.
func TestNoCallGoesBeforeTheLatestTimeThatAnyAnswerNamed(t *testing.T) {
	for _, policy := range []func() *ratelimit.Limiter{
		func() *ratelimit.Limiter { return ratelimit.New(rate.Inf, 1) },
		func() *ratelimit.Limiter { return ratelimit.New(20, 10, ratelimit.HintCap(time.Hour)) },
		func() *ratelimit.Limiter {
			return ratelimit.All(ratelimit.New(rate.Inf, 1), ratelimit.New(50, 30))
		},
	} {
		for seed := range uint64(6) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 3))
				l := policy()
				var mu sync.Mutex // of all below, also of rng
				// named until now, and at this very moment
				var latest, newest struct{ at, until time.Time }
				early, made, named := time.Duration(0), 0, 0
				call := func(ctx context.Context) error {
					mu.Lock()
					made++
					if newest.at.Before(time.Now()) {
						latest = newest
					}
					early = max(early, time.Until(latest.until))
					took, wait := time.Duration(rng.IntN(3000))*ms,
						time.Duration(rng.IntN(30_000))*ms
					kind := rng.IntN(8)
					mu.Unlock()
					time.Sleep(took)
					mu.Lock()
					defer mu.Unlock()
					names := func() {
						named++
						now := time.Now()
						if newest.at.Before(now) {
							latest = newest // the limiter has heard of it
						}
						newest.at = now
						if until := now.Add(wait); until.After(newest.until) {
							newest.until = until
						}
					}
					switch kind {
					case 0:
						names()
						return retry.After(errBusy, wait)
					case 1:
						names()
						retry.Report(ctx, retry.Quota{Limit: 9, Reset: max(1, wait)})
						return nil
					case 2:
						return retry.After(errBusy, 0)
					case 3:
						return errBusy
					}
					return nil
				}
				ctx, cancel := context.WithTimeout(bg, 10*time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						for ctx.Err() == nil {
							mu.Lock()
							patience := time.Duration(rng.IntN(60_000)) * ms
							mu.Unlock()
							one, stop := context.WithTimeout(ctx, patience)
							if retry.Run(one, l, call) != nil {
								time.Sleep(100 * ms)
							}
							stop()
						}
					})
				}
				wg.Wait()
				if early > 0 {
					t.Errorf("seed %d: a call went %v too early", seed, early)
				}
				if named < 20 {
					t.Errorf("seed %d: %d of %d answers named a time: the test shows nothing", seed,
						named, made)
				}
			})
		}
	}
}
