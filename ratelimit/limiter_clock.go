package ratelimit

import "time"

// The clock jumps back when a policy made in real time enters a testing/synctest bubble, which
// starts in the year 2000, or when a policy of one bubble enters another. For the policy no time
// has passed then: its tokens, and what is left of a pause or a park, stay as they are.

// tick moves the limiter's time to the present and returns it. It requires that l.mu is held.
func (l *Limiter) tick() time.Time { return l.seen(time.Now()) }

// seen is tick for a moment that was read before l.mu was taken.
func (l *Limiter) seen(now time.Time) time.Time {
	if now.Before(l.now) {
		if now = time.Now(); now.Before(l.now) { // it is not just that another call was quicker
			l.turnBack(now)
		}
	}
	l.now = now
	return now
}

func (l *Limiter) turnBack(now time.Time) {
	l.pause.until = l.pause.until.Add(now.Sub(l.now))
	l.now = now
	l.line.forgetTimer()
	l.line.forgetIndex()
	if l.line.head != nil {
		l.dispatch(now)
	}
}

// follow makes the sources continue from the present. Others may have used them by another clock,
// of which l.now knows nothing. It requires that l.mu is held.
func (l *Limiter) follow() {
	l.moves++
	for _, s := range l.sources {
		s.follow(time.Now())
	}
}
