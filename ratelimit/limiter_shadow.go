package ratelimit

import (
	"context"
	"time"
)

// Shadow makes a limiter that enforces nothing: every call goes at once, and [Limiter.Counts] tells
// what the limiter would have done to it. It is for trying a limit out before it is enforced.
func Shadow() Option {
	return Option{"Shadow", none{}, forLimiter, func(c *config) string {
		c.shadow = true
		return ""
	}}
}

// pretend counts what a limiter would do to a call that comes now. A call that it would delay takes
// its tokens in advance: the bucket's debt stands in for the line, since nobody waits.
func (l *Limiter) pretend(ctx context.Context, now time.Time, n int) ticket {
	w, _ := newWaiter[ticket](ctx, n, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	now = l.seen(now)
	t := ticket{n: n, free: l.unlimited(), at: now, pauses: l.pause.begun}
	l.follow()
	if l.pause.phase == shut && !now.Before(l.pause.until) {
		l.pause.phase = open // no call is held back, so none has to go first
	}
	at, reason := l.turn(w, 0, 0)
	switch wait := at.Sub(now); {
	case reason != nil:
		l.counts.Refused++
		t.n = 0 // it holds nothing that could be given back
		return t
	case wait > 0:
		l.counts.Delayed++
		l.counts.Waited += wait
	default:
		l.counts.Immediate++
	}
	for _, s := range l.sources {
		s.add(now, -n)
	}
	return t
}
