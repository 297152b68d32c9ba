package pacing

// team is a machine's part among several that share one limit. One of them leads: it decides on the
// rate and is told the outcomes of the others, which follow.
type team struct {
	follows bool
	refused int // its own requests that were refused
	fresh   int // such, while it follows, that were sent after the refusal before was heard
}

const (
	echo = .3 // s; refusals that others tell of so soon after a release happened before it

	// While no rate is known, the rate of all grows to this times what they had lately, at most.
	shareGrows = 1.05

	// While no rate is known, all together have this part of the proved number on their way.
	// Answers tell late, so that the number swings, and a server that queues refuses what goes
	// beyond its queue.
	shareOfSlots = .75
)

// Follow makes the machine go by the rate that another one has learned. Until it leads it decides
// nothing about the rate.
func (m *Machine) Follow(now, rate float64) {
	m.start(now)
	m.team.follows = true
	m.half, m.out, m.doubt.asking, m.flight.narrow = false, false, false, false
	if m.mode != Cruise || m.rate != m.bound(rate) {
		m.set(Cruise, rate, now)
	}
}

// Lead makes the machine decide. It begins with the rate that the leader before it had found;
// infinite if none.
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

// start begins at now if nothing was sent so far. The rate is still to be set.
func (m *Machine) start(now float64) {
	if !m.begun {
		m.begun, m.t0, m.release.at, m.held.at, m.flight.slotAt = true, now, now, now, now
	}
}

// Others is told the outcomes of the machines that follow, since it was told last.
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
		m.halt(now, Ticket{Sent: now, seq: m.seq, Beside: 1})
	case answers > 0 && !m.half:
		m.advance(now)
	}
}

// Met returns the outcomes of requests so far: answers that were not refusals, refusals, and how
// many of the requests refused while it followed were sent after the refusal before was heard.
func (m *Machine) Met() (answers, refusals, fresh int) {
	return m.accepted, m.team.refused, m.team.fresh
}

// Hold lets nothing go before until, because others were told to wait until then.
func (m *Machine) Hold(until float64) { m.named = max(m.named, until) }

// FleetRate is the rate of all machines that share the limit together, by what this one knows;
// infinite while it has to find out by itself. While nothing was refused, and after patience
// answers, it is the rate that brings the proved number of requests in flight (Little's law).
func (m *Machine) FleetRate(now float64) float64 {
	r := m.Pace(now)
	if r == inf && m.shares() {
		r = over(shareOfSlots*float64(m.flight.limit), max(m.overdue.mean, m.overdue.last))
		lately := max(m.recent.rate(now, 10), m.recent.rate(now, 60))
		r = max(slowest, min(r, shareGrows*lately)) // a queue at the server is noticed late
	}
	return r
}

// shares reports whether all machines take part in the search although no rate is known.
func (m *Machine) shares() bool {
	return m.mode == Start && m.accepted >= patience && m.overdue.known && !m.alone()
}
