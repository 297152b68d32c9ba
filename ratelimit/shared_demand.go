package ratelimit

import (
	"math"
	"time"
)

// demand is what a member's callers use and wait for.
//
// Use is counted over the last lease, sliding. Counted over a shorter time it would be too small at
// times, and a member that asks for too little asks too often and gets less than its part.
type demand struct {
	begin       time.Duration // of the present window
	now, before float64       // tokens used in it, and in the one before
	at          time.Duration // when there was a call last
	missed      int           // tokens that calls did not find and did not wait for
	waiting     int           // tokens that lines wait for
	waiters     []waiting     // by limiter
	largest     int           // tokens that the call at the head of a line wants
	low         int           // with fewer tokens left it is time to ask for more
}

type waiting struct {
	l listener
	n int
}

// use is how many tokens were used in the last lease.
func (d *demand) use(now, lease time.Duration) float64 {
	d.roll(now, lease)
	return d.now + d.before*(1-float64(now-d.begin)/float64(lease))
}

// roll begins a new window if the present one is over.
func (d *demand) roll(now, lease time.Duration) {
	switch gone := now - d.begin; {
	case gone < lease:
		return
	case gone < 2*lease:
		d.before, d.now, d.begin = d.now, 0, d.begin+lease
	default:
		d.before, d.now, d.begin = 0, 0, now
	}
}

// used counts n tokens as used.
func (d *demand) used(now time.Duration, n int, f *figures, members int) {
	if now-d.begin >= f.lease {
		d.roll(now, f.lease)
		d.plan(now, f, members)
	}
	d.now += float64(n)
	d.at = now
}

// plan decides when the stock is low: below half of what a lease uses, or of a quantum, which is
// the lease's tokens divided by the members. A member that asks with more in stock would have two
// quanta at once, and would keep twice the part of the others.
func (d *demand) plan(now time.Duration, f *figures, members int) (use int) {
	use = int(math.Ceil(min(d.use(now, f.lease), maxCount)))
	d.low = 0
	if use > 1 {
		quantum := max(1, int(f.late())/members)
		d.low = min((use+1)/2, quantum/2)
	}
	return use
}

// wants notes that l's line waits for n tokens.
func (d *demand) wants(l listener, n int) {
	for i := range d.waiters {
		w := &d.waiters[i]
		if w.l != l {
			continue
		}
		d.waiting += n - w.n
		w.n = n
		if n == 0 {
			last := len(d.waiters) - 1
			d.waiters[i] = d.waiters[last]
			d.waiters[last] = waiting{}
			d.waiters = d.waiters[:last]
		}
		return
	}
	if n > 0 {
		d.waiters = append(d.waiters, waiting{l, n})
		d.waiting += n
	}
}
