package breaker

import (
	"errors"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Snapshot is what a breaker must remember across a restart: plain data for JSON or the like. Its
// times are of the wall clock, because a monotonic one does not survive. Outcomes in a window are
// not kept: they would be old by then.
type Snapshot struct {
	State               State         `json:"state"`
	Since               time.Time     `json:"since"`              // when the state began
	OpenFor             time.Duration `json:"open_for,omitempty"` // of an opening, with its growth
	ConsecutiveFailures int           `json:"consecutive_failures,omitempty"`
	Cause               string        `json:"cause,omitempty"` // what opened it, at most 8 KiB
}

// Snapshot returns the state now. Of a breaker that New has not made it is zero.
func (b *Breaker) Snapshot() (s Snapshot) {
	var cause *failed
	b.under(func(e *era, _ time.Duration) {
		s = Snapshot{State: e.state, Since: b.wall(e.since).Round(0), OpenFor: e.openFor}
		if e.state == Closed {
			s.ConsecutiveFailures = e.streak
		}
		cause = e.cause
	})
	s.Cause = cause.text()
	return s
}

// Restore puts the breaker into the state of a snapshot, whatever it did so far. An open breaker
// sends nothing before its time, and a half-open one, whose probes are lost, sends new ones.
//
// The snapshot may come from anywhere. One that makes no sense changes nothing and the error Is
// [retry.ErrConfig]. Otherwise it makes the breaker do nothing that its options do not allow: an
// open time is at most the one of [OpenFor] or the max of [OpenGrowth], also if the snapshot is
// from the future, as after the clock was set back.
func (b *Breaker) Restore(s Snapshot) error {
	if !b.made() {
		return errZero
	}
	if err := checkSnapshot(s); err != nil {
		return err
	}
	age := max(0, time.Now().Round(0).Sub(s.Since))
	var cause error
	if s.Cause != "" {
		cause = retry.Brief(errors.New(s.Cause))
	}
	b.under(func(_ *era, now time.Duration) {
		switch s.State {
		case Closed:
			b.restoreClosed(min(s.ConsecutiveFailures, maxStreak), age, now, cause)
		case Isolated:
			b.enter(&era{state: Isolated, since: now - age, cause: newFailed(cause)}, nil)
		default:
			b.restoreOpen(s, age, cause)
		}
	})
	return nil
}

// maxStreak bounds the consecutive failures of a snapshot, so that counting on does not overflow.
const maxStreak = 1 << 30

func (b *Breaker) restoreClosed(streak int, age, now time.Duration, cause error) {
	e := b.newClosed(now)
	e.streak = streak
	b.failedAt = -1
	if streak > 0 {
		b.failedAt = now
	}
	if cause != nil && age < b.rampFor { // on its ramp
		e.since, e.until, e.cause = now-age, after(now, b.rampFor-age), newFailed(cause)
	}
	b.enter(e, nil)
}

func (b *Breaker) restoreOpen(s Snapshot, age time.Duration, cause error) {
	openFor := min(s.OpenFor, max(b.openFor, b.openMax))
	left := time.Duration(0)
	if s.State == Open {
		left = max(0, openFor-age)
	}
	b.openStill(left, openFor, cause)
}

func checkSnapshot(s Snapshot) error {
	var m mistakes
	known := s.State >= Closed && s.State <= Isolated
	m.check(known, "be closed, half-open, open or isolated", "State", uint8(s.State))
	m.check(!s.Since.IsZero(), "be a time", "Since", s.Since)
	opened := s.State == Open || s.State == HalfOpen
	m.check(s.OpenFor > 0 || s.OpenFor == 0 && !opened, "be positive", "OpenFor", s.OpenFor)
	ok := s.ConsecutiveFailures >= 0
	m.check(ok, "not be negative", "ConsecutiveFailures", s.ConsecutiveFailures)
	return m.in("Restore")
}
