package ratelimit

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// recheck is how often a line looks at buckets that others may change without a word.
const recheck = time.Second

// admit takes n tokens for a call, now or after a wait in line.
func (l *Limiter) admit(ctx context.Context, n int) (ticket, error) {
	now := time.Now()
	l.mu.Lock()
	now = l.seen(now)
	if l.shadow {
		t := l.pretend(ctx, now, n)
		l.mu.Unlock()
		return t, nil
	}
	if l.line.head != nil {
		l.dispatch(now)
	}
	if l.line.head == nil {
		if t, ok := l.take(now, n); ok {
			l.stats.Immediate++
			l.mu.Unlock()
			return t, nil
		}
	}
	w := &waiter[ticket]{n: n, arrived: now}
	w.deadline, _ = ctx.Deadline()
	wait, err := l.judgeWait(now, w, l.line.len, l.line.tokens)
	if err != nil {
		l.stats.Refused++
		l.mu.Unlock()
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: policyName, Err: err})
		return ticket{}, err
	}
	w.done = make(chan error, 1)
	l.line.push(w)
	if l.line.head == w {
		l.checked = now
		l.plan(now)
	}
	l.mu.Unlock()
	return stand(ctx, l, w, policyName, wait)
}

// leave takes w out of the line, unless its turn has come already.
func (l *Limiter) leave(w *waiter[ticket]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.line.remove(w) {
		return false
	}
	l.stats.Abandoned++
	l.dispatch(l.tick())
	return true
}

func (l *Limiter) giveBack(t *ticket) { l.settle(t, unmade) }

// take lets a call go now, if the pause and all buckets permit. It requires that l.mu is held, as all below do.
func (l *Limiter) take(now time.Time, n int) (ticket, bool) {
	if l.opens(now).After(now) {
		return ticket{}, false
	}
	if l.shared {
		l.free = l.unlimited()
	}
	for i, s := range l.sources {
		if !s.take(now, n) {
			l.refund(now, l.sources[:i], n, l.free)
			return ticket{}, false
		}
	}
	return ticket{n: n, free: l.free, at: now, probe: l.pause.pass(now), pauses: l.pause.begun}, true
}

// unlimited is the sources, as bits, that are without limit and so give no tokens. (Of more than 64 the rest counts as limited.)
func (l *Limiter) unlimited() (bits uint64) {
	for i, s := range l.sources {
		if s.limit() == rate.Inf {
			bits |= 1 << i
		}
	}
	return bits
}

// opens is the earliest moment at which the pause lets the next one go.
func (l *Limiter) opens(now time.Time) time.Time {
	if l.pause.phase == open && l.members == nil {
		return now
	}
	return l.ended(now)
}

// ended is opens where there may be a pause. A member's becomes one of its own, so that here too one call goes first when it has
// passed. One that has passed with nobody in line is forgotten after a while.
func (l *Limiter) ended(now time.Time) time.Time {
	for _, m := range l.members {
		if until := m.shutUntil(now); until.After(now) {
			l.pause.shut(now, until)
		}
	}
	if l.pause.phase == shut && l.line.head == nil && !l.pause.pending(now) {
		l.pause.phase = open
	}
	return later(now, l.pause.opens(now))
}

// shutUntil is when the limiter's own pause has passed. It must not be called with l.mu held.
func (l *Limiter) shutUntil(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen(now)
	if l.pause.phase == shut {
		return l.pause.until
	}
	return time.Time{}
}

// refund gives n tokens back to each of the sources but to those that were free, which gave none. The members' own lines may have
// missed just these.
func (l *Limiter) refund(now time.Time, sources []source, n int, free uint64) {
	for i, s := range sources {
		if free&(1<<i) == 0 {
			s.add(now, n)
		}
	}
	for _, m := range l.members {
		m.look()
	}
}

// look lets those go whose turn has come without a word. It must not be called with l.mu held.
func (l *Limiter) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line.head != nil {
		l.dispatch(l.tick())
	}
}

// turn estimates when one goes who wants n tokens and has k others before him who want so many. It is false if he never goes, or is
// not to wait; the time is then when it is worth coming back, zero if unknown.
func (l *Limiter) turn(now time.Time, k, before, n int) (time.Time, bool) {
	start := l.opens(now)
	if l.pause.phase == probing {
		start = now // counting on its answer
	}
	at := later(start, l.pause.next(now, k))
	for _, s := range l.sources {
		if s.limit() != rate.Inf && n > s.burst() {
			return time.Time{}, false
		}
		there, ok := s.when(start, before+n)
		if !ok {
			return there, false
		}
		at = later(at, there)
	}
	return at, true
}

// judgeWait estimates the wait of w behind k others, and refuses it where it does not fit.
func (l *Limiter) judgeWait(now time.Time, w *waiter[ticket], k, before int) (time.Duration, error) {
	at, ok := l.turn(now, k, before, w.n)
	if !ok {
		return 0, l.refusal(now, at)
	}
	wait := at.Sub(now)
	if reason := w.misfit(at, l.maxWait); reason != nil {
		return wait, &retry.Rejection{Policy: policyName, Reason: reason, RetryAfter: wait}
	}
	const margin = time.Microsecond // for the error of a float
	if latest := l.pause.until.Add(w.slack(at, l.maxWait) - margin); latest.Before(l.fits) {
		l.fits = latest
	}
	return wait, nil
}

// refusal is of one who is not to wait. Coming back is worth it at the given time; zero: unknown.
func (l *Limiter) refusal(now, at time.Time) error {
	r := &retry.Rejection{Policy: policyName, Reason: ErrLimited}
	if !at.IsZero() {
		r.RetryAfter = at.Sub(now)
	}
	return r
}

// replan follows a change for the worse or the better: who no longer fits is refused, who is due goes.
func (l *Limiter) replan() {
	broken := l.Validate()
	l.checked, l.fits = l.now, l.now.Add(forever)
	k, before := 0, 0
	for w := l.line.head; w != nil; {
		next := w.next
		err := broken
		if err == nil {
			_, err = l.judgeWait(l.now, w, k, before)
		}
		if err != nil {
			l.turnAway(w, err)
		} else {
			k++
			before += w.n
		}
		w = next
	}
	l.dispatch(l.now)
}

func (l *Limiter) turnAway(w *waiter[ticket], err error) {
	l.stats.Refused++
	l.line.turnAway(w, err)
}

// dispatch lets those go whose turn has come, and sets the timer for the next one.
func (l *Limiter) dispatch(now time.Time) {
	for w := l.line.head; w != nil; w = l.line.head {
		t, ok := l.take(now, w.n)
		if !ok {
			break
		}
		l.stats.Delayed++
		l.stats.Waited += max(0, now.Sub(w.arrived))
		l.line.release(w, t)
	}
	l.plan(now)
}

// plan sets the timer for the head of the line. A line that is empty needs none, and no ramp.
func (l *Limiter) plan(now time.Time) {
	q := &l.line
	if q.head != nil {
		l.follow()
	}
	for w := q.head; w != nil; w = q.head {
		at, ok := l.turn(now, 0, 0, w.n)
		if !ok {
			err := l.Validate() // a member may be broken
			if err == nil {
				err = l.refusal(now, at)
			}
			l.turnAway(w, err)
			continue
		}
		at = later(at, l.opens(now))
		if latest := w.arrived.Add(l.maxWait); l.maxWait >= 0 && latest.Before(at) {
			// No estimate was wrong, but the probe is late, or another owner of the bucket was quicker.
			if !now.Before(latest) {
				l.turnAway(w, &retry.Rejection{Policy: policyName, Reason: ErrLimited, RetryAfter: at.Sub(now)})
				continue
			}
			at = latest
		}
		if soon := l.checked.Add(recheck); l.shared && soon.Before(at) {
			at = soon
		}
		q.alarm(now, at, l)
		l.wants()
		return
	}
	q.silence()
	l.wants()
	if l.pause.phase == ramping {
		l.pause.phase = open
	}
}

// wants tells the sources what the line waits for.
func (l *Limiter) wants() {
	for _, s := range l.sources {
		s.wants(l, l.line.tokens)
	}
}

// wake is what the timer does. One that comes late or for nothing does no harm.
func (l *Limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	l.line.wakeAt = time.Time{} // it has fired: set it anew, also for the same moment
	l.dispatch(now)
	if l.shared && l.line.head != nil && !now.Before(l.checked.Add(recheck)) {
		l.replan()
	}
}
