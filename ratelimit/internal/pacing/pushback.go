package pacing

import "math"

// The park, and what the time it costs is worth.
const (
	firstPark = .5  // s; a longer one overfills small buckets, and the rate measured is too low
	maxPark   = 300 // s

	// After so many refusals within hastyIn the single request waits until they are that old: jails
	// count in tens of seconds.
	hasty   = 5
	hastyIn = 10. // s

	// A request that the others wait for is given up after this time, or after the park if that is
	// longer: stalls of 5 s are common.
	stalled = 30. // s

	// The share of a rate that is kept when the careful budget has held the single request.
	lockedKeeps = .9

	dearPenalty = 20. // s lost to one push-back that make refusals dear
	dearProbe   = 20. // then the time to the next probe, in penalties

	// The machine neither probes nor steps up once it has lost more than a minute and this share of
	// the time elapsed.
	budgetShare = .05
)

// park is the answer to a refusal: no request goes for a while, then one.
type park struct {
	half     bool    // parked, or waiting for the single request
	out      bool    // the single request is on its way
	single   int     // the seq of the last single request
	restored bool    // the park was begun by another machine, before a restart
	climbing bool    // that machine had not found the rate yet
	gate     float64 // the park ends
	named    float64 // the latest time that any answer has named: nothing goes before it
	length   float64 // s; of the park, if the server names none
	cut      int     // the last seq sent before the last push-back: answers up to it are not news
	refused  int     // single requests refused in this episode
	pushed   float64 // the last refusal of this episode
	this     episode
	prev     episode
	release  mark    // the last release: a cycle goes from release to release
	penalty  float64 // s lost to the last episode
	lost     float64 // s lost to all
}

// lesson is what the start taught.
type lesson struct {
	first  mark    // how long the start took, and how many answers it got
	bucket float64 // its answers beyond the rate: the most that a bucket can have lent
	window bool    // the server seems to count in a window, which lends nothing
}

// An episode is a push-back, from its first refusal to its release. All but the mark tells what was
// before it.
type episode struct {
	mark    // its first refusal
	mode    Mode
	rate    float64
	release mark
	climbed mark    // when the climb began
	acc10   float64 // accepted a second, in the last 10 s
	acc60   float64 // the same, in the last 60 s
}

// pushBack answers a refusal, or a hint that the quota is used up: fewer in flight, if their number
// is the cause, or a park.
func (m *Machine) pushBack(now float64, t Ticket) {
	if m.team.follows || m.half || m.careful.on || !m.flight.blame(int(t.Beside), m.accepted) {
		m.halt(now, t)
		return
	}
	m.heed(t)
	if !m.doubt.asking { // a limited rate looks the same so far: one request alone tells
		m.ask(now, t, m.seq)
	}
}

// heed notes that t was refused: refusals of what was sent before are not news.
func (m *Machine) heed(t Ticket) {
	m.cut = m.seq
	m.gauge.refused(t)
}

// halt sends nothing for a while, and then one request.
func (m *Machine) halt(now float64, t Ticket) {
	m.heed(t)
	if m.team.follows {
		m.team.fresh++
		return
	}
	switch {
	case m.half: // the single request
		m.refused++
		m.length = m.careful.longer(m.length)
	case m.mode != Start && m.prev.at > 0 &&
		m.accepted-m.release.n < trust && now-m.release.at < max(falseFor, m.length):
		// That release was false: the same episode goes on.
		m.this, m.mode, m.release, m.climbed = m.prev, m.prev.mode, m.prev.release, m.prev.climbed
		m.lost -= m.penalty
		m.refused++
		m.length = min(maxPark, 2*m.length)
	default:
		m.this = episode{
			mark: m.mark(now), mode: m.mode, rate: m.rate, release: m.release, climbed: m.climbed,
			acc10: m.recent.rate(now, 10), acc60: m.recent.rate(now, 60),
		}
		m.prev, m.refused, m.length = m.this, 0, firstPark
	}
	if !m.half {
		m.half, m.out, m.doubt.asking = true, false, false
	}
	m.pushed = now
	switch {
	case m.named > now && m.refused < thrice: // the server knows best, unless it was wrong so often
		m.gate = now + firstPark
	case m.refused > 0:
		m.gate = max(now+m.length, m.refusals[hasty-1]+hastyIn)
	default:
		m.gate = now + m.length
	}
}

// burst is called for a refusal that tells only how many came at once. After many the park is
// longer, because the next refusal could be the one that earns a ban.
func (m *Machine) burst(now float64) {
	first := m.named <= now && m.refused == 0 && m.gate == m.pushed+m.length
	if first && m.refusals[jail-1] > now-1 {
		m.length = thrice * firstPark
		m.gate = m.pushed + m.length
	}
}

// A cycle is what was seen from one release to the next.
type cycle struct {
	accepted float64
	rate     float64 // accepted a second
	locked   bool    // the careful budget, and not the server, held the single request
	start    bool    // the machine had just started

	// The rate if the cycle had ended with the last refusal of a single request: the most that the
	// server's can be. Infinite if none was refused.
	most float64
}

// onRelease is called when the single request was admitted. What was accepted over the whole cycle,
// from release to release, is the server's rate, because a bucket was empty at both push-backs and
// a window has slid once.
func (m *Machine) onRelease(now float64) {
	m.half = false
	if m.restored {
		m.goOnRestored(now)
		return
	}
	m.penalty = now - m.this.at
	m.lost += m.penalty
	c := m.endCycle(now)
	m.learnLending(c, now)
	noise, halve := m.doubt.struck(m.accepted, m.cruised())
	if noise {
		m.startAnew(now)
		return
	}
	m.learnSafe()
	m.learnCost(c)
	switch {
	case c.locked:
		m.goOnLocked(c, now)
	case m.penalty > dearPenalty:
		m.goOnDear(c, now)
	case c.start:
		m.goOnStarted(c, now)
	case m.mode == Climb && m.refused > 0:
		m.climbBelow(c, now)
	case m.mode == Climb && m.safe > 1.05*c.rate: // the cycle's rate is only a lower bound
		m.ceiling = m.this.rate
		m.climb(m.safe, now)
	default:
		m.cruise(m.settle(c.rate, now), now)
		m.probeLater()
		if halve {
			m.set(Cruise, m.rate/2, now)
			m.probeAt = now + shareOf/m.rate
		}
	}
}

// startAnew begins without a rate, because what was taken for refusals is noise.
func (m *Machine) startAnew(now float64) {
	m.bucket = 0
	m.set(Start, inf, now)
}

// goOnRestored goes on at the rate of the machine that began the park.
func (m *Machine) goOnRestored(now float64) {
	m.restored, m.release = false, m.mark(now)
	if m.rate < inf {
		m.resume(m.rate, now)
	}
}

// endCycle measures the cycle that ends now, and begins the next.
func (m *Machine) endCycle(now float64) cycle {
	c := cycle{accepted: float64(m.accepted - m.release.n), most: inf, start: m.mode == Start}
	c.rate = over(c.accepted, now-m.release.at)
	c.locked = m.careful.locked(max(m.gate, m.named), &m.refusals)
	if m.refused > 0 || c.locked {
		c.most = over(c.accepted, m.pushed-m.release.at)
	}
	m.release = m.mark(now)
	return c
}

// learnLending learns what the server lends beyond its rate: a bucket its burst, a window nothing.
func (m *Machine) learnLending(c cycle, now float64) {
	if c.start {
		m.first = mark{m.this.at - m.t0, m.this.n}
		m.window = m.penalty >= thrice*firstPark
	}
	m.flight.narrow = c.start && m.refusals[2] > now-minute
	m.bucket = 1
	if t := m.first.at; t > 0 {
		m.bucket = max(1, float64(m.first.n)-c.rate*t)
	}
}

// cruised is the rate that was refused while cruising; 0 if the machine was not.
func (m *Machine) cruised() float64 {
	if m.mode == Cruise {
		return m.this.rate
	}
	return 0
}

// learnSafe learns from the refusal which rate is survived.
func (m *Machine) learnSafe() {
	if m.safe >= .999*m.this.rate {
		m.safe = 0 // refuted
	}
	if m.mode == Climb {
		n, took := float64(m.this.n-m.climbed.n), m.this.at-m.climbed.at
		m.safe = max(m.safe, margin*over(n-m.bucket, took))
	}
}

// learnCost learns from the length of the pause. A pause of the careful budget tells nothing about
// a window. After a short one refusals are less dear again.
func (m *Machine) learnCost(c cycle) {
	switch {
	case c.locked:
		m.window = false
	case !c.start && m.penalty <= dearPenalty:
		m.keep, m.every = lower(m.keep, dearPenalty), lower(m.every, lastProbe)
	}
}

// goOnLocked goes on after a pause that the careful budget made, so that the cycle's rate is too
// low.
func (m *Machine) goOnLocked(c cycle, now float64) {
	if m.mode != Cruise {
		m.climbBelow(c, now)
		return
	}
	m.cruise(max(m.safe, c.rate, lockedKeeps*m.this.rate), now)
	m.probeLater()
}

// goOnDear goes on after a refusal that cost much time: slowly, and up to about the rate that was
// accepted before it.
func (m *Machine) goOnDear(c cycle, now float64) {
	m.keep, m.every = max(m.keep, minute), max(m.every, dearProbe*m.penalty)
	m.window, m.step = true, firstStep
	m.ceiling = 1.05 * max(m.this.acc10, m.this.acc60)
	m.climb(max(c.rate, .92*m.this.acc60, m.safe), now)
}

// goOnStarted begins the search with the rate that the start has measured.
func (m *Machine) goOnStarted(c cycle, now float64) {
	m.keep = max(m.keep, m.penalty)
	m.step, m.ceiling = firstStep, c.most
	if c.accepted < enough { // too few to have measured anything
		m.step = 1
	}
	m.climb(c.rate, now)
}

// climbBelow searches on between the rate of the cycle and the one that was refused.
func (m *Machine) climbBelow(c cycle, now float64) {
	m.ceiling = min(c.most, m.this.rate)
	m.climb(max(m.safe, math.Sqrt(c.rate*m.ceiling)), now)
}

// probeLater makes the time from the next push-back to its probe longer, up to lastProbe.
func (m *Machine) probeLater() { m.every = min(max(lastProbe, m.every), thrice*m.every) }
