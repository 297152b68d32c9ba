package pacing

// Saved is what is worth keeping of a machine across a restart.
type Saved struct {
	Rate   float64 // requests a second; 0: none known
	Safe   float64
	Slots  int     // requests that may be in flight
	Parked float64 // s; until the park ends
	Park   float64 // s; its length, which the next park doubles
	Probe  float64 // s; from a push-back to the next probe
	Hold   float64 // s
	Plain  bool    // the server refuses in plain words
	Climb  bool    // the search had come to Rate and was not over
}

// Save returns what is known at now.
func (m *Machine) Save(now float64) Saved {
	s := Saved{
		Slots: m.flight.limit, Probe: m.every, Hold: m.keep, Plain: m.doubt.definite,
		Climb: m.mode == Climb,
	}
	if m.rate < inf {
		s.Rate, s.Safe = m.rate, min(m.safe, m.rate)
	}
	if gate, parked := m.Parked(); parked {
		s.Parked, s.Park = max(0, gate-now), m.length
	}
	return s
}

// Load begins with what was saved. It is for a machine that has sent nothing. Figures that no
// machine saves are brought within those that one could have saved.
func (m *Machine) Load(now float64, s Saved) {
	s.clamp()
	m.safe = s.Safe
	m.flight.opening, m.flight.limit = false, max(1, s.Slots)
	if most := m.flight.most; most > 0 {
		m.flight.limit = min(m.flight.limit, most)
	}
	m.every, m.keep = max(firstProbe, s.Probe), max(firstHold, s.Hold)
	m.doubt.definite = s.Plain
	m.begun, m.t0, m.flight.slotAt = true, now, now
	m.release, m.held = m.mark(now), m.mark(now)
	m.climbing, m.bucket = s.Climb, unknownBucket
	if s.Rate > 0 {
		m.resume(s.Rate, now)
	}
	m.prev = episode{mark: m.release, mode: m.mode, rate: m.rate, release: m.release}
	if s.Park > 0 {
		m.half, m.restored, m.cut = true, true, m.seq
		m.length, m.gate = s.Park, now+s.Parked
		m.this, m.pushed = m.prev, now
	}
}

// The most that is believed of what was saved.
const (
	mostRate  = 1e6 // requests a second
	mostSlots = 10_000
)

func (s *Saved) clamp() {
	within := func(v *float64, most float64) {
		if *v = min(*v, most); !(*v > 0) {
			*v = 0
		}
	}
	within(&s.Rate, mostRate)
	within(&s.Safe, s.Rate)
	within(&s.Park, maxPark)
	within(&s.Probe, dearProbe*3600)
	within(&s.Hold, minute)
	within(&s.Parked, inf)
	s.Slots = min(s.Slots, mostSlots)
}

// resume goes on at a rate that another machine knew.
func (m *Machine) resume(rate, now float64) {
	if m.climbing {
		m.climb(rate, now)
	} else {
		m.cruise(rate, now)
	}
}
