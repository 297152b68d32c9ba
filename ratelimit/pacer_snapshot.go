package ratelimit

import (
	"cmp"
	"math"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/retry"
)

// Snapshot is what a pacer should remember across a restart. It can be written as JSON. The zero
// Snapshot knows nothing.
type Snapshot struct {
	Taken       time.Time     // by the wall clock
	ParkedUntil time.Time     // by the wall clock; zero: not parked
	Park        time.Duration // length of that park; one more refusal doubles it
	Rate        float64       // calls a second; 0: none learned
	Climbing    bool          // the search had come to Rate, and goes on from there
	Safe        float64       // calls a second that the callee surely admits; 0: unknown
	MaxInFlight int
	Probe       time.Duration // from a refusal to the next look whether more is possible
	Hold        time.Duration // a rate is tried at least so long
	Plain       bool          // the callee refuses in plain words: resets and bare 503s are noise
}

// Snapshot returns what the pacer knows now. For the pacers of a policies.Keyed, range over its All
// before the program ends, and call Restore in the function that creates them.
func (p *Pacer) Snapshot() Snapshot {
	if p == nil || p.machine == nil {
		return Snapshot{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.machine.Save(p.now().Seconds())
	s := Snapshot{
		Taken: time.Now().Round(0), Park: duration(l.Park),
		Rate: l.Rate, Safe: l.Safe, MaxInFlight: l.Slots,
		Probe: duration(l.Probe), Hold: duration(l.Hold), Plain: l.Plain, Climbing: l.Climb,
	}
	if _, parked := p.machine.Parked(); parked {
		s.ParkedUntil = s.Taken.Add(duration(l.Parked))
	}
	return s
}

// Restore begins with what an earlier pacer knew. A park that is not over by the wall clock goes
// on, and the first call after it goes alone. The zero Snapshot changes nothing. Restore must come
// before the first call. After it, and with a snapshot that makes no sense, Restore changes nothing
// and returns an error that Is [retry.ErrConfig].
func (p *Pacer) Restore(s Snapshot) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used {
		return retry.ConfigErrorf(pacerName, "Restore: must come before the first call")
	}
	if s == (Snapshot{}) {
		return nil
	}
	p.used = true
	l := pacing.Saved{
		Park: s.Park.Seconds(), Rate: cmp.Or(s.Rate, float64(p.startRate)),
		Safe: s.Safe, Slots: s.MaxInFlight,
		Probe: s.Probe.Seconds(), Hold: s.Hold.Seconds(), Plain: s.Plain, Climb: s.Climbing,
	}
	if l.Slots == 0 {
		_, l.Slots = p.machine.InFlight()
	}
	if left := s.ParkedUntil.Sub(time.Now().Round(0)); left > 0 && !s.ParkedUntil.IsZero() {
		l.Parked = min(left, max(p.hintCap, maxParked)).Seconds()
		l.Park = max(l.Park, leastPark.Seconds())
	}
	p.machine.Load(p.now().Seconds(), l)
	return nil
}

const (
	maxParked = 5 * time.Minute        // the longest park that a clock set wrong can cause
	leastPark = 500 * time.Millisecond // for a park whose length was not saved
)

// check reports figures that make no sense.
func (s Snapshot) check() error {
	for _, v := range []struct {
		name  string
		value float64
	}{
		{"Rate", s.Rate}, {"Safe", s.Safe}, {"MaxInFlight", float64(s.MaxInFlight)},
		{"Park", s.Park.Seconds()}, {"Probe", s.Probe.Seconds()}, {"Hold", s.Hold.Seconds()},
	} {
		if !(v.value >= 0) || math.IsInf(v.value, 1) {
			return retry.ConfigErrorf(pacerName,
				"a snapshot with %s %v makes no sense", v.name, v.value)
		}
	}
	return nil
}
