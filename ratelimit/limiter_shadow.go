package ratelimit

import (
	"context"
	"fmt"
	"time"
)

// Shadow makes a limiter that enforces nothing: every call goes at once, and [Limiter.Stats] tells what the limiter would have
// done to it. It is for trying a limit out before it bites.
func Shadow() Option {
	return Option{"Shadow", forLimiter, func(c *config) error { c.shadow = true; return nil }}
}

// Stats counts what became of the calls; in the shadow, what would have.
type Stats struct {
	Immediate int           // went at once
	Delayed   int           // went after a wait
	Refused   int           // were rejected
	Abandoned int           // gave up the wait as their context ended
	Waited    time.Duration // by the delayed ones, in all
}

// String is one readable line.
func (s Stats) String() string {
	return fmt.Sprintf("%d at once, %d delayed by %v in all, %d refused, %d abandoned", s.Immediate, s.Delayed, s.Waited, s.Refused, s.Abandoned)
}

// Stats returns the counts since the limiter was made; of a member of [All] only of the calls made through itself.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// pretend counts what a limiter would do to a call that comes now. Those it would delay take their tokens in advance, so that the
// bucket's debt stands for the line that is not there. It requires that l.mu is held.
func (l *Limiter) pretend(ctx context.Context, now time.Time, n int) ticket {
	t, w := ticket{n: n, free: l.unlimited(), at: now, pauses: l.pause.begun}, waiter[ticket]{n: n, arrived: now}
	w.deadline, _ = ctx.Deadline()
	l.follow()
	if l.pause.phase == shut && !now.Before(l.pause.until) {
		l.pause.phase = open // nobody is held back, so nobody has to go first
	}
	wait, err := l.judgeWait(now, &w, 0, 0)
	switch {
	case err != nil:
		l.stats.Refused++
		t.n = 0 // it holds nothing that could be given back
	case wait > 0:
		l.stats.Delayed++
		l.stats.Waited += wait
	default:
		l.stats.Immediate++
	}
	if err == nil {
		for _, s := range l.sources {
			s.add(now, -n)
		}
	}
	return t
}
