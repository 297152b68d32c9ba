package pacing

import "testing"

// cruising is a machine that has kept 10/s for a hundred seconds.
func cruising() *Machine {
	m := New(Config{}, newRand())
	m.start(0)
	m.accepted, m.seq, m.last, m.flight.opening, m.flight.limit = 1000, 1000, 99.9, false, browserSlot
	m.flight.good = []int{0, 1000}
	m.release = mark{50, 500}
	m.prev = episode{mark: mark{49, 499}, mode: Cruise, rate: 9, release: mark{1, 1}, climbed: mark{2, 2}}
	m.cruise(10, 50)
	m.probeAt = 1e9
	return m
}

func TestThePark(t *testing.T) {
	for _, c := range []struct {
		name   string
		with   func(m *Machine)
		sure   bool
		half   bool
		gate   float64
		length float64
		single int // refused single requests
	}{
		{"the first of an episode", func(m *Machine) {}, false, true, 100.5, .5, 0},
		{"the single request", func(m *Machine) { m.half, m.length = true, 4 }, false, true, 108, 8, 1},
		{"at most five minutes", func(m *Machine) { m.half, m.length = true, 200 }, false, true, 400, 300, 1},
		{"a wait that was named", func(m *Machine) { m.named = 130 }, false, true, 100.5, .5, 0},
		{"one that was wrong three times", func(m *Machine) { m.half, m.length, m.named, m.refused = true, 4, 130, 2 }, false, true, 108, 8, 3},
		{"one that was wrong twice", func(m *Machine) { m.half, m.length, m.named, m.refused = true, 4, 130, 1 }, false, true, 100.5, 8, 2},
		{"five refusals within ten seconds", func(m *Machine) {
			m.half, m.length = true, .5
			m.refusals = [hasty]float64{100, 99, 98, 97, 96}
		}, false, true, 106, 1, 1},
		{"the first is not held by those", func(m *Machine) { m.refusals = [hasty]float64{100, 99, 98, 97, 96} }, false, true, 100.5, .5, 0},
		{"just released: the same episode goes on", func(m *Machine) { m.release, m.length = mark{98.5, 997}, 2 }, false, true, 104, 4, 1},
		{"the same, as long ago as the park was", func(m *Machine) { m.release, m.length = mark{97.5, 997}, 3 }, false, true, 106, 6, 1},
		{"with four answers it was real", func(m *Machine) { m.release, m.length = mark{98.5, 996}, 2 }, false, true, 100.5, .5, 0},
		{"longer ago it was real", func(m *Machine) { m.release, m.length = mark{97.9, 997}, 2 }, false, true, 100.5, .5, 0},
		{"so it was before any episode", func(m *Machine) { m.release, m.length, m.prev = mark{98.5, 997}, 2, episode{} }, false, true, 100.5, .5, 0},
		{"and in the start", func(m *Machine) { m.release, m.length, m.mode = mark{98.5, 997}, 2, Start }, false, true, 100.5, .5, 0},
		{"no longer than five minutes", func(m *Machine) { m.release, m.length = mark{98.5, 997}, 200 }, false, true, 400, 300, 1},
		{"the number in flight is to blame", func(m *Machine) { m.flight.good = []int{0, 1000} }, false, true, 100.5, .5, 0},
	} {
		m := cruising()
		c.with(m)
		m.pushBack(100, Ticket{Sent: 99.9, seq: 1000, Beside: 1}, c.sure)
		if m.half != c.half || !near(m.gate, c.gate) || !near(m.length, c.length) || m.refused != c.single {
			t.Errorf("%s: half %v until %v, %v s long, %d refused", c.name, m.half, m.gate, m.length, m.refused)
		}
		if m.cut != 1000 || m.pushed != 100 {
			t.Errorf("%s: cut at %d, pushed back at %v", c.name, m.cut, m.pushed)
		}
	}
}

// A push-back remembers what was before it; one that goes on with the last episode what was before
// that.
func TestAnEpisodeRemembers(t *testing.T) {
	m := cruising()
	for i := range 100 {
		m.recent.add(95 + float64(i)/20)
	}
	m.climbed, m.out, m.doubt.asking = mark{60, 600}, true, true
	m.pushBack(100, Ticket{seq: 1000, Beside: 1}, true)
	if e := m.this; e.mark != (mark{100, 1000}) || e.mode != Cruise || e.rate != 10 || e.release != (mark{50, 500}) ||
		e.climbed != (mark{60, 600}) || !near(e.acc10, 10) || !near(e.acc60, 100./60) {
		t.Errorf("%+v", e)
	}
	if m.prev != m.this || m.out || m.doubt.asking {
		t.Errorf("the last episode %+v, out %v, asking %v", m.prev, m.out, m.doubt.asking)
	}
	m = cruising()
	before := m.prev
	m.release, m.length, m.lost, m.penalty, m.mode = mark{98.5, 997}, 2, 30, 10, Climb
	m.pushBack(100, Ticket{seq: 1000, Beside: 1}, true)
	if m.this != before || m.mode != Cruise || m.release != (mark{1, 1}) || m.climbed != (mark{2, 2}) || m.lost != 20 {
		t.Errorf("a false release: %+v, %v, released at %+v, climbing since %+v, %v s lost", m.this, m.mode, m.release, m.climbed, m.lost)
	}
}

// A refusal for which the number in flight is to blame parks nobody, but asks one at a time whether
// it was the rate after all.
func TestANumberInFlightIsRefused(t *testing.T) {
	crowd := Ticket{Sent: 99.8, seq: 1000, Beside: 8}
	m := cruising()
	if m.pushBack(100, crowd, false); m.half || m.flight.limit != 7 || !m.doubt.asking || m.doubt.since != 1000 || !near(m.gate, 100.2) {
		t.Errorf("half %v, %d in flight, asking %v until %v", m.half, m.flight.limit, m.doubt.asking, m.gate)
	}
	m.doubt.since = 5
	if m.pushBack(100, crowd, false); m.doubt.since != 5 {
		t.Error("a second question while the first is asked")
	}
	m = cruising()
	if m.pushBack(100, crowd, true); !m.half || m.flight.limit != 8 {
		t.Error("the number is blamed where it cannot be the cause")
	}
	m = cruising()
	m.careful.on = true
	if m.pushBack(100, crowd, false); !m.half || m.flight.limit != 8 {
		t.Error("a careful machine asks, which costs refusals")
	}
	m = cruising()
	m.gauge.tell(told{at: 99, seq: 999, remain: 50, reset: 60, limit: 100})
	if m.pushBack(100, Ticket{seq: 1000, Beside: 1, granted: true}, true); m.gauge.wrong != 1 {
		t.Error("the gauge does not hear of a refusal against its word")
	}
	m = cruising()
	m.team.follows = true
	if m.pushBack(100, Ticket{seq: 1000, Beside: 1}, true); m.half || m.team.fresh != 1 || m.cut != 1000 {
		t.Error("one that follows parks")
	}
}

// Four refusals within a second lengthen the first park, if nothing else has.
func TestABurstOfRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(m *Machine)
		gate float64
	}{
		{"four within a second", func(m *Machine) {}, 101.5},
		{"three", func(m *Machine) { m.refusals[jail-1] = 98 }, 100.5},
		{"a wait was named", func(m *Machine) { m.named = 130 }, 100.5},
		{"the single request was refused", func(m *Machine) { m.refused = 1 }, 100.5},
		{"the park is longer already", func(m *Machine) { m.length = 4 }, 100.5},
		{"another end of the park", func(m *Machine) { m.gate = 107 }, 107},
	} {
		m := cruising()
		m.pushBack(100, Ticket{seq: 1000, Beside: 1}, true)
		m.refusals = [hasty]float64{100.1, 100, 100, 99.9, 0}
		c.with(m)
		if m.burst(100.1); !near(m.gate, c.gate) || c.gate == 101.5 && m.length != 1.5 {
			t.Errorf("%s: until %v, %v s", c.name, m.gate, m.length)
		}
	}
}

// A wait that an answer names is kept, a little longer, and never shortened by another.
func TestAWaitThatIsNamed(t *testing.T) {
	m := cruising()
	least, most := inf, 0.
	for range 500 {
		m.named = 0
		m.hold(100, 10)
		least, most = min(least, m.named), max(most, m.named)
	}
	if least < 110.02 || least > 110.03 || most > 110.1 || most < 110.09 {
		t.Errorf("10 s from 100 on are kept until %v to %v", least, most)
	}
	m.named = 120
	if m.hold(100, 10); m.named != 120 {
		t.Errorf("a shorter wait makes it %v", m.named)
	}
	if m.hold(100, -1); m.named != 120 {
		t.Error("no wait is one")
	}
	m.cfg.MaxHint = 25
	if m.hold(100, 1000); m.named != 125 {
		t.Errorf("beyond the user's bound: until %v", m.named)
	}
	m.hold(126, 3)
	if m.named > 129.1 {
		t.Errorf("a short wait is stretched to the bound: %v", m.named)
	}
	if m.Hold(140); m.named != 140 {
		t.Error("what others were told is not kept")
	}
	if m.Hold(130); m.named != 140 {
		t.Error("what others were told shortens a wait")
	}
}

// If all refusals since the first of a page were its own, what they did is undone.
func TestWhatAPageDidIsTakenBack(t *testing.T) {
	blamed := func() *Machine {
		m := cruising()
		m.spent, m.safe = 2, 9
		m.pages.blame(7, &m.search, &m.probing)
		m.rate, m.spent, m.half, m.mode, m.safe = 5, 3, true, Climb, 0
		return m
	}
	m := blamed()
	if m.takeBack(100, 7); m.rate != 10 || m.mode != Cruise || m.safe != 9 || m.spent != 2 || m.half {
		t.Errorf("%v at %v, %v survived, %d spent, half %v", m.mode, m.rate, m.safe, m.spent, m.half)
	}
	if now := (mark{100, 1000}); m.held != now || m.climbed != now || m.release != now || m.pages.undo.page != 0 {
		t.Errorf("it does not begin anew: %+v, %+v, %+v", m.held, m.climbed, m.release)
	}
	m = blamed()
	if m.takeBack(100, 8); m.rate != 5 || !m.half {
		t.Error("another page takes it back")
	}
	m = blamed()
	m.pages.blame(9, &m.search, &m.probing)
	if m.takeBack(100, 7); m.rate != 5 || !m.half {
		t.Error("it is taken back although another page was refused too")
	}
}

// A careful machine counts what a page is pardoned: a jail does.
func TestAPardonedRefusalCountsToTheBudget(t *testing.T) {
	for _, careful := range []bool{false, true} {
		m := cruising()
		m.careful.on = careful
		for _, n := range []int{100, 110} {
			m.pages.pardons(7, n)
		}
		m.seq = 1001
		if !m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1}, Answer{Kind: Refusal, RetryAfter: -1, Page: 7}, false) {
			t.Error("a pardoned refusal is an admission")
		}
		if _, parked := m.Parked(); parked || (m.refusals[0] == 100) != careful || m.spent != 0 {
			t.Errorf("careful %v: parked %v, refusals %v", careful, parked, m.refusals)
		}
		if m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1}, Answer{Kind: Refusal, RetryAfter: 5, Page: 7}, false); !m.half {
			t.Error("a page's refusal that names a wait is pardoned")
		}
	}
}

// Doubts that turn out to be refusals count as such; what was sent before the last push-back, or was
// given up, is not news.
func TestWhatARefusalCounts(t *testing.T) {
	m := cruising()
	m.seq, m.doubt.open = 1001, 2
	refused := Answer{Kind: Refusal, RetryAfter: -1}
	if m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1}, refused, false); m.spent != 3 || m.team.refused != 3 || m.doubt.open != 0 || m.refusals[2] != 100 || m.refusals[3] == 100 {
		t.Errorf("%d spent, %d told, %d open: %v", m.spent, m.team.refused, m.doubt.open, m.refusals)
	}
	if m.pages.undo.all != 1 {
		t.Error("what was known before it is not kept")
	}
	gate := m.gate
	if m.refusedOr(100.1, Ticket{Sent: 99, seq: 1000, Beside: 1}, refused, false); m.refused != 0 || m.length != 3*firstPark || m.gate <= gate {
		t.Errorf("the fourth of a burst: %d, %v s", m.refused, m.length)
	}
	m.seq = 1002
	if m.refusedOr(100.2, Ticket{Sent: 99, seq: 1002, Beside: 1}, refused, true); m.refused != 0 {
		t.Error("a late refusal is news")
	}
	m = cruising()
	if m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1}, Answer{Kind: Doubt, RetryAfter: -1}, false); m.doubt.open != 1 || m.spent != 0 {
		t.Errorf("a doubt: %d open, %d spent", m.doubt.open, m.spent)
	}
	m = cruising()
	m.half, m.cut = false, 1000
	if m.refusedOr(100, Ticket{Sent: 99, seq: 900, Beside: 1}, refused, false); m.half || m.spent != 1 {
		t.Error("a refusal of before the last push-back parks")
	}
	// One that was sent alone was not one of too many.
	for _, c := range []struct {
		asking bool
		seq    int
		half   bool
	}{{true, 1001, true}, {true, 900, false}, {false, 1001, false}} {
		m = cruising()
		m.doubt.asking, m.doubt.since = c.asking, 950
		if m.refusedOr(100, Ticket{Sent: 99, seq: c.seq, Beside: 8}, refused, false); m.half != c.half {
			t.Errorf("%+v: half %v", c, m.half)
		}
	}
}
