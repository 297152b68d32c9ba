package pacing

import "math"

// The park, and what the time it costs is worth.
const (
	firstPark = .5  // s; a longer one overfills small buckets, and the rate measured is too low
	maxPark   = 300 // s
	hasty     = 5   // after so many refusals within hastyIn the single request waits until they are that old: jails count in tens of seconds
	hastyIn   = 10. // s
	stalled   = 30. // s; a request that the others wait for is given up after so long, or after the park if that is longer: stalls of 5 s are common

	dearPenalty = 20. // s lost to one push-back that make refusals dear
	dearProbe   = 20. // a probe then, in penalties
	budgetShare = .05 // no probe and no step up once more time than a minute was lost beyond this share of the time elapsed
)

// park is the answer to a refusal: no call goes for a while, then one.
type park struct {
	half     bool    // parked, or waiting for the single request
	out      bool    // that is on its way
	single   int     // the last such
	restored bool    // the park was begun by another machine,
	climbing bool    // which had not found the rate yet
	gate     float64 // the park ends
	named    float64 // the latest time that any answer has named: nothing goes before it
	length   float64 // s; of the park, if the server names none
	cut      int     // sent by the last push-back: answers to those say nothing new
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
	first  mark    // its length in time and answers
	bucket float64 // answers it got beyond the rate: what a bucket can have lent
	window bool    // it looks like a window, which lends nothing
}

// An episode is a push-back, from its first refusal to its release.
type episode struct {
	mark         // its first refusal
	mode    Mode // before it
	rate    float64
	release mark
	climbed mark    // when the climb before it began
	acc10   float64 // accepted a second, in the 10 s before it
	acc60   float64
}

// pushBack is the answer to a refusal, or to a hint that the quota is used up:
// park, then one request. sure says that the number in flight cannot be the cause.
func (m *Machine) pushBack(now float64, t Ticket, sure bool) {
	m.cut = m.seq
	m.gauge.refused(t)
	if m.team.follows {
		m.team.fresh++
		return
	}
	switch {
	case m.half: // the single request
		m.refused++
		m.length = min(maxPark, 2*m.length)
	case !sure && !m.careful.on && m.flight.blame(t.Beside, m.accepted):
		if !m.doubt.asking { // a rate would look the same so far, and refuse one by one what takes the place of the refused
			m.ask(now, t, m.seq)
		}
		return
	case m.mode != Start && m.prev.at > 0 && m.accepted-m.release.n < trust && now-m.release.at < max(falseFor, m.length):
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
	case m.named > now && m.refused < thrice: // the server knows better, unless it was wrong so often
		m.gate = now + firstPark
	case m.refused > 0:
		m.gate = max(now+m.length, m.refusals[hasty-1]+hastyIn)
	default:
		m.gate = now + m.length
	}
}

// burst hears a refusal that says nothing new, but how many there were at once: a second refusal so
// soon could be the one that earns a ban.
func (m *Machine) burst(now float64) {
	if m.named <= now && m.refused == 0 && m.gate == m.pushed+m.length && m.refusals[jail-1] > now-1 {
		m.length = thrice * firstPark
		m.gate = m.pushed + m.length
	}
}

// onRelease: the single request was admitted. What was accepted over the whole
// cycle, from release to release, is the server's rate, for a bucket was empty
// at both push-backs and a window has slid once.
func (m *Machine) onRelease(now float64) {
	m.half = false
	if m.restored {
		m.restored, m.release = false, m.mark(now)
		if m.rate < inf {
			m.resume(m.rate, now)
		}
		return
	}
	m.penalty = now - m.this.at
	m.lost += m.penalty
	n, cycle := float64(m.accepted-m.release.n), now-m.release.at
	est, up := over(n, cycle), inf // up: had it admitted the single request right after it refused the last one
	locked := m.careful.locked(max(m.gate, m.named), &m.refusals)
	if m.refused > 0 || locked {
		up = over(n, m.pushed-m.release.at)
	}
	m.release = m.mark(now)
	started := m.mode == Start
	if started {
		m.first, m.window = mark{m.this.at - m.t0, m.this.n}, m.penalty >= thrice*firstPark
		m.flight.narrow = m.refusals[2] > now-minute
	} else {
		m.flight.narrow = false
	}
	m.bucket = 1
	if t := m.first.at; t > 0 {
		got := float64(m.first.n)
		m.bucket = max(1, got-est*t)
	}
	cruised := 0.
	if m.mode == Cruise {
		cruised = m.this.rate
	}
	noise, halve := m.doubt.struck(m.accepted, cruised)
	if noise {
		m.bucket = 0
		m.set(Start, inf, now)
		return
	}
	if m.safe >= .999*m.this.rate {
		m.safe = 0 // refuted
	}
	if m.mode == Climb {
		m.safe = max(m.safe, margin*over(float64(m.this.n-m.climbed.n)-m.bucket, m.this.at-m.climbed.at))
	}
	if locked {
		m.window = false
	} else if !started && m.penalty <= dearPenalty { // no longer dear
		m.keep, m.every = lower(m.keep, dearPenalty), lower(m.every, lastProbe)
	}
	switch {
	case locked && m.mode == Cruise:
		m.cruise(max(m.safe, est, .8*m.this.rate), now)
		m.every = min(max(lastProbe, m.every), thrice*m.every)
	case locked:
		m.ceiling = min(up, m.this.rate)
		m.climb(max(m.safe, math.Sqrt(est*m.ceiling)), now)
	case m.penalty > dearPenalty:
		m.keep, m.every = max(m.keep, minute), max(m.every, dearProbe*m.penalty)
		m.window, m.step = true, firstStep
		m.ceiling = 1.05 * max(m.this.acc10, m.this.acc60)
		m.climb(max(est, .92*m.this.acc60, m.safe), now)
	case started:
		m.keep = max(m.keep, m.penalty)
		m.step, m.ceiling = firstStep, up
		if n < enough { // too few to have measured anything
			m.step = 1
		}
		m.climb(est, now)
	case m.mode == Climb && m.refused > 0:
		m.ceiling = min(up, m.this.rate)
		m.climb(max(m.safe, math.Sqrt(est*m.ceiling)), now)
	case m.mode == Climb && m.safe > 1.05*est: // est is only a lower bound
		m.ceiling = m.this.rate
		m.climb(m.safe, now)
	default:
		m.cruise(m.settle(est, now), now)
		m.every = min(max(lastProbe, m.every), thrice*m.every)
		if halve {
			m.set(Cruise, m.rate/2, now)
			m.probeAt = now + shareOf/m.rate
		}
	}
}
