package ratelimit

import "time"

// now is the machine's time. It never goes back. It requires that p.mu is held.
func (p *Pacer) now() time.Duration {
	now := time.Since(p.base) + time.Duration(p.skipped.Load())
	if now < p.latest {
		p.jumpBack(now)
	} else {
		p.latest = now
	}
	return p.latest
}

// jumpBack follows the clock, by which it is now.
func (p *Pacer) jumpBack(now time.Duration) {
	p.skipped.Add(int64(p.latest - now))
	p.crew.follow()
	p.line.forgetTimer()
	if p.line.head != nil {
		p.dispatch(p.latest)
	}
}

// clock is when the machine's time is now.
func (p *Pacer) clock(now time.Duration) time.Time {
	return p.base.Add(now - time.Duration(p.skipped.Load()))
}
