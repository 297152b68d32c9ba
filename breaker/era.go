package breaker

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// era is a stretch of time in one state. Which era a call was admitted in is its generation: a
// result that belongs to another one than the present changes nothing. Times are counted from the
// making of the breaker.
type era struct {
	state   State
	since   time.Duration
	until   time.Duration // Open: when the first probe may go; Closed: when the ramp is over
	openFor time.Duration // Open and HalfOpen: how long the opening lasts, with OpenGrowth
	cause   *failed       // what opened the breaker

	// All below is guarded by Breaker.mu, except for atomics; all above never changes.
	opening *opening      // Open and HalfOpen
	fleet   uint64        // the era of the fleet that it follows; 0: none
	votes   time.Duration // Open: until when by the breaker's own failures, 0 if only the fleet's
	tally   tally
	streak  int // consecutive failures
	neutral int
	flights flights // HalfOpen: probes that hold a place; Closed: with SlowInFlight, all calls
	ramp    ramp

	well atomic.Bool  // Closed: set under the lock; the last outcome was a success
	more atomic.Int64 // successes that are not in the tally: see again
}

// again counts a success after another one without the lock, which all calls share: it changes
// nothing but a number. It is false if the success must be counted under the lock, and for a
// breaker whose tally has a time it is not asked.
func (e *era) again() bool {
	if e == nil || !e.well.Load() {
		return false
	}
	e.more.Add(1)
	return true
}

// left is how long an open era still lasts. It is 0 too if the clock has gone back: present sees to
// it.
func (e *era) left(now time.Duration) time.Duration {
	if now < e.since {
		return 0
	}
	return max(0, e.until-now)
}

// failed is the failure that opened the breaker. A failure may hold megabytes and the breaker keeps
// it for long, so shrink replaces it by what retry.Brief leaves of it. That runs code of the error,
// so it is done when the lock is free.
type failed struct{ err atomic.Pointer[error] }

func newFailed(err error) *failed {
	if err == nil {
		return nil
	}
	f := &failed{}
	f.err.Store(&err)
	return f
}

func (f *failed) get() error {
	if f == nil {
		return nil
	}
	return *f.err.Load()
}

// text is safe also if the error's own method panics.
func (f *failed) text() string {
	if f.get() == nil {
		return ""
	}
	return fmt.Sprint(f.get())
}

func (f *failed) shrink() {
	if f == nil {
		return
	}
	brief := errUnreadable
	defer func() {
		_ = recover() // its Error method has panicked; whoever is rejected because of it must not
		f.err.Store(&brief)
	}()
	brief = retry.Brief(f.get())
}

var errUnreadable = errors.New("a failure whose Error method panicked")

// catchUp brings the state up to now: what time has changed since anybody last looked. b.mu is
// held.
//
// It runs when a call comes or the state is asked for, and not by a timer: a breaker that is not
// used costs nothing, and one that is dropped leaves nothing behind.
func (b *Breaker) catchUp(now time.Duration) {
	switch e := b.era.Load(); e.state {
	case Closed:
		b.countOverdue(e, now)
	case HalfOpen:
		b.freeOverdue(e, now)
	case Open:
		if now >= e.until {
			b.enter(&era{
				state: HalfOpen, since: now, openFor: e.openFor, cause: e.cause, opening: e.opening,
				fleet: e.fleet,
			}, e.cause.get())
		}
	}
}

// open begins an opening of the given length. b.mu is held.
func (b *Breaker) open(openFor time.Duration, cause error) {
	openFor = max(tick, openFor)
	e := b.openStill(openFor, openFor, cause)
	e.votes = e.until
}

// openStill begins an opening of which the given time is left. b.mu is held.
func (b *Breaker) openStill(left, openFor time.Duration, cause error) *era {
	o := newOpening(b.probes, left)
	now := b.present(b.now()) // after it: a call that waits until our end is past its end too
	b.asked.Store(int64(now))
	e := &era{
		state: Open, since: now + left - openFor, until: after(now, left), openFor: openFor,
		cause: newFailed(cause), opening: o,
	}
	b.enter(e, cause)
	return e
}

// close lets calls through again, at once or as a growing share. b.mu is held.
func (b *Breaker) close(now time.Duration) {
	e := b.newClosed(now)
	if b.rampFor > 0 {
		e.until = after(now, b.rampFor)
		e.ramp.credit = 1 // the first call goes
		e.cause = b.era.Load().cause
	}
	b.enter(e, nil)
}

func (b *Breaker) newClosed(now time.Duration) *era {
	e := &era{state: Closed, since: now}
	if b.windowed() {
		e.tally = newTally(b.window, b.buckets, now)
	}
	return e
}

// enter begins a new era and notes the turn. b.mu is held.
func (b *Breaker) enter(e *era, cause error) {
	from := b.era.Swap(e).state
	c := Change{Name: b.name, From: from, To: e.state, Time: b.wall(e.since), Cause: cause}
	t := turn{Change: c, cause: e.cause}
	if b.member != nil && !b.member.following && e.state != HalfOpen {
		t.own = true
	}
	b.turns = append(b.turns, t)
}

// grown is the open time after one more failed half-open.
func (b *Breaker) grown(d time.Duration) time.Duration {
	if b.growth == 0 {
		return b.openFor
	}
	if longer := float64(d) * b.growth; longer < float64(b.openMax) {
		return time.Duration(longer)
	}
	return b.openMax
}

// opening is the gobreaker that one opening is: open for its time, then half-open with its probes,
// until it says closed or open again. If it says open again, the next opening is another one, since
// its time may be longer.
//
// Calls of the closed state do not pass through it: its Allow allocates a closure per call, and its
// windows lose the result of a call that began before them.
type opening struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	state gobreaker.State // after its last change: if the open time is short, it is too late to ask
}

// newOpening makes one that is open from now on. gobreaker admits after more than its Timeout, and
// a caller that waits exactly as long as it was told must be admitted: so the Timeout is 1 ns less.
func newOpening(probes int, openFor time.Duration) *opening {
	o := &opening{}
	o.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   uint32(probes),
		Timeout:       max(1, openFor-1),
		ReadyToTrip:   func(gobreaker.Counts) bool { return true },
		IsExcluded:    func(err error) bool { return err == errNoVerdict },
		OnStateChange: func(_ string, _, to gobreaker.State) { o.state = to },
	})
	if done, err := o.Allow(); err == nil {
		done(errFailed)
	}
	return o
}
