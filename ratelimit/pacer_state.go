package ratelimit

import (
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Rate is the rate that the pacer goes by, in calls a second: [StartRate] from the start, then what
// was learned; rate.Inf while none is known.
func (p *Pacer) Rate() rate.Limit { return p.State().Rate }

// who is the pacer's name in events and rejections.
func (p *Pacer) who() string { return p.label }

// PacerState is what a pacer is doing.
type PacerState struct {
	// "start": no rate is known; "climb": searching upward; "cruise": keeping a rate
	Mode string
	Rate rate.Limit // calls a second learned; rate.Inf: none

	// A call was refused and none admitted since, or the callee said to wait, or that nothing
	// remains of its quota.
	Parked bool
	Wait   time.Duration // if Parked: until the next call may go; 0: one is on its way, or may go

	InFlight    int
	MaxInFlight int // learned, and never above the option
	Waiting     int
}

// State returns what the pacer is doing.
func (p *Pacer) State() PacerState {
	if p == nil || p.machine == nil {
		return PacerState{Rate: rate.Inf}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().Seconds()
	s := PacerState{Mode: p.machine.Mode().String(), Rate: rate.Inf, Waiting: p.line.len}
	if r := p.machine.Rate(); !math.IsInf(r, 1) {
		s.Rate = rate.Limit(r)
	}
	s.InFlight, s.MaxInFlight = p.machine.InFlight()
	gate, parked := p.machine.Parked()
	held := p.machine.Held(now)
	if s.Parked = parked || held > now; s.Parked {
		s.Wait = duration(max(gate, held) - now)
	}
	return s
}

// Name is the name given by [Named].
func (p *Pacer) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// String is one readable line: pacer catalog(cruise at 14/s, 3 of 8 in flight).
func (p *Pacer) String() string {
	if err := p.Validate(); err != nil {
		return err.Error()
	}
	s := p.State()
	r := math.Inf(1)
	if s.Rate != rate.Inf {
		r = float64(s.Rate)
	}
	line := fmt.Sprintf("%s(%s %s, %d of %d in flight",
		p.who(), s.Mode, perSecond(r), s.InFlight, s.MaxInFlight)
	if s.Parked {
		line += fmt.Sprintf(", parked for %v", s.Wait.Round(time.Millisecond))
	}
	line += p.crew.describe()
	if s.Waiting > 0 {
		line += fmt.Sprintf(", %d waiting", s.Waiting)
	}
	return line + ")"
}

// Format makes every verb print String, since the others would read fields that calls are writing.
func (p *Pacer) Format(s fmt.State, verb rune) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), p.String())
}

// Explain says in one line what the pacer believes about its callee and why, for people and not for
// programs: the rate and the bounds it lies between, the burst of a bucket, the refusals of the
// last minute, the next probe, how the callee refuses, and what it says of its quota.
func (p *Pacer) Explain() string {
	if err := p.Validate(); err != nil {
		return err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.who() + ": " + p.machine.Explain(p.now().Seconds()) + p.crew.String()
}

// Stats returns the figures of the pacer: the rate it goes by, its mode, how long it is parked,
// calls in flight, how many may be and how many wait.
func (p *Pacer) Stats() []retry.Stat {
	if p.Validate() != nil {
		return nil
	}
	s := p.State()
	r, parked := retry.Stat{Name: "rate", Unit: "1/s"}, 0.
	if s.Rate == rate.Inf {
		r.Text = "no limit"
	} else {
		r.Value = float64(s.Rate)
	}
	if s.Parked {
		parked = s.Wait.Seconds()
	}
	mode := map[string]float64{"start": 0, "climb": 1, "cruise": 2}[s.Mode]
	return append([]retry.Stat{
		r,
		{Name: "mode", Value: mode, Text: s.Mode},
		{Name: "parked", Value: parked, Unit: "s"},
		{Name: "in_flight", Value: float64(s.InFlight), Unit: "1"},
		{Name: "max_in_flight", Value: float64(s.MaxInFlight), Unit: "1"},
		{Name: "waiting", Value: float64(s.Waiting), Unit: "1"},
	}, p.crew.stats()...)
}

func perSecond(r float64) string {
	if math.IsInf(r, 1) {
		return "without a rate"
	}
	return fmt.Sprintf("at %.3g/s", r)
}

// staleAfter is how long a learned rate is worth keeping while it is not used.
const staleAfter = time.Hour

// Idle reports whether the pacer could be forgotten without changing a decision: no call waits or
// is under way, nothing pauses it, the next call may go at once, and it has learned no limit, or
// none that was used within an hour.
func (p *Pacer) Idle() bool {
	if p == nil || p.machine == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	s := now.Seconds()
	gate, parked := p.machine.Parked()
	m := p.machine
	if flying, _ := m.InFlight(); flying > 0 || p.line.len > 0 {
		return false
	}
	if parked && s < gate || m.NextSend(s) > s {
		return false
	}
	if !p.used {
		return true
	}
	learned := parked || m.Crowded() || m.Stated(s) ||
		!math.IsInf(m.Rate(), 1) || m.Pace(s) < float64(p.maxRate)
	used := max(0, gate, m.LastSend()) // 0: when it was made or restored
	return !learned || s-used > staleAfter.Seconds()
}
