package ratelimit

import "time"

// A clock goes back where a policy that was used in real time is used in a testing/synctest bubble, whose time begins in 2000, or
// one of a bubble in the next. To a policy that is no time at all: tokens and what is left of a pause or a park stay as they are.

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
	if l.line.head != nil {
		l.dispatch(now)
	}
}

// follow has the buckets go on from here, which otherwise would stand still until their own latest moment comes again. Others
// may have used them by another clock, so l.now does not tell. It requires that l.mu is held.
func (l *Limiter) follow() {
	for _, b := range l.buckets {
		putBack(b, time.Now(), 0)
	}
}

// now is the machine's time. It never goes back. It requires that p.mu is held.
func (p *Pacer) now() time.Duration {
	now := time.Since(p.base) + time.Duration(p.skipped.Load())
	if now < p.latest {
		p.skipped.Add(int64(p.latest - now))
		now = p.latest
		p.line.forgetTimer()
		if p.line.head != nil {
			p.dispatch(now)
		}
	}
	p.latest = now
	return now
}

// clock is when the machine's time is now.
func (p *Pacer) clock(now time.Duration) time.Time {
	return p.base.Add(now - time.Duration(p.skipped.Load()))
}
