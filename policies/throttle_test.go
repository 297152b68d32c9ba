package policies_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestThrottleOptions(t *testing.T) {
	for _, c := range []struct {
		want string
		opt  policies.Option
	}{
		{"policies.NewThrottle: K(0.5): must be a number of at least 1", policies.K(0.5)},
		{"policies.NewThrottle: K(NaN): must be a number of at least 1", policies.K(math.NaN())},
		{"policies.NewThrottle: K(+Inf): must be a number of at least 1", policies.K(math.Inf(1))},
		{"policies.NewThrottle: Over(1ms): must be at least 1s", policies.Over(time.Millisecond)},
		{"policies.NewThrottle: Refused(nil): must not be nil", policies.Refused(nil)},
		{"policies.NewThrottle: QueueOf(3): does not apply here", policies.QueueOf(3)},
	} {
		p := policies.NewThrottle(c.opt)
		err := retry.Validate(p)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		wantIs(t, retry.Run(t.Context(), p,
			func(context.Context) error { t.Error("called"); return nil }), retry.ErrConfig)
		_ = p.String()
	}
	var zero policies.Throttle
	wantIs(t, retry.Run(t.Context(), &zero, succeed), retry.ErrConfig)
	_, _, _ = zero.String(), zero.Stats(), zero.Idle()
	var none *policies.Throttle
	wantIs(t, retry.Run(t.Context(), none, succeed), retry.ErrConfig)
	_, _, _ = none.Name(), none.String(), none.Stats()
}

// pass makes n calls, one each ms, and returns how many were made.
func pass(t *testing.T, p retry.Policy, n int, call func(context.Context) error) (made int) {
	for range n {
		_ = retry.Run(t.Context(), p, func(ctx context.Context) error { made++; return call(ctx) })
		time.Sleep(ms)
	}
	return made
}

func ends(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestThrottleOutcomes(t *testing.T) {
	const all, trickle = "all", "trickle"
	for _, c := range []struct {
		name string
		want string
		call func(context.Context) error
		opts []policies.Option
	}{
		{"success", all, succeed, nil},
		{"failure", trickle, ends(errBoom), nil},
		{"throttle mark on a neutral error", trickle,
			ends(retry.Neutral(retry.After(errBoom, 0))), nil},
		{"neutral", all, ends(retry.Neutral(errBoom)), nil},
		{"final answer", all, ends(retry.Permanent(retry.Neutral(errBoom))), nil},
		{"permanent failure", trickle, ends(retry.Permanent(errBoom)), nil},
		{"rejected further in", all,
			ends(&retry.Rejection{Policy: "breaker", Reason: errBoom}), nil},
		{"timeout", trickle, ends(context.DeadlineExceeded), nil},
		{"Refused says no", all, ends(errBoom),
			[]policies.Option{policies.Refused(func(error) bool { return false })}},
		{"Refused says yes", trickle, ends(retry.Neutral(errBoom)),
			[]policies.Option{policies.Refused(func(error) bool { return true })}},
		{"panic", trickle, func(context.Context) error { panic("boom") }, nil},
		{"Goexit", trickle, func(context.Context) error { runtime.Goexit(); return nil }, nil},
	} {
		bubble(t, c.name, func(t *testing.T) {
			p := policies.NewThrottle(c.opts...)
			made := 0
			for range 2000 {
				var one sync.WaitGroup
				one.Go(func() {
					defer func() { _ = recover() }()
					_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
						made++
						return c.call(ctx)
					})
				})
				one.Wait()
				time.Sleep(ms)
			}
			if c.want == all && made != 2000 || c.want == trickle && (made < 40 || made > 400) {
				t.Errorf("%d of 2000 calls were made, want %s", made, c.want)
			}
		})
	}
	bubble(t, "cancelled by the caller", func(t *testing.T) {
		p := policies.NewThrottle()
		for range 200 {
			ctx, cancel := context.WithCancel(t.Context())
			_ = retry.Run(ctx, p, func(context.Context) error { cancel(); return errBoom })
		}
		if !p.Idle() {
			t.Error(p)
		}
	})
	bubble(t, "an ended context does not count", func(t *testing.T) {
		p := policies.NewThrottle()
		late := within(t, ms)
		time.Sleep(2 * ms)
		for range 200 {
			wantIs(t, retry.Run(late, p, succeed), context.DeadlineExceeded)
		}
		if !p.Idle() {
			t.Error(p)
		}
	})
	bubble(t, "what each outcome adds to requests and accepts", func(t *testing.T) {
		const kept, cancelled, late = 0, 1, 2
		for name, c := range map[string]struct {
			err               error
			end               int // of the context, during the call
			requests, accepts float64
		}{
			"success":                     {nil, kept, 1, 1},
			"final answer":                {retry.Permanent(retry.Neutral(errBoom)), kept, 1, 1},
			"failure":                     {errBoom, kept, 1, 0},
			"neutral":                     {retry.Neutral(errBoom), kept, 0, 0},
			"cancelled":                   {errBoom, cancelled, 0, 0},
			"cancelled, but throttled":    {retry.After(errBoom, 0), cancelled, 1, 0},
			"after the caller's patience": {errBoom, late, 1, 0},
		} {
			p := policies.NewThrottle()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = retry.Run(ctx, p, func(ctx context.Context) error {
				switch c.end {
				case cancelled:
					cancel()
				case late:
					<-ctx.Done()
				}
				return c.err
			})
			cancel()
			if s := p.Stats(); s[1].Value != c.requests || s[2].Value != c.accepts {
				t.Errorf("%s: %v requests, %v accepts", name, s[1].Value, s[2].Value)
			}
		}
	})
	bubble(t, "calls under way do not count against the callee", func(t *testing.T) {
		h := newHold(policies.NewThrottle())
		for i := range 100 {
			h.start(t.Context(), i, retry.Normal)
		}
		if len(h.ran) != 100 {
			t.Errorf("%d of the first 100 calls were made", len(h.ran))
		}
		h.end()
	})
}

func TestThrottleRejects(t *testing.T) {
	bubble(t, "with its name, and recovers", func(t *testing.T) {
		p := policies.NewThrottle(policies.Named("catalog"), policies.Over(6*time.Second))
		var rejected error
		var told []retry.Event
		var mu sync.Mutex
		seen := retry.Observe(func(_ context.Context, e retry.Event) {
			mu.Lock()
			defer mu.Unlock()
			if e.Kind == retry.KindReject {
				told = append(told, e)
			}
		})
		for range 1000 {
			called := false
			err := retry.Run(t.Context(), retry.Chain(seen, p), func(context.Context) error {
				called = true
				return errBoom
			})
			if !called {
				rejected = err
			}
			time.Sleep(ms)
		}
		wantIs(t, rejected, policies.ErrThrottled, retry.ErrRejected)
		if after, ok := retry.RetryAfter(rejected); !ok || after != 0 {
			t.Errorf("retry after %v, %v", after, ok)
		}
		if len(told) == 0 || told[0].Policy != "throttle catalog" {
			t.Errorf("events %v", told)
		}
		if got := p.String(); got != "throttle catalog(rejects 95 %)" || p.Name() != "catalog" ||
			p.Idle() {
			t.Error(got)
		}
		// beyond a third of the window, and beyond bad luck with the few let through
		pass(t, p, 4000, succeed)
		if made := pass(t, p, 500, succeed); made < 495 {
			t.Errorf("%d of 500 calls are made after the callee is well", made)
		}
		time.Sleep(7 * time.Second)
		if !p.Idle() {
			t.Error("not idle with an empty window")
		}
	})
	bubble(t, "nothing in an outage of a sixth of a window, after a good one", func(t *testing.T) {
		p := policies.NewThrottle(policies.Over(6 * time.Second))
		pass(t, p, 5000, succeed)
		if made := pass(t, p, 900, ends(errBoom)); made != 900 {
			t.Errorf("%d of 900 calls were made", made)
		}
	})
	bubble(t, "by K: nothing while one in K is accepted", func(t *testing.T) {
		for _, c := range []struct {
			k   float64
			all bool
		}{{4, true}, {2, false}} {
			p, i := policies.NewThrottle(policies.K(c.k)), 0
			made := pass(t, p, 5000, func(context.Context) error {
				if i++; i%10 == 1 || i%10 == 2 || i%10 == 3 {
					return nil
				}
				return errBoom
			})
			if c.all != (made == 5000) {
				t.Errorf("K(%v): %d of 5000 calls were made", c.k, made)
			}
		}
	})
	bubble(t, "never all of a priority", func(t *testing.T) {
		p, made := policies.NewThrottle(), 0
		for i := range 20_000 { // every second one is sheddable
			priority := retry.Normal
			if i%2 == 0 {
				priority = retry.Sheddable
			}
			_ = retry.Run(retry.WithPriority(t.Context(), priority), p,
				func(context.Context) error {
					if i >= 10_000 && priority == retry.Sheddable {
						made++
					}
					return errBoom
				})
			time.Sleep(ms)
		}
		if made < 100 { // 250 are one in twenty
			t.Errorf("%d of 5000 sheddable calls were made", made)
		}
	})
	bubble(t, "the lower first", func(t *testing.T) {
		p := policies.NewThrottle()
		made := map[retry.Priority]int{}
		left := 0
		for i := range 60_000 { // 1000 a second, of which the callee takes 200; 1 in 10 is critical
			if i%1000 == 0 {
				left = 200
			}
			priority := retry.Sheddable
			if i%10 == 0 {
				priority = retry.Critical
			}
			_ = retry.Run(retry.WithPriority(t.Context(), priority), p,
				func(context.Context) error {
					if i >= 30_000 {
						made[priority]++
					}
					if left--; left < 0 {
						return errBoom
					}
					return nil
				})
			time.Sleep(ms)
		}
		if made[retry.Critical] < 2950 || made[retry.Sheddable] > 15_000 {
			t.Errorf("made %d of 3000 critical calls and %d of 27000 sheddable ones",
				made[retry.Critical], made[retry.Sheddable])
		}
	})
	bubble(t, "from many goroutines", func(t *testing.T) {
		p := policies.NewThrottle()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for i := range 200 {
					_ = retry.Run(t.Context(), p, func(context.Context) error {
						if i%2 == 0 {
							return errBoom
						}
						return nil
					})
					_ = p.String()
				}
			})
		}
		all.Wait()
		stats := p.Stats()
		if stats[1].Name != "requests" || stats[1].Value != 4000 {
			t.Errorf("%+v", stats)
		}
	})
}

// Made in real time and used in a bubble, where it is the year 2000.
func TestThrottleWhenTheClockJumps(t *testing.T) {
	p := policies.NewThrottle()
	_ = retry.Run(t.Context(), p, succeed)
	bubble(t, "it goes on", func(t *testing.T) {
		if made := pass(t, p, 2000, ends(errBoom)); made > 400 {
			t.Errorf("%d of 2000 calls are made", made)
		}
	})
}
