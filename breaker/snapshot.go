package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Snapshot is what a breaker must remember over a restart: plain data for JSON or the like. Its times are of the wall clock,
// as nothing else survives. Outcomes in a window are not kept: they would be old by then.
type Snapshot struct {
	State               State         `json:"state"`
	Since               time.Time     `json:"since"`              // when the state began
	OpenFor             time.Duration `json:"open_for,omitempty"` // how long an opening lasts, with its growth
	ConsecutiveFailures int           `json:"consecutive_failures,omitempty"`
	Cause               string        `json:"cause,omitempty"` // the failure that opened it
}

// Snapshot tells the state now.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	b.settle(b.present(b.now()))
	e := b.era.Load()
	s := Snapshot{State: e.state, Since: b.wall(e.since).Round(0), OpenFor: e.openFor}
	if e.state == Closed {
		s.ConsecutiveFailures = e.streak
	}
	if e.cause != nil {
		s.Cause = e.cause.Error()
	}
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), changes)
	return s
}

// Restore goes on where a snapshot was taken, whatever the breaker did so far. An open breaker sends nothing before its time,
// and a half-open one, whose probes are lost, sends new ones. A snapshot from the future, as after the clock was set back,
// keeps a breaker open for one open time at most. A snapshot that makes no sense is refused, the error Is [retry.ErrConfig].
func (b *Breaker) Restore(s Snapshot) error {
	if err := b.checkSnapshot(s); err != nil {
		return err
	}
	age := max(0, time.Now().Round(0).Sub(s.Since))
	b.mu.Lock()
	b.engine = newEngine(b.probes)
	now := b.present(b.now())
	var cause error
	if s.Cause != "" {
		cause = errors.New(s.Cause)
	}
	left := time.Duration(0)
	switch s.State {
	case Closed:
		e := b.newClosed(now)
		e.streak = s.ConsecutiveFailures
		if e.streak > 0 {
			b.failedAt = now
		}
		if cause != nil && age < b.rampFor { // on its ramp
			e.since, e.until, e.cause = now-age, after(now, b.rampFor-age), cause
		}
		b.enter(e, nil)
	case Isolated:
		b.enter(&era{state: Isolated, since: now - age, cause: cause}, nil)
	default:
		if s.State == Open {
			left = max(0, s.OpenFor-age)
		}
		b.trip(now, cause)
		b.enter(&era{state: Open, since: now + left - s.OpenFor, until: after(now, left), openFor: s.OpenFor, cause: cause}, cause)
	}
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), changes)
	if s.State != Closed && left == 0 {
		time.Sleep(2 * time.Nanosecond) // the engine leaves the open state only after some time, however short, has passed
	}
	return nil
}

func (b *Breaker) checkSnapshot(s Snapshot) error {
	opened := s.State == Open || s.State == HalfOpen
	switch {
	case s.State < Closed || s.State > Isolated:
		return retry.ConfigErrorf(b.policy, "a snapshot without a state")
	case s.Since.IsZero():
		return retry.ConfigErrorf(b.policy, "a snapshot without a time")
	case s.OpenFor < 0 || opened && s.OpenFor == 0:
		return retry.ConfigErrorf(b.policy, "a snapshot with an open time of %v", s.OpenFor)
	case s.ConsecutiveFailures < 0:
		return retry.ConfigErrorf(b.policy, "a snapshot with %d consecutive failures", s.ConsecutiveFailures)
	}
	return nil
}
