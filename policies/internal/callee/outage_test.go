package callee_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies/internal/callee"
	"github.com/reprise-go/reprise/policies/internal/load"
)

func throttle(k float64) *load.Throttle {
	t := load.NewThrottle(k, time.Minute)
	return &t
}

func always(share float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return share }
}

func TestThrottleSendsWhatIsOfUse(t *testing.T) {
	for _, c := range []struct {
		name        string
		k           float64
		accepts     float64
		least, most float64 // of the calls that are sent
	}{
		{"a callee that is well", 2, 1, 0.9999, 1},
		{"one call in four fails", 2, 0.75, 0.999, 1},
		{"all fail", 2, 0, 0.04, 0.06},
		{"all fail, K 1.1", 1.1, 0, 0.04, 0.06},
		{"fewer than one in K are accepted, however few are sent", 2, 0.25, 0.04, 0.06},
	} {
		s := callee.Outage{Rate: 100, Accepts: always(c.accepts), For: 10 * time.Minute,
			Seed: 1}.Run(throttle(c.k))
		if p := callee.Sum(s, 60, 600).Passing(); p < c.least || p > c.most {
			t.Errorf("%s: %.4f are sent, want %v to %v", c.name, p, c.least, c.most)
		}
	}
}

// down is an outage of five minutes after five minutes.
func down(now time.Duration) float64 {
	if now >= 5*time.Minute && now < 10*time.Minute {
		return 0
	}
	return 1
}

func TestThrottleRecovers(t *testing.T) {
	for _, rate := range []float64{2, 20, 200} {
		s := callee.Outage{Rate: rate, Accepts: down, For: 15 * time.Minute,
			Seed: 1}.Run(throttle(2))
		for _, c := range []struct {
			from, to    int
			least, most float64
		}{
			{0, 300, 1, 1},
			{360, 600, 0.03, 0.08},
			{630, 640, 0.5, 1},  // half a window after the callee is well
			{720, 730, 0.5, 1},  // two windows after
			{640, 900, 0.99, 1}, // two thirds of a window after
		} {
			if p := callee.Sum(s, c.from, c.to).Passing(); p < c.least || p > c.most {
				t.Errorf("%v calls a second, seconds %d to %d: %.3f are sent, want %v to %v", rate,
					c.from, c.to, p, c.least, c.most)
			}
		}
	}
}

// A callee that can do 100 a second and is asked for 1000, one in 20 of them critical: it spends
// itself on refusing if it is sent all, and must not be starved either.
func TestThrottleFindsTheCalleesShare(t *testing.T) {
	const capacity, calls = 100, 300_000
	random := rand.New(rand.NewPCG(1, 1))
	law := throttle(2)
	var all, critical callee.Traffic // from the second minute on
	second, left := -1, 0
	for i := range calls {
		now := time.Duration(i) * time.Millisecond
		if s := int(now / time.Second); s != second {
			second, left = s, capacity
		}
		of, priority := &all, 0
		if i%20 == 0 {
			of, priority = &critical, 100
		}
		if now < 2*time.Minute {
			of = new(callee.Traffic)
		}
		of.Calls++
		if law.Reject(now, priority, random.Float64()) {
			continue
		}
		of.Sent++
		left--
		law.Finish(left >= 0)
		if left >= 0 {
			of.Accepted++
		}
	}
	sent, accepted := (all.Sent+critical.Sent)/180, (all.Accepted+critical.Accepted)/180
	if accepted < 95 || sent > 220 {
		t.Errorf("%d a second are sent and %d accepted: want at most about 200 and 100", sent,
			accepted)
	}
	if p := critical.Passing(); p < 0.99 {
		t.Errorf("%.3f of the critical calls are sent, %.3f of the others", p, all.Passing())
	}
}
