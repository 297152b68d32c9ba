package pacing

import (
	"math"
	"math/rand/v2"
)

var inf = math.Inf(1)

// A Mode is what the machine is doing about the rate.
type Mode int

// The modes.
const (
	Start  Mode = iota // no rate known: as fast as the requests in flight allow
	Climb              // a rate is held, then raised, until it is refused or known well enough
	Cruise             // a rate is kept, and probed from time to time
)

func (m Mode) String() string { return [...]string{"start", "climb", "cruise"}[m] }

// Config is what the user bounds. Zero means no bound.
type Config struct {
	StartRate   float64 // requests a second to begin at, instead of searching
	MaxRate     float64 // requests a second
	MaxInFlight int
	MaxHint     float64 // s; bounds a wait that the server asks for, what is added to it included
	Careful     bool    // keep to a budget of refusals
}

// A Ticket stands for one request on its way. It is small enough, in size and in fields, to be kept
// in registers: it is handed on several times a request.
type Ticket struct {
	Sent   float64 // when it was sent
	seq    int     // its number among those sent, from 1
	Beside int32   // requests in flight then, itself included
	marks
}

// marks are what else there is to know of a request.
type marks struct {
	nested  bool // it has no place in flight itself
	granted bool // what the server said remained allowed it
	Token   bool // for the policy around the machine: the call took a token of the fleet
}

// A Machine is the state of one pacer: parts that each know one thing, each in its own file. See
// the package comment for how it works, and [New] to make one.
type Machine struct {
	cfg Config
	rng *rand.Rand

	tally   // what was sent and answered
	search  // the rate
	probing // when to look for more
	park    // the answer to a refusal
	lesson  // what the start taught

	flight  flight
	doubt   doubt
	overdue overdue
	pages   pages
	untold  untold
	gauge   gauge
	careful careful
	team    team
}

// New returns a machine that knows nothing yet. What it chooses at random is drawn from rng.
func New(cfg Config, rng *rand.Rand) *Machine {
	m := &Machine{
		cfg: cfg, rng: rng, tally: tally{last: -inf, jitter: 1},
		search: newSearch(), probing: probing{every: firstProbe, hit: -inf},
		flight: flight{
			opening: true, limit: firstSlots, dear: 1, drag: 1, most: cfg.MaxInFlight,
		},
	}
	m.careful.on = cfg.Careful
	if cfg.MaxInFlight > 0 {
		m.flight.limit = min(firstSlots, cfg.MaxInFlight)
	}
	for i := range m.refusals {
		m.refusals[i] = -inf
	}
	return m
}

// Mode is what the machine is doing about the rate.
func (m *Machine) Mode() Mode { return m.mode }

// Rate is the rate that the machine goes by, in requests a second: the one to begin at, then the
// learned one; infinite while none is known.
func (m *Machine) Rate() float64 {
	if !m.begun && m.cfg.StartRate > 0 {
		return m.bound(m.cfg.StartRate)
	}
	return m.rate
}

// bound is r, within what the user permits.
func (m *Machine) bound(r float64) float64 {
	if m.cfg.MaxRate > 0 {
		r = min(r, m.cfg.MaxRate)
	}
	return r
}

// Parked reports whether the server has pushed back and no single request has been admitted since,
// and until when nothing is sent.
func (m *Machine) Parked() (until float64, parked bool) { return max(m.gate, m.named), m.half }

// Held is the time before which nothing may go because the server said so: it named a wait, or its
// quota is used up. It is not after now if there is no such wait.
func (m *Machine) Held(now float64) float64 {
	return max(m.named, m.gauge.next(now, m.last, m.flying, true))
}

// Stated reports whether what the server said of its quota still holds.
func (m *Machine) Stated(now float64) bool { return m.gauge.stated(now) }

// InFlight is how many requests are on their way, and how many may be.
func (m *Machine) InFlight() (now, limit int) { return m.flight.now, m.flight.limit }

// Crowded reports whether the server was seen to bound the requests in flight.
func (m *Machine) Crowded() bool { return m.flight.dear > 1 }

// Pace is the rate that holds at now: the learned one, but no more than the user permits and the
// server states.
func (m *Machine) Pace(now float64) float64 {
	r := m.bound(min(m.rate, m.gauge.spread(now, m.flying)))
	if g := &m.gauge; !g.deaf() && g.permits(now, m.last, m.flying) < 1 {
		if f := g.rate(); f > 0 {
			r = min(r, f)
		}
	}
	return r
}

// NextSend is when the next request may be sent, now or later; infinite if only an answer can tell,
// or [Machine.Wake]. The single request does not wait for requests sent before the push-back,
// because a stalled one must not hold it, except for the user's own bound.
func (m *Machine) NextSend(now float64) float64 {
	if m.overdue.any(now) {
		m.lookForOverdue(now)
	}
	turn := m.turn(now)
	if m.careful.on {
		turn = max(turn, m.withinBudget(now))
	}
	if !m.alone() && !m.flight.full() && !m.bounded() { // nearly always
		return turn
	}
	instead := now >= m.stalled()-tick
	switch {
	case m.bounded(), m.alone() && m.out && !instead:
		return inf
	case m.half:
		return max(m.gate, turn)
	case m.flight.full() && !m.gauge.invites(now, m.last, m.flying) && !instead:
		return inf
	case m.doubt.asking && m.flight.now > 0:
		return max(m.gate, turn)
	}
	return turn
}

// withinBudget is when the budget of a careful machine lets the next go.
func (m *Machine) withinBudget(now float64) float64 {
	more := 0
	if m.mode == Start {
		more = m.careful.proven(now-m.held.at, m.accepted-m.held.n)
	}
	return m.careful.next(now, m.flying, m.doubt.open, more, &m.refusals)
}

// turn is when the next is due by the pace, and by what the server said.
func (m *Machine) turn(now float64) float64 {
	at, r := max(now, m.named), m.rate
	if g := &m.gauge; !g.deaf() {
		at = max(at, g.next(now, m.last, m.flying, r < inf))
		r = min(r, g.spread(now, m.flying))
	}
	return max(at, m.last+m.jitter/m.bound(r))
}

// tick is how far a time in seconds may be off: a clock counts nanoseconds, and a float rounds.
const tick = 1e-9

// bounded reports whether as many requests are on their way as the user permits.
func (m *Machine) bounded() bool {
	return m.cfg.MaxInFlight > 0 && m.flight.now >= m.cfg.MaxInFlight
}

// alone reports whether one request at a time goes.
func (m *Machine) alone() bool { return m.half || m.doubt.asking }

// Wake is when to ask again, after now, although no answer came: by then something on its way has
// taken so long that this is news. It is infinite if an answer must come first.
func (m *Machine) Wake(now float64) float64 {
	if m.bounded() {
		return inf
	}
	at := m.overdue.next()
	if s := m.stalled(); s > now+tick {
		at = min(at, s)
	}
	return at
}

// stalled is when the one request that the others wait for is given up, so that another may go in
// its place.
func (m *Machine) stalled() float64 {
	f := &m.flight
	switch {
	case m.alone() && m.out:
		return m.last + max(stalled, m.length)
	case f.narrow && f.taken() > 0 && f.taken() < f.limit:
		return m.last + stalled
	}
	return inf
}

// lookForOverdue judges what is overdue at now.
func (m *Machine) lookForOverdue(now float64) {
	for {
		t, ok := m.overdue.due(now)
		if !ok {
			return
		}
		m.refusedOr(now, t, Answer{Kind: Doubt, RetryAfter: -1, Remaining: -1}, false)
	}
}

// Free reports whether a request sent now would find a place in flight.
func (m *Machine) Free() bool { return !m.bounded() && !(m.alone() && m.out) && !m.flight.full() }

// NextNested is [Machine.NextSend] for a request that is part of another one on its way. It does
// not wait for a place in flight, nor for an outcome, which might be that of the other one.
func (m *Machine) NextNested(now float64) float64 {
	turn := max(m.turn(now), m.careful.next(now, 0, 0, 0, &m.refusals))
	if m.alone() {
		turn = max(turn, m.gate)
	}
	return turn
}

// OnSend is told of every request that is sent.
func (m *Machine) OnSend(now float64) Ticket {
	if !m.begun {
		m.begin(now)
	}
	if m.alone() && m.out {
		m.flight.giveUp(m.single)
	}
	m.flight.now++
	return m.sent(now, marks{})
}

// OnSendNested is told instead of [Machine.OnSend] of a request that is part of another one, and
// takes no place.
func (m *Machine) OnSendNested(now float64) Ticket {
	if !m.begun {
		m.begin(now)
	}
	return m.sent(now, marks{nested: true})
}

// begin is for the first request.
func (m *Machine) begin(now float64) {
	m.start(now)
	if m.cfg.StartRate > 0 && m.rate == inf && !m.half {
		m.climb(m.cfg.StartRate, now)
	}
}

func (m *Machine) sent(now float64, k marks) Ticket {
	k.granted = !m.gauge.deaf() && m.gauge.permits(now, m.last, m.flying) >= 1
	m.seq++
	t := Ticket{Sent: now, seq: m.seq, Beside: int32(max(1, m.flight.now)), marks: k}
	m.overdue.sent(t)
	m.flying++
	m.before, m.last, m.jitter = m.last, now, 1+scatter*m.rng.Float64()
	if !k.nested || !m.out {
		if m.out = m.alone(); m.out {
			m.single = m.seq
		}
	}
	return t
}

// OnCancel is told instead of [Machine.OnDone] of a request that says nothing about the server: the
// caller gave it up, or it was never made. One that was never made gives its turn back.
func (m *Machine) OnCancel(t Ticket, made bool) {
	m.flying--
	m.flight.back(t)
	m.overdue.back(t)
	m.freeProbe(t)
	if !made && t.seq == m.seq {
		m.last = m.before
	}
}

// freeProbe notes that the single request, if t is that, is no longer out.
func (m *Machine) freeProbe(t Ticket) {
	if t.seq == m.single {
		m.out = false
	}
}

// OnAnswer is told when a request has begun to be answered. The time after that is not the
// server's.
func (m *Machine) OnAnswer(now float64, t Ticket) {
	if !m.overdue.back(t) {
		m.overdue.took(now - t.Sent)
	}
}

// OnDone is told the outcome of a request. That of a request that was given up counts if it is
// admitted after all, and not if it is refused: that is too long ago.
func (m *Machine) OnDone(now float64, t Ticket, a Answer) {
	late, judged := m.back(t)
	switch a.Kind {
	case Untold:
		row := thrice
		if m.half && t.seq > m.cut { // it was sent alone to find out
			row = 0
		}
		a.Kind = m.untold.judge(a.Page, m.accepted, row)
	case Fine:
		m.untold.admit(a.Page)
	}
	if a.Kind == Refusal && a.RetryAfter >= 0 {
		a.Reset = a.RetryAfter // the wait that it asks for wins over what it says of the quota
	}
	m.gauge.hear(now, t, a, m.flying)
	switch {
	case a.Kind == Doubt || a.Kind == Refusal || judged && a.Kind == Trouble:
		if a.Kind == Refusal {
			m.hold(now, a.RetryAfter)
		}
		if judged { // counted when it was overdue
			return
		}
	case a.Kind == Fine && judged:
		m.overdue.came(now - t.Sent)
	case a.Kind == Fine:
		m.overdue.took(now - t.Sent)
	}
	if !m.refusedOr(now, t, a, late) {
		m.pages.admit(a.Page)
		m.admit(now, t)
	}
}

// OnFine is [Machine.OnDone] for a request that was admitted, if nothing else is known of it. It is
// what nearly every request comes to, and costs less.
func (m *Machine) OnFine(now float64, t Ticket) {
	if !m.doubt.quiet() {
		m.OnDone(now, t, Answer{RetryAfter: -1, Remaining: -1})
		return
	}
	if _, judged := m.back(t); judged {
		m.overdue.came(now - t.Sent)
	} else {
		m.overdue.took(now - t.Sent)
	}
	m.untold.run = 0
	m.doubt.pass()
	m.admit(now, t)
}

// back notes that a request has come back: late if it had been given up, judged if it was counted
// as a doubt before.
func (m *Machine) back(t Ticket) (late, judged bool) {
	m.flying--
	late = m.flight.back(t)
	m.freeProbe(t)
	return late, m.overdue.back(t)
}

// admit notes that a request was admitted.
func (m *Machine) admit(now float64, t Ticket) {
	m.accepted++
	m.recent.add(now)
	m.flight.admitted(now, int(t.Beside))
	if m.half {
		if t.seq <= m.cut { // not news
			return
		}
		m.onRelease(now)
	}
	if m.mode != Start { // from there only a refusal leads on
		m.advance(now)
	}
}

// takeBack undoes what the refusals of one page did to the rate: they said nothing about it.
func (m *Machine) takeBack(now float64, page uint64) {
	u := &m.pages.undo
	if u.page != page || u.count < u.all {
		return
	}
	m.search, m.probing = u.search, u.probing
	m.held, m.climbed = m.mark(now), m.mark(now)
	m.half, m.release = false, m.mark(now)
	*u = undo{}
}

// refusedOr judges an answer, and reports whether it was not an admission.
func (m *Machine) refusedOr(now float64, t Ticket, a Answer, late bool) bool {
	asked := m.doubt.asking && t.seq > m.doubt.since // sent alone, so the number is not the cause
	kind := m.judge(now, a.Kind, t)
	if kind != Doubt && kind != Refusal {
		return false
	}
	if a.RetryAfter < 0 && m.pages.pardons(a.Page, m.accepted) {
		if m.careful.on { // a jail counts it all the same
			m.noteRefusal(now)
		}
		m.takeBack(now, a.Page)
		if a.Kind == Doubt {
			m.strike(now)
		}
		return true
	}
	if kind == Doubt {
		m.doubt.open++
		return true
	}
	for range 1 + m.doubt.open {
		m.noteRefusal(now)
		m.spent++
	}
	m.team.refused += 1 + m.doubt.open
	m.doubt.open = 0
	if t.seq > m.cut && !late {
		m.pages.blame(a.Page, &m.search, &m.probing)
		if asked {
			m.halt(now, t)
		} else {
			m.pushBack(now, t)
		}
	} else if m.half {
		m.burst(now)
	}
	return true
}

// strike is for a doubt that was taken for a page's own affair: as to whether doubts are refusals
// at all, it counts like one that was believed.
func (m *Machine) strike(now float64) {
	if !m.doubt.convicted || m.mode != Cruise {
		return
	}
	if noise, _ := m.doubt.struck(m.accepted, m.rate); noise {
		m.half = false
		m.startAnew(now)
	}
}

// hold keeps to a wait that an answer names, if it is not negative; every answer of a burst is
// heard. A little is added because clocks differ, and so that several clients do not come back at
// once.
func (m *Machine) hold(now, wait float64) {
	if wait < 0 {
		return
	}
	wait += .02 + .08*m.rng.Float64()
	if m.cfg.MaxHint > 0 {
		wait = min(wait, m.cfg.MaxHint)
	}
	m.named = max(m.named, now+wait)
}

// Later reports whether a page was refused so lately that requests for others should go first. It
// is then asked for again when enough others came to tell a page that is refused for itself from a
// refusal because of the rate. A careful machine does not ask: its budget counts both.
func (m *Machine) Later(page uint64) bool {
	return !m.careful.on && m.pages.later(page, m.accepted)
}

// LastSend is when the last request was sent.
func (m *Machine) LastSend() float64 { return m.last }
