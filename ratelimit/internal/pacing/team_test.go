package pacing

import "testing"

// One that begins to follow forgets what it was about to find out, and goes at the rate it is led
// to.
func TestOneThatFollows(t *testing.T) {
	m := New(Config{MaxRate: 20}, newRand())
	m.half, m.out, m.doubt.asking, m.flight.narrow = true, true, true, true
	m.Follow(5, 10)
	if m.half || m.out || m.doubt.asking || m.flight.narrow || m.mode != Cruise || m.rate != 10 ||
		m.held.at != 5 || m.t0 != 5 || !m.team.follows {
		t.Errorf("%+v", m)
	}
	if m.Follow(6, 10); m.held.at != 5 {
		t.Error("the same rate begins anew")
	}
	if m.Follow(7, 12); m.held.at != 7 || m.rate != 12 {
		t.Errorf("another rate: %v since %v", m.rate, m.held.at)
	}
	m.Follow(8, 30)
	if m.Follow(9, 30); m.rate != 20 || m.held.at != 8 {
		t.Errorf("beyond the user's bound: %v since %v", m.rate, m.held.at)
	}
	m.mode = Climb
	if m.Follow(10, 30); m.mode != Cruise {
		t.Error("it climbs")
	}
	m.seq = 3
	for range 2 {
		m.refusedOr(11, Ticket{Sent: 10, seq: 3, Beside: 1},
			Answer{Kind: Refusal, RetryAfter: -1}, false)
	}
	if _, refused, fresh := m.Met(); refused != 2 || fresh != 1 || m.half {
		t.Errorf("it met %d refusals, %d of them new; half %v", refused, fresh, m.half)
	}
	m.accepted = 77
	if n, _, _ := m.Met(); n != 77 {
		t.Errorf("it met %d pages", n)
	}
}

// One that begins to lead goes on from the rate it was led to.
func TestOneThatLeads(t *testing.T) {
	m := New(Config{}, newRand())
	m.Follow(5, 10)
	m.half, m.out, m.accepted, m.safe, m.ceiling, m.every = true, true, 70, 15, 12, 40
	m.Lead(20, 10)
	if m.team.follows || m.half || m.out || m.bucket != unknownBucket || m.safe != 10 ||
		m.ceiling != inf || m.mode != Cruise || m.rate != 10 || m.probeAt != 60 {
		t.Errorf("%+v", m)
	}
	at := (mark{20, 70})
	if m.release != at || m.prev != (episode{mark: at, mode: Cruise, rate: 10, release: at}) {
		t.Errorf("released at %+v, before %+v", m.release, m.prev)
	}
	m.safe = 7
	if m.Lead(21, 10); m.safe != 7 {
		t.Errorf("%v/s survived", m.safe)
	}
	alone := New(Config{}, newRand())
	alone.team.follows = true
	if alone.Lead(20, inf); alone.team.follows || alone.mode != Start || alone.begun {
		t.Errorf("led to no rate: %v, begun %v", alone.mode, alone.begun)
	}
	first := New(Config{}, newRand())
	if first.Lead(20, 10); first.t0 != 20 || !first.begun {
		t.Error("it has not begun")
	}
}

// What the others met with counts as its own, but for what each of them does by itself.
func TestWhatTheOthersMeet(t *testing.T) {
	for _, c := range []struct {
		name              string
		with              func(m *Machine)
		answers, refusals int
		half              bool
		gate              float64
		rate              float64
	}{
		{"answers", func(m *Machine) {}, 50, 0, false, 0, 10},
		{"answers that are a proof", func(m *Machine) {
			m.mode, m.held, m.keep, m.step = Climb, mark{98, 1000}, 1, .25
		}, 50, 0, false, 0, 12.5},
		{"none", func(m *Machine) { m.mode, m.held, m.keep, m.step = Climb, mark{98, 900}, 1, .25 },
			0, 0, false, 0, 10},
		{"answers while it is parked", func(m *Machine) {
			m.half, m.gate, m.mode, m.held, m.keep, m.step = true, 103,
				Climb, mark{98, 1000}, 1, .25
		}, 50, 0, true, 103, 10},
		{"a refusal", func(m *Machine) {}, 0, 1, true, 100.5, 10},
		{"a refusal, and all answers with many in flight",
			func(m *Machine) { m.flight.now = 8 }, 0, 1, true, 100.5, 10},
		{"an echo of before the release",
			func(m *Machine) { m.release.at = 99.8 }, 0, 1, false, 0, 10},
		{"four while it is parked", func(m *Machine) {
			m.half, m.pushed, m.gate, m.length = true, 99.9, 100.4, .5
		}, 0, 4, true, 101.4, 10},
		{"it follows", func(m *Machine) { m.team.follows = true }, 50, 4, false, 0, 10},
	} {
		m := cruising()
		c.with(m)
		m.Others(100, c.answers, c.refusals)
		if m.half != c.half || !near(m.gate, c.gate) || !near(m.rate, c.rate) {
			t.Errorf("%s: half %v until %v, %v/s", c.name, m.half, m.gate, m.rate)
		}
		if m.accepted != 1000+c.answers || m.spent != c.refusals ||
			c.refusals > 0 && m.refusals[c.refusals-1] != 100 || m.refusals[c.refusals] == 100 {
			t.Errorf("%s: %d accepted, %d spent, refused at %v",
				c.name, m.accepted, m.spent, m.refusals)
		}
		if got := 60 * m.recent.rate(100, 60); !near(got, float64(c.answers)) {
			t.Errorf("%s: %v in the last minute", c.name, got)
		}
	}
	m := cruising()
	if m.Others(100, 0, 1000); m.spent != 1000 || m.refusals[hasty-1] != 100 {
		t.Errorf("a thousand: %d spent, %v", m.spent, m.refusals)
	}
	// While no rate is known their answers prove places in flight.
	m = cruising()
	m.mode, m.rate, m.overdue.known = Start, inf, true
	if m.Others(100, 64, 0); m.flight.limit != 9 {
		t.Errorf("%d in flight after 64 answers of others", m.flight.limit)
	}
	m = cruising()
	if m.Others(100, 64, 0); m.flight.limit != 8 {
		t.Errorf("%d in flight, where a rate is known", m.flight.limit)
	}
}

// While no rate is known, all have what keeps three quarters of the proved places taken, and little
// more than they had lately.
func TestTheRateOfAFleet(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(m *Machine)
		rate float64
	}{
		{"a known rate", func(m *Machine) { m.mode, m.rate = Cruise, 10 }, 10},
		{"by the places", func(m *Machine) {}, .75 * 8 / .1},
		{"by the last answers, if they took longer",
			func(m *Machine) { m.overdue.last = .2 }, .75 * 8 / .2},
		{"by the mean, if it is longer", func(m *Machine) { m.overdue.last = .01 }, .75 * 8 / .1},
		{"a little more than lately",
			func(m *Machine) { m.overdue.mean, m.overdue.last = .01, .01 }, shareGrows * 100},
		{"lately is a minute too", func(m *Machine) {
			m.overdue.mean, m.overdue.last = .01, .01
			m.recent = counter{}
			m.recent.addAll(60, 3000)
		}, shareGrows * 50},
		{"none lately", func(m *Machine) { m.recent = counter{} }, slowest},
		{"too few answers", func(m *Machine) { m.accepted = patience - 1 }, inf},
		{"how long they take is not known", func(m *Machine) { m.overdue.known = false }, inf},
		{"one goes alone", func(m *Machine) { m.half = true }, inf},
		{"it climbs", func(m *Machine) { m.mode = Climb }, inf},
	} {
		m := cruising()
		m.mode, m.rate = Start, inf
		m.overdue.mean, m.overdue.last, m.overdue.known = .1, .1, true
		m.recent.addAll(95, 1000)
		c.with(m)
		if got := m.FleetRate(100); !near(got, c.rate) {
			t.Errorf("%s: %v/s, want %v", c.name, got, c.rate)
		}
	}
}
