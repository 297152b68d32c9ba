package pacing

import "testing"

// cruising is a machine that has kept 10/s for a hundred seconds.
func cruising() *Machine {
	m := New(Config{}, newRand())
	m.start(0)
	m.accepted, m.seq, m.last = 1000, 1000, 99.9
	m.flight.opening, m.flight.limit = false, browserSlot
	m.flight.good = []int{0, 1000}
	m.release = mark{50, 500}
	m.prev = episode{mark: mark{49, 499}, mode: Cruise, rate: 9,
		release: mark{1, 1}, climbed: mark{2, 2}}
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
		{"the first of an episode", func(m *Machine) { m.refused = 5 }, false, true, 100.5, .5, 0},
		{"the single request", func(m *Machine) { m.half, m.length = true, 4 },
			false, true, 108, 8, 1},
		{"at most five minutes", func(m *Machine) { m.half, m.length = true, 200 },
			false, true, 400, 300, 1},
		{"a wait that was named", func(m *Machine) { m.named = 130 }, false, true, 100.5, .5, 0},
		{"one that was wrong three times", func(m *Machine) {
			m.half, m.length, m.named, m.refused = true, 4, 130, 2
		}, false, true, 108, 8, 3},
		{"one that was wrong twice", func(m *Machine) {
			m.half, m.length, m.named, m.refused = true, 4, 130, 1
		}, false, true, 100.5, 8, 2},
		{"five refusals within ten seconds", func(m *Machine) {
			m.half, m.length = true, .5
			m.refusals = [hasty]float64{100, 99, 98, 97, 96}
		}, false, true, 106, 1, 1},
		{"the first is not held by those", func(m *Machine) {
			m.refusals = [hasty]float64{100, 99, 98, 97, 96}
		}, false, true, 100.5, .5, 0},
		{"just released: the same episode goes on",
			func(m *Machine) { m.release, m.length = mark{98.5, 997}, 2 }, false, true, 104, 4, 1},
		{"the same, as long ago as the park was",
			func(m *Machine) { m.release, m.length = mark{97.5, 997}, 3 }, false, true, 106, 6, 1},
		{"the same, within two seconds",
			func(m *Machine) { m.release, m.length = mark{98.5, 997}, .5 }, false, true, 101, 1, 1},
		{"with four answers it was real", func(m *Machine) {
			m.release, m.length = mark{98.5, 996}, 2
		}, false, true, 100.5, .5, 0},
		{"longer ago it was real", func(m *Machine) { m.release, m.length = mark{97.9, 997}, 2 },
			false, true, 100.5, .5, 0},
		{"so it was before any episode", func(m *Machine) {
			m.release, m.length, m.prev = mark{98.5, 997}, 2, episode{}
		}, false, true, 100.5, .5, 0},
		{"and in the start", func(m *Machine) {
			m.release, m.length, m.mode = mark{98.5, 997}, 2, Start
		}, false, true, 100.5, .5, 0},
		{"no longer than five minutes", func(m *Machine) {
			m.release, m.length = mark{98.5, 997}, 200
		}, false, true, 400, 300, 1},
		{"the number in flight is to blame", func(m *Machine) { m.flight.good = []int{0, 1000} },
			false, true, 100.5, .5, 0},
	} {
		m := cruising()
		c.with(m)
		push := m.pushBack
		if c.sure {
			push = m.halt
		}
		push(100, Ticket{Sent: 99.9, seq: 1000, Beside: 1})
		if m.half != c.half || !near(m.gate, c.gate) ||
			!near(m.length, c.length) || m.refused != c.single {
			t.Errorf("%s: half %v until %v, %v s long, %d refused",
				c.name, m.half, m.gate, m.length, m.refused)
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
	m.halt(100, Ticket{seq: 1000, Beside: 1})
	e := m.this
	if e.mark != (mark{100, 1000}) || e.mode != Cruise || e.rate != 10 ||
		e.release != (mark{50, 500}) ||
		e.climbed != (mark{60, 600}) || !near(e.acc10, 10) || !near(e.acc60, 100./60) {
		t.Errorf("%+v", e)
	}
	if m.prev != m.this || m.out || m.doubt.asking {
		t.Errorf("the last episode %+v, out %v, asking %v", m.prev, m.out, m.doubt.asking)
	}
	m = cruising()
	before := m.prev
	m.release, m.length, m.lost, m.penalty, m.mode = mark{98.5, 997}, 2, 30, 10, Climb
	m.halt(100, Ticket{seq: 1000, Beside: 1})
	if m.this != before || m.mode != Cruise || m.release != (mark{1, 1}) ||
		m.climbed != (mark{2, 2}) || m.lost != 20 {
		t.Errorf("a false release: %+v, %v, released at %+v, climbing since %+v, %v s lost",
			m.this, m.mode, m.release, m.climbed, m.lost)
	}
}

// A refusal for which the number in flight is to blame parks nobody, but asks one at a time whether
// it was the rate after all.
func TestANumberInFlightIsRefused(t *testing.T) {
	crowd := Ticket{Sent: 99.8, seq: 1000, Beside: 8}
	m := cruising()
	if m.pushBack(100, crowd); m.half || m.flight.limit != 7 || !m.doubt.asking ||
		m.doubt.since != 1000 || !near(m.gate, 100.2) {
		t.Errorf("half %v, %d in flight, asking %v until %v",
			m.half, m.flight.limit, m.doubt.asking, m.gate)
	}
	m.doubt.since = 5
	if m.pushBack(100, crowd); m.doubt.since != 5 {
		t.Error("a second question while the first is asked")
	}
	m = cruising()
	if m.halt(100, crowd); !m.half || m.flight.limit != 8 {
		t.Error("the number is blamed where it cannot be the cause")
	}
	m = cruising()
	m.careful.on = true
	if m.pushBack(100, crowd); !m.half || m.flight.limit != 8 {
		t.Error("a careful machine asks, which costs refusals")
	}
	m = cruising()
	m.gauge.tell(told{at: 99, seq: 999, remain: 50, reset: 60, limit: 100})
	m.halt(100, Ticket{seq: 1000, Beside: 1, marks: marks{granted: true}})
	if m.gauge.wrong != 1 {
		t.Error("the gauge does not hear of a refusal against its word")
	}
	m = cruising()
	m.team.follows = true
	if m.halt(100, Ticket{seq: 1000, Beside: 1}); m.half ||
		m.team.fresh != 1 || m.cut != 1000 {
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
		m.halt(100, Ticket{seq: 1000, Beside: 1})
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
	if m.takeBack(100, 7); m.rate != 10 || m.mode != Cruise ||
		m.safe != 9 || m.spent != 2 || m.half {
		t.Errorf("%v at %v, %v survived, %d spent, half %v",
			m.mode, m.rate, m.safe, m.spent, m.half)
	}
	now := (mark{100, 1000})
	if m.held != now || m.climbed != now || m.release != now || m.pages.undo.page != 0 {
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
		if !m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1},
			Answer{Kind: Refusal, RetryAfter: -1, Page: 7}, false) {
			t.Error("a pardoned refusal is an admission")
		}
		if _, parked := m.Parked(); parked || (m.refusals[0] == 100) != careful || m.spent != 0 {
			t.Errorf("careful %v: parked %v, refusals %v", careful, parked, m.refusals)
		}
		if m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1},
			Answer{Kind: Refusal, RetryAfter: 5, Page: 7}, false); !m.half {
			t.Error("a page's refusal that names a wait is pardoned")
		}
	}
}

// Doubts that turn out to be refusals count as such; what was sent before the last push-back, or
// was given up, is not news.
func TestWhatARefusalCounts(t *testing.T) {
	m := cruising()
	m.seq, m.doubt.open = 1001, 2
	refused := Answer{Kind: Refusal, RetryAfter: -1}
	if m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1}, refused, false); m.spent != 3 ||
		m.team.refused != 3 || m.doubt.open != 0 || m.refusals[2] != 100 || m.refusals[3] == 100 {
		t.Errorf("%d spent, %d told, %d open: %v",
			m.spent, m.team.refused, m.doubt.open, m.refusals)
	}
	if m.pages.undo.all != 1 {
		t.Error("what was known before it is not kept")
	}
	gate := m.gate
	if m.refusedOr(100.1, Ticket{Sent: 99, seq: 1000, Beside: 1}, refused, false); m.refused != 0 ||
		m.length != 3*firstPark || m.gate <= gate {
		t.Errorf("the fourth of a burst: %d, %v s", m.refused, m.length)
	}
	m.seq = 1002
	if m.refusedOr(100.2, Ticket{Sent: 99, seq: 1002, Beside: 1}, refused, true); m.refused != 0 {
		t.Error("a late refusal is news")
	}
	m = cruising()
	if m.refusedOr(100, Ticket{Sent: 99, seq: 1001, Beside: 1}, Answer{Kind: Doubt, RetryAfter: -1},
		false); m.doubt.open != 1 || m.spent != 0 {
		t.Errorf("a doubt: %d open, %d spent", m.doubt.open, m.spent)
	}
	m = cruising()
	m.half, m.cut = false, 1000
	if m.refusedOr(100, Ticket{Sent: 99, seq: 900, Beside: 1}, refused, false); m.half ||
		m.spent != 1 {
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
		m.refusedOr(100, Ticket{Sent: 99, seq: c.seq, Beside: 8}, refused, false)
		if m.half != c.half {
			t.Errorf("%+v: half %v", c, m.half)
		}
	}
}

func TestWhatTheUserBounds(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		rate  float64 // before the first request
		slots int
	}{
		{Config{}, inf, 3},
		{Config{MaxInFlight: 2}, inf, 2},
		{Config{MaxInFlight: 20}, inf, 3},
		{Config{StartRate: 5}, 5, 3},
		{Config{StartRate: 5, MaxRate: 2}, 2, 3},
		{Config{MaxRate: 2}, inf, 3},
	} {
		m := New(c.cfg, newRand())
		if _, slots := m.InFlight(); m.Rate() != c.rate || slots != c.slots {
			t.Errorf("%+v: %v/s, %d in flight", c.cfg, m.Rate(), slots)
		}
	}
	m := New(Config{StartRate: 5, MaxRate: 2}, newRand())
	if m.OnSend(3); m.mode != Climb || m.rate != 2 || m.t0 != 3 || m.release.at != 3 ||
		m.held.at != 3 || m.climbed.at != 3 {
		t.Errorf("%v at %v from %v on", m.mode, m.rate, m.t0)
	}
	if m.rate = 1; m.Rate() != 1 {
		t.Error("the rate to begin at outlives the beginning")
	}
	if m.OnSend(9); m.t0 != 3 || m.rate != 1 {
		t.Error("it begins twice")
	}
	nested := New(Config{StartRate: 5}, newRand())
	if nested.OnSendNested(3); nested.rate != 5 || nested.t0 != 3 ||
		nested.flight.now != 0 || nested.flying != 1 {
		t.Errorf("a nested one first: %v/s from %v on, %d in flight",
			nested.rate, nested.t0, nested.flight.now)
	}
	half := New(Config{StartRate: 5}, newRand())
	half.half = true
	if half.OnSend(3); half.rate != inf {
		t.Error("a park begins to climb")
	}
	if !New(Config{Careful: true}, newRand()).careful.on {
		t.Error("Careful is not kept to")
	}
	one := New(Config{MaxInFlight: 1}, newRand())
	if one.OnSend(0); one.Free() || !one.bounded() || one.NextSend(1) != inf || one.Wake(1) != inf {
		t.Error("a second one beside the only one")
	}
}

// The pace is the slowest of what was learned, bounded and told.
func TestThePace(t *testing.T) {
	told0 := func(m *Machine, h told) { h.at, h.seq = 99, 1000; m.gauge.tell(h) }
	for _, c := range []struct {
		name string
		with func(m *Machine)
		pace float64
		held float64 // at 100 s: until then by the server's word; 0: not
		next float64 // at 100 s
	}{
		{"learned", func(m *Machine) {}, 10, 0, 100},
		{"bounded", func(m *Machine) { m.cfg.MaxRate = 2 }, 2, 0, 100.4},
		{"a quota for an hour", func(m *Machine) { told0(m, told{remain: 360, reset: 3600}) },
			360. / 3599, 0, 99.9 + 3599./360},
		{"a quota that is used up",
			func(m *Machine) { told0(m, told{remain: 0, reset: 60, limit: 100}) }, 10, 159, 159},
		{"one that flows", func(m *Machine) {
			told0(m, told{remain: 0, reset: 60, limit: 100})
			m.gauge.flows, m.gauge.inflow, m.gauge.over = true, 11, 5
		}, 2, 0, 100},
		{"one that flows fast", func(m *Machine) {
			told0(m, told{remain: 0, reset: 60, limit: 100})
			m.gauge.flows, m.gauge.inflow, m.gauge.over = true, 101, 5
		}, 10, 0, 100},
		{"and has some left", func(m *Machine) {
			told0(m, told{remain: 9, reset: 60, limit: 100})
			m.gauge.flows, m.gauge.inflow, m.gauge.over = true, 11, 5
		}, 10, 0, 100},
		{"one that is not heard", func(m *Machine) {
			told0(m, told{remain: 0, reset: 60, limit: 100})
			m.gauge.flows, m.gauge.inflow, m.gauge.over, m.gauge.wrong = true, 11, 5, thrice
		}, 10, 0, 100},
		{"a wait that was named", func(m *Machine) { m.named = 130 }, 10, 130, 130},
		{"a wait that is longer than the quota's", func(m *Machine) {
			told0(m, told{remain: 0, reset: 60, limit: 100})
			m.named = 200
		}, 10, 200, 200},
		{"parked", func(m *Machine) { m.half, m.gate = true, 103 }, 10, 0, 103},
		{"parked, and told to wait longer",
			func(m *Machine) { m.half, m.gate, m.named = true, 103, 110 }, 10, 110, 110},
		{"the single request is on its way",
			func(m *Machine) { m.half, m.gate, m.out = true, 99, true }, 10, 0, inf},
		{"a question is asked, and what is on its way should be answered first",
			func(m *Machine) { m.doubt.asking, m.gate, m.flight.now = true, 103, 2 }, 10, 0, 103},
		{"a question is asked, and nothing is on its way",
			func(m *Machine) { m.doubt.asking, m.gate = true, 103 }, 10, 0, 100},
		{"all places are taken", func(m *Machine) { m.flight.now = 8 }, 10, 0, inf},
		{"what remains invites", func(m *Machine) {
			told0(m, told{remain: 50, reset: 60, limit: 100})
			m.flight.limit, m.flight.now = 2, 2
		}, 10, 0, 100},
		{"the budget is used up", func(m *Machine) {
			m.careful.on, m.refusals = true, [hasty]float64{99, 98, 97, 96, 95}
		}, 10, 0, 96 + carefulIn},
	} {
		m := cruising()
		m.jitter = 1
		c.with(m)
		if got := m.Pace(100); !near(got, c.pace) {
			t.Errorf("%s: a pace of %v, want %v", c.name, got, c.pace)
		}
		if got := m.Held(100); c.held == 0 && got > 100 || c.held > 0 && !near(got, c.held) {
			t.Errorf("%s: held until %v, want %v", c.name, got, c.held)
		}
		if got := m.NextSend(100); got != c.next && !near(got, c.next) {
			t.Errorf("%s: the next goes at %v, want %v", c.name, got, c.next)
		}
	}
	m := cruising()
	m.half, m.gate, m.named = true, 103, 110
	if until, parked := m.Parked(); until != 110 || !parked {
		t.Errorf("parked %v until %v", parked, until)
	}
	m.gate = 120
	if until, _ := m.Parked(); until != 120 {
		t.Errorf("parked until %v", until)
	}
}

// A nested request waits for time alone.
func TestWhenANestedOneGoes(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(m *Machine)
		next float64 // at 100 s
	}{
		{"all places are taken", func(m *Machine) { m.flight.now = 8 }, 100},
		{"its turn", func(m *Machine) { m.last = 99.95 }, 100.05},
		{"parked", func(m *Machine) { m.half, m.out, m.gate = true, true, 103 }, 103},
		{"parked, its turn later",
			func(m *Machine) { m.half, m.gate, m.last = true, 100.01, 99.95 }, 100.05},
		{"a park of before", func(m *Machine) { m.gate = 103 }, 100},
		{"four refused, careful", func(m *Machine) {
			m.careful.on, m.refusals, m.flying = true, [hasty]float64{99, 98, 97, 96, 95}, 3
		}, 96 + carefulIn},
		{"three refused, careful: it waits for no outcome", func(m *Machine) {
			m.careful.on, m.refusals, m.flying = true, [hasty]float64{99, 98, 97, 0, 0}, 3
		}, 100},
	} {
		m := cruising()
		m.jitter = 1
		c.with(m)
		if got := m.NextNested(100); !near(got, c.next) {
			t.Errorf("%s: at %v, want %v", c.name, got, c.next)
		}
	}
}

func TestWhetherAPlaceIsFree(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(m *Machine)
		free bool
	}{
		{"one of eight is taken", func(m *Machine) { m.flight.now = 1 }, true},
		{"all are", func(m *Machine) { m.flight.now = 8 }, false},
		{"as many as the user permits",
			func(m *Machine) { m.flight.now, m.cfg.MaxInFlight = 2, 2 }, false},
		{"the single request is on its way",
			func(m *Machine) { m.half, m.out = true, true }, false},
		{"it is to go", func(m *Machine) { m.half = true }, true},
		{"one that was alone once", func(m *Machine) { m.out = true }, true},
		{"the one that is to tell is on its way",
			func(m *Machine) { m.doubt.asking, m.out = true, true }, false},
	} {
		m := cruising()
		if c.with(m); m.Free() != c.free {
			t.Errorf("%s: free is %v", c.name, !c.free)
		}
	}
}

// When one that the others wait for is given up.
func TestWhenOneIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(m *Machine)
		at   float64
	}{
		{"none is waited for", func(m *Machine) { m.flight.now = 3 }, inf},
		{"the single request", func(m *Machine) { m.half, m.out = true, true }, 99.9 + stalled},
		{"after the park if that is longer",
			func(m *Machine) { m.half, m.out, m.length = true, true, 64 }, 99.9 + 64},
		{"it is not on its way", func(m *Machine) { m.half = true }, inf},
		{"one that was alone once", func(m *Machine) { m.out = true }, inf},
		{"one at a time, and it is",
			func(m *Machine) { m.flight.narrow, m.flight.now = true, 1 }, 99.9 + stalled},
		{"one at a time, and none is", func(m *Machine) { m.flight.narrow = true }, inf},
		{"one at a time, and all places are taken",
			func(m *Machine) { m.flight.narrow, m.flight.now = true, 8 }, inf},
	} {
		m := cruising()
		if c.with(m); m.stalled() != c.at {
			t.Errorf("%s: at %v, want %v", c.name, m.stalled(), c.at)
		}
		if c.at < inf {
			if w := m.Wake(100); w != c.at {
				t.Errorf("%s: asks to be woken at %v", c.name, w)
			}
			if w := m.Wake(c.at); w != inf {
				t.Errorf("%s: asks to be woken again at %v", c.name, w)
			}
			if m.jitter = 1; m.NextSend(c.at) != c.at {
				t.Errorf("%s: the one in its place goes at %v", c.name, m.NextSend(c.at))
			}
		}
	}
}

// What a request is marked with when it is sent.
func TestATicket(t *testing.T) {
	m := cruising()
	if k := m.OnSend(100); k != (Ticket{Sent: 100, seq: 1001, Beside: 1}) || m.before != 99.9 ||
		m.last != 100 || m.flying != 1 || m.out {
		t.Errorf("%+v, the last at %v, %d on their way, out %v", k, m.last, m.flying, m.out)
	}
	if m.jitter < 1 || m.jitter > 1+scatter || m.jitter == 1 {
		t.Errorf("the next is %v times as far", m.jitter)
	}
	if k := m.OnSendNested(100.1); !k.nested || k.Beside != 1 || m.flight.now != 1 {
		t.Errorf("nested: %+v, %d in flight", k, m.flight.now)
	}
	m.gauge.tell(told{at: 100, seq: 1001, remain: 5, reset: 60, limit: 100})
	if k := m.OnSend(101); !k.granted {
		t.Error("what remains does not grant it")
	}
	m.gauge.left = 2
	if k := m.OnSend(102); k.granted {
		t.Error("granted with three on their way and two left")
	}
	m.gauge.left, m.gauge.wrong = 50, thrice
	if k := m.OnSend(102); k.granted {
		t.Error("granted by what is not heard")
	}
	m = cruising()
	m.half = true
	k := m.OnSend(100)
	if !m.out || m.single != k.seq || len(m.flight.lost) != 0 {
		t.Errorf("the single request: out %v, %d, lost %v", m.out, m.single, m.flight.lost)
	}
	if m.OnSendNested(100.1); m.single != k.seq || !m.out {
		t.Error("a nested one takes the single one's part")
	}
	if m.OnSend(131); m.single != 1003 || len(m.flight.lost) != 1 || m.flight.lost[0] != k.seq {
		t.Errorf("the one in its place: %d, lost %v", m.single, m.flight.lost)
	}
	m = cruising()
	m.half = true
	if n := m.OnSendNested(100); !m.out || m.single != n.seq {
		t.Error("a nested one cannot be the single one")
	}
	m = cruising()
	m.out, m.single = true, 7 // of an old park
	if m.OnSend(100); len(m.flight.lost) != 0 || m.out {
		t.Errorf("lost %v, out %v", m.flight.lost, m.out)
	}
}

// One that says nothing leaves nothing behind, and one that was not made gives its turn back.
func TestACancelledRequest(t *testing.T) {
	for _, made := range []bool{true, false} {
		m := cruising()
		m.half = true
		k := m.OnSend(100)
		m.OnCancel(k, made)
		if m.flying != 0 || m.flight.now != 0 || len(m.overdue.out) != 0 || m.out ||
			(m.last == 99.9) == made {
			t.Errorf(
				"made %v: %d on their way, %d in flight, %d to wait for, out %v, the last at %v",
				made, m.flying, m.flight.now, len(m.overdue.out), m.out, m.last)
		}
	}
	m := cruising()
	k := m.OnSend(100)
	m.OnSend(100.1)
	if m.OnCancel(k, false); m.last != 100.1 {
		t.Errorf("one before the last gives back a turn: %v", m.last)
	}
	m = cruising()
	m.half = true
	single := m.OnSend(100)
	if m.freeProbe(Ticket{seq: 4}); !m.out {
		t.Error("another one frees the single request's place")
	}
	if m.OnDone(100.1, single, Answer{Kind: Refusal, RetryAfter: -1, Remaining: -1}); m.out {
		t.Error("the single request is out after its answer")
	}
}

// What an answer does besides being judged.
func TestAnAnswerIsTold(t *testing.T) {
	fine := Answer{RetryAfter: -1, Remaining: -1}
	m := cruising()
	m.mode, m.held, m.keep, m.step = Climb, mark{97, 900}, 1, .25
	k := m.OnSend(100)
	if m.OnDone(100.4, k, fine); m.overdue.mean < .39 || m.recent.rate(100.4, 10) == 0 ||
		m.accepted != 1001 || m.rate <= 10 {
		t.Errorf("a page: %v s, %v/s of late, %d accepted, %v/s",
			m.overdue.mean, m.recent.rate(100.4, 10), m.accepted, m.rate)
	}
	m = cruising()
	k = m.OnSend(100)
	if m.OnAnswer(100.2, k); m.overdue.mean < .19 ||
		m.overdue.mean > .21 || len(m.overdue.out) != 0 {
		t.Errorf("the beginning of an answer took %v s", m.overdue.mean)
	}
	if m.OnAnswer(100.9, k); m.overdue.mean < .19 {
		t.Error("it begins twice")
	}

	// Overdue: judged then, and not again when it comes; if a page comes the server is slow.
	late := func(a Answer) *Machine {
		m := cruising()
		m.doubt.definite = true
		m.overdue.mean, m.overdue.last, m.overdue.known = .1, .1, true
		k := m.OnSend(100)
		m.NextSend(103)
		m.OnDone(130, k, a)
		return m
	}
	if m = late(fine); m.accepted != 1001 || m.overdue.limit() < 30 {
		t.Errorf("a late page: %d accepted, others are overdue after %v s",
			m.accepted, m.overdue.limit())
	}
	for _, kind := range []Kind{Trouble, Doubt, Refusal} {
		a := Answer{Kind: kind, RetryAfter: -1, Remaining: -1}
		if m = late(a); m.accepted != 1000 || m.spent != 0 || m.half || m.overdue.mean != .1 {
			t.Errorf("a late %d: %d accepted, %d spent, half %v, %v s",
				kind, m.accepted, m.spent, m.half, m.overdue.mean)
		}
	}
	a := Answer{Kind: Refusal, RetryAfter: 50, Remaining: -1}
	if m = late(a); m.named < 180 {
		t.Errorf("a late refusal's wait is not kept: %v", m.named)
	}
	trouble := cruising()
	k = trouble.OnSend(100)
	if trouble.OnDone(100.4, k,
		Answer{Kind: Trouble, RetryAfter: -1, Remaining: -1}); trouble.accepted != 1001 ||
		trouble.overdue.known {
		t.Errorf("trouble in time: %d accepted, it took %v s",
			trouble.accepted, trouble.overdue.mean)
	}

	// What a refusal asks for wins over what the quota says; a page asks for nothing.
	for _, c := range []struct {
		a     Answer
		reset float64
	}{
		{Answer{Kind: Refusal, RetryAfter: 7, Remaining: 0, Limit: 100, Reset: 50}, 107},
		{Answer{Kind: Refusal, RetryAfter: -1, Remaining: 0, Limit: 100, Reset: 50}, 150},
		{Answer{Kind: Fine, RetryAfter: 7, Remaining: 0, Limit: 100, Reset: 50}, 150},
	} {
		m := cruising()
		m.doubt.definite = true
		k := m.OnSend(99.9)
		if m.OnDone(100, k, c.a); !near(m.gauge.reset, c.reset) {
			t.Errorf("%+v: there is more at %v", c.a, m.gauge.reset)
		}
	}

	// Pages that come are neither forbidden nor refused for themselves.
	m = cruising()
	m.untold.judge(7, 100, thrice)
	m.pages.pardons(7, 100)
	k = m.OnSend(100)
	if m.OnDone(100.1, k, Answer{RetryAfter: -1, Remaining: -1, Page: 7}); m.pages.find(7) != nil ||
		m.untold.run != 0 {
		t.Error("a page that came is remembered as refused")
	}
	m = cruising()
	m.half, m.cut = true, 1000
	k = m.OnSend(100)
	if m.OnDone(100.1, k,
		Answer{Kind: Untold, RetryAfter: -1, Remaining: -1, Page: 7}); m.untold.parks != 1 {
		t.Error("what the single request was forbidden is no refusal")
	}

	// A page of before the push-back releases nothing.
	m = cruising()
	old := m.OnSend(99.95)
	m.half, m.cut = true, old.seq
	if m.OnDone(100, old, fine); !m.half || m.accepted != 1001 {
		t.Error("a page of before the push-back releases")
	}
}
