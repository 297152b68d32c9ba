package breaker

import "time"

// flight is a call under way that must be found again before it ends: a probe or, with
// SlowInFlight, any call.
type flight struct {
	start      time.Duration
	prev, next *flight

	counted bool  // as a failure, before its end
	bucket  int64 // in which

	probe // the zero probe: it is not one
}

// flights is a list of them, the oldest first. Those that have landed are used again, so that a
// list of steady length allocates nothing.
type flights struct{ first, last, free *flight }

func (l *flights) add(now time.Duration) *flight {
	f := l.free
	if f == nil {
		f = new(flight)
	} else {
		l.free = f.next
	}
	*f = flight{start: now, prev: l.last}
	if l.last == nil {
		l.first = f
	} else {
		l.last.next = f
	}
	l.last = f
	return f
}

func (l *flights) remove(f *flight) {
	if f.prev == nil {
		l.first = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		l.last = f.prev
	} else {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}

// recycle is called when f is not used any more.
func (l *flights) recycle(f *flight) { f.next, l.free = l.free, f }

// countOverdue counts the calls that have been running for longer than SlowCall as failures now,
// with SlowInFlight. They leave the list: started in order, overdue in order. b.mu is held.
func (b *Breaker) countOverdue(e *era, now time.Duration) {
	for f := e.flights.first; f != nil && b.inFlight && now-f.start > b.slow; f = e.flights.first {
		e.flights.remove(f)
		f.counted, f.bucket = true, e.tally.number(now)
		b.count(e, failure, errOverdue, now)
		if b.era.Load() != e {
			return // that one opened it, and the rest belong to the past
		}
	}
}

// land ends a call with SlowInFlight. It is true if the call was counted as it ran, so that its end
// is not counted. b.mu is held.
func (b *Breaker) land(e *era, f *flight, o outcome, now time.Duration) bool {
	defer e.flights.recycle(f)
	if !f.counted {
		e.flights.remove(f)
		return false
	}
	e.tally.advance(now)
	switch {
	case o != failure: // a configuration error: the callee was never called
		e.tally.takeBack(f.bucket)
		e.streak = max(0, e.streak-1)
	case e.tally.holds(f.bucket):
		b.failedAt = now
	default: // it has left the window while it was still running, and ends in it
		e.streak--
		return false
	}
	return true
}
