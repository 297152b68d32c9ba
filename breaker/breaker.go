package breaker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// Breaker is a circuit breaker: a [retry.Policy] that rejects calls to a callee that has failed too
// often, and tries again after a while with a few probes. Make it with [New], once per callee, and
// share it. A zero or nil Breaker rejects every call with a configuration error; its other methods
// do nothing.
//
// Most callers only put it in a chain. Allow is for calls whose outcome is known later (streams).
// State, Counts, Stats and String are for looking; Isolate, Release and Trip are for an operator or
// a health check; Snapshot and Restore are for a restart. All methods are safe for concurrent use,
// and may be called from a listener.
type Breaker struct {
	config
	name   string
	policy string // the name in rejections and events
	err    error  // bad configuration
	clock

	era   atomic.Pointer[era] // swapped under mu
	asked atomic.Int64        // when a call last came while it was not closed, for Idle

	mu       sync.Mutex
	latest   time.Duration // the latest moment seen by present
	failedAt time.Duration // of the last failure, for Idle; negative: never
	turns    []turn        // made under the lock that is held, to be told when it is free
	pending  []Change      // for the listeners
	telling  bool          // a goroutine is telling them

	shadowed shadowed
}

// New makes a closed breaker. The name is for people: it stands in rejections ("breaker catalog"),
// events and changes. Without options the breaker opens after 5 consecutive failures, for 30 s, and
// one successful probe closes it. Elsewhere this is NewCircuitBreaker with Settings.
func New(name string, opts ...Option) *Breaker {
	b := &Breaker{name: name, policy: policyName(name), failedAt: -1}
	b.born = retry.Next{}.Clock()
	b.config, b.err = configure(opts)
	b.era.Store(b.newClosed(0))
	return b
}

func policyName(name string) string { return strings.TrimSpace("breaker " + name) }

// Validate reports bad options, and a breaker that was not made by New. The error Is
// [retry.ErrConfig]; every call fails with it too.
func (b *Breaker) Validate() error {
	if !b.made() {
		return errZero
	}
	return b.err
}

// made reports whether New has made b.
func (b *Breaker) made() bool { return b != nil && b.era.Load() != nil }

var errZero = retry.ConfigErrorf("breaker", "made without breaker.New")

var errAborted = errors.New("the call panicked or ended its goroutine")

// Do admits the call or rejects it, with a [*retry.Rejection] that Is [ErrOpen], and counts its
// outcome.
func (b *Breaker) Do(ctx context.Context, next retry.Next) error {
	if b.made() { // first what costs the most when the callee is down
		if err := b.stillOpen(ctx, next, b.era.Load()); err != nil {
			return err
		}
	}
	p, err := b.admit(ctx, next)
	if err != nil {
		return err
	}
	// No recover: a panic keeps its value and its stack, and Goexit, which cannot be recovered,
	// takes the same way out.
	result := errAborted
	defer func() { b.settle(ctx, p, result) }()
	switch {
	case p.unshare != nil:
		result = inside(ctx, p.era, next)
	case p.flight != nil && p.flight.done != nil:
		b.announce(ctx, p.flight.turns) // not earlier: after a panic here the place comes back
		result = inside(ctx, p.era, next)
	default:
		result = next.At(0).Do(ctx)
	}
	return result
}

// stillOpen is the rejection by an open era with time left, nil without, and if something else must
// be looked at first. gobreaker would reject the call too, but does not say for how long.
func (b *Breaker) stillOpen(ctx context.Context, next retry.Next, e *era) error {
	if e.state != Open || b.shadow || b.member != nil && b.member.attention.Load() {
		return nil
	}
	if b.err == nil && ctx.Err() == nil {
		now := next.Clock() - b.born + b.shift()
		if left := e.left(now); left > 0 {
			b.touch(e, now)
			return b.rejection(ctx, e, left)
		}
	}
	return nil
}

// Prompt is true if p is b: see retry.Policy.
func (b *Breaker) Prompt(p retry.Policy) bool { return p == retry.Policy(b) }

// Refuse is the rejection if the breaker is open, and nil if only Do can tell. [retry.Do] asks it
// before it allocates anything for a call. It returns nil if b is only a part of the policy p.
func (b *Breaker) Refuse(ctx context.Context, p retry.Policy) error {
	self, _ := p.(*Breaker)
	if self != b || !b.made() || b.member != nil {
		return nil
	}
	return b.stillOpen(ctx, retry.Next{}, b.era.Load())
}

// permit is the right to one call.
type permit struct {
	era     *era          // nil: a call that is let through in shadow mode
	start   time.Duration // by raw, if the duration matters
	flight  *flight       // a probe, or a call that is counted while it runs
	unshare func()        // of a call inside a probe: gives back its part of the place
}

// admit takes no lock in the two states that matter for cost: closed, and open with time left. next
// is for its clock.
func (b *Breaker) admit(ctx context.Context, next retry.Next) (permit, error) {
	if err := b.Validate(); err != nil {
		return permit{}, err
	}
	if ctx.Err() != nil {
		return permit{}, retry.Ended(ctx)
	}
	if b.member != nil && b.member.attention.Load() {
		b.attend(ctx)
	}
	e := b.era.Load()
	p := permit{era: e}
	switch e.state {
	case Closed:
		if b.inFlight || e.until > 0 && b.now() < e.until {
			return b.admitLocked(ctx)
		}
		if b.slow > 0 {
			p.start = b.raw()
		}
		return p, nil
	case Isolated:
		return b.refuse(ctx, e, 0)
	case Open:
		if err := b.stillOpen(ctx, next, e); err != nil {
			return permit{}, err
		}
	case HalfOpen:
		// A call from inside a probe needs no place: the probe that waits for it holds one.
		inside, unshare := retry.Inside(ctx, e)
		if unshare != nil {
			return permit{era: e, unshare: unshare}, nil
		}
		if inside {
			return b.refuse(ctx, e, max(1, e.openFor/10))
		}
	}
	return b.admitLocked(ctx)
}

func (b *Breaker) admitLocked(ctx context.Context) (permit, error) {
	for first := true; ; first = false {
		b.mu.Lock()
		now := b.present(b.now())
		b.catchUp(now)
		e := b.era.Load()
		if e.state != Closed {
			b.asked.Store(int64(now))
		}
		p, wait := b.take(e, now)
		turns := b.fresh()
		b.mu.Unlock()

		if p.flight != nil {
			p.flight.turns = turns // told when a probe is sure to be given back
			if p.flight.ask {
				p, wait = b.askFleet(ctx, p)
			}
		}
		if p.era != nil {
			return p, nil
		}
		b.announce(ctx, turns)
		if wait != tick || !first {
			return b.refuse(ctx, e, wait)
		}
		time.Sleep(tick) // see take
	}
}

// tick is by how much the clock must move before a gobreaker's open time can be over.
const tick = 2 * time.Nanosecond

// take gives a permit of the present era, or a time to wait for one. b.mu is held.
func (b *Breaker) take(e *era, now time.Duration) (p permit, wait time.Duration) {
	p = permit{era: e, start: now - b.shift()}
	switch e.state {
	case Closed:
		if now < e.until && !e.ramp.admits(e, now) {
			return permit{}, e.ramp.wait(e, now)
		}
		if b.inFlight {
			p.flight = e.flights.add(now)
		}
		return p, 0
	case HalfOpen:
		if wait := b.deniedFor(e, now); wait > 0 {
			return permit{}, wait
		}
		done, err := e.opening.Allow()
		if err == gobreaker.ErrOpenState {
			return permit{}, tick // restored with its time over, and the clock has not moved since
		}
		if err != nil {
			return permit{}, b.untilProbe(e, now)
		}
		p.flight = e.flights.add(now)
		p.flight.probe = probe{done: done, ask: b.sendsForFleet(e, now)}
		return p, 0
	case Open:
		return permit{}, max(1, e.until-now)
	}
	return permit{}, 0
}

// settle gives back what the call took and counts its outcome, on every way out of the call.
func (b *Breaker) settle(ctx context.Context, p permit, err error) {
	if p.unshare != nil {
		p.unshare() // part of a probe, and not counted
		return
	}
	var now, took time.Duration
	timed := b.slow > 0 || p.flight != nil || b.windowed()
	if err == nil && !timed && b.member == nil && p.era.again() {
		return
	}
	if timed {
		raw := b.raw()
		now, took = raw+b.shift(), raw-p.start
	}
	o := failure
	defer func() { b.book(ctx, p, o, err, now, timed) }() // also if the context or the error panics
	o, err = b.classify(ctx, err, took)
}

// book enters the outcome of a call. now is valid if timed.
func (b *Breaker) book(
	ctx context.Context, p permit, o outcome, err error, now time.Duration, timed bool,
) {
	if p.era == nil {
		if o == success { // and not counted: without Shadow the call would not have been made
			b.shadowed.wrong.Add(1)
		}
		return
	}
	if b.era.Load() != p.era {
		return // admitted before the last change of state
	}
	if o == failure && !timed {
		now, timed = b.now(), true
	}
	b.mu.Lock()
	if b.member != nil {
		b.member.calls++
	}
	if timed {
		now = b.present(now)
	}
	if p.flight != nil {
		b.catchUp(now) // it may have reached its limit before anybody looked
	}
	if b.era.Load() == p.era {
		switch {
		case p.era.state == HalfOpen:
			b.probeEnds(p.era, p.flight, o, err, now)
		case p.flight == nil || !b.land(p.era, p.flight, o, now):
			b.count(p.era, o, err, now)
		}
	}
	if len(b.turns) == 0 {
		b.mu.Unlock()
		return
	}
	turns := b.fresh()
	b.mu.Unlock()
	b.announce(ctx, turns)
}

// count enters an outcome, and opens a closed breaker that has had enough. b.mu is held.
func (b *Breaker) count(e *era, o outcome, err error, now time.Duration) {
	switch o {
	case success:
		e.tally.add(now, 1, 0)
		e.streak = 0
		e.well.Store(e.state == Closed)
	case failure:
		e.well.Store(false)
		e.tally.add(now, 0, 1)
		e.streak++
		b.failedAt = now
		if e.state == Closed && b.tooMany(e) {
			b.open(b.openFor, err)
		}
	case neutral:
		e.neutral++
	}
}

// tooMany is asked after a failure only: a success opens nothing.
func (b *Breaker) tooMany(e *era) bool {
	ok, failed := e.tally.ok, e.tally.failed
	return b.consecutive > 0 && e.streak >= b.consecutive ||
		b.failures > 0 && failed >= b.failures ||
		b.ratio > 0 && ok+failed >= b.minimum && float64(failed)/float64(ok+failed) >= b.ratio
}

// under runs do with the lock held and the state brought up to now, and then tells what changed.
// It does nothing with a breaker that New has not made.
func (b *Breaker) under(do func(e *era, now time.Duration)) {
	if !b.made() {
		return
	}
	b.mu.Lock()
	now := b.present(b.now())
	b.catchUp(now)
	do(b.era.Load(), now)
	turns := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), turns)
}

// Isolate rejects all calls until Release, past the open time and whatever the outcomes of calls
// under way. The rejection Is [ErrOpen] and its RetryAfter is 0: unknown. With [Shadow] nothing is
// rejected.
func (b *Breaker) Isolate() {
	b.under(func(e *era, now time.Duration) {
		if e.state != Isolated {
			b.enter(&era{state: Isolated, since: now, cause: e.cause}, nil)
		}
		b.isolateFleet(now)
	})
	b.tellByHand()
}

// Release ends an isolation: the breaker is closed and clean, without a ramp. It does nothing to a
// breaker that is not isolated.
func (b *Breaker) Release() {
	b.under(func(e *era, now time.Duration) {
		if e.state == Isolated {
			b.failedAt = -1
			b.enter(b.newClosed(now), nil)
		}
		b.releaseFleet(now)
	})
	b.tellByHand()
}

// Trip opens the breaker for [OpenFor] from now, as if a call had failed with cause: for a health
// check, the announcement of an outage, or a rule of your own. If it is open already it stays open
// for OpenFor from now; if it is isolated it stays isolated. The cause stands in rejections and
// changes; it may be nil.
func (b *Breaker) Trip(cause error) {
	b.under(func(e *era, now time.Duration) {
		if e.state != Isolated {
			b.failedAt = now
			b.open(b.openFor, cause)
		}
	})
}
