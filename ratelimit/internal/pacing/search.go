package pacing

import "math"

// settle chooses the rate to cruise at. A refusal in the middle of a cruise is
// most often the doing of another client of the same limit, who asks for more
// just then, and a short cycle measures too little: the first ones in a row
// lower the rate a little, so that none loses its share by it, and those who
// have most are refused most and lose most. Only the next one is believed to
// be a new limit.
func (m *Machine) settle(est, cycle, now float64) float64 {
	r := max(m.safe, margin*est)
	if m.mode == Cruise {
		if m.this.at-m.hit > hitsWithin {
			m.hits = 0
		}
		m.hit = m.this.at
		if m.hits++; m.hits == 1 {
			m.before = m.this.rate
		}
		if m.hits <= maxHits {
			r = max(r, hitKeeps*m.this.rate)
		} else if r < changed*m.before { // what the change cost is not the probes' to save up
			m.spent = min(m.spent, int(m.allowance(now)))
		}
	}
	if m.spent == maxRefused && m.refusals[maxRefused-1] > now-refusedIn {
		r = jailKeeps*r - over(jailToken, cycle)
	}
	return r
}

// advance goes up, when it is time: from a cruise to a probe, and from a rate
// that was held long enough to the next.
func (m *Machine) advance(now float64) {
	calm := m.lost <= budget+budgetShare*(now-m.t0)
	held, n := now-m.held.at, m.accepted-m.held.n
	switch {
	case m.mode == Cruise && now >= m.probeAt && calm && m.affords(now):
		m.probes++
		m.safe = max(m.safe, m.rate)
		m.ceiling, m.step, m.keep = inf, probeStep*m.poverty(), max(m.keep, probeHold)
		m.climb(m.rate*(1+m.step), now)
	case m.mode == Climb && held >= m.keep && n >= holdN:
		m.flight.narrow = false
		if float64(n) < busy*m.rate*held { // not used, so not proved
			m.held = m.mark(now)
			return
		}
		lent := m.bucket
		if m.window {
			lent = 0
		}
		m.safe = max(m.safe, margin*(m.rate-over(lent, held))) // a hold admits at most rate*time + bucket
		if m.ceiling < closeTo*m.rate || !calm {
			m.cruise(margin*m.rate, now)
			return
		}
		m.set(Climb, min(m.rate*(1+m.step), math.Sqrt(m.rate*m.ceiling)), now)
		m.step = min(1, 2*m.step)
	}
}

// affords reports whether there is a refusal to spend on a probe. The first few
// mend what the start measured; after them refusals are saved up.
func (m *Machine) affords(now float64) bool {
	spent := float64(m.spent) / m.poverty()
	return m.refusals[maxRefused-1] <= now-refusedIn &&
		(m.probes < freeProbes && spent < freeSpent || spent <= m.allowance(now))
}

func (m *Machine) allowance(now float64) float64 {
	return math.Floor(freeRefusals + (now-m.t0)/refusalEvery)
}

// poverty is how many times more was measured once than there is now. Who
// lost much of a shared limit may ask for more of it, and more often, than who
// has it: so the shares come together.
func (m *Machine) poverty() float64 { return max(1, min(m.best/m.rate, mostPoverty)) }

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
	m.probeAt = now + m.probe
}
