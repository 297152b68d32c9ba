package policies

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

// Backoff is a retry loop that waits as any schedule of cenkalti/backoff v4 says, exactly, until
// that says [backoff.Stop] or the loop's own bounds are reached, [Attempts] first of all. fresh
// makes a new schedule; it is called once when the policy is made, to check it, and then at the
// first failure of each call, because a schedule is used up by one call and not safe for two at
// once. Its own MaxElapsedTime counts from there.
//
// v4's [backoff.Permanent] stops every loop of this package, as [retry.Permanent] does, so
// functions written for [backoff.Retry] need no change. Its mark stays on the error.
func Backoff(fresh func() backoff.BackOff, opts ...Option) retry.Policy {
	var m mistakes
	m.check(fresh != nil, "nil function")
	if fresh != nil {
		m.check(fresh() != nil, "the function returned nil: must be a schedule")
	}
	l := &loop{config: exact, foreign: true}
	l.step = func(p progress) (time.Duration, progress) {
		if p.own == nil {
			if p.own = fresh(); p.own == nil { // this time
				p.own = &backoff.StopBackOff{}
			}
			p.own.Reset() // as backoff.Retry does: a literal ExponentialBackOff is not ready before
		}
		return p.own.NextBackOff(), p
	}
	return l.configured("Backoff", m, opts)
}

// waits is the sequence of one row of attempts: a schedule, cut to the cap and spread. The zero
// waits begins at the first use.
type waits struct {
	schedule        progress
	peeked          bool // ahead and more are what the schedule said, not taken yet
	more            bool
	ahead           time.Duration
	drawn           bool // once, so that first is
	first, previous time.Duration
}

// peek is what next will be before jitter. It is false when the schedule stops.
func (w *waits) peek(l *loop) (time.Duration, bool) {
	if !w.peeked {
		w.peeked = true
		w.ahead, w.schedule = l.step(w.schedule)
		w.more = w.ahead != backoff.Stop
		if w.ahead < 0 || w.ahead > l.maxDelay { // cenkalti's jitter exceeds its cap, and overflows
			w.ahead = l.maxDelay
		}
	}
	return w.ahead, w.more
}

// next is false when the schedule stops.
func (w *waits) next(l *loop) (time.Duration, bool) {
	d, ok := w.peek(l)
	w.peeked = false
	if !ok {
		return 0, false
	}
	if !w.drawn {
		w.drawn, w.first = true, d
	}
	w.previous = l.jitter.spread(d, w.first, w.previous, l.maxDelay)
	return w.previous, true
}
