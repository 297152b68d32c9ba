package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// hear takes the answer of the store: what holds for the fleet, or why it does not say. told is the
// outcome of a probe that the store knows now.
func (b *Breaker) hear(f Fleet, told *result, err error) {
	sane := f.Name == b.name && f.State >= Closed && f.State <= Isolated && f.Era <= maxEra
	if sane {
		err = nil
	} else if err == nil {
		err = errSenseless
	}
	again := false
	defer func() {
		if p := recover(); p != nil { // by a listener: it must not end the process
			err := fmt.Errorf("breaker: a listener has panicked: %v", p)
			b.mu.Lock()
			b.noteNews("listener", "panicked", err)
			b.mu.Unlock()
		}
		if again {
			enroll(b, 0)
		}
	}()
	b.under(func(_ *era, now time.Duration) {
		m := b.member
		if told != nil && m.done == told {
			m.done = nil
		}
		b.storeIs(err)
		m.questions++
		if err != nil {
			m.failures++
			return
		}
		outdated := f.Era != m.fleet.Era
		m.fleet = f
		m.isolate = m.isolate && f.State != Isolated
		m.release = m.release && f.State == Isolated
		if m.isolate || m.release {
			return
		}
		m.following = true
		b.follow(f, now)
		m.following = false
		e := b.era.Load()
		// A vote of another era was not counted.
		again = outdated && e.votes > now && e.fleet == 0
	})
}

// storeIs notes that the store answers, or why not.
func (b *Breaker) storeIs(err error) {
	m := b.member
	if (m.away == nil) == (err == nil) {
		m.away = err
		return
	}
	m.away = err
	if err != nil {
		b.noteNews("shared", "alone", err)
	} else {
		b.noteNews("alone", "shared", nil)
	}
}

// noteNews leaves the news to the observers of the next call. b.mu is held.
func (b *Breaker) noteNews(from, to string, err error) {
	m := b.member
	m.news = append(m.news, retry.Event{
		Kind: retry.KindChange, Policy: b.policy, From: from, To: to, Err: err, Time: time.Now(),
	})
	if len(m.news) > maxNews { // no call has come to take them
		m.news = m.news[len(m.news)-maxNews:]
	}
	m.attention.Store(true)
}

const maxNews = 8

// follow does what the fleet does. b.mu is held.
func (b *Breaker) follow(f Fleet, now time.Duration) {
	e := b.era.Load()
	switch {
	case f.State == Isolated:
		if e.state != Isolated {
			e = &era{state: Isolated, since: now, cause: fleetCause(f)}
			b.enter(e, nil)
		}
		e.fleet = f.Era
	case e.state == Isolated && e.fleet == 0: // by Restore, for this breaker alone
	case f.State == Closed && e.fleet == 0: // its own opening, if any, is its own
	case f.State == Closed && f.Era <= e.fleet: // the store has forgotten: the opening goes on
		if e.state == Isolated {
			b.isolateFleet(now)
			return
		}
		e.fleet = 0
	case f.State == Closed && e.state == Isolated:
		b.failedAt = -1
		b.enter(b.newClosed(now), nil)
	case f.State == Closed && e.state != Closed:
		b.close(now)
	case f.State != Closed && f.Era > b.member.settled:
		b.followOpen(e, f)
	}
}

// followOpen opens the breaker for as long as the fleet is open still, but no longer than its
// options allow. b.mu is held.
func (b *Breaker) followOpen(e *era, f Fleet) {
	left := max(0, min(f.Left, max(b.openFor, b.openMax)))
	if f.State == HalfOpen {
		left = 0
	}
	now := b.present(b.now())
	until := after(now, left)
	if e.fleet == f.Era && until <= after(max(e.until, now), b.member.every) {
		return // it is open so long already, but for the time that the answer took
	}
	next := &era{state: Open, since: now, openFor: max(b.openFor, left), fleet: f.Era}
	if next.cause = e.cause; e.opening == nil {
		next.cause = fleetCause(f)
	}
	if e.state == Open {
		next.openFor = max(next.openFor, e.openFor)
		next.votes, until = e.votes, max(until, e.votes)
	}
	next.opening = newOpening(b.probes, until-now)
	next.until = until
	b.asked.Store(int64(now))
	b.enter(next, next.cause.get())
}

func fleetCause(f Fleet) *failed {
	if f.Cause == "" {
		return nil
	}
	if len(f.Cause) > maxCause {
		f.Cause = f.Cause[:maxCause]
	}
	return newFailed(errors.New(f.Cause))
}

// isolateFleet notes that the fleet is to be isolated. b.mu is held.
func (b *Breaker) isolateFleet(now time.Duration) {
	if m := b.member; m != nil && !b.shadow {
		m.isolate, m.release, m.noted = true, false, now
	}
}

// releaseFleet notes that the fleet is to be released. b.mu is held.
func (b *Breaker) releaseFleet(now time.Duration) {
	if m := b.member; m != nil && !b.shadow {
		m.isolate, m.release, m.noted = false, true, now
	}
}

func (b *Breaker) tellByHand() {
	if b.made() && b.member != nil {
		enroll(b, 0)
	}
}

// sendsForFleet reports whether a probe of this era is the whole fleet's, so that the store is to
// be asked. b.mu is held.
func (b *Breaker) sendsForFleet(e *era, now time.Duration) bool {
	if b.member == nil || e.fleet == 0 || b.member.away != nil || b.shadow {
		return false
	}
	b.member.denied = after(now, b.member.every)
	return true
}

// deniedFor is how long the store need not be asked again for a probe, after it has said no. b.mu
// is held.
func (b *Breaker) deniedFor(e *era, now time.Duration) time.Duration {
	if b.member == nil || e.fleet == 0 || b.member.away != nil || e.flights.first != nil {
		return 0
	}
	return b.member.denied - now
}

// askFleet asks the store whether the probe may go. If not, p comes back empty with a time to wait.
// If the store cannot be asked the member goes on alone. No lock is held.
func (b *Breaker) askFleet(ctx context.Context, p permit) (permit, time.Duration) {
	m := b.member
	granted, err := asking(ctx, func(ctx context.Context) (bool, error) {
		granted, err := m.store.Probe(ctx, b.name, m.id, p.era.fleet, b.probeLimit)
		if granted && ctx.Err() != nil { // nobody waits for it any more
			_, err = m.store.Probe(context.WithoutCancel(ctx), b.name, m.id, p.era.fleet, 0)
		}
		return granted, err
	}, func(bool) {})
	if err == nil && !granted || err != nil && ctx.Err() != nil {
		b.book(ctx, p, none, nil, b.now(), true)
		enroll(b, 0) // to hear what has become of the fleet
		return permit{}, m.every
	}
	b.mu.Lock()
	p.flight.sent = granted
	m.denied = 0
	if err != nil {
		b.storeIs(err)
	}
	b.mu.Unlock()
	return p, 0
}

// tellFleet tells the store the outcome of a probe. b.mu is held.
func (b *Breaker) tellFleet(e *era, o outcome) {
	m := b.member
	if m == nil || e.fleet == 0 || b.shadow {
		return
	}
	m.done, m.noted = &result{e.fleet, o}, b.latest
	if o == neutral {
		b.turns = append(b.turns, turn{Change: Change{From: e.state, To: e.state}, own: true})
		return
	}
	m.settled = max(m.settled, e.fleet)
}
