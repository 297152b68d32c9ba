package pacing

import "math"

// The rate, and the steps up.
const (
	firstHold     = 1.  // s; shortest time between two steps up
	probeHold     = 5.  // s; the same while probing from a cruise: a step must outlast the bucket
	firstStep     = .25 // the first step up after the start
	probeStep     = .05 // the first step of a probe; each hold survived doubles the step, to 1
	closeTo       = 1.1 // a ceiling nearer than this is reached
	slowest       = .02 // requests a second
	unknownBucket = 20. // what a bucket may have lent to a client that has not seen it empty

	// The share of a measured rate to cruise at: 1 costs a ban if a window bans, .97 loses a point
	// everywhere.
	margin = .997

	// The distance between two requests is drawn from 1/rate to this share more, so that several
	// crawlers do not fall into step.
	scatter = .006

	// The share of the rate that is kept after each of the first refusals in a row while cruising,
	// and if the next one could earn a ban.
	hitKeeps = .93
)

// search is what is known of the rate, and what is being tried.
type search struct {
	mode    Mode
	rate    float64 // requests a second; infinite if none is known
	ceiling float64 // was refused at about this rate; infinite if unknown
	safe    float64 // this rate was survived
	step    float64 // next step up, as a share of the rate
	keep    float64 // s; a rate is held so long before the next step
	held    mark    // since when it is
	climbed mark    // when this climb began
}

func newSearch() search { return search{rate: inf, ceiling: inf, step: firstStep, keep: firstHold} }

// settle chooses the rate to cruise at. A refusal in the middle of a cruise is most often caused by
// another client of the same limit that asks for more just then, and a short cycle measures too
// low a rate. So the first refusals in a row lower the rate only a little: no client loses its
// share by them, and the clients that have most are refused most and lose most. The next refusal is
// taken for a new limit.
func (m *Machine) settle(est, now float64) float64 {
	r := max(m.safe, margin*est)
	if m.mode == Cruise {
		if m.this.at-m.hit > hastyIn {
			m.hits = 0
		}
		m.hit = m.this.at
		if m.hits++; m.hits < thrice {
			r = max(r, hitKeeps*m.this.rate)
		} else { // a new limit: the probes need not save up what the change cost
			m.spent = min(m.spent, int(m.allowance(now)))
		}
	}
	if m.spent == jail && m.refusals[jail-1] > now-minute { // the next earns a jail
		r *= hitKeeps
	}
	return r
}

// advance goes up when it is time: from a cruise to a probe; and from one rate to the next if it
// was held long enough, or leaves a stated quota full.
func (m *Machine) advance(now float64) {
	if m.team.follows {
		return
	}
	calm := m.lost <= minute+budgetShare*(now-m.t0)
	held, n := now-m.held.at, m.accepted-m.held.n
	switch {
	case m.careful.sated(now, &m.refusals):
	case m.mode == Cruise && now >= m.probeAt && calm && m.affords(now):
		m.probes++
		m.safe = max(m.safe, m.rate)
		m.ceiling, m.step, m.keep = inf, probeStep, max(m.keep, probeHold)
		m.climb(m.rate*(1+m.step), now)
	case m.mode == Climb && (m.gauge.abounds() || held >= m.keep && n >= enough):
		m.gauge.full = 0
		m.flight.narrow = false
		if float64(n) < mostOf*m.rate*held { // not used, so not proved
			m.held = m.mark(now)
			return
		}
		lent := m.bucket
		if m.window {
			lent = 0
		}
		// The server has admitted at most its rate * held + what its bucket lent.
		m.safe = max(m.safe, margin*(m.rate-over(lent, held)))
		if m.ceiling < closeTo*m.rate || !calm {
			m.cruise(margin*m.rate, now)
			return
		}
		m.set(Climb, min(m.rate*(1+m.step), math.Sqrt(m.rate*m.ceiling)), now)
		m.step = min(1, 2*m.step)
	}
}

// lower halves a value that is above its floor.
func lower(v, floor float64) float64 { return min(v, max(floor, v/2)) }

func (m *Machine) set(mode Mode, rate, now float64) {
	if mode != Start {
		rate = m.bound(rate)
	}
	m.mode, m.rate, m.held = mode, max(slowest, rate), m.mark(now)
}

func (m *Machine) climb(rate, now float64) {
	m.set(Climb, rate, now)
	m.climbed = m.held
}

func (m *Machine) cruise(rate, now float64) {
	m.set(Cruise, rate, now)
	m.probeAt = now + m.every
}
