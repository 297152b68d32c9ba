package ratelimit

import (
	"context"
	"math"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/retry"
)

// pass is what an admitted call holds.
type pass struct {
	pacing.Ticket
	at time.Duration // when it was admitted, in the machine's time
}

// queued is what a call in line has: the page that it asks for, if that matters, and when it is let
// go its pass.
type queued struct {
	pass
	page uint64
}

// admit lets a call go, now or after a wait in line.
func (p *Pacer) admit(ctx context.Context) (pass, error) {
	p.mu.Lock()
	now := p.now()
	p.used = true
	s := now.Seconds()
	if p.line.head == nil && p.nested == 0 && p.untilNext(now, s) == 0 {
		c := p.send(now, s)
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	w, ended := newWaiter[queued](ctx, 1, time.Now())
	if p.suspects.Load() {
		w.ticket.page = retry.PageOf(ctx)
	}
	p.mu.Lock()
	now = p.now()
	f := p.forecast(now)
	k, _ := p.line.ahead(w, p)
	wait, err := p.judgeWait(now, w, f, k)
	if err != nil {
		p.crew.misses(now)
		p.mu.Unlock()
		return pass{}, p.turnedAway(ctx, wait, err)
	}
	p.judged = max(p.judged, f.pace)
	p.line.join(w, p)
	p.dispatch(now)
	p.mu.Unlock()
	q, err := stand(ctx, p, w, ended, p.who(), wait)
	return q.pass, err
}

// turnedAway tells observers of a call that is rejected at once, and returns err.
func (p *Pacer) turnedAway(ctx context.Context, wait time.Duration, err error) error {
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: p.who(), Wait: wait, Err: err})
	return err
}

// fits reports whether w can be served in time behind k others. It requires that p.mu is held.
// The last argument, the tokens that those want, is for limiters only.
func (p *Pacer) fits(w *waiter[queued], k, _ int) bool {
	_, err := p.judgeWait(p.latest, w, p.forecast(p.latest), k)
	return err == nil
}

// reject is the rejection of a waiter that does not fit any more. It requires that p.mu is held.
func (p *Pacer) reject(w *waiter[queued], k, _ int) error {
	_, err := p.judgeWait(p.latest, w, p.forecast(p.latest), k)
	return err
}

// gaveUp is the rejection of a waiter whose context ended in line.
func (p *Pacer) gaveUp(reason error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rejection(reason, 0)
}

// leave takes w out of the line, unless its turn has come already.
func (p *Pacer) leave(w *waiter[queued]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.line.remove(w) {
		return false
	}
	p.dispatch(p.now())
	return true
}

// giveBack is undo for a call that was let go too late for it.
func (p *Pacer) giveBack(q *queued) { p.undo(q.pass) }

// undo undoes the admission of a call that was not made.
func (p *Pacer) undo(c pass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.machine.OnCancel(c.Ticket, false)
	p.crew.refund(now, c)
	p.dispatch(now)
}

// wake is what the timer does. A wake that comes late or for nothing does no harm.
func (p *Pacer) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line.wakeAt = time.Time{}
	p.dispatch(p.now())
}

// send notes that a call is on its way. s is now in seconds. It requires that p.mu is held, as all
// below do.
func (p *Pacer) send(now time.Duration, s float64) pass {
	if p.crew == nil {
		return pass{p.machine.OnSend(s), now}
	}
	token := p.crew.spend(now)
	c := pass{p.machine.OnSend(s), now}
	c.Token = token
	return c
}

// dispatch lets the waiters go whose turn has come, and sets the timer for the turn of the next one
// or the end of its MaxWait, which ends first because MaxWait is the same for all.
func (p *Pacer) dispatch(now time.Duration) {
	defer p.crew.demand()
	if p.nested > 0 { // the next turn is a nested call's, which calls dispatch again
		p.line.silence()
		return
	}
	s := now.Seconds()
	for w := p.line.head; w != nil; w = p.line.head {
		wait := p.untilNext(now, s)
		if wait == 0 {
			next := p.first()
			p.line.release(next, queued{pass: p.send(now, s)})
			continue
		}
		// An answer will tell more, or the moment at which none has come.
		wait = min(wait, duration(p.machine.Wake(s)-s))
		if p.maxWait >= 0 {
			left := w.arrived.Add(p.maxWait).Sub(p.clock(now))
			if left <= 0 {
				p.line.turnAway(w, p.rejection(ErrLimited, p.forecast(now).wait(0)))
				continue
			}
			wait = min(wait, left)
		}
		if wait == forever {
			break
		}
		here := p.clock(now)
		p.line.alarm(here, here.Add(max(wait, leastWait)), p)
		return
	}
	p.line.silence()
}

// first is the waiter that goes next: the head, unless its page was refused just now. Then others
// of its priority go before it while it still goes in time. Whether the page is admitted after them
// tells a page that is refused for itself from a refusal because of the rate.
func (p *Pacer) first() *waiter[queued] {
	head := p.line.head
	if !p.suspects.Load() {
		return head
	}
	k := 0
	for w := head; w != nil && w.priority == head.priority && k < mostPassed; w = w.next {
		if !p.machine.Later(w.ticket.page) {
			return w
		}
		if k++; !p.fits(w, k, k) {
			break
		}
	}
	return head
}

// mostPassed is how many waiters one that goes may overtake. There are seldom more than the calls
// of one burst.
const mostPassed = 64

// leastWait is the least time that a timer is set for. The machine may say "not yet" for a moment
// that no clock can tell from now; to ask again at once would spin.
const leastWait = time.Microsecond

// replan follows a change of the machine: a waiter that no longer fits is rejected, one that is due
// goes. It looks at the whole line only if the pacer has parked, or the pace is much slower: a pace
// may be stated anew with every answer.
func (p *Pacer) replan(now time.Duration, parked bool) {
	if p.line.head == nil {
		return
	}
	const slower = .9
	f := p.forecast(now)
	if parked || f.pace < slower*p.judged {
		p.judged = f.pace
		p.line.forgetIndex()
		n := 0
		for w := p.line.head; w != nil; {
			next := w.next
			if _, err := p.judgeWait(now, w, f, n); err != nil {
				p.line.turnAway(w, err)
			} else {
				n++
			}
			w = next
		}
	}
	p.dispatch(now)
}

// untilNext is how long the machine holds the next call; forever if only an answer can tell. s is
// now in seconds.
func (p *Pacer) untilNext(now time.Duration, s float64) time.Duration {
	wait := time.Duration(0)
	if next := p.machine.NextSend(s); next > s {
		wait = duration(next - s)
	}
	if p.crew != nil {
		wait = max(wait, p.crew.wait(now))
	}
	return wait
}

// forecast is what the machine expects of the line.
type forecast struct {
	first time.Duration // until the head goes, at least
	pace  float64       // calls a second behind the head
}

func (p *Pacer) forecast(now time.Duration) forecast {
	s := now.Seconds()
	f := forecast{p.untilNext(now, s), p.crew.share(p.machine.Pace(s))}
	if f.first == forever {
		f.first = 0
		if gate, parked := p.machine.Parked(); parked {
			f.first = duration(gate - s)
		}
	}
	return f
}

// wait is how long a waiter with n before it waits at least.
func (f forecast) wait(n int) time.Duration {
	if n == 0 {
		return f.first
	}
	return duration(f.first.Seconds() + float64(n)/f.pace)
}

// judgeWait estimates the wait of w with n before it, and rejects w if the wait does not fit.
func (p *Pacer) judgeWait(
	now time.Duration, w *waiter[queued], f forecast, n int,
) (time.Duration, error) {
	if wait, cause := p.crew.turnsAway(); cause != nil {
		return wait, &retry.Rejection{
			Policy: p.who(), Reason: ErrLimited, RetryAfter: wait, Cause: cause,
		}
	}
	wait := f.wait(n)
	if reason := w.misfit(p.clock(now).Add(wait), p.maxWait); reason != nil {
		return wait, p.rejection(reason, wait)
	}
	return wait, nil
}

func (p *Pacer) rejection(reason error, wait time.Duration) error {
	return &retry.Rejection{Policy: p.who(), Reason: reason, RetryAfter: wait, Cause: p.cause}
}

const forever = time.Duration(math.MaxInt64)

// duration is s seconds in whole nanoseconds, rounded up; 0 if s is negative. What a float cannot
// tell, a thousandth of a nanosecond, is not rounded up.
func duration(s float64) time.Duration {
	ns := math.Ceil(s*1e9 - 1e-3)
	if ns >= math.MaxInt64 {
		return forever
	}
	return max(0, time.Duration(ns))
}
