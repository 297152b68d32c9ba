package pacing

import "math"

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
	switch {
	case m.half: // the single request
		m.refused++
		m.park = min(maxPark, 2*m.park)
	case !sure && m.flight.blame(t.Beside, m.accepted):
		if !m.doubt.asking { // a rate would look the same so far, and refuse one by one what takes the place of the refused
			m.ask(now, t, m.seq)
		}
		return
	case m.mode != Start && m.prev.at > 0 && m.accepted-m.release.n < trust && now-m.release.at < max(falseFor, m.park):
		// That release was false: the same episode goes on.
		m.this, m.mode, m.release, m.climbed = m.prev, m.prev.mode, m.prev.release, m.prev.climbed
		m.lost -= m.penalty
		m.refused++
		m.park = min(maxPark, 2*m.park)
	default:
		m.this = episode{
			mark: m.mark(now), mode: m.mode, rate: m.rate, release: m.release, climbed: m.climbed,
			acc10: m.recent.rate(now, 10), acc60: m.recent.rate(now, 60),
		}
		m.prev, m.refused, m.park = m.this, 0, firstPark
	}
	if !m.half {
		m.half, m.out, m.doubt.asking = true, false, false
	}
	m.pushed = now
	switch {
	case m.named > now: // the server knows better
		m.gate = now + firstPark
	case m.refused > 0:
		m.gate = max(now+m.park, m.refusals[hasty-1]+hastyIn)
	default:
		m.gate = now + m.park
	}
}

// burst hears a refusal that says nothing new, but how many there were at once.
func (m *Machine) burst(now float64) {
	if m.named <= now && m.refused == 0 && m.park == firstPark && m.gate == m.pushed+m.park && m.refusals[maxRefused-1] > now-1 {
		m.park = burstPark
		m.gate = m.pushed + m.park
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
	if m.refused > 0 {
		up = over(n, m.pushed-m.release.at)
	}
	m.best = max(est, bestKeeps*m.best)
	m.release = m.mark(now)
	started := m.mode == Start
	if started {
		m.first, m.window = mark{m.this.at - m.t0, m.this.n}, m.penalty >= 3*firstPark
		m.flight.narrow = m.refusals[2] > now-refusedIn
	} else {
		m.flight.narrow = false
	}
	m.bucket = 1
	if t := m.first.at; t > 0 {
		got := float64(m.first.n)
		m.bucket = max(1, got-min(est, got/t)*t)
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
	if !started && m.penalty <= dearPenalty { // no longer dear
		m.keep, m.probe = lower(m.keep, longHold), lower(m.probe, lastProbe)
	}
	switch {
	case m.penalty > dearPenalty:
		m.keep, m.probe = max(m.keep, dearHold), max(m.probe, dearProbe*m.penalty)
		m.window, m.step = true, dearStep
		m.ceiling = 1.05 * max(m.this.acc10, m.this.acc60)
		m.climb(max(est, .92*m.this.acc60, m.safe), now)
	case started:
		m.keep = max(m.keep, min(m.penalty, maxHold))
		m.step, m.ceiling = firstStep, up
		if n < holdN { // too few to have measured anything
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
		m.cruise(m.settle(est, cycle, now), now)
		m.probe = min(max(lastProbe, m.probe), probeGrows*m.probe)
		if halve {
			m.set(Cruise, m.rate/2, now)
			m.probeAt = now + strikeWithin/m.rate
		}
	}
}

// over is n in so many seconds, as a rate. No time is shorter than a thousandth of a second: answers in no time prove no rate.
func over(n, seconds float64) float64 { return n / max(seconds, .001) }
