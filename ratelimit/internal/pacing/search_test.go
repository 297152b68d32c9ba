package pacing

import (
	"math"
	"testing"
)

// held is a machine that has held a rate of 10/s since 100 s, for so long and with so many answers.
func held(mode Mode, n int) *Machine {
	m := New(Config{}, newRand())
	m.start(0)
	m.mode, m.rate, m.held, m.accepted = mode, 10, mark{100, 500}, 500+n
	m.keep, m.step, m.bucket, m.probeAt, m.every = 2, .25, 5, 110, 30
	return m
}

func TestWhenItGoesUp(t *testing.T) {
	calm := func(*Machine) {}
	for _, c := range []struct {
		name string
		mode Mode
		at   float64
		n    int // answers since 100 s
		with func(m *Machine)
		mode2, rate,
		ceiling, safe, step float64
	}{
		{"a hold that is survived", Climb, 102, 20, calm, 1, 12.5, inf, margin * (10 - 5./2), .5},
		{"too short a time", Climb, 101.9, 20, calm, 1, 10, inf, 0, .25},
		{"a quota that stays full", Climb, 100.1, 1, func(m *Machine) {
			m.gauge = gauge{heard: true, most: 10, left: 9, full: 2}
		}, 1, 12.5, inf, 0, .5},
		{"it was full once", Climb, 100.1, 1, func(m *Machine) {
			m.gauge = gauge{heard: true, most: 10, left: 9, full: 1}
		}, 1, 10, inf, 0, .25},
		{"one that is not heard", Climb, 100.1, 1, func(m *Machine) {
			m.gauge = gauge{heard: true, most: 10, full: 2, wrong: thrice}
		}, 1, 10, inf, 0, .25},
		{"a cruise beside a full quota", Cruise, 100.1, 1, func(m *Machine) {
			m.gauge = gauge{heard: true, most: 10, left: 9, full: 2}
		}, 2, 10, inf, 0, .25},
		{"too few answers", Climb, 102, 7, func(m *Machine) { m.rate = 3 }, 1, 3, inf, 0, .25},
		{"a window lends nothing", Climb, 102, 20, func(m *Machine) { m.window = true },
			1, 12.5, inf, margin * 10, .5},
		{"more was survived before", Climb, 102, 20,
			func(m *Machine) { m.safe = 9.9 }, 1, 12.5, inf, 9.9, .5},
		{"a step is at most the whole", Climb, 102, 20, func(m *Machine) { m.step = .8 },
			1, 18, inf, margin * 7.5, 1},
		{"a bound is far: to the middle", Climb, 102, 20, func(m *Machine) { m.ceiling = 12 }, 1,
			math.Sqrt(120), 12, margin * 7.5, .5},
		{"a bound is near: that is it", Climb, 102, 20, func(m *Machine) { m.ceiling = 10.9 },
			2, margin * 10, 10.9, margin * 7.5, .25},
		{"too much time was lost", Climb, 102, 20, func(m *Machine) { m.lost = 66 },
			2, margin * 10, inf, margin * 7.5, .25},
		{"not too much yet", Climb, 102, 20, func(m *Machine) { m.lost = 65 },
			1, 12.5, inf, margin * 7.5, .5},
		{"the user's bound", Climb, 102, 20, func(m *Machine) { m.cfg.MaxRate = 11 },
			1, 11, inf, margin * 7.5, .5},
		{"a cruise before its probe", Cruise, 109, 90, calm, 2, 10, inf, 0, .25},
		{"a probe", Cruise, 110, 90, calm, 1, 10.5, inf, 10, .05},
		{"a probe above what was survived", Cruise, 110, 90,
			func(m *Machine) { m.safe, m.ceiling = 12, 11 }, 1, 10.5, inf, 12, .05},
		{"no probe while too much time was lost", Cruise, 110, 90,
			func(m *Machine) { m.lost = 66 }, 2, 10, inf, 0, .25},
		{"no probe before refusals are saved up", Cruise, 110, 90,
			func(m *Machine) { m.probes, m.spent = 3, 4 }, 2, 10, inf, 0, .25},
		{"the first probes are free", Cruise, 110, 90,
			func(m *Machine) { m.probes, m.spent = 2, 4 }, 1, 10.5, inf, 10, .05},
		{"what is saved up is spent", Cruise, 110, 90,
			func(m *Machine) { m.probes, m.spent = 3, 3 }, 1, 10.5, inf, 10, .05},
		{"one is saved up every two minutes and a half", Cruise, 150, 90,
			func(m *Machine) { m.probes, m.spent = 3, 4 }, 1, 10.5, inf, 10, .05},
		{"four refusals in a minute", Cruise, 110, 90, func(m *Machine) {
			for range jail {
				m.noteRefusal(60)
			}
		}, 2, 10, inf, 0, .25},
		{"three", Cruise, 110, 90, func(m *Machine) {
			for range jail - 1 {
				m.noteRefusal(60)
			}
		}, 1, 10.5, inf, 10, .05},
		{"careful, with three refusals in a minute", Climb, 102, 20, func(m *Machine) {
			m.careful.on = true
			for range jail - 1 {
				m.noteRefusal(60)
			}
		}, 1, 10, inf, 0, .25},
		{"careful, with two", Climb, 102, 20, func(m *Machine) {
			m.careful.on = true
			for range jail - 2 {
				m.noteRefusal(60)
			}
		}, 1, 12.5, inf, margin * 7.5, .5},
		{"one that follows decides nothing", Climb, 102, 20,
			func(m *Machine) { m.team.follows = true }, 1, 10, inf, 0, .25},
		{"no rate to hold", Start, 102, 20, calm, 0, 10, inf, 0, .25},
	} {
		m := held(c.mode, c.n)
		c.with(m)
		m.advance(c.at)
		if float64(m.mode) != c.mode2 || !near(m.rate, c.rate) || !near(m.ceiling, c.ceiling) ||
			!near(m.safe, c.safe) || m.step != c.step {
			t.Errorf("%s: %v at %v below %v, %v survived, the next step %v",
				c.name, m.mode, m.rate, m.ceiling, m.safe, m.step)
		}
	}
}

// What a step leaves behind besides the rate.
func TestAStepBeginsAnew(t *testing.T) {
	m := held(Climb, 20)
	m.flight.narrow, m.climbed = true, mark{90, 400}
	if m.advance(102); m.flight.narrow || m.held != (mark{102, 520}) ||
		m.climbed != (mark{90, 400}) {
		t.Errorf("a step: narrow %v, held since %+v, climbing since %+v",
			m.flight.narrow, m.held, m.climbed)
	}
	m = held(Climb, 1)
	m.gauge = gauge{heard: true, most: 10, left: 9, full: 2}
	if m.advance(100.1); m.gauge.full != 0 {
		t.Error("the next step does not wait for news of the quota")
	}
	m = held(Climb, 9) // half of what the rate allows would be ten
	if m.advance(102); m.rate != 10 || m.held != (mark{102, 509}) {
		t.Errorf("a rate that was not used: %v, held since %+v", m.rate, m.held)
	}
	m = held(Cruise, 90)
	m.climbed = mark{1, 1}
	if m.advance(110); m.probes != 1 || m.keep != probeHold ||
		m.held != (mark{110, 590}) || m.climbed != m.held {
		t.Errorf("a probe: %d, held for %v s since %+v, climbing since %+v",
			m.probes, m.keep, m.held, m.climbed)
	}
	m = held(Cruise, 90)
	m.keep = 60
	if m.advance(110); m.keep != 60 {
		t.Errorf("a probe is held for %v s, where steps were for a minute", m.keep)
	}
	m = held(Climb, 20)
	m.ceiling = 10.9
	if m.advance(102); !near(m.probeAt, 132) || m.held.at != 102 {
		t.Errorf("a rate that was found is probed at %v", m.probeAt)
	}
}

// A third refusal in a row is another limit: what it cost is not for the probes to save up.
func TestAnotherLimitForgivesWhatItCost(t *testing.T) {
	for _, c := range []struct{ hits, spent, want int }{{2, 50, 3}, {2, 2, 2}, {1, 50, 50}} {
		m := released(Cruise, 500)
		m.hits, m.spent = c.hits, c.spent
		if m.onRelease(100); m.spent != c.want {
			t.Errorf("%d refusals in a row and %d in all: %d count", c.hits+1, c.spent, m.spent)
		}
	}
	m := released(Cruise, 500)
	m.hits = 0
	if m.onRelease(100); m.hit != 99 || m.hits != 1 {
		t.Errorf("a hit at %v, %d in a row", m.hit, m.hits)
	}
}

func TestLower(t *testing.T) {
	for _, c := range [][3]float64{{100, 20, 50}, {30, 20, 20}, {15, 20, 15}} {
		if got := lower(c[0], c[1]); got != c[2] {
			t.Errorf("%v above %v is lowered to %v", c[0], c[1], got)
		}
	}
	if over(5, 0) != 5000 || over(5, 10) != .5 {
		t.Errorf("%v and %v", over(5, 0), over(5, 10))
	}
}
