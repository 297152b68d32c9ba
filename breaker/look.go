package breaker

import (
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// State returns the state now.
func (b *Breaker) State() (s State) {
	b.under(func(e *era, _ time.Duration) { s = e.state })
	return s
}

// Counts returns what has been counted in the present state.
func (b *Breaker) Counts() (c Counts) {
	b.under(func(e *era, now time.Duration) { c = e.counts(now) })
	return c
}

func (e *era) counts(now time.Duration) Counts {
	e.tally.advance(now)
	return Counts{
		Successes: e.tally.ok + int(e.more.Load()), Failures: e.tally.failed,
		Neutral: e.neutral, ConsecutiveFailures: e.streak,
	}
}

// Name returns the name that New was given.
func (b *Breaker) Name() string {
	if b == nil {
		return ""
	}
	return b.name
}

// String describes the breaker on one line, as "breaker catalog(open, next probe in 12s)". Unlike
// State it changes nothing and tells no listener.
func (b *Breaker) String() string {
	if !b.made() {
		return errZero.Error()
	}
	e, now := b.era.Load(), b.now()
	text := e.state.String()
	if left := e.left(now); e.state == Open && left > 0 {
		text += ", next probe in " + legible(left).String()
	} else if e.state == Open {
		text = HalfOpen.String()
	}
	return b.policy + "(" + text + b.inFleet() + ")"
}

// inFleet is what String says of the fleet.
func (b *Breaker) inFleet() string {
	if b.member == nil {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.member.away != nil {
		return ", alone: the store is away"
	}
	f := b.member.fleet
	return fmt.Sprintf(", %d of %d members voted", f.Votes, f.Members)
}

// Format makes every verb print String, since the others would read fields that calls are writing.
func (b *Breaker) Format(s fmt.State, verb rune) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), b.String())
}

// legible cuts a duration to milliseconds, or to four digits if it is shorter than 10 s.
func legible(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for unit < time.Millisecond && d/unit >= 10000 {
		unit *= 10
	}
	return d.Round(unit)
}

// An open breaker protects nobody if no call has come for this many open times.
const unasked = 10

// Idle reports whether the breaker could be forgotten without harm. A closed breaker is idle if it
// is not on its ramp and has seen no failure for its open time and its window. An open or half-open
// one is idle if no probe is under way and no call has come for ten times its present open time. An
// isolated breaker is never idle.
func (b *Breaker) Idle() bool {
	if !b.made() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.present(b.now())
	switch e := b.era.Load(); e.state {
	case Closed:
		keep := b.openFor
		if b.windowed() {
			keep = max(keep, b.window)
		}
		clean := b.failedAt < 0 || now-b.failedAt >= keep
		return now >= e.until && e.flights.first == nil && clean
	case Open, HalfOpen:
		if f := e.flights.last; f != nil && now-f.start < b.probeLimit {
			return false
		}
		since := now - time.Duration(b.asked.Load())
		return e.openFor <= math.MaxInt64/unasked && since >= unasked*e.openFor
	}
	return false
}

// touch notes that a call came, to a thousandth of the open time. If every call wrote it, the cores
// that reject calls would wait for each other.
func (b *Breaker) touch(e *era, now time.Duration) {
	if now-time.Duration(b.asked.Load()) > e.openFor>>10 {
		b.asked.Store(int64(now))
	}
}

// Stats returns the breaker's figures for gauges: its state (0 closed, 1 half-open, 2 open, 3
// isolated), the outcomes counted in it, and the time to the next probe in seconds; with [Shared]
// also the members, their votes, the questions to the store, how many of them failed, and whether
// the store is away.
func (b *Breaker) Stats() (stats []retry.Stat) {
	b.under(func(e *era, now time.Duration) {
		stats = statsOf(e.state, e.counts(now))
		if e.state == Open {
			next := e.left(now).Seconds()
			stats = append(stats, retry.Stat{Name: "next_probe", Value: next, Unit: "s"})
		}
		if m := b.member; m != nil {
			stats = append(stats,
				retry.Stat{Name: "fleet_members", Value: float64(m.fleet.Members)},
				retry.Stat{Name: "fleet_votes", Value: float64(m.fleet.Votes)},
				retry.Stat{Name: "store_questions", Value: float64(m.questions)},
				retry.Stat{Name: "store_failures", Value: float64(m.failures)},
				m.storeStat())
		}
	})
	return stats
}

func statsOf(s State, c Counts) []retry.Stat {
	return []retry.Stat{
		{Name: "state", Value: float64(s - Closed), Text: s.String()},
		{Name: "successes", Value: float64(c.Successes)},
		{Name: "failures", Value: float64(c.Failures)},
		{Name: "neutral", Value: float64(c.Neutral)},
		{Name: "consecutive_failures", Value: float64(c.ConsecutiveFailures)},
	}
}

func (m *member) storeStat() retry.Stat {
	if m.away != nil {
		return retry.Stat{Name: "store_away", Value: 1, Text: "away"}
	}
	return retry.Stat{Name: "store_away"}
}
