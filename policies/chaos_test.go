package policies_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func enabled(context.Context) bool { return true }

func TestChaosOptions(t *testing.T) {
	on := policies.Enabled(enabled)
	for _, c := range []struct {
		want string
		opts []policies.Option
	}{
		{"policies.Chaos: without Enabled: say when it may act",
			[]policies.Option{policies.Fault(0.1, errBoom)}},
		{"policies.Chaos: without Fault, Latency or Hang: must have one", []policies.Option{on}},
		{"policies.Chaos: Fault(1.5, boom): must have a share from 0 to 1 and an error",
			[]policies.Option{on, policies.Fault(1.5, errBoom)}},
		{"policies.Chaos: Fault(0.5, <nil>): must have a share from 0 to 1 and an error",
			[]policies.Option{on, policies.Fault(0.5, nil)}},
		{"policies.Chaos: Hang(NaN): must be a share from 0 to 1",
			[]policies.Option{on, policies.Hang(math.NaN())}},
		{"policies.Chaos: Latency(0.5, -1s): must have a share from 0 to 1 " +
			"and a time that is not negative",
			[]policies.Option{on, policies.Latency(0.5, -time.Second)}},
		{"policies.Chaos: Enabled(nil): must not be nil",
			[]policies.Option{policies.Enabled(nil), policies.Hang(0)}},
		{"policies.Chaos: Attempts(3): does not apply here",
			[]policies.Option{on, policies.Hang(0), policies.Attempts(3)}},
	} {
		p := policies.Chaos(1, c.opts...)
		if err := retry.Validate(p); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		wantIs(t, retry.Run(t.Context(), p,
			func(context.Context) error { t.Error("called"); return nil }), retry.ErrConfig)
	}
}

// struck tells for each of n calls whether it failed.
func struck(t *testing.T, p retry.Policy, n int) []bool {
	all := make([]bool, n)
	for i := range all {
		all[i] = retry.Run(t.Context(), p, succeed) != nil
	}
	return all
}

func count(all []bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

func TestChaos(t *testing.T) {
	fault := func(seed uint64) retry.Policy {
		return policies.Chaos(seed, policies.Enabled(enabled), policies.Fault(0.1, errBoom))
	}
	t.Run("one seed, one run; another seed, another", func(t *testing.T) {
		first := struck(t, fault(7), 1000)
		if !slices.Equal(first, struck(t, fault(7), 1000)) {
			t.Error("two runs of one seed differ")
		}
		if slices.Equal(first, struck(t, fault(8), 1000)) {
			t.Error("two seeds are the same")
		}
	})
	t.Run("strikes at its rate, from any number of goroutines", func(t *testing.T) {
		want := count(struck(t, fault(7), 10_000))
		if want < 900 || want > 1100 {
			t.Errorf("%d of 10000", want)
		}
		p := fault(7)
		var n atomic.Int64
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { n.Add(int64(count(struck(t, p, 1000)))) })
		}
		all.Wait()
		if int(n.Load()) != want {
			t.Errorf("%d from ten goroutines, %d from one", n.Load(), want)
		}
	})
	t.Run("0 never, 1 always, with the error given and without a call", func(t *testing.T) {
		p := policies.Chaos(1, policies.Enabled(enabled), policies.Fault(0, errBoom),
			policies.Latency(0, time.Hour), policies.Hang(0))
		if n := count(struck(t, p, 1000)); n != 0 {
			t.Errorf("%d", n)
		}
		err := retry.Run(t.Context(),
			policies.Chaos(1, policies.Enabled(enabled), policies.Fault(1, errBoom)),
			func(context.Context) error {
				t.Error("called")
				return nil
			})
		if err != errBoom {
			t.Error(err)
		}
	})
	t.Run("several draw for themselves", func(t *testing.T) {
		p := policies.Chaos(3, policies.Enabled(enabled), policies.Fault(0.5, errBoom),
			policies.Fault(0.5, errBoom))
		if n := count(struck(t, p, 4000)); n < 2850 || n > 3150 {
			t.Errorf("%d of 4000, want 3000", n)
		}
	})
	t.Run("calls for which it is off are not counted", func(t *testing.T) {
		on := true
		p := policies.Chaos(7, policies.Fault(0.1, errBoom),
			policies.Enabled(func(context.Context) bool { return on }))
		first := struck(t, p, 500)
		on = false
		if n := count(struck(t, p, 500)); n != 0 {
			t.Errorf("%d while off", n)
		}
		on = true
		if !slices.Equal(append(first, struck(t, p, 500)...), struck(t, fault(7), 1000)) {
			t.Error("the pause changed the run")
		}
	})
	bubble(t, "latency delays and calls on; it ends with the context", func(t *testing.T) {
		p := policies.Chaos(1, policies.Enabled(enabled), policies.Latency(1, time.Second))
		s := outcomes(nil)
		if err := s.run(t.Context(), p); err != nil {
			t.Error(err)
		}
		s.wantAt(t, 1000)
		s = outcomes(nil)
		wantIs(t, s.run(within(t, 100*ms), p), context.DeadlineExceeded)
		if took := time.Since(s.start); took != 100*ms || len(s.at) != 0 {
			t.Errorf("after %v, %d calls", took, len(s.at))
		}
	})
	bubble(t, "a hang ends with the context; one that cannot end is an error", func(t *testing.T) {
		p := policies.Chaos(1, policies.Enabled(enabled), policies.Hang(1))
		start := time.Now()
		wantIs(t, retry.Run(within(t, time.Minute), p, succeed), context.DeadlineExceeded)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("hung for %v", took)
		}
		if err := retry.Run(context.Background(), p, succeed); err == nil {
			t.Error("no error")
		}
	})
	bubble(t, "tells what it has held up", func(t *testing.T) {
		for _, c := range []struct {
			harm policies.Option
			wait time.Duration
			took time.Duration
			err  error
		}{
			{policies.Latency(1, time.Second), time.Second, time.Second, nil},
			{policies.Latency(1, time.Hour), time.Hour, time.Minute, context.DeadlineExceeded},
			{policies.Hang(1), 0, time.Minute, context.DeadlineExceeded},
		} {
			var rec retry.Record
			p := policies.Chaos(1, policies.Enabled(enabled), c.harm)
			_ = retry.Run(within(t, time.Minute), retry.Chain(retry.Observe(rec.Add), p), succeed)
			told := 0
			for _, e := range rec.Events() {
				if e.Kind != retry.KindWait {
					continue
				}
				told++
				if e.Policy != "chaos" || e.Wait != c.wait || e.Took != c.took ||
					!errors.Is(e.Err, c.err) {
					t.Errorf("%v: %+v", p, e)
				}
			}
			if told != 1 {
				t.Errorf("%v: told of %d waits", p, told)
			}
		}
	})
	t.Run("leaves a call alone whose context has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := policies.Chaos(1,
			policies.Enabled(func(context.Context) bool {
				t.Error("asked")
				return true
			}), policies.Fault(1, errBoom))
		wantIs(t, p.Do(ctx, retry.Next{}), context.Canceled)
		if !p.(interface{ Idle() bool }).Idle() {
			t.Error("a container would keep it for ever")
		}
	})
	t.Run("Lint warns of it", func(t *testing.T) {
		if got := retry.Lint(retry.Chain(policies.Exponential(), fault(1))); len(got) != 1 ||
			got[0].Rule != "chaos" {
			t.Errorf("%v", got)
		}
	})
	t.Run("says what it does", func(t *testing.T) {
		p := policies.Chaos(1, policies.Enabled(enabled), policies.Fault(0.05, errBoom),
			policies.Latency(0.1, 200*ms), policies.Hang(0.001))
		if got := retry.Describe(p); got != "chaos(fault 5 %, latency 200ms 10 %, hang 0.1 %)" {
			t.Error(got)
		}
	})
}
