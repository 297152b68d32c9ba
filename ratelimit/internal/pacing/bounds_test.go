package pacing

import (
	"math"
	"strings"
	"testing"
)

// refusedAt is the times of the last refusals, the newest first.
func refusedAt(times ...float64) (r [hasty]float64) {
	for i := range r {
		r[i] = -inf
	}
	copy(r[:], times)
	return r
}

// checks is a list of what must be true.
type checks []struct {
	name string
	ok   bool
}

func (c checks) run(t *testing.T) {
	t.Helper()
	for _, c := range c {
		if !c.ok {
			t.Error(c.name)
		}
	}
}

// What lies exactly on a bound of the budget: a refusal counts for less than a minute.
func TestTheBudgetOnItsBounds(t *testing.T) {
	c := careful{on: true}
	old := refusedAt(0)
	four := refusedAt(0, 0, 0, 0)
	three := refusedAt(0, 0, 0)
	checks{
		{"one that old leaves room for four", c.next(carefulIn, 3, 0, 0, &old) == carefulIn},
		{"three that old end nothing", !c.sated(minute, &three)},
		{"three end the search", c.sated(minute-tick, &three)},
		{"the budget ends with the park", !c.locked(carefulIn, &four)},
		{"the budget lasts longer than the park", c.locked(carefulIn-tick, &four)},
	}.run(t)

	// More than the budget may be at risk by the time and the answers since the start began.
	for _, since := range []struct {
		name      string
		at        float64
		n, flying int
	}{{"the time", 101, 18, 5}, {"the answers", 110, 58, 5}} {
		m := New(Config{Careful: true}, newRand())
		m.start(0)
		m.flight.opening, m.flight.limit = false, browserSlot
		m.held, m.accepted, m.flying = mark{100, 50}, 50+32, since.flying
		if since.n == 58 {
			m.accepted = since.n
		}
		if at := m.NextSend(since.at); at != inf {
			t.Errorf("%s before the start count: a sixth goes at %v", since.name, at)
		}
	}
}

func TestDoubtsOnTheirBounds(t *testing.T) {
	// The request that was the doubt comes after all: that tells nothing about itself.
	m := cruising()
	doubtful := Ticket{Sent: 99, seq: 1000, Beside: 1}
	m.judge(100, Doubt, doubtful)
	m.judge(101, Fine, doubtful)
	asking := m.doubt.asking && m.doubt.suspicion == doubtWeighs

	// A suspicion that is over asks no more, also if nothing was acquitted by it.
	over := cruising()
	over.doubt = doubt{asking: true, convicted: true, suspicion: 1}
	over.judge(100, Fine, Ticket{seq: 1001, Beside: 1})

	// As many in flight as after any refusal are not a crowd.
	some := cruising()
	some.flight.good, some.flight.limit = []int{0, 1000, 0, 0, 0}, 8
	some.judge(100, Doubt, Ticket{Sent: 99, seq: 1000, Beside: firstSlots + 1})

	half := doubt{noisy: noisy{late: mostOf}}
	row := doubt{noisy: noisy{strikes: 3}}
	row.struck(10, 0)
	apart := doubt{noisy: noisy{strikes: 3, struckAt: 100}}
	apart.struck(100+int(shareOf), 10)
	checks{
		{"the doubt itself answers the question", asking},
		{"it asks on although no suspicion is left", !over.doubt.asking},
		{"a limit of three is a crowd", some.flight.limit == firstSlots && !some.doubt.crowd},
		{"half of the answers refute noise", !half.refuted()},
		{"a release after another refusal does not end a row", row.strikes == 0},
		{"forty answers end a row", apart.strikes == 4},
	}.run(t)
}

func TestFlightOnItsBounds(t *testing.T) {
	few := flight{limit: firstSlots, dear: 1, drag: 1}
	few.admitted(1, 1)
	browser := flight{limit: browserSlot, dear: 1, drag: 1, atLimit: 5}
	browser.admitted(7, browserSlot)
	unknown := flight{limit: 4, dear: 1, drag: dearer, atLimit: 7, good: []int{patience}}
	unknown.admitted(1, 4)
	// Twice the places brought exactly a step more: 8 answers in 1.6 s, where half of them brought
	// 4/s.
	step := flight{limit: 4, dear: dearer, drag: 1, atLimit: 7, through: []float64{0, 0, 4}}
	step.admitted(1.6, 4)
	early := flight{limit: 8, good: make([]int, 9), dear: 1}
	proven := early
	proven.good = make([]int, 9)
	checks{
		{"an answer below three places counts", few.atLimit == 0},
		{"answers count at eight places before patience is over",
			browser.atLimit == 0 && browser.slotAt == 7},
		{"a queue is forgotten where nothing is known of half the places",
			unknown.limit == 5 && unknown.drag == dearer},
		{"a whole step is too little", step.limit == 5 && step.drag == 1},
		{"three accepted are enough for blame", !early.blame(4, trust-1)},
		{"four accepted are too few for blame", proven.blame(4, trust)},
	}.run(t)
}

func TestTheGaugeOnItsBounds(t *testing.T) {
	window := func(more ...told) *gauge {
		g := &gauge{}
		g.tell(told{at: 5, seq: 1, remain: 10, limit: 50, reset: 5})
		g.tell(more...)
		return g
	}
	ended := window(told{at: 10, seq: 2, remain: 30, reset: 60})
	renewed := window(told{at: 10, seq: 2, remain: 30, reset: 1})
	rounded := window(told{at: 8, seq: 2, remain: 9, reset: 3})
	beyond := window(told{at: 8, seq: 2, remain: 9, reset: 3 + 1e-6})
	flows := &gauge{}
	flows.tell(told{at: 0, seq: 1, remain: 10, limit: 50}, told{at: 1, seq: 2, remain: 13})
	one := gauge{heard: true, most: 50, left: 1, far: 60}
	// Nothing is left at the very end of a window, and the request sent then is on its way.
	at := gauge{heard: true, most: 50, left: 1, far: 60, reset: 10}

	m := cruising()
	m.gauge = gauge{heard: true, most: 50, left: 1, far: 60}
	granted := m.OnSend(100).granted
	full := cruising()
	full.gauge = gauge{heard: true, most: 50, left: 1, far: 60, flows: true, inflow: 11, over: 10}
	checks{
		{"what is new at the end of a window flows in", ended.inflow == 0 && !ended.flows},
		{"a window that has ended ends again", renewed.reset == 11},
		{"a reset a whole second later is another", rounded.reset == 10},
		{"a reset more than a second later is the same", beyond.reset > 11},
		{"four that came in do not flow", flows.flows && flows.inflow == 4},
		{"the last one is not invited", one.invites(100, 0, 0)},
		{"nothing is invited", !one.invites(100, 0, 1)},
		{"the end of a window lets another go", at.next(10, 10, 1, false) == inf},
		{"the last one is not granted", granted},
		{"what flows in bounds the pace while one remains", full.Pace(100) == 10},
	}.run(t)
}

func TestPagesOnTheirBounds(t *testing.T) {
	var p pages
	p.pardons(0, 10)
	var row pages
	row.pardons(1, 10)
	row.pardons(2, 30)
	row.pardons(1, 30)

	// 1 and 2 are unknown pages in a row: neither counts as refused for itself.
	inRow := row.find(1)
	var u untold
	forbidden := u.judge(0, 100, 0)
	came := untold{parks: 1}
	came.admit(0)

	zero := cruising()
	zero.pages.seen = []pageNote{{page: 7, admitted: 900}}
	zero.refusedOr(100, Ticket{Sent: 99.9, seq: 1001, Beside: 1},
		Answer{Kind: Refusal, RetryAfter: 0, Remaining: -1, Page: 7}, false)
	checks{
		{"an answer without a page is kept", len(p.seen) == 0 && p.last.page == 0},
		{"pages in a row count", inRow.refused == 0 && inRow.admitted == 30},
		{"a 403 without a page is a refusal", forbidden == Fine && u.parks == 0},
		{"an answer without a page proves that 403s are refusals", !came.proved},
		{"a page is pardoned although the server says to wait", zero.half},
	}.run(t)
}

// A page that is refused, comes to nothing while others come, and is refused again, leaves the rate
// as it was before.
func TestWhatAPageDidIsTakenBackByItsSecondRefusal(t *testing.T) {
	m := cruising()
	now := 100.
	send := func(a Answer) {
		now = m.NextSend(now)
		m.OnDone(now+.01, m.OnSend(now), a)
		now += .01
	}
	refused := Answer{Kind: Refusal, RetryAfter: -1, Remaining: -1, Page: 7}
	send(refused)
	if !m.half {
		t.Fatal("the first refusal does not park")
	}
	for i := range enough {
		send(Answer{RetryAfter: -1, Remaining: -1, Page: uint64(100 + i)})
	}
	if m.rate == 10 {
		t.Fatal("the first refusal changed nothing")
	}
	send(refused)
	if m.rate != 10 || m.mode != Cruise || m.half {
		t.Errorf("%v at %v/s, half %v", m.mode, m.rate, m.half)
	}
}

// A reset that is taken for a page's own still speaks against those that were taken for refusals.
func TestAPagesOwnDoubtIsAStrike(t *testing.T) {
	for _, c := range []struct {
		what    string
		kind    Kind
		with    func(m *Machine)
		strikes int
		noise   bool
	}{
		{"one of many", Doubt, func(m *Machine) {}, 2, false},
		{"one too many", Doubt, func(m *Machine) { m.doubt.strikes = hasty }, hasty + 1, true},
		{"a refusal in plain words", Refusal, func(m *Machine) {}, 1, false},
		{"no cruise", Doubt, func(m *Machine) { m.mode = Climb }, 1, false},
		{"noise is known as noise", Doubt,
			func(m *Machine) { m.doubt.convicted = false }, 1, false},
	} {
		m := New(Config{}, newRand())
		m.begin(0)
		m.set(Cruise, 10, 100)
		m.accepted, m.half, m.bucket = 1000, true, 7
		m.doubt.convicted, m.doubt.strikes, m.doubt.struckAt = true, 1, 990
		*m.pages.note(1) = pageNote{page: 1, own: true, refused: 2}
		c.with(m)
		a := Answer{Kind: c.kind, RetryAfter: -1, Remaining: -1, Page: 1}
		m.OnDone(100, m.OnSend(100), a)
		begun := m.mode == Start && m.rate == inf && !m.half && m.bucket == 0
		if m.doubt.strikes != c.strikes || m.doubt.noise != c.noise || begun != c.noise {
			t.Errorf("%s: %d strikes, noise %v, begun anew %v", c.what, m.doubt.strikes,
				m.doubt.noise, begun)
		}
	}
}

func TestProbesOnTheirBounds(t *testing.T) {
	m := cruising()
	m.refusals = refusedAt(40, 40, 40, 40)
	spent := cruising()
	spent.t0, spent.spent, spent.probes = 50, 3, 10
	over := cruising()
	over.t0, over.probes, over.spent = 1000, 10, 3+1
	checks{
		{"four refusals a minute ago forbid a probe", m.affords(100)},
		{"what was allowed at once is not", spent.affords(100)},
		{"the allowance grows from before the start", !over.affords(1000 + refusalEvery - tick)},
		{"it does not grow", over.affords(1000 + refusalEvery)},
	}.run(t)
}

func TestPushBacksOnTheirBounds(t *testing.T) {
	push := func(with func(m *Machine)) *Machine {
		m := cruising()
		with(m)
		m.halt(100, Ticket{Sent: 99.9, seq: 1000, Beside: 1})
		return m
	}
	real := push(func(m *Machine) { m.release, m.length = mark{98, 997}, 2 })
	named := push(func(m *Machine) { m.half, m.length, m.named = true, 4, 100 })
	burst := func(newest, named float64) *Machine {
		m := push(func(*Machine) {})
		m.refusals = refusedAt(100, 100, 100, newest)
		m.named = named
		m.burst(100)
		return m
	}
	checks{
		{"a release as long ago as the park was false", real.refused == 0 && real.gate == 100.5},
		{"a named wait that is over holds", named.gate == 108},
		{"a burst needs less than a second", burst(99, 0).gate == 100.5},
		{"a burst within a second", burst(99+tick, 0).gate == 101.5},
		{"a named wait that is over forbids a longer park", burst(100, 100).gate == 101.5},
	}.run(t)
}

func TestReleasesOnTheirBounds(t *testing.T) {
	release := func(mode Mode, n int, with func(m *Machine)) *Machine {
		m := released(mode, n)
		with(m)
		m.onRelease(100)
		return m
	}
	cost := func(s float64) func(m *Machine) { return func(m *Machine) { m.this.at = 100 - s } }
	dear := release(Cruise, 500, cost(dearPenalty))
	window := release(Start, 500, cost(thrice*firstPark))
	below := release(Climb, 500, func(m *Machine) { m.safe = .8 * 5 })
	at := release(Climb, 500, func(m *Machine) { m.safe = 1.05 * 5 })
	begun := release(Start, enough, func(m *Machine) {})
	few := release(Start, enough-1, func(m *Machine) {})
	narrow := released(Start, 500)
	narrow.refusals = refusedAt(99, 99, 40)
	narrow.onRelease(100)
	zero := released(Cruise, 500)
	zero.first = mark{0, 30}
	zero.learnLending(cycle{rate: 5}, 100)
	refuted := released(Cruise, 500)
	refuted.safe = .999 * refuted.this.rate
	refuted.learnSafe()
	cheap := released(Cruise, 500)
	cheap.keep, cheap.penalty = 100, dearPenalty
	cheap.learnCost(cycle{})
	later := released(Climb, 500)
	later.release, later.refused = mark{49, 0}, 1
	checks{
		{"twenty seconds are dear", dear.mode == Cruise},
		{"a pause of 1.5 s is that of a window", window.window},
		{"it climbs at a rate that is below the cycle's", below.mode == Cruise},
		{"it climbs at a rate that is near to the cycle's", at.mode == Cruise},
		{"eight measure nothing", begun.step == firstStep},
		{"seven measure something", few.step == 1},
		{"a refusal a minute ago narrows the start", !narrow.flight.narrow},
		{"a start of no time teaches the bucket", zero.bucket == 1},
		{"a safe rate that was refused stays", refuted.safe == 0},
		{"a penalty of twenty seconds is not forgotten", cheap.keep == 50},
		{"the most is measured from before the cycle", near(later.endCycle(100).most, 10)},
	}.run(t)
}

func TestTheSearchOnItsBounds(t *testing.T) {
	settled := func(with func(m *Machine)) *Machine {
		m := cruising()
		m.this = episode{mark: mark{100, 1000}, rate: 10}
		m.hit, m.hits = 0, 0
		with(m)
		m.rate = m.settle(5, 100)
		return m
	}
	row := settled(func(m *Machine) { m.hit, m.hits = 90, 1 })
	old := settled(func(m *Machine) { m.spent, m.refusals = jail, refusedAt(100, 100, 100, 40) })
	young := settled(func(m *Machine) {
		m.spent, m.refusals = jail, refusedAt(100, 100, 100, 40+tick)
	})
	goes := func(mode Mode, at float64, n int, with func(m *Machine)) *Machine {
		m := held(mode, n)
		with(m)
		m.advance(at)
		return m
	}
	lost := goes(Climb, 102, 20, func(m *Machine) { m.lost = minute + budgetShare*102 })
	later := goes(Climb, 102, 20, func(m *Machine) { m.t0, m.lost = 90, minute+budgetShare*13 })
	few := goes(Climb, 102, enough, func(m *Machine) { m.rate = 4 })
	half := goes(Climb, 102, 10, func(*Machine) {})
	near11 := goes(Climb, 102, 20, func(m *Machine) { m.ceiling = closeTo * m.rate })
	checks{
		{"refusals ten seconds apart are no row", row.hits == 2},
		{"one of a minute ago lowers the rate", near(old.rate, hitKeeps*10)},
		{"four in a minute do not lower it", near(young.rate, hitKeeps*hitKeeps*10)},
		{"what may be lost ends the search", lost.rate == 12.5},
		{"time before the start may be lost", later.mode == Cruise},
		{"eight answers are too few", few.rate == 5},
		{"a rate of which half was used is not proved", half.rate == 12.5},
		{"a ceiling a tenth above is reached", near11.mode == Climb},
	}.run(t)
}

func TestATeamOnItsBounds(t *testing.T) {
	parked := cruising()
	parked.half, parked.pushed, parked.gate, parked.length = true, 99.9, 100.4, .5
	parked.refusals = refusedAt(100, 100, 100, 100)
	parked.Others(100, 5, 0)
	echoed := cruising()
	echoed.release.at = 100 - echo
	echoed.Others(echoed.release.at+echo, 0, 1)
	start := cruising()
	start.mode, start.rate, start.overdue.known, start.accepted = Start, inf, true, patience
	checks{
		{"answers of others lengthen a park", parked.gate == 100.4},
		{"a refusal after the echo is not heard", echoed.half},
		{"those with as many answers do not take part", start.shares()},
	}.run(t)
}

func TestTheMachineOnItsBounds(t *testing.T) {
	// A machine that was acquitted of a limit does not begin with the user's rate again.
	again := New(Config{StartRate: 5}, newRand())
	again.start(0)
	again.OnSend(1)

	alone := cruising()
	alone.doubt.asking, alone.out, alone.last, alone.flight.now = true, true, 0, 1
	at := alone.stalled() - tick

	// A 403 that was on its way before the park tells nothing of what the single request asks.
	before := cruising()
	before.half, before.cut, before.untold.run = true, 5, 0
	before.OnDone(100, Ticket{Sent: 99, seq: 5, Beside: 1},
		Answer{Kind: Untold, RetryAfter: -1, Remaining: -1, Page: 7})

	// The wait that a refusal names wins over what it says of the quota, also if it is none.
	asked := cruising()
	asked.OnDone(100, Ticket{Sent: 99.9, seq: 1001, Beside: 1},
		Answer{Kind: Refusal, RetryAfter: 0, Remaining: 0, Limit: 50, Reset: 60})

	soon := cruising()
	soon.hold(100, 0)

	took := cruising()
	took.overdue.mean, took.overdue.last, took.overdue.known = 1, 1, true
	took.OnDone(100, Ticket{Sent: 98, seq: 1001, Beside: 1}, Answer{RetryAfter: -1, Remaining: -1})
	slow := cruising()
	slow.overdue = overdue{mean: 1, known: true,
		out: []pending{{Ticket{Sent: 88, seq: 1001}, true}}}
	slow.OnDone(100, Ticket{Sent: 88, seq: 1001, Beside: 1}, Answer{RetryAfter: -1, Remaining: -1})

	var out overdue
	out.sent(Ticket{seq: 1})
	_, due := out.due(overdueFirst - tick)
	checks{
		{"the user's rate is begun with twice", again.rate == inf},
		{"a single request is not given up in time", alone.NextSend(at) < inf},
		{"a 403 of before the park is a refusal",
			before.accepted == 1001 && before.untold.parks == 0},
		{"a refusal's quota holds although it names a wait", asked.gauge.reset == 0},
		{"a wait of no time is none", soon.named > 100 && soon.named < 100.2},
		{"an answer's time", near(took.overdue.mean, 1+1/shareOf)},
		{"a late answer's time", near(slow.overdue.mean, 12/overdueTimes)},
		{"one is not overdue in time", due},
	}.run(t)
}

func TestExplainOnItsBounds(t *testing.T) {
	says := func(with func(m *Machine)) string {
		m := cruising()
		with(m)
		return m.Explain(100)
	}
	has := strings.Contains
	checks{
		{"it counts in a window without a start",
			!has(says(func(m *Machine) { m.window = true }), "window")},
		{"a bucket of two",
			has(says(func(m *Machine) { m.first, m.bucket = mark{1, 2}, 2 }),
				"a bucket of about 2")},
		{"one of a minute ago",
			has(says(func(m *Machine) { m.refusals[0] = 40 }), "0 refusals in 60 s")},
		{"a rate that is kept was refused",
			!has(says(func(m *Machine) { m.ceiling = 10 }), "that was refused")},
		{"pages of their own", has(says(func(m *Machine) {
			m.pages.seen = []pageNote{{page: 1, own: true}, {page: 2}, {page: 3}}
		}), "refused for themselves: 1")},
	}.run(t)
	if m := cruising(); math.IsInf(m.Held(100), 1) {
		t.Error("held for ever")
	}
}

// Figures that only one rule uses, as numbers.
func TestFiguresOfOneRule(t *testing.T) {
	quiet := func(s float64) bool {
		var o overdue
		o.sent(Ticket{seq: 1})
		_, due := o.due(s)
		return !due
	}
	far := gauge{heard: true, most: 5000, left: 100, far: 610, reset: 610}
	near := gauge{heard: true, most: 5000, left: 100, far: 590, reset: 590}
	var p pages
	for page := range uint64(65) {
		p.pardons(page+1, 10)
	}
	checks{
		{"nothing is overdue for ten seconds", quiet(9.9) && !quiet(10)},
		{"what is renewed in more than ten minutes is spread", far.spread(0, 0) < inf},
		{"what is renewed sooner is not", near.spread(0, 0) == inf},
		{"sixty-four pages are remembered",
			len(p.seen) == 64 && p.find(1) == nil && p.find(2) != nil},
	}.run(t)
}
