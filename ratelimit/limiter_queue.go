package ratelimit

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// recheck is how often a line looks at sources that others may change without telling it.
const recheck = time.Second

// admit takes n tokens for a call, now or after a wait in line, and fills in its ticket. If told is
// not nil the time and the limiter's quota afterwards are filled in there.
func (l *Limiter) admit(
	ctx context.Context, t *ticket, now time.Time, n int, told *retry.Event,
) (err error) {
	if l.shadow {
		*t = l.pretend(ctx, time.Now(), n)
		return nil
	}
	l.mu.Lock()
	now = l.seen(now)
	if l.line.head != nil {
		l.dispatch(now)
	}
	if l.line.head == nil && l.take(t, now, n) {
		l.counts.Immediate++
		if told != nil {
			told.Time, told.Quota = now, l.quotaAfter(now, n)
		}
		l.mu.Unlock()
		return nil
	}
	l.mu.Unlock()
	*t, err = l.wait(ctx, n)
	if told != nil && err == nil {
		l.mu.Lock()
		told.Time, told.Quota = t.at, l.quota(l.seen(t.at))
		l.mu.Unlock()
	}
	return err
}

// wait is admit for a call that has found no token, or others in line.
func (l *Limiter) wait(ctx context.Context, n int) (ticket, error) {
	now := time.Now() // deadlines may lack a monotonic reading
	w, ended := newWaiter[ticket](ctx, n, now)
	l.mu.Lock()
	now = l.seen(now)
	k, before := l.line.ahead(w, l)
	at, reason := l.turn(w, k, before)
	if reason != nil {
		l.counts.Refused++
		err := l.rejection(at, reason)
		l.mu.Unlock()
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: l.label, Err: err})
		return ticket{}, err
	}
	if k == 0 && !at.After(now) { // it goes before all in line
		if t := (ticket{}); l.take(&t, now, n) {
			l.counts.Immediate++
			l.overtaken(func() { l.line.passed(n, l) })
			l.mu.Unlock()
			return t, nil
		}
	}
	l.remember(w, at)
	l.overtaken(func() { l.line.join(w, l) })
	l.mu.Unlock()
	return stand(ctx, l, w, ended, l.label, at.Sub(now))
}

// overtaken runs by, in which a call goes before those in line or joins them, and plans anew if the
// head of the line has changed. It requires that l.mu is held, as all methods below do unless they
// say otherwise.
func (l *Limiter) overtaken(by func()) {
	head := l.line.head
	if head == nil {
		l.checked = l.now
	}
	by()
	if l.line.index != nil {
		l.latest = time.Time{} // some have less room now than when it was found
	}
	if l.line.head != head {
		l.plan(l.now)
	}
}

// leave takes w out of the line, unless its turn has come already.
func (l *Limiter) leave(w *waiter[ticket]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.line.remove(w) {
		return false
	}
	l.counts.Abandoned++
	l.dispatch(l.tick())
	return true
}

func (l *Limiter) giveBack(t *ticket) { l.settle(t, unmade) }

func (l *Limiter) gaveUp(reason error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick()
	return l.rejection(time.Time{}, reason)
}

// take admits a call now and fills in its ticket, if the pause and all sources permit.
func (l *Limiter) take(t *ticket, now time.Time, n int) bool {
	if l.mayPause() && l.ended(now).After(now) {
		return false
	}
	if l.shared && l.fleet == nil { // others may have changed them
		l.free = l.unlimited()
	}
	for i, s := range l.sources {
		if !s.take(now, n) {
			l.refund(now, l.sources[:i], n, l.free)
			return false
		}
	}
	l.moves++
	l.spend(n)
	t.n, t.free, t.at = n, l.free, now
	t.pauses, t.probe = l.pause.begun, l.pause.pass(now)
	return true
}

// unlimited returns, as bits, the sources that have no limit and so give no tokens. (Sources beyond
// the 64th count as limited.)
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
	if l.mayPause() {
		return l.ended(now)
	}
	return now
}

// mayPause tells whether there may be a pause.
func (l *Limiter) mayPause() bool { return l.pause.phase != open || l.members != nil }

// ended is opens for when there may be a pause. A member's pause becomes the limiter's too, so that
// here too one call goes first when it has passed. A pause that has passed while no call waits is
// forgotten after a while.
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

// refund gives n tokens back to each of the sources except the free ones, which gave none. The
// members' own lines may be waiting for just these tokens.
func (l *Limiter) refund(now time.Time, sources []source, n int, free uint64) {
	l.moves++
	for i, s := range sources {
		if free&(1<<i) == 0 {
			s.add(now, n)
		}
	}
	for _, m := range l.members {
		m.look()
	}
}

// look admits those whose turn has come without the limiter knowing. It must not be called with
// l.mu held.
func (l *Limiter) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.line.head != nil {
		l.line.forgetIndex()
		l.dispatch(l.tick())
	}
}

// turn estimates when w may go, behind k others that want so many tokens. If w should not wait,
// reason says why, and at is when it is worth coming back, zero if unknown.
func (l *Limiter) turn(w *waiter[ticket], k, before int) (at time.Time, reason error) {
	if at, reason = l.reach(w.n, k, before); reason == nil {
		reason = w.misfit(at, l.maxWait)
	}
	return at, reason
}

// reach is turn for a call that wants n tokens and may wait for ever.
func (l *Limiter) reach(n, k, before int) (at time.Time, reason error) {
	now := l.now
	start := l.opens(now)
	if l.pause.phase == probing {
		start = now // assuming that its answer comes at once
	}
	at = later(start, l.pause.next(now, k))
	for _, s := range l.sources {
		if burst := s.burst(); n > burst && s.limit() != rate.Inf {
			return time.Time{}, tooMany{n, burst}
		}
		there, ok := s.when(start, before+n)
		if !ok {
			return there, ErrLimited
		}
		at = later(at, there)
	}
	return at, nil
}

// fits reports whether w can be served in time behind k others.
func (l *Limiter) fits(w *waiter[ticket], k, before int) bool {
	_, reason := l.turn(w, k, before)
	return reason == nil
}

// reject is the rejection of one in line that does not fit any more.
func (l *Limiter) reject(w *waiter[ticket], k, before int) error {
	l.counts.Refused++
	return l.rejection(l.turn(w, k, before))
}

// rejection is what a call is refused with. Coming back is worth it at the given time; zero:
// unknown.
func (l *Limiter) rejection(at time.Time, reason error) error {
	r := &retry.Rejection{Policy: l.label, Reason: reason, Quota: l.quota(l.now)}
	if !at.IsZero() {
		r.RetryAfter = at.Sub(l.now)
	}
	for _, s := range l.sources {
		if m, ok := s.(*member); ok && r.Cause == nil {
			r.Cause = m.cause()
		}
	}
	if _, ok := reason.(tooMany); ok {
		return retry.Permanent(r)
	}
	return r
}

// remember notes how long a pause may last without making w too late.
func (l *Limiter) remember(w *waiter[ticket], at time.Time) {
	const margin = time.Microsecond // for float error
	if latest := l.pause.until.Add(w.slack(at, l.maxWait) - margin); latest.Before(l.latest) {
		l.latest = latest
	}
}

// replan looks at the whole line after a change: a call that no longer fits is rejected, one that
// is due goes.
func (l *Limiter) replan() {
	broken := l.Validate()
	l.checked, l.latest = l.now, l.now.Add(forever)
	l.line.forgetIndex()
	k, before := 0, 0
	for w := l.line.head; w != nil; {
		next := w.next
		at, reason := l.now, broken
		if broken == nil {
			at, reason = l.turn(w, k, before)
		}
		switch {
		case reason == nil:
			l.remember(w, at)
			k++
			before += w.n
		case broken != nil:
			l.turnAway(w, broken)
		default:
			l.turnAway(w, l.rejection(at, reason))
		}
		w = next
	}
	l.dispatch(l.now)
}

func (l *Limiter) turnAway(w *waiter[ticket], err error) {
	l.counts.Refused++
	l.line.turnAway(w, err)
}

// dispatch admits those whose turn has come, and sets the timer for the next one.
func (l *Limiter) dispatch(now time.Time) {
	for w := l.line.head; w != nil; w = l.line.head {
		t := ticket{}
		if !l.take(&t, now, w.n) {
			break
		}
		l.counts.Delayed++
		l.counts.Waited += max(0, now.Sub(w.arrived))
		l.line.release(w, t)
	}
	l.plan(now)
}

// plan sets the timer for the head of the line. An empty line needs no timer and no ramp.
func (l *Limiter) plan(now time.Time) {
	q := &l.line
	if q.head != nil {
		l.follow()
	}
	for w := q.head; w != nil; w = q.head {
		at, err := l.due(now, w)
		if err != nil {
			l.turnAway(w, err)
			continue
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

// due returns when to look again at w, the head of the line, or why it must wait no longer. It does
// not look at the deadline of w's context, which ends the wait by itself.
func (l *Limiter) due(now time.Time, w *waiter[ticket]) (time.Time, error) {
	at, reason := l.reach(w.n, 0, 0)
	if reason != nil {
		if err := l.Validate(); err != nil { // a member may be broken
			return at, err
		}
		return at, l.rejection(at, reason)
	}
	at = later(at, l.opens(now))
	latest := w.arrived.Add(l.maxWait)
	switch {
	case l.maxWait < 0 || !latest.Before(at):
		return at, nil
	case now.Before(latest):
		return latest, nil
	}
	// The estimate was sound, but the probe is late, or another owner of the bucket was quicker.
	return at, l.rejection(at, ErrLimited)
}

// wants tells the sources what the line waits for.
func (l *Limiter) wants() {
	for _, s := range l.sources {
		s.wants(l, l.line.tokens)
	}
}

// The timer calls wake. If it does so late or for nothing, that does no harm.
func (l *Limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	l.line.wakeAt = time.Time{} // it has fired: it is set anew even for the same moment
	l.dispatch(now)
	if l.shared && l.line.head != nil && !now.Before(l.checked.Add(recheck)) {
		l.replan()
	}
}
