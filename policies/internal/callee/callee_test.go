package callee_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies/internal/callee"
)

func even(*rand.Rand) time.Duration { return 50 * time.Millisecond }

// figures is for the tests that judge figures of long runs: the race detector makes them last
// minutes and sees nothing in them that it does not see in the shorter ones.
func figures(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a figure of a long run: not with -short")
	}
}

// The simulated callee itself must be right before it judges others.
func TestCalleeIsAQueueWithHands(t *testing.T) {
	trial := callee.Trial{Hands: 10, Work: even, Demand: 3, For: 20 * time.Second, Seed: 1}
	for _, c := range []struct {
		slots int
		good  float64 // of the peak
		slow  float64 // latency over one call's
	}{
		{5, 0.5, 1},
		{10, 1, 1},
		{20, 1, 2},
		{40, 1, 4},
	} {
		r := trial.Try(callee.NewFixed(c.slots))
		good, slow := r.Good(5, 20),
			float64(r.Quantile(0.5, 5*time.Second, 19*time.Second))/float64(50*time.Millisecond)
		if good < c.good*0.95 || good > c.good*1.01 || slow < c.slow*0.97 || slow > c.slow*1.03 {
			t.Errorf("%d slots: goodput %.2f, latency %.2f; want %v, %v", c.slots, good, slow,
				c.good, c.slow)
		}
	}
}

func TestATimeoutFreesTheCallerAndNotTheCallee(t *testing.T) {
	trial := callee.Trial{Hands: 1, Work: even, Demand: 2, For: 10 * time.Second,
		Timeout: 120 * time.Millisecond, Seed: 1}
	r := trial.Try(callee.NewFixed(1000))
	if good := r.Good(5, 10); good > 0.1 {
		t.Errorf("goodput %.2f with an endless queue: want none", good)
	}
}

// trials are the figures that the adaptive limit is held to, for every kind of work.
func TestAdaptiveUnderOverload(t *testing.T) {
	for _, w := range callee.Works {
		for _, hands := range []int{10, 20, 50} {
			trial := callee.Trial{Hands: hands, Work: w.Draw, Demand: 10, For: time.Minute, Seed: 3}
			r := trial.Try(callee.NewLearned())
			if good, slow := r.Good(5, 60), r.Slower(5, 60); good < 0.9 || slow > 2 {
				t.Errorf("%s, %d hands: goodput %.2f, p99 %.2f times unloaded", w.Name, hands, good,
					slow)
			}
		}
	}
}

func TestAdaptiveFollowsCapacity(t *testing.T) {
	for _, w := range callee.Works {
		trial := callee.Trial{Hands: 20, Work: w.Draw, Demand: 10, For: 170 * time.Second,
			Change: callee.Halved, Seed: 3}
		r := trial.Try(callee.NewLearned())
		if good, slow := r.Good(70, 120)*2, r.Slower(70, 119); good < 0.9 || slow > 2 {
			t.Errorf("%s, half of the hands: goodput %.2f of what is left, p99 %.2f times unloaded",
				w.Name, good, slow)
		}
		if good := r.Good(150, 170); good < 0.9 {
			t.Errorf("%s, 30 s after all hands are back: goodput %.2f", w.Name, good)
		}
	}
}

func TestAdaptiveKeepsItsLimitForASlowerCallee(t *testing.T) {
	figures(t)
	for _, c := range []struct {
		change   callee.Change
		from, to int
		expected float64 // of the peak
	}{
		{callee.Brownout, 70, 120, 0.5},
		{callee.Leak, 100, 120, 1 / 2.83},
	} {
		for _, w := range callee.Works {
			good := 0.0
			for seed := range uint64(3) { // one probe that misjudges costs a tenth for ten seconds
				trial := callee.Trial{Hands: 20, Work: w.Draw, Demand: 10, For: 120 * time.Second,
					Change: c.change, Seed: 3 + seed}
				good += trial.Try(callee.NewLearned()).Good(c.from, c.to) / c.expected / 3
			}
			if good < 0.9 {
				t.Errorf("%s, change %d: goodput %.2f of what the callee can do", w.Name, c.change,
					good)
			}
		}
	}
}

// What was taken away for a queue that was not ours comes back at once.
func TestAdaptiveRestoresItsLimitForASlowerCallee(t *testing.T) {
	for _, w := range callee.Works {
		trial := callee.Trial{Hands: 100, Work: w.Draw, Demand: 2, For: 70 * time.Second,
			Change: callee.Brownout, Seed: 3}
		if good := 2 * trial.Try(callee.NewLearned()).Good(62, 65); good < 0.65 {
			t.Errorf(
				"%s: goodput %.2f of what the callee can do, two seconds after it became slower",
				w.Name, good)
		}
	}
}

func TestAdaptiveDoesNotCollapse(t *testing.T) {
	for _, change := range []callee.Change{callee.Tripled, callee.Slow} {
		for _, w := range callee.Works {
			trial := callee.Trial{Hands: 20, Work: w.Draw, Demand: 10, For: 75 * time.Second,
				Change: change, Seed: 3}
			r := trial.Try(callee.NewLearned())
			if worst, after := r.Worst(62, 75), r.Good(63, 75); worst < 0.6 || after < 0.9 {
				t.Errorf("%s, change %d: worst second %.2f, then %.2f", w.Name, change, worst,
					after)
			}
		}
	}
}

func TestAdaptiveCostsNothingUnloaded(t *testing.T) {
	for _, w := range callee.Works {
		trial := callee.Trial{Hands: 20, Work: w.Draw, Demand: 0.5, For: time.Minute, Seed: 3}
		r := trial.Try(callee.NewLearned())
		if n := len(r.Refused); float64(n) > 0.002*float64(len(r.Samples)) {
			t.Errorf("%s: %d of %d calls refused at half of the peak", w.Name, n, n+len(r.Samples))
		}
	}
}

// 10 times the peak, a part of it critical: up to half of what the callee can do, of which no call
// is lost, and most of it, of which few are, because there is nothing left to shed for them.
func TestAdaptiveShedsTheLowerFirst(t *testing.T) {
	figures(t)
	for _, c := range []struct {
		hands             int
		share, lost, good float64
	}{
		{5, 0.02, 0, 0.8},
		{20, 0.02, 0, 0.85},
		{20, 0.05, 0, 0.8},
		{100, 0.05, 0, 0.8},
		{20, 0.08, 0.02, 0.8},
	} {
		for _, w := range callee.Works {
			trial := callee.Trial{Hands: c.hands, Work: w.Draw, Demand: 10, Share: c.share,
				For: 40 * time.Second, Seed: 3}
			r := trial.Try(callee.NewLearned())
			critical, others := r.Lost(true, 5*time.Second, 40*time.Second),
				r.Lost(false, 5*time.Second, 40*time.Second)
			if critical > c.lost || others < 0.9 || r.Good(5, 40) < c.good {
				t.Errorf("%s, %d hands, %v critical: lost %.4f of them and %.2f of "+
					"the others, goodput %.2f",
					w.Name, c.hands, c.share, critical, others, r.Good(5, 40))
			}
		}
	}
}

// An overload by critical calls alone, beside sheddable ones that all are shed, is learned from as
// any other is: the limit rises to what the callee can do and not beyond.
func TestAdaptiveLearnsUnderACriticalOverload(t *testing.T) {
	figures(t)
	for _, hands := range []int{20, 100} {
		for _, w := range callee.Works {
			trial := callee.Trial{Hands: hands, Work: w.Draw, Demand: 10, Share: 0.3,
				For: 60 * time.Second, Seed: 3}
			r := trial.Try(callee.NewLearned())
			if good, slow := r.Good(10, 60), r.Slower(10, 59); good < 0.9 || slow > 2 {
				t.Errorf("%s, %d hands: goodput %.2f, p99 %.2f times unloaded", w.Name, hands, good,
					slow)
			}
		}
	}
}
