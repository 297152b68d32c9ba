package ratelimit

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// watched is what an outsider sees of a pacer: what it tells, and when calls are made.
type watched struct {
	t        *testing.T
	pacer    *Pacer
	maxRate  float64
	inFlight int

	mu           sync.Mutex
	parked, gate time.Time // since when, and until when nobody goes; zero: not parked
	alone        int       // calls under way that began after the gate, and before it was released
	flying       int
	last         time.Time // when a call was made
}

func (w *watched) observe(_ context.Context, e retry.Event) {
	if e.Kind != retry.KindChange {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parked, w.gate, w.alone = time.Time{}, time.Time{}, 0
	if strings.HasPrefix(e.To, "parked") {
		w.parked = time.Now()
		w.gate = w.parked.Add(e.Wait)
	}
}

// enter is the begin of a call. It returns the call's end.
func (w *watched) enter(made bool) (leave func()) {
	still := w.pacer.State().Parked
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	parked := w.parked
	single := still && now.After(parked) && !parked.IsZero()
	if single {
		if w.alone++; w.alone > 1 {
			w.t.Errorf("%d calls go alone", w.alone)
		}
		if now.Before(w.gate) {
			w.t.Errorf("a call goes %v before the park ends", w.gate.Sub(now))
		}
	}
	if w.flying++; w.flying > w.inFlight {
		w.t.Errorf("%d in flight, want %d", w.flying, w.inFlight)
	}
	if made {
		if gap := now.Sub(w.last).Seconds(); gap < (1-1e-6)/w.maxRate && !w.last.IsZero() {
			w.t.Errorf("a call goes %v s after another, want %v", gap, 1/w.maxRate)
		}
		w.last = now
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flying--
		if single && w.parked.Equal(parked) {
			w.alone--
		}
	}
}

// Whatever becomes of the calls, and whoever gives up: nobody goes before a park has ended, one
// goes alone after it, and MaxRate and MaxInFlight hold.
func TestPacerKeepsItsWordWhateverBecomesOfTheCalls(t *testing.T) {
	seeds := uint64(60)
	if RaceEnabled {
		seeds = 15
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 77))
			w := &watched{t: t, maxRate: math.Inf(1), inFlight: math.MaxInt}
			var opts []Option
			if rng.IntN(2) == 0 {
				w.maxRate = math.Exp(rng.Float64() * 4)
				opts = append(opts, MaxRate(rate.Limit(w.maxRate)))
			}
			if rng.IntN(2) == 0 {
				w.inFlight = 1 + rng.IntN(12)
				opts = append(opts, MaxInFlight(w.inFlight))
			}
			if rng.IntN(3) == 0 {
				opts = append(opts, MaxWait(time.Duration(rng.IntN(5000))*time.Millisecond))
			}
			if rng.IntN(3) == 0 {
				opts = append(opts, StartRate(rate.Limit(min(w.maxRate, 1+rng.Float64()*30))))
			}
			rules := []limitertest.Rule{limitertest.Bucket(10, 5),
				limitertest.Sliding(20, 2*time.Second, true), limitertest.LimitReq(10, 5,
					true), limitertest.Open{}}
			server := &limitertest.Server{
				Rule:    rules[rng.IntN(len(rules))],
				Latency: 30 * time.Millisecond, Spread: .3, Seed: seed,
				RetryAfter: rng.IntN(2) == 0, Headers: rng.IntN(2) == 0, ErrorRate: .02,
			}
			w.pacer = newPacer(rand.New(rand.NewPCG(seed, 78)), opts)
			policy := retry.Chain(retry.Observe(w.observe), w.pacer)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for range 20 {
				mine := rand.New(rand.NewPCG(rng.Uint64(), 1))
				wg.Go(func() {
					for ctx.Err() == nil {
						askOnce(ctx, mine, w, policy, server, start)
					}
				})
			}
			wg.Wait()
			if s := w.pacer.State(); s.InFlight != 0 || s.Waiting != 0 {
				t.Errorf("left behind: %v", w.pacer)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// askOnce makes one call that ends in any way.
func askOnce(ctx context.Context, rng *rand.Rand, w *watched, policy retry.Policy,
	server *limitertest.Server, start time.Time) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if rng.IntN(4) == 0 {
		defer time.AfterFunc(time.Duration(rng.IntN(300))*time.Millisecond+1, stop).Stop()
	}
	lost := errors.New("lost")
	how := rng.IntN(40)
	call := func(ctx context.Context) error {
		defer w.enter(how > 2)()
		switch how {
		case 0, 1, 2:
			return &retry.Rejection{Policy: "breaker", Reason: lost}
		case 3:
			panic("boom")
		case 4:
			runtime.Goexit()
		case 5:
			return &retry.Error{Attempts: 1, Reason: &retry.Rejection{Reason: lost}, Last: lost}
		}
		a := server.Serve(time.Since(start))
		select {
		case <-time.After(a.Busy + 5*time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if q := a.Quota; q != (limitertest.Quota{}) {
			retry.Report(ctx,
				retry.Quota{Limit: q.Limit, Remaining: q.Remaining, Window: q.Window,
					Reset: q.Reset})
		}
		if a.Status == 429 && a.RetryAfter > 0 {
			return retry.After(statusError(429), a.RetryAfter)
		}
		if a.Status != 200 {
			return statusError(a.Status)
		}
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = recover() }()
		if err := retry.Run(ctx, policy, call); errors.Is(err, retry.ErrRejected) {
			time.Sleep(50 * time.Millisecond)
		}
	}()
	<-ended
}
