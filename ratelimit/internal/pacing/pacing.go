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
	MaxHint     float64 // s; a park by the server's word, what is added to it included
}

// A Ticket stands for one request on its way.
type Ticket struct {
	Sent   float64 // when it was sent
	seq    int     // sent before it and itself
	Beside int     // requests in flight then, itself included
	nested bool    // it has no place in flight of its own
	before float64 // when the one before was sent
}

// A Machine is the state of one pacer. See the package comment for how it
// works, and [New] to make one.
type Machine struct {
	cfg Config
	rng *rand.Rand

	begun    bool
	t0       float64 // when the first request was sent
	last     float64 // when the last one was
	seq      int     // requests sent
	jitter   float64 // its distance to the next, in parts of 1/rate
	accepted int     // answers that were no refusal
	recent   counter // the same, of the last minute
	refusals [hasty]float64
	spent    int // refusals in all, those of a change of the limit forgiven

	flight flight
	doubt  doubt

	// The rate.
	mode    Mode
	rate    float64 // requests a second; infinite if none is known
	ceiling float64 // was refused at about this rate; infinite if unknown
	safe    float64 // this rate was survived
	best    float64 // the highest measured, a little less with every release
	step    float64 // next step up, as a share of the rate
	keep    float64 // s; a rate is held so long before the next step
	held    mark    // since when it is
	climbed mark    // when this climb began
	probe   float64 // s from a push-back to the next probe
	probeAt float64
	probes  int
	hit     float64 // the last refusal in a cruise
	hits    int     // such in a row
	before  float64 // the rate before the first of them
	stated  float64 // the rate by the server's own word, until statedTo
	stateTo float64
	resets  float64 // when the stated quota is there anew

	// The push-back.
	half     bool    // parked, or waiting for the single request
	out      bool    // that is on its way
	single   int     // the last such
	restored bool    // the park was begun by another machine,
	climbing bool    // which had not found the rate yet
	gate     float64 // the park ends
	named    float64 // the latest time that any answer has named: nothing goes before it
	park     float64 // s; its length if the server names none
	cut      int     // sent by the last push-back: answers to those say nothing new
	refused  int     // single requests refused in this episode
	pushed   float64 // the last refusal of this episode
	this     episode
	prev     episode
	release  mark    // the last release: a cycle goes from release to release
	penalty  float64 // s lost to the last episode
	lost     float64 // s lost to all

	// What the start taught.
	first  mark    // its length in time and answers
	bucket float64 // answers it got beyond the rate: what a bucket can have lent
	window bool    // it looks like a window, which lends nothing
}

// A mark is a moment, and what had been accepted by then.
type mark struct {
	at float64
	n  int
}

// New returns a machine that knows nothing yet. Every choice it makes at
// random is drawn from rng.
func New(cfg Config, rng *rand.Rand) *Machine {
	m := &Machine{
		cfg: cfg, rng: rng, last: -inf, jitter: 1,
		rate: inf, ceiling: inf, step: firstStep, keep: firstHold, probe: firstProbe, hit: -inf, stated: inf,
		flight: flight{opening: true, limit: firstSlots, dear: 1, drag: 1, most: cfg.MaxInFlight},
	}
	if cfg.MaxInFlight > 0 {
		m.flight.limit = min(firstSlots, cfg.MaxInFlight)
	}
	for i := range m.refusals {
		m.refusals[i] = -inf
	}
	return m
}

// Mode is what it is doing about the rate.
func (m *Machine) Mode() Mode { return m.mode }

// Rate is the rate it goes by, in requests a second: the one to begin at, then the learned one; infinite while none is known.
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

// Parked reports whether the server has pushed back and no single request has
// been admitted since, and until when nothing is sent.
func (m *Machine) Parked() (until float64, parked bool) { return max(m.gate, m.named), m.half }

// InFlight is how many requests are on their way, and how many may be.
func (m *Machine) InFlight() (now, limit int) { return m.flight.now, m.flight.limit }

// Crowded reports whether the server was seen to bound the requests in flight.
func (m *Machine) Crowded() bool { return m.flight.dear > 1 }

// Pace is the rate that holds at now: the learned one, no more than the user
// permits and than the server states.
func (m *Machine) Pace(now float64) float64 {
	r := m.bound(m.rate)
	if now < m.stateTo {
		r = min(r, m.stated)
	}
	return r
}

// NextSend is when the next request may be sent, now or later; infinite if
// only an answer can tell, or [Machine.Wake]. The single request does not
// wait for those sent before the push-back: a stalled one must not hold it.
// Only the user's own bound does.
func (m *Machine) NextSend(now float64) float64 {
	turn := max(now, m.named, m.last+m.jitter/m.Pace(now))
	instead := now >= m.Wake()-tick
	switch {
	case m.bounded(), m.alone() && m.out && !instead:
		return inf
	case m.half:
		return max(m.gate, turn)
	case m.flight.full() && !instead:
		return inf
	case m.doubt.asking && m.flight.now > 0:
		return max(m.gate, turn)
	}
	return turn
}

// tick is how far a time in seconds may be from what it stands for: a clock counts nanoseconds, a float rounds.
const tick = 1e-9

// bounded reports whether as many requests are on their way as the user permits.
func (m *Machine) bounded() bool { return m.cfg.MaxInFlight > 0 && m.flight.now >= m.cfg.MaxInFlight }

// alone reports whether one request at a time goes.
func (m *Machine) alone() bool { return m.half || m.doubt.asking }

// Wake is when the one request that the others wait for counts as stalled,
// so that another may go in its place; infinite if there is none such, or an
// answer must come first.
func (m *Machine) Wake() float64 {
	f := &m.flight
	switch {
	case m.bounded():
	case m.alone() && m.out:
		return m.last + max(stalled, m.park)
	case f.narrow && f.taken() > 0 && f.taken() < f.limit:
		return m.last + stalled
	}
	return inf
}

// Free reports whether a request sent now would find a place in flight.
func (m *Machine) Free() bool { return !m.bounded() && !(m.alone() && m.out) && !m.flight.full() }

// NextNested is [Machine.NextSend] for a request that is part of another one on its way: it waits for no place in flight,
// and for no outcome, which might be that of the other.
func (m *Machine) NextNested(now float64) float64 {
	turn := max(now, m.named, m.last+m.jitter/m.Pace(now))
	if m.alone() {
		turn = max(turn, m.gate)
	}
	return turn
}

// OnSend is told of every request that is sent.
func (m *Machine) OnSend(now float64) Ticket {
	m.begin(now)
	if m.alone() && m.out {
		m.flight.giveUp(m.single)
	}
	m.flight.now++
	return m.sent(now, false)
}

// OnSendNested is told instead of a request that is part of another one, and takes no place.
func (m *Machine) OnSendNested(now float64) Ticket {
	m.begin(now)
	return m.sent(now, true)
}

func (m *Machine) begin(now float64) {
	if m.begun {
		return
	}
	m.begun, m.t0, m.release.at, m.flight.slotAt = true, now, now, now
	if m.cfg.StartRate > 0 && m.rate == inf && !m.half {
		m.climb(m.cfg.StartRate, now)
	}
}

func (m *Machine) sent(now float64, nested bool) Ticket {
	m.seq++
	t := Ticket{now, m.seq, max(1, m.flight.now), nested, m.last}
	m.last, m.jitter = now, 1+scatter*m.rng.Float64()
	if !nested || !m.out {
		if m.out = m.alone(); m.out {
			m.single = m.seq
		}
	}
	return t
}

// OnCancel is told instead of [Machine.OnDone] of a request that says nothing
// of the server: the caller gave it up, or it was never made. One that was
// never made gives its turn back.
func (m *Machine) OnCancel(t Ticket, made bool) {
	m.flight.back(t)
	m.freeProbe(t)
	if !made && t.seq == m.seq {
		m.last = t.before
	}
}

// freeProbe notes that the single request, if t is it, is no longer out.
func (m *Machine) freeProbe(t Ticket) {
	if t.seq == m.single {
		m.out = false
	}
}

// OnDone is told what came of a request. That one which was given up is
// admitted after all is news; that it is refused is none, so long after.
func (m *Machine) OnDone(now float64, t Ticket, a Answer) {
	late := m.flight.back(t)
	m.freeProbe(t)
	asked := m.doubt.asking && t.seq > m.doubt.since // sent alone, so it was not one of too many
	kind := m.judge(now, a.Kind, t)
	if kind == Doubt || kind == Refusal {
		copy(m.refusals[1:], m.refusals[:])
		m.refusals[0] = now
		m.spent++
	}
	fresh := t.seq > m.cut
	switch {
	case kind == Doubt:
		return
	case kind == Refusal:
		m.hold(now, a.RetryAfter)
		if fresh && !late {
			m.pushBack(now, t, asked)
		} else if m.half {
			m.burst(now)
		}
		return
	}
	m.accepted++
	m.recent.add(now)
	m.flight.admitted(now, t.Beside)
	m.hear(now, a)
	if m.half {
		if !fresh {
			return
		}
		m.onRelease(now)
	}
	if fresh && a.Remaining >= 0 && a.Remaining <= m.flight.now && a.Reset > 0 {
		m.hold(now, a.Reset)
		m.pushBack(now, t, true)
		return
	}
	m.advance(now)
}

// hold keeps to a wait that an answer names, whichever of a burst it is; negative: none. What is added is for a
// clock that goes a little differently, and so that several clients do not come back at once.
func (m *Machine) hold(now, wait float64) {
	if wait < 0 {
		return
	}
	wait = hintSlack*wait + .02 + .08*m.rng.Float64()
	if m.cfg.MaxHint > 0 {
		wait = min(wait, m.cfg.MaxHint)
	}
	m.named = max(m.named, now+wait)
}

// hear notes the rate that a stated quota leaves: what remains over the time
// to its reset, and no more than the quota over its window.
func (m *Machine) hear(now float64, a Answer) {
	r := inf
	if a.Remaining > 0 && a.Reset > 0 {
		// Whole seconds are rounded up: of the ends they name, the first is the nearest.
		if ends := now + a.Reset; ends < m.resets || ends > m.resets+1 {
			m.resets = ends
		}
		r = float64(a.Remaining) / max(m.resets-now, soon)
	}
	if a.Limit > 0 && a.Window > 0 {
		r = min(r, float64(a.Limit)/a.Window)
	}
	if r == inf {
		return
	}
	m.stated, m.stateTo = r, now+max(a.Reset, a.Window)
}

func (m *Machine) mark(now float64) mark { return mark{now, m.accepted} }

// LastSend is when the last request was sent.
func (m *Machine) LastSend() float64 { return m.last }
