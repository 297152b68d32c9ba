package pacing

// team is a machine's part among several that share one limit: one of them leads, which decides on
// the rate and hears what the others have met with. The others follow.
type team struct {
	follows bool
	refused int // requests of its own, while it follows,
	fresh   int // and such that were sent after the one before was refused
}

const (
	echo       = .3   // s; refusals that others tell of so soon after a release are of before it
	shareGrows = 1.05 // while no rate is known, what all had lately grows by so much at most,
	// and all together have this part of the proved number on their way: its answers tell late, so
	// that it swings, and a server that queues refuses what goes beyond its queue.
	shareOfSlots = .75
)

// Follow makes the machine go by the rate that another one has learned. It decides nothing about
// the rate then.
func (m *Machine) Follow(now, rate float64) {
	m.start(now)
	m.team.follows = true
	m.half, m.out, m.doubt.asking, m.flight.narrow = false, false, false, false
	if m.mode != Cruise || m.rate != m.bound(rate) {
		m.set(Cruise, rate, now)
	}
}

// Lead makes the machine decide, from the rate that was led to so far on; infinite if none was.
func (m *Machine) Lead(now, rate float64) {
	m.team.follows = false
	if !(rate < inf) {
		return
	}
	m.start(now)
	m.half, m.out, m.bucket = false, false, unknownBucket
	m.safe, m.ceiling, m.release = min(m.safe, rate), inf, m.mark(now)
	m.cruise(rate, now)
	m.prev = episode{mark: m.release, mode: m.mode, rate: m.rate, release: m.release}
}

// start begins at now, if nothing was sent so far, with the rate still to be set.
func (m *Machine) start(now float64) {
	if !m.begun {
		m.begun, m.t0, m.release.at, m.held.at, m.flight.slotAt = true, now, now, now, now
	}
}

// Others is told what those that follow have met with since it was told last.
func (m *Machine) Others(now float64, answers, refusals int) {
	m.accepted += answers
	m.recent.addAll(now, answers)
	if m.shares() {
		for range min(answers, patience) {
			m.flight.admitted(now, m.flight.limit)
		}
	}
	for range min(refusals, hasty) {
		m.noteRefusal(now)
	}
	m.spent += refusals
	switch {
	case m.team.follows:
	case refusals > 0 && m.half:
		m.burst(now)
	case refusals > 0 && now >= m.release.at+echo:
		m.pushBack(now, Ticket{Sent: now, seq: m.seq, Beside: 1}, true)
	case answers > 0 && !m.half:
		m.advance(now)
	}
}

// Met tells the outcomes of the machine's own requests: answers that were not refusals, refusals
// heard of while it follows, and how many of those were sent after the one before.
func (m *Machine) Met() (answers, refusals, fresh int) {
	return m.accepted, m.team.refused, m.team.fresh
}

// Hold lets nothing go before until, because others were told to wait until then.
func (m *Machine) Hold(until float64) { m.named = max(m.named, until) }

// FleetRate is what all that share the limit may have together by what this machine knows; infinite
// while it has to find out by itself. While nothing was refused, and after as many answers as there
// is patience for, that is the rate that brings about as many requests on their way as are proved
// (Little's law).
func (m *Machine) FleetRate(now float64) float64 {
	r := m.Pace(now)
	if r == inf && m.shares() {
		r = over(shareOfSlots*float64(m.flight.limit), max(m.overdue.mean, m.overdue.last))
		lately := max(m.recent.rate(now, 10), m.recent.rate(now, 60))
		r = max(slowest, min(r, shareGrows*lately)) // a queue tells of itself late
	}
	return r
}

// shares reports whether all take part in the search although no rate is known.
func (m *Machine) shares() bool {
	return m.mode == Start && m.accepted >= patience && m.overdue.known && !m.alone()
}
