package pacing

import (
	"math"
	"testing"
)

// near reports whether two figures are the same but for rounding.
func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-6*math.Abs(a) && !math.IsInf(a, 0) && !math.IsInf(b, 0)
}

const before = 77. // the bound before a release that sets none

// released is a machine at the release of an episode: the cycle began at 0 with nothing accepted
// and the single request is admitted at 100 s, as the nth answer. It was refused at 99 s at 10/s.
func released(mode Mode, n int) *Machine {
	m := New(Config{}, newRand())
	m.start(0)
	m.accepted, m.mode, m.half, m.rate, m.ceiling = n, mode, true, 10, before
	m.this = episode{mark: mark{99, n - 1}, mode: mode, rate: 10, acc10: 9, acc60: 8}
	m.pushed, m.gate, m.length = 99, 99.5, firstPark
	m.climbed = mark{89, n - 1} // and got nothing since
	m.first, m.hit, m.hits = mark{5, 60}, 95, thrice
	return m
}

// What is believed after a push-back, from what the cycle measured.
func TestWhatAReleaseTeaches(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    Mode
		n       int // accepted in the cycle of 100 s
		with    func(m *Machine)
		mode2   Mode
		rate    float64
		ceiling float64
		safe    float64
	}{
		{"the start's end: what it measured, no bound above", Start, 900, nil, Climb, 9, inf, 0},
		{"the single request was refused: a bound above", Start, 990,
			func(m *Machine) { m.refused, m.pushed = 1, 90 }, Climb, 9.9, 11, 0},
		{"too few answers: no bound of the step", Start, 7, nil, Climb, .07, inf, 0},
		{"a climb: what it survived, if that is more", Climb, 800, func(m *Machine) {
			m.climbed.n -= 110
		}, Climb, margin * (110 - 20) / 10, 10, margin * (110 - 20) / 10},
		{"a climb that survived nothing cruises", Climb, 900, nil, Cruise, margin * 9, before, 0},
		{"a climb, and the single request refused: between the two", Climb, 900,
			func(m *Machine) { m.refused = 1 }, Climb, math.Sqrt(9 * 900. / 99), 900. / 99, 0},
		{"the bound is not above what was refused", Climb, 900, func(m *Machine) {
			m.refused, m.this.rate = 1, 9.05
		}, Climb, math.Sqrt(9 * 9.05), 9.05, 0},
		{"but not below what was survived", Climb, 900,
			func(m *Machine) { m.refused, m.safe = 1, 9.8 }, Climb, 9.8, 900. / 99, 9.8},
		{"what was refused is not survived any more", Climb, 900,
			func(m *Machine) { m.safe = 9.995 }, Cruise, margin * 9, before, 0},
		{"a cruise, and the single request refused", Cruise, 500,
			func(m *Machine) { m.refused = 1 }, Cruise, margin * 5, before, 0},
		{"a cruise that measured more than it went at", Cruise, 990,
			func(m *Machine) { m.hits = 0 }, Cruise, margin * 9.9, before, 0},
		{"dear: the rate of the last minute", Climb, 300, func(m *Machine) { m.this.at = 70 },
			Climb, .92 * 8, 1.05 * 9, 0},
		{"dear: the measured rate if that is more", Climb, 800,
			func(m *Machine) { m.this.at = 70 }, Climb, 8, 1.05 * 9, 0},
		{"dear: what was survived if that is more", Climb, 300,
			func(m *Machine) { m.this.at, m.safe = 70, 9 }, Climb, 9, 1.05 * 9, 9},
		{"dear: a minute that had more than its last seconds", Climb, 300,
			func(m *Machine) { m.this.at, m.this.acc10 = 70, 2 }, Climb, .92 * 8, 1.05 * 8, 0},
		{"a cruise: the first ones lower it a little", Cruise, 500, func(m *Machine) { m.hits = 0 },
			Cruise, hitKeeps * 10, before, 0},
		{"the third is believed", Cruise, 500, func(m *Machine) { m.hits = 2 },
			Cruise, margin * 5, before, 0},
		{"but not after ten seconds", Cruise, 500, func(m *Machine) { m.hits, m.hit = 2, 88 },
			Cruise, hitKeeps * 10, before, 0},
		{"a cruise is not below what was survived", Cruise, 500,
			func(m *Machine) { m.safe = 7 }, Cruise, 7, before, 7},
		{"the fifth in a minute would be next: slower", Climb, 900, func(m *Machine) {
			m.spent = jail
			for range jail {
				m.noteRefusal(95)
			}
		}, Cruise, hitKeeps * margin * 9, before, 0},
		{"four of longer ago", Climb, 900, func(m *Machine) {
			m.spent = jail
			for range jail {
				m.noteRefusal(30)
			}
		}, Cruise, margin * 9, before, 0},
		{"three of late", Climb, 900, func(m *Machine) {
			m.spent = jail - 1
			for range jail {
				m.noteRefusal(95)
			}
		}, Cruise, margin * 9, before, 0},
		{"noise: begins anew", Cruise, 500, func(m *Machine) {
			m.doubt.convicted, m.doubt.strikes, m.doubt.struckAt = true, hasty, 490
		}, Start, inf, before, 0},
		{"perhaps noise: half of the rate", Cruise, 500, func(m *Machine) {
			m.doubt.convicted, m.doubt.strikes, m.doubt.struckAt = true, hasty-1, 490
		}, Cruise, margin * 5 / 2, before, 0},
		{"the user's bound holds", Start, 900,
			func(m *Machine) { m.cfg.MaxRate = 3 }, Climb, 3, inf, 0},
		{"never slower than one in fifty seconds", Start, 1, nil, Climb, slowest, inf, 0},
	} {
		m := released(c.mode, c.n)
		if c.with != nil {
			c.with(m)
		}
		m.onRelease(100)
		if m.mode != c.mode2 || !near(m.rate, c.rate) ||
			!near(m.ceiling, c.ceiling) || !near(m.safe, c.safe) {
			t.Errorf("%s: %v at %v below %v, %v survived; want %v at %v below %v, %v survived",
				c.name, m.mode, m.rate, m.ceiling, m.safe, c.mode2, c.rate, c.ceiling, c.safe)
		}
		if m.half || m.release != (mark{100, c.n}) || m.held != m.release {
			t.Errorf("%s: half %v, released at %+v, held since %+v",
				c.name, m.half, m.release, m.held)
		}
		if c.mode2 == Climb && m.climbed != m.held {
			t.Errorf("%s: the climb begins at %+v", c.name, m.climbed)
		}
	}
}

// How long a rate is held, and when the next probe is, by what a push-back cost.
func TestWhatAPushBackCost(t *testing.T) {
	for _, c := range []struct {
		name        string
		mode        Mode
		at          float64 // of the push-back; released at 100
		keep, every float64 // before
		keep2       float64
		every2      float64
		step        float64
		window      bool
		probe       float64 // s; until it
	}{
		{"a cheap start", Start, 99, 1, 8, 1, 8, firstStep, false, 0},
		{"a start that waited: a window", Start, 98.4, 1, 8, 1.6, 8, firstStep, true, 0},
		{"a start that waited for long", Start, 85, 1, 8, 15, 8, firstStep, true, 0},
		{"a start with a long hold", Start, 85, 40, 8, 40, 8, firstStep, true, 0},
		{"dear", Cruise, 70, 5, 240, 60, 600, firstStep, true, 0},
		{"a start whose first push-back is dear", Start, 20, 1, 8, 60, 1600, firstStep, true, 0},
		{"dear, and dearer before", Cruise, 70, 200, 900, 200, 900, firstStep, true, 0},
		{"no longer dear", Cruise, 99, 60, 900, 30, 450 * 1, .5, false, 450},
		{"not lowered below", Cruise, 99, 15, 240, 15, 240, .5, false, 240},
		{"rarer each time", Cruise, 99, 1, 8, 1, 24, .5, false, 8},
		{"up to four minutes", Cruise, 99, 1, 100, 1, 240, .5, false, 100},
	} {
		m := released(c.mode, 900)
		m.this.at, m.keep, m.every, m.step = c.at, c.keep, c.every, .5
		m.onRelease(100)
		if !near(m.keep, c.keep2) || !near(m.every, c.every2) ||
			m.step != c.step || m.window != c.window {
			t.Errorf("%s: held for %v s, probed after %v s, steps of %v, a window: %v",
				c.name, m.keep, m.every, m.step, m.window)
		}
		if m.penalty != 100-c.at || m.lost != m.penalty {
			t.Errorf("%s: it cost %v s, %v in all", c.name, m.penalty, m.lost)
		}
		if m.mode == Cruise && !near(m.probeAt, 100+c.probe) {
			t.Errorf("%s: the next probe at %v", c.name, m.probeAt)
		}
	}
	few := released(Start, 7)
	if few.onRelease(100); few.step != 1 {
		t.Errorf("after seven answers it goes up by %v", few.step)
	}
	half := released(Cruise, 500)
	half.doubt.convicted, half.doubt.strikes, half.doubt.struckAt = true, hasty-1, 490
	if half.onRelease(100); !near(half.probeAt, 100+shareOf/half.rate) {
		t.Errorf("half the rate is looked at again at %v", half.probeAt)
	}
}

// What a bucket can have lent is what the start got beyond the rate.
func TestWhatABucketCanHaveLent(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  mark // the start's length and answers
		n      int  // accepted in the cycle of 100 s
		bucket float64
	}{
		{"it got 60 in 5 s, and 9/s come in", mark{5, 60}, 900, 60 - 45},
		{"no more than the rate", mark{5, 40}, 900, 1},
		{"it did not take place", mark{}, 900, 1},
		{"slower than what was measured since", mark{50, 60}, 900, 1},
	} {
		m := released(Cruise, c.n)
		m.first = c.first
		if m.onRelease(100); !near(m.bucket, c.bucket) {
			t.Errorf("%s: %v, want %v", c.name, m.bucket, c.bucket)
		}
	}
	m := released(Start, 900)
	m.this.mark, m.t0 = mark{99, 899}, 49
	m.refusals = [hasty]float64{99, 98, 97, 0, 0}
	if m.onRelease(100); m.first != (mark{50, 899}) || !m.flight.narrow {
		t.Errorf("the start lasted for %+v, one at a time goes: %v", m.first, m.flight.narrow)
	}
	m = released(Climb, 900)
	m.flight.narrow = true
	if m.onRelease(100); m.flight.narrow {
		t.Error("one at a time goes after a climb")
	}
	m = released(Start, 900)
	m.refusals = [hasty]float64{99, 98, 30, 0, 0}
	if m.onRelease(100); m.flight.narrow {
		t.Error("one at a time goes after two refusals")
	}
	m = released(Cruise, 500)
	m.doubt.convicted, m.doubt.strikes, m.doubt.struckAt = true, hasty, 490
	if m.onRelease(100); m.bucket != 0 {
		t.Errorf("noise has emptied a bucket of %v", m.bucket)
	}
}

// If the budget of a careful machine, and not the server, held the single request, the length of
// the park says nothing of the server.
func TestAReleaseThatTheBudgetHeld(t *testing.T) {
	locked := func(mode Mode) *Machine {
		m := released(mode, 500)
		m.careful.on, m.gate, m.this.at, m.pushed = true, 50, 40, 40
		m.refusals = [hasty]float64{39, 38, 38, 37, 0}
		m.keep, m.every, m.window = 7, 300, true
		return m
	}
	m := locked(Cruise)
	if m.onRelease(100); m.mode != Cruise || !near(m.rate, 9) || m.window ||
		m.keep != 7 || m.every != 300 {
		t.Errorf("a cruise: %v at %v, a window: %v, held for %v s, probed after %v s",
			m.mode, m.rate, m.window, m.keep, m.every)
	}
	m = locked(Cruise)
	m.safe, m.every = 9.2, 60
	if m.onRelease(100); !near(m.rate, 9.2) || m.every != 180 {
		t.Errorf("not below what was survived: %v, probed after %v s", m.rate, m.every)
	}
	m = locked(Cruise)
	m.accepted = 950
	if m.onRelease(100); !near(m.rate, 9.5) || m.every != 300 {
		t.Errorf("not below what was measured: %v", m.rate)
	}
	m = locked(Climb)
	m.climbed = mark{30, 499}
	if m.onRelease(100); m.mode != Climb || !near(m.ceiling, 10) || !near(m.rate, math.Sqrt(5*10)) {
		t.Errorf("a climb: %v at %v below %v", m.mode, m.rate, m.ceiling)
	}
	m = locked(Climb)
	m.climbed, m.safe = mark{30, 499}, 8
	if m.onRelease(100); !near(m.rate, 8) {
		t.Errorf("a climb that survived more: at %v", m.rate)
	}
	m = locked(Climb)
	m.climbed, m.pushed = mark{30, 499}, 90
	if m.onRelease(100); !near(m.ceiling, 500./90) {
		t.Errorf("a climb that was refused late: below %v", m.ceiling)
	}
	m = locked(Start)
	m.this.rate = inf
	if m.onRelease(100); m.mode != Climb || !near(m.ceiling, 500./40) {
		t.Errorf("the start: %v below %v", m.mode, m.ceiling)
	}
	parked := locked(Cruise)
	parked.gate = 99.9
	if parked.onRelease(100); parked.mode != Climb {
		t.Errorf("the server's own park is not dear: %v", parked.mode)
	}
	named := locked(Cruise)
	named.named = 99.9
	if named.onRelease(100); named.mode != Climb {
		t.Errorf("the server's own wait is not dear: %v", named.mode)
	}
}
