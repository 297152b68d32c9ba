package policies_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// hold starts calls that run until release is closed, each with a priority, and waits until they
// are where they stay. What they return is in errs, what ran, in order, in ran.
type hold struct {
	p       retry.Policy
	release chan struct{}
	all     sync.WaitGroup
	mu      sync.Mutex
	ran     []int
	errs    map[int]error
}

func newHold(p retry.Policy) *hold {
	return &hold{p: p, release: make(chan struct{}), errs: map[int]error{}}
}

func (h *hold) start(ctx context.Context, id int, priority retry.Priority) {
	ctx = retry.WithPriority(ctx, priority)
	h.all.Go(func() {
		err := retry.Run(ctx, h.p, func(context.Context) error {
			h.mu.Lock()
			h.ran = append(h.ran, id)
			h.mu.Unlock()
			<-h.release
			return nil
		})
		h.mu.Lock()
		h.errs[id] = err
		h.mu.Unlock()
	})
	synctest.Wait()
}

func (h *hold) end() {
	close(h.release)
	h.all.Wait()
}

func TestAdaptiveOptions(t *testing.T) {
	for _, c := range []struct {
		want string
		opts []policies.Option
	}{
		{"policies.NewAdaptive: StartLimit(0): must be at least 1",
			[]policies.Option{policies.StartLimit(0)}},
		{"policies.NewAdaptive: StartLimit(2000): must be within Between(1, 1000)",
			[]policies.Option{policies.StartLimit(2000)}},
		{"policies.NewAdaptive: Between(5, 4): must be at least 1 and not above the second",
			[]policies.Option{policies.Between(5, 4)}},
		{"policies.NewAdaptive: QueueOf(-1): must not be negative",
			[]policies.Option{policies.QueueOf(-1)}},
		{"policies.NewAdaptive: MaxWait(-1s): must not be negative",
			[]policies.Option{policies.MaxWait(-time.Second)}},
		{"policies.NewAdaptive: Attempts(3): does not apply here",
			[]policies.Option{policies.Attempts(3)}},
		{"policies.NewAdaptive: K(2): does not apply here", []policies.Option{policies.K(2)}},
	} {
		a := policies.NewAdaptive(c.opts...)
		err := retry.Validate(a)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		wantIs(t, err, retry.ErrConfig)
		called := false
		wantIs(t, retry.Run(t.Context(), a,
			func(context.Context) error { called = true; return nil }), retry.ErrConfig)
		if called {
			t.Errorf("%s: the function ran", c.want)
		}
	}
	var zero policies.Adaptive
	wantIs(t, retry.Run(t.Context(), &zero, succeed), retry.ErrConfig)
	_, _, _ = zero.Limit(), zero.String(), zero.Idle()
	var none *policies.Adaptive
	wantIs(t, retry.Run(t.Context(), none, succeed), retry.ErrConfig)
	_, _, _, _ = none.Limit(), none.Name(), none.String(), none.Stats()
	for _, c := range []struct {
		opts  []policies.Option
		limit int
	}{
		{nil, 20},
		{[]policies.Option{policies.Between(50, 100)}, 50},
		{[]policies.Option{policies.Between(1, 7)}, 7},
		{[]policies.Option{policies.Between(5, 5), policies.StartLimit(5)}, 5},
	} {
		if got := policies.NewAdaptive(c.opts...).Limit(); got != c.limit {
			t.Errorf("starts at %d, want %d", got, c.limit)
		}
	}
}

func TestAdaptiveAtItsLimit(t *testing.T) {
	bubble(t, "rejects at once, with its name and limit", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(3), policies.Named("catalog"))
		h := newHold(a)
		for i := range 4 {
			h.start(t.Context(), i, retry.Normal)
		}
		if got := a.String(); got != "adaptive catalog(limit 3, 3 in flight)" ||
			a.InFlight() != 3 || a.Name() != "catalog" {
			t.Error(got, a.InFlight(), a.Name())
		}
		err := h.errs[3]
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		if err.Error() != "adaptive catalog: at its limit of 3" {
			t.Error(err)
		}
		h.end()
		if err := retry.Run(t.Context(), a, succeed); err != nil || a.InFlight() != 0 {
			t.Error(err, a.InFlight())
		}
	})
	bubble(t, "a context that has ended takes no slot", func(t *testing.T) {
		a := policies.NewAdaptive()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantIs(t, retry.Run(ctx, a, func(context.Context) error { t.Error("called"); return nil }),
			context.Canceled)
	})
}

func TestAdaptiveQueue(t *testing.T) {
	bubble(t, "higher first, then earlier; a full queue sheds the lowest", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(1), policies.Between(1, 1),
			policies.QueueOf(4))
		h := newHold(a)
		for i, p := range []retry.Priority{0, retry.Sheddable, 0, 50, 0} {
			h.start(t.Context(), i, p)
		}
		h.start(t.Context(), 5, retry.Sheddable)
		wantIs(t, h.errs[5], policies.ErrFull)
		h.start(t.Context(), 6, retry.Critical)
		wantIs(t, h.errs[1], policies.ErrFull, retry.ErrRejected)
		if a.Waiting() != 4 {
			t.Errorf("%d wait", a.Waiting())
		}
		h.end()
		if want := []int{0, 6, 3, 2, 4}; !slices.Equal(h.ran, want) {
			t.Errorf("ran %v, want %v", h.ran, want)
		}
		if a.InFlight() != 0 || a.Waiting() != 0 {
			t.Error(a)
		}
	})
	bubble(t, "MaxWait bounds the wait alone", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(1), policies.MaxWait(50*ms))
		h := newHold(a)
		h.start(t.Context(), 0, retry.Normal)
		start := time.Now()
		err := retry.Run(t.Context(), a, succeed)
		if took := time.Since(start); took != 50*ms {
			t.Errorf("waited %v", took)
		}
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		wantNot(t, err, context.DeadlineExceeded)
		h.end()
		if err := retry.Run(t.Context(), a, func(context.Context) error {
			time.Sleep(time.Second)
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "MaxWait alone lets as many calls wait as the limit, 0 none", func(t *testing.T) {
		h := newHold(policies.NewAdaptive(policies.StartLimit(2), policies.MaxWait(time.Hour)))
		for i := range 5 {
			h.start(t.Context(), i, retry.Normal)
		}
		wantIs(t, h.errs[4], policies.ErrFull)
		h.end()
		h = newHold(policies.NewAdaptive(policies.StartLimit(1), policies.QueueOf(5),
			policies.MaxWait(0)))
		h.start(t.Context(), 0, retry.Normal)
		h.start(t.Context(), 1, retry.Normal)
		wantIs(t, h.errs[1], policies.ErrFull)
		h.end()
	})
	bubble(t, "an observer that panics loses neither slot nor place", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(1), policies.QueueOf(1))
		h := newHold(a)
		h.start(t.Context(), 0, retry.Normal)
		var all sync.WaitGroup
		all.Go(func() {
			defer func() { _ = recover() }()
			loud := retry.Observe(func(context.Context, retry.Event) { panic("observer") })
			_ = retry.Run(t.Context(), retry.Chain(loud, a), func(context.Context) error {
				t.Error("called")
				return nil
			})
		})
		synctest.Wait()
		h.end()
		all.Wait()
		if a.InFlight()+a.Waiting() != 0 {
			t.Error(a)
		}
	})
	bubble(t, "a wait that the context ends is a rejection, and Is that end", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(1), policies.QueueOf(1))
		h := newHold(a)
		h.start(t.Context(), 0, retry.Normal)
		cause := errors.New("shutdown")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*ms, func() { cancel(cause) })
		err := retry.Run(ctx, a, succeed)
		wantIs(t, err, context.Canceled, cause, retry.ErrRejected, policies.ErrFull)
		h.end()
		if a.InFlight()+a.Waiting() != 0 {
			t.Error(a)
		}
	})
}

func TestAdaptivePriorityWithoutAQueue(t *testing.T) {
	bubble(t, "lower calls leave room for the higher", func(t *testing.T) {
		a := policies.NewAdaptive()
		var mu sync.Mutex
		lost := map[retry.Priority]int{}
		var all sync.WaitGroup
		call := func(p retry.Priority, took time.Duration) {
			ctx := retry.WithPriority(t.Context(), p)
			all.Go(func() {
				err := retry.Run(ctx, a, func(context.Context) error {
					time.Sleep(took)
					return nil
				})
				if err != nil {
					mu.Lock()
					lost[p]++
					mu.Unlock()
				}
			})
		}
		// 20 s: 1000 sheddable calls a second, and 100 critical ones: 5 slots
		for i := range 20_000 {
			if i%10 == 0 {
				call(retry.Critical, 50*ms)
			}
			call(retry.Sheddable, 50*ms)
			time.Sleep(ms)
		}
		all.Wait()
		if lost[retry.Critical] > 0 || lost[retry.Sheddable] == 0 {
			t.Errorf("lost %d of 2000 critical calls and %d of 20000 sheddable ones",
				lost[retry.Critical], lost[retry.Sheddable])
		}
	})
	bubble(t, "as many slots as the higher needed lately, even if that is all", func(t *testing.T) {
		a := policies.NewAdaptive(policies.Between(20, 20))
		var all sync.WaitGroup
		var lost, shed atomic.Int64
		call := func(p retry.Priority, failed *atomic.Int64) {
			all.Go(func() {
				ctx := retry.WithPriority(t.Context(), p)
				if retry.Run(ctx, a, func(context.Context) error {
					time.Sleep(50 * ms)
					return nil
				}) != nil {
					failed.Add(1)
				}
			})
		}
		// 10 s: 1000 sheddable calls a second from the second one on, and 100 critical ones
		for i := range 10_000 {
			if i%10 == 0 {
				call(retry.Critical, &lost)
			}
			if i >= 1000 {
				call(retry.Sheddable, &shed)
			}
			time.Sleep(ms)
		}
		all.Wait()
		if lost.Load() > 0 || shed.Load() == 0 {
			t.Errorf("lost %d critical calls and %d sheddable ones", lost.Load(), shed.Load())
		}
	})
	bubble(t, "an overload by the higher alone goes no further than the limit", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(10))
		hands := make(chan struct{}, 10)
		call := func(p retry.Priority) {
			_ = retry.Run(retry.WithPriority(t.Context(), p), a, func(context.Context) error {
				hands <- struct{}{}
				time.Sleep(50 * ms)
				<-hands
				return nil
			})
		}
		var all sync.WaitGroup
		beyond, samples := 0, 0
		// 20 s: 1000 critical calls a second, where 200 are done, and 100 sheddable ones
		for i := range 20_000 {
			all.Go(func() { call(retry.Critical) })
			if i%10 == 0 {
				all.Go(func() { call(retry.Sheddable) })
			}
			time.Sleep(ms)
			if i >= 10_000 {
				samples++
				beyond += max(0, a.InFlight()-a.Limit())
			}
		}
		all.Wait()
		if mean := float64(beyond) / float64(samples); mean > 1 {
			t.Errorf("%.1f calls beyond the limit on average", mean)
		}
	})
	bubble(t, "with one priority the limit is the limit", func(t *testing.T) {
		h := newHold(policies.NewAdaptive(policies.StartLimit(4)))
		for i := range 5 {
			h.start(t.Context(), i, retry.Critical)
		}
		wantIs(t, h.errs[4], policies.ErrFull)
		h.end()
	})
	bubble(t, "no priority goes beyond Between", func(t *testing.T) {
		h := newHold(policies.NewAdaptive(policies.StartLimit(8), policies.Between(1, 8)))
		for i := range 8 {
			h.start(t.Context(), i, retry.Sheddable)
		}
		h.start(t.Context(), 8, retry.Critical)
		wantIs(t, h.errs[8], policies.ErrFull)
		h.end()
	})
}

// drive makes calls one after the other, n at once, and returns the limit that is learned.
func drive(t *testing.T, a *policies.Adaptive, n int, d time.Duration,
	call func(context.Context) error) int {
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for range n {
		all.Go(func() {
			for time.Now().Before(end) {
				if err := retry.Run(t.Context(), a, call); errors.Is(err, policies.ErrFull) {
					time.Sleep(10 * ms)
				}
			}
		})
	}
	all.Wait()
	if a.InFlight() != 0 {
		t.Errorf("%d slots lost", a.InFlight())
	}
	return a.Limit()
}

func TestAdaptiveOutcomes(t *testing.T) {
	var busy atomic.Int64
	const steady, falls, rises = "stays", "falls", "rises"
	takes := func(d time.Duration, err error) func(context.Context) error {
		return func(context.Context) error { time.Sleep(d); return err }
	}
	for _, c := range []struct {
		name string
		want string
		then func(context.Context) error // after the baseline of 20 ms is known, 100 at once
	}{
		{"as fast with more calls", rises, takes(20*ms, nil)},
		{"throttle mark", falls, takes(20*ms, retry.After(errBoom, time.Second))},
		{"throttle mark on a neutral error", falls,
			takes(20*ms, retry.Neutral(retry.After(errBoom, 0)))},
		{"a third throttled", falls, func(ctx context.Context) error {
			if rand.IntN(3) == 0 {
				return takes(20*ms, retry.After(errBoom, 0))(ctx)
			}
			return takes(20*ms, nil)(ctx)
		}},
		{"timeouts", falls, takes(20*ms, context.DeadlineExceeded)},
		{"timeouts of this package", falls, func(ctx context.Context) error {
			return retry.Run(ctx, policies.Timeout(20*ms), func(ctx context.Context) error {
				<-ctx.Done()
				return errBoom
			})
		}},
		{"a timeout of this package, bare", falls, takes(20*ms, policies.ErrTimeout)},
		{"timeouts of the network", falls, takes(20*ms, os.ErrDeadlineExceeded)},
		{"neutral", steady, takes(time.Second, retry.Neutral(errBoom))},
		{"rejected further in", steady,
			takes(time.Second, &retry.Rejection{Policy: "breaker", Reason: errBoom})},
		{"misconfigured further in", steady, takes(time.Second, retry.ConfigErrorf("x", "y"))},
		{"failing fast", steady, takes(ms, errBoom)},
		{"slower with more calls", falls, func(ctx context.Context) error {
			return takes(time.Duration(busy.Load())*4*ms, nil)(ctx)
		}},
		{"failing, slower with more calls", falls, func(ctx context.Context) error {
			return takes(time.Duration(busy.Load())*4*ms, errBoom)(ctx)
		}},
		{"slower however few calls there are", rises, takes(100*ms, nil)},
		{"final answers", rises, takes(20*ms, retry.Permanent(retry.Neutral(errBoom)))},
	} {
		bubble(t, c.name, func(t *testing.T) {
			a := policies.NewAdaptive()
			before := drive(t, a, 5, 2*time.Second, takes(20*ms, nil))
			after := drive(t, a, 100, 6*time.Second, func(ctx context.Context) error {
				busy.Add(1)
				defer busy.Add(-1)
				return c.then(ctx)
			})
			got := steady
			if after < before {
				got = falls
			} else if after > 2*before { // the round that was under way may double it
				got = rises
			}
			if before != 20 || got != c.want || c.name == "slower with more calls" && after > 10 {
				t.Errorf("limit %d, then %d: %s, want %s", before, after, got, c.want)
			}
		})
	}
	bubble(t, "finds the limit of a callee that refuses the eleventh call", func(t *testing.T) {
		a := policies.NewAdaptive()
		var busy, served, refused atomic.Int64
		drive(t, a, 60, 60*time.Second, func(context.Context) error {
			defer busy.Add(-1)
			if busy.Add(1) > 10 {
				time.Sleep(2 * ms)
				refused.Add(1)
				return retry.After(errBoom, 0)
			}
			time.Sleep(50 * ms)
			served.Add(1)
			return nil
		})
		if served.Load() < 60*200*8/10 || refused.Load() > 2*served.Load() {
			t.Errorf("%d served of %d, %d refused", served.Load(), 60*200, refused.Load())
		}
	})
	bubble(t, "throttled from the first call, one at a time", func(t *testing.T) {
		got := drive(t, policies.NewAdaptive(), 1, 10*time.Second,
			takes(20*ms, retry.After(errBoom, 0)))
		if got >= 20 {
			t.Errorf("limit %d", got)
		}
	})
	bubble(t, "timeouts do not teach what a call takes", func(t *testing.T) {
		a := policies.NewAdaptive()
		drive(t, a, 5, 2*time.Second, takes(20*ms, nil))
		drive(t, a, 100, 10*time.Second, takes(200*ms, context.DeadlineExceeded))
		if s := a.Stats()[3]; s.Value > 0.021 {
			t.Errorf("%s %v, want 0.02", s.Name, s.Value)
		}
	})
	bubble(t, "a limit that is not reached stays", func(t *testing.T) {
		got := drive(t, policies.NewAdaptive(), 9, 10*time.Second, takes(20*ms, nil))
		if got != 20 {
			t.Errorf("limit %d", got)
		}
	})
	bubble(t, "the caller's own deadline is a timeout", func(t *testing.T) {
		a := policies.NewAdaptive()
		drive(t, a, 5, 2*time.Second, takes(20*ms, nil))
		var all sync.WaitGroup
		for range 15 {
			all.Go(func() {
				for range 100 {
					_ = retry.Run(within(t, 20*ms), a, func(ctx context.Context) error {
						<-ctx.Done()
						return errBoom
					})
				}
			})
		}
		all.Wait()
		if a.Limit() >= 20 {
			t.Errorf("limit %d", a.Limit())
		}
	})
	bubble(t, "panics and Goexit say nothing", func(t *testing.T) {
		a := policies.NewAdaptive()
		drive(t, a, 5, 2*time.Second, takes(20*ms, nil))
		for i := range 100 {
			var all sync.WaitGroup
			for range 15 {
				all.Go(func() {
					defer func() { _ = recover() }()
					_ = retry.Run(t.Context(), a, func(context.Context) error {
						time.Sleep(200 * ms)
						if i%2 == 0 {
							runtime.Goexit()
						}
						panic("boom")
					})
				})
			}
			all.Wait()
		}
		if a.Limit() != 20 || a.InFlight() != 0 {
			t.Errorf("limit %d, %d in flight", a.Limit(), a.InFlight())
		}
	})
	bubble(t, "slower, with less than half of the limit in use", func(t *testing.T) {
		a := policies.NewAdaptive()
		drive(t, a, 5, 2*time.Second, takes(20*ms, nil))
		if got := drive(t, a, 5, 10*time.Second, takes(200*ms, nil)); got != 20 {
			t.Errorf("limit %d", got)
		}
	})
	bubble(t, "cancelled by the caller", func(t *testing.T) {
		a := policies.NewAdaptive()
		drive(t, a, 5, 2*time.Second, takes(20*ms, nil))
		var all sync.WaitGroup
		for range 15 {
			all.Go(func() {
				for range 30 {
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(200*ms, cancel)
					_ = retry.Run(ctx, a, func(ctx context.Context) error {
						<-ctx.Done()
						return errBoom
					})
				}
			})
		}
		all.Wait()
		if a.Limit() != 20 {
			t.Errorf("limit %d", a.Limit())
		}
	})
}

// A callee of ten hands, in real goroutines, asked for ten times what it can do.
func TestAdaptiveUnderOverload(t *testing.T) {
	bubble(t, "goodput, latency, and a capacity that halves", func(t *testing.T) {
		a := policies.NewAdaptive()
		hands := make(chan struct{}, 10)
		var mu sync.Mutex
		var done []time.Duration // when calls ended
		var took []time.Duration
		start := time.Now()
		call := func(context.Context) error {
			began := time.Now()
			hands <- struct{}{}
			time.Sleep(45*ms + time.Duration(rand.IntN(10))*ms)
			<-hands
			mu.Lock()
			done = append(done, time.Since(start))
			if time.Since(start) < 20*time.Second && began.Sub(start) > 2*time.Second {
				took = append(took, time.Since(began))
			}
			mu.Unlock()
			return nil
		}
		for i := range 40 * 2000 {
			if i == 20*2000 {
				for range 5 { // hands that are gone
					go func() { hands <- struct{}{} }()
				}
			}
			go func() { _ = retry.Run(t.Context(), a, call) }()
			time.Sleep(500 * time.Microsecond)
		}
		rate := func(done []time.Duration, from, to time.Duration) float64 {
			n := 0
			for _, d := range done {
				if d >= from && d < to {
					n++
				}
			}
			return float64(n) / (to - from).Seconds()
		}
		mu.Lock()
		ends, times := slices.Clone(done), slices.Clone(took)
		mu.Unlock()
		if r := rate(ends, 2*time.Second, 20*time.Second); r < 180 {
			t.Errorf("goodput %.0f/s of 200", r)
		}
		if r := rate(ends, 30*time.Second, 40*time.Second); r < 90 {
			t.Errorf("goodput %.0f/s of 100 with half of the hands", r)
		}
		slices.Sort(times)
		if p99 := times[len(times)*99/100]; p99 > 2*54*ms {
			t.Errorf("p99 %v", p99)
		}
		if limit := a.Limit(); limit > 12 {
			t.Errorf("limit %d for 5 hands", limit)
		}
		time.Sleep(time.Second)
	})
}

func TestAdaptiveGivesSlotsBack(t *testing.T) {
	ways := []func(context.Context) error{
		succeed,
		func(context.Context) error { return errBoom },
		func(context.Context) error { panic("boom") },
		func(context.Context) error { runtime.Goexit(); return nil },
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		func(context.Context) error { time.Sleep(3 * ms); return retry.After(errBoom, 0) },
	}
	for seed := range uint64(20) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			opts := []policies.Option{policies.StartLimit(1 + random.IntN(5))}
			if random.IntN(2) == 0 {
				opts = append(opts, policies.QueueOf(random.IntN(6)),
					policies.MaxWait(time.Duration(1+random.IntN(5))*ms))
			}
			a := policies.NewAdaptive(opts...)
			var all sync.WaitGroup
			for range 200 {
				way := ways[random.IntN(len(ways))]
				priority := retry.Priority(random.IntN(3) - 1)
				ctx := within(t, time.Duration(1+random.IntN(7))*ms)
				nested := random.IntN(4) == 0
				all.Go(func() {
					done := make(chan struct{})
					go func() { // Goexit ends this one only
						defer close(done)
						defer func() { _ = recover() }()
						_ = retry.Run(retry.WithPriority(ctx, priority), a,
							func(ctx context.Context) error {
								if nested {
									_ = retry.Run(ctx, a, succeed)
								}
								return way(ctx)
							})
					}()
					<-done
				})
				if random.IntN(3) == 0 {
					time.Sleep(ms)
				}
			}
			all.Wait()
			if a.InFlight() != 0 || a.Waiting() != 0 {
				t.Errorf("%v: %d in flight, %d waiting", a, a.InFlight(), a.Waiting())
			}
		})
	}
}

func TestAdaptiveNested(t *testing.T) {
	for name, opts := range map[string][]policies.Option{
		"without a queue": {policies.StartLimit(1), policies.Between(1, 1)},
		"with a queue":    {policies.StartLimit(1), policies.Between(1, 1), policies.QueueOf(10)},
	} {
		bubble(t, name+" one shares its caller's slot, others are refused", func(t *testing.T) {
			a := policies.NewAdaptive(opts...)
			err := retry.Run(t.Context(), a, func(ctx context.Context) error {
				var wait sync.WaitGroup
				first := make(chan struct{})
				wait.Go(func() {
					err := retry.Run(ctx, a, func(ctx context.Context) error {
						<-first
						return retry.Run(ctx, a, succeed) // deeper
					})
					if err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				err := retry.Run(ctx, a, succeed)
				wantIs(t, err, policies.ErrFull, retry.ErrRejected)
				if !strings.Contains(err.Error(), "one after the other") {
					t.Error(err)
				}
				close(first)
				wait.Wait()
				return retry.Run(ctx, a, succeed) // the share is free again
			})
			if err != nil || a.InFlight() != 0 {
				t.Error(err, a)
			}
		})
	}
	bubble(t, "what a call that is over has left behind shares no slot", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(1), policies.Between(1, 1))
		var left context.Context
		_ = retry.Run(t.Context(), a, func(ctx context.Context) error { left = ctx; return nil })
		_ = retry.Run(t.Context(), a, func(context.Context) error {
			err := retry.Run(left, a, func(context.Context) error { t.Error("called"); return nil })
			wantIs(t, err, policies.ErrFull)
			return nil
		})
	})
	bubble(t, "a call inside another Adaptive is not a nested one", func(t *testing.T) {
		a, b := policies.NewAdaptive(policies.StartLimit(1)),
			policies.NewAdaptive(policies.StartLimit(1))
		err := retry.Run(t.Context(), a, func(ctx context.Context) error {
			wantIs(t, retry.Run(t.Context(), a, succeed), policies.ErrFull)
			return retry.Run(ctx, b, succeed)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAdaptiveIdle(t *testing.T) {
	bubble(t, "fresh, busy, learned, forgotten", func(t *testing.T) {
		a := policies.NewAdaptive()
		want := func(when string, idle bool) {
			t.Helper()
			if a.Idle() != idle {
				t.Errorf("%s: idle is %v", when, !idle)
			}
		}
		want("fresh", true)
		_ = retry.Run(t.Context(), a, func(context.Context) error {
			want("busy", false)
			return nil
		})
		drive(t, a, 5, time.Second, func(context.Context) error { time.Sleep(10 * ms); return nil })
		want("learned", false)
		time.Sleep(10*time.Minute - time.Second)
		want("nearly ten minutes later", false)
		time.Sleep(time.Second)
		want("ten minutes later", true)
	})
}

func TestAdaptiveStats(t *testing.T) {
	bubble(t, "limit, in_flight, waiting, baseline", func(t *testing.T) {
		a := policies.NewAdaptive(policies.StartLimit(2), policies.Between(2, 2),
			policies.QueueOf(1))
		drive(t, a, 1, 2*time.Second, func(context.Context) error {
			time.Sleep(10 * ms)
			return nil
		})
		h := newHold(a)
		for i := range 3 {
			h.start(t.Context(), i, retry.Normal)
		}
		want := map[string]float64{"limit": 2, "in_flight": 2, "waiting": 1, "baseline": 0.01}
		for _, s := range a.Stats() {
			if d := s.Value - want[s.Name]; d > 1e-4 || d < -1e-4 {
				t.Errorf("%s is %v, want %v", s.Name, s.Value, want[s.Name])
			}
			delete(want, s.Name)
		}
		if len(want) > 0 {
			t.Errorf("missing %v", want)
		}
		h.end()
	})
}

func TestAdaptiveTellsOfItsLimit(t *testing.T) {
	bubble(t, "an event for each change of a tenth", func(t *testing.T) {
		a := policies.NewAdaptive(policies.Named("x"))
		var mu sync.Mutex
		var seen []retry.Event
		p := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindChange || e.Kind == retry.KindReject {
				mu.Lock()
				seen = append(seen, e)
				mu.Unlock()
			}
		})
		drive(t, a, 5, time.Second, func(context.Context) error { time.Sleep(20 * ms); return nil })
		seen = nil
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
					_ = retry.Run(t.Context(), retry.Chain(p, a), func(context.Context) error {
						time.Sleep(20 * ms)
						return nil
					})
					time.Sleep(ms)
				}
			})
		}
		all.Wait()
		changes, rejects := 0, 0
		for _, e := range seen {
			switch {
			case e.Policy != "adaptive x":
				t.Errorf("%+v", e)
			case e.Kind == retry.KindReject:
				rejects++
			default:
				changes++
				if e.From == e.To || !strings.HasPrefix(e.From, "limit ") {
					t.Errorf("from %q to %q", e.From, e.To)
				}
			}
		}
		if changes == 0 || rejects == 0 {
			t.Errorf("%d changes, %d rejections", changes, rejects)
		}
	})
}

func TestAdaptiveTellsOfNoChangeBelowATenth(t *testing.T) {
	bubble(t, "near where the callee throttles the limit moves by a fiftieth", func(t *testing.T) {
		a := policies.NewAdaptive()
		var mu sync.Mutex
		var busy atomic.Int64
		told := 0
		watched := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind != retry.KindChange {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			var from, to int
			_, _ = fmt.Sscanf(e.From+" "+e.To, "limit %d limit %d", &from, &to)
			if told++; 10*max(to-from, from-to) < from {
				t.Errorf("told of %q to %q", e.From, e.To)
			}
		}), a)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				end := time.Now().Add(20 * time.Second)
				for ; time.Now().Before(end); time.Sleep(ms) {
					_ = retry.Run(t.Context(), watched, func(context.Context) error {
						defer busy.Add(-1)
						if busy.Add(1) > 40 {
							return retry.After(errBoom, 0)
						}
						time.Sleep(20 * ms)
						return nil
					})
				}
			})
		}
		all.Wait()
		if told == 0 {
			t.Error("told of nothing")
		}
	})
}

// Made in real time and used in a bubble, where it is the year 2000, and the other way round.
func TestAdaptiveWhenTheClockJumps(t *testing.T) {
	a := policies.NewAdaptive()
	_ = retry.Run(t.Context(), a, succeed)
	bubble(t, "it learns all the same", func(t *testing.T) {
		drive(t, a, 5, 2*time.Second, func(context.Context) error {
			time.Sleep(20 * ms)
			return nil
		})
		got := drive(t, a, 30, 3*time.Second, func(context.Context) error {
			time.Sleep(20 * ms)
			return nil
		})
		if got <= 20 {
			t.Errorf("limit %d", got)
		}
	})
	if err := retry.Run(t.Context(), a, succeed); err != nil {
		t.Error(err)
	}
}

func TestAdaptiveAllocatesNothing(t *testing.T) {
	ctx := context.Background()
	for name, p := range map[string]retry.Policy{"adaptive": policies.NewAdaptive(),
		"throttle": policies.NewThrottle()} {
		if n := testing.AllocsPerRun(1000, func() { _ = p.Do(ctx, retry.Next{}) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
