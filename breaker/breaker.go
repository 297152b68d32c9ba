package breaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// ErrOpen is the reason of a [retry.Rejection] by a breaker, whether it is open, isolated, or has all its probes out.
var ErrOpen = errors.New("circuit breaker is open")

// errIsolated is told apart from it by people only.
var errIsolated error = isolatedError{}

type isolatedError struct{}

func (isolatedError) Error() string        { return "circuit breaker is isolated" }
func (isolatedError) Is(target error) bool { return target == ErrOpen }

var (
	errAborted    = errors.New("the call panicked or ended its goroutine")
	errProbeHangs = errors.New("a probe did not return within its limit")
	errOverdue    = errors.New("a call is still running after the slow limit")
	errUnknown    = errors.New("unknown failure")
	errNoVerdict  = errors.New("no verdict")
)

// Breaker is a circuit breaker: a [retry.Policy] that refuses calls to a callee that has failed too often, and tries
// again after a while with a few probes. Make it with [New], once per callee, and share it; the zero Breaker is a
// configuration error.
//
// Most callers only put it in a chain. State and Counts are for looking, Isolate and Release for the operator's hand,
// Snapshot and Restore for a restart. All methods may be called by many goroutines at once, and from a listener.
type Breaker struct {
	config
	name   string
	policy string // the name in rejections and events
	err    error  // bad configuration
	clock

	era atomic.Pointer[era] // swapped under mu

	mu          sync.Mutex
	latest      time.Duration // the latest moment seen by present
	engine      *engine
	spare       *engine // HalfOpen: open, for when a probe hangs
	lastFailure error
	failedAt    time.Duration // when it was, for Idle; negative: never
	changes     []Change      // made under the lock that is held, to be told when it is free
	pending     []Change      // for the listeners
	telling     bool          // a goroutine is telling them

	shadowed shadowed
}

// New makes a closed breaker. The name is for people: it stands in rejections ("breaker catalog"), events and changes.
// Without options it opens after 5 consecutive failures, for 30 s, and one successful probe closes it.
func New(name string, opts ...Option) *Breaker {
	b := &Breaker{name: name, policy: "breaker " + name, clock: clock{born: time.Now()}, failedAt: -1}
	b.config, b.err = configure(b.policy, opts)
	b.engine = newEngine(b.probes)
	b.era.Store(b.newClosed(0))
	return b
}

// Validate reports bad options, and a breaker that New has not made. The error Is [retry.ErrConfig]; every call fails with
// it too.
func (b *Breaker) Validate() error {
	if b == nil || b.era.Load() == nil {
		return errZero
	}
	return b.err
}

var errZero = retry.ConfigErrorf("breaker", "made without breaker.New")

// Do admits the call or refuses it, with a [*retry.Rejection] that Is [ErrOpen], and counts its outcome.
func (b *Breaker) Do(ctx context.Context, next retry.Next) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	if e := b.era.Load(); e.state == Open && !b.shadow { // a refusal pays for nothing that a call needs
		if left := e.left(b.now()); left > 0 {
			return b.rejection(ctx, e, left)
		}
	}
	return b.call(ctx, next)
}

func (b *Breaker) call(ctx context.Context, next retry.Next) error {
	p, err := b.admit(ctx)
	if err != nil {
		return err
	}
	// No recover: a panic keeps its value and its stack, and Goexit, which cannot be recovered, takes the same way out.
	outcome := errAborted
	defer func() { b.report(ctx, p, outcome) }()
	if p.changes != nil {
		b.announce(ctx, p.changes) // not earlier: a listener may panic, and the permit must come back
	}
	outcome = next.Do(ctx)
	return outcome
}

// permit is the right to one call.
type permit struct {
	era     *era          // nil: a call that is let through in shadow mode
	start   time.Duration // by raw, where the duration matters
	flight  *flight       // a probe, or a call that is counted while it runs
	changes []Change      // made by the admission
}

// admit takes no lock in the two states that matter for cost: closed, and open with time left.
func (b *Breaker) admit(ctx context.Context) (permit, error) {
	e := b.era.Load()
	p := permit{era: e}
	switch e.state {
	case Closed:
		if b.inFlight || e.until > 0 && b.now() < e.until {
			break
		}
		if b.slow > 0 {
			p.start = b.raw()
		}
		return p, nil
	case Isolated:
		return b.refuse(ctx, e, 0)
	case Open:
		if left := e.left(b.now()); left > 0 {
			return b.refuse(ctx, e, left)
		}
	}
	return b.admitLocked(ctx)
}

func (b *Breaker) admitLocked(ctx context.Context) (permit, error) {
	b.mu.Lock()
	now := b.present(b.now())
	b.settle(now)
	e := b.era.Load()
	p, wait := b.take(e, now)
	p.changes = b.fresh()
	b.mu.Unlock()

	if p.era == nil {
		b.announce(ctx, p.changes)
		return b.refuse(ctx, e, wait)
	}
	return p, nil
}

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
		done, err := b.engine.Allow()
		if err != nil {
			return permit{}, b.untilProbe(e, now)
		}
		p.flight = e.flights.add(now)
		p.flight.done = done
		return p, 0
	case Open:
		return permit{}, max(1, e.until-now)
	}
	return permit{}, 0
}

// untilProbe is what a caller is told that finds all probes out. Nobody knows when one returns, and "unknown" would make a
// retry loop give up just when the callee may be back: so a tenth of the open time, or as long again as the oldest probe
// has been out, which makes few visits of a slow probe; but no later than its limit.
func (b *Breaker) untilProbe(e *era, now time.Duration) time.Duration {
	p := e.flights.first
	if p == nil {
		return e.openFor
	}
	return max(1, min(max(e.openFor/10, now-p.start), p.start+b.probeLimit-now))
}

// refuse gives the error; in shadow mode a permit instead, whose outcome is for the shadow counts only.
func (b *Breaker) refuse(ctx context.Context, e *era, wait time.Duration) (permit, error) {
	if !b.shadow {
		return permit{}, b.rejection(ctx, e, wait)
	}
	b.shadowed.refused.Add(1)
	r := &retry.Rejection{Policy: b.policy, Reason: e.refusal(), RetryAfter: wait, Cause: e.cause}
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: b.policy, Wait: wait, Err: r, To: "in shadow mode: let through"})
	return permit{}, nil
}

func (b *Breaker) rejection(ctx context.Context, e *era, wait time.Duration) error {
	r := &retry.Rejection{Policy: b.policy, Reason: e.refusal(), RetryAfter: wait, Cause: e.cause}
	if retry.Observed(ctx) {
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: b.policy, Wait: wait, Err: r})
	}
	return r
}

// report settles the books of one call. It runs on every way out of it.
func (b *Breaker) report(ctx context.Context, p permit, err error) {
	var now, took time.Duration
	timed := b.slow > 0 || p.flight != nil || b.ratio > 0
	if timed {
		raw := b.raw()
		now, took = raw+b.shift(), raw-p.start
	}
	v, err := b.judge(ctx, err, took)
	if p.era == nil {
		b.shadowed.report(v)
		return
	}
	if b.era.Load() != p.era {
		return // admitted before the last change of state
	}
	if v == failure && !timed {
		now, timed = b.now(), true
	}
	b.mu.Lock()
	if timed {
		now = b.present(now)
	}
	if p.flight != nil {
		b.settle(now) // it may have reached its limit before anybody looked
	}
	if b.era.Load() == p.era {
		b.count(p, v, err, now)
	}
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(ctx, changes)
}

// count enters the outcome of a call of the present era. b.mu is held.
func (b *Breaker) count(p permit, v verdict, err error, now time.Duration) {
	e := p.era
	if e.state == Closed {
		if p.flight == nil || !b.land(e, p.flight, v, err, now) {
			b.tell(e, v, err, now)
		}
		return
	}
	b.tell(e, v, err, now)
	e.flights.remove(p.flight)
	b.engine.turned = gobreaker.StateHalfOpen
	switch v {
	case success:
		p.flight.done(nil)
	case failure:
		p.flight.done(err)
	default:
		p.flight.done(errNoVerdict)
	}
	switch b.engine.turned {
	case gobreaker.StateClosed:
		b.close(now)
	case gobreaker.StateOpen:
		b.reopen(e, now, err)
	}
}

// tell counts a verdict, and opens a closed breaker that has had enough. b.mu is held.
func (b *Breaker) tell(e *era, v verdict, err error, now time.Duration) {
	switch v {
	case success:
		e.tally.add(now, 1, 0)
		e.streak = 0
	case failure:
		e.tally.add(now, 0, 1)
		e.streak++
		b.lastFailure, b.failedAt = err, now
		if e.state == Closed && b.tooMany(e) {
			b.trip(now, err)
		}
	case neutral:
		e.neutral++
	}
}

// tooMany is asked after a failure only: a success opens nothing.
func (b *Breaker) tooMany(e *era) bool {
	if b.consecutive > 0 && e.streak >= b.consecutive {
		return true
	}
	ok, failed := e.tally.ok, e.tally.failed
	return b.ratio > 0 && ok+failed >= b.minimum && float64(failed)/float64(ok+failed) >= b.ratio
}

// State tells the state now.
func (b *Breaker) State() State {
	b.mu.Lock()
	b.settle(b.present(b.now()))
	s := b.era.Load().state
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), changes)
	return s
}

// Counts tells what has been counted in the present state.
func (b *Breaker) Counts() Counts {
	b.mu.Lock()
	now := b.present(b.now())
	b.settle(now)
	e := b.era.Load()
	e.tally.advance(now)
	c := Counts{Successes: e.tally.ok, Failures: e.tally.failed, Neutral: e.neutral, ConsecutiveFailures: e.streak}
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), changes)
	return c
}

// Isolate refuses all calls until Release. The rejection says so, Is [ErrOpen], and tells no time to come back. With [Shadow]
// nothing is refused, here neither.
func (b *Breaker) Isolate() {
	b.mu.Lock()
	now := b.present(b.now())
	b.settle(now)
	if b.era.Load().state != Isolated {
		b.enter(&era{state: Isolated, since: now, cause: b.lastFailure}, nil)
	}
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), changes)
}

// Release ends an isolation: the breaker is closed and clean, without a ramp. On one that is not isolated it does nothing.
func (b *Breaker) Release() {
	b.mu.Lock()
	if b.era.Load().state == Isolated {
		b.engine = newEngine(b.probes)
		b.lastFailure, b.failedAt = nil, -1
		b.enter(b.newClosed(b.present(b.now())), nil)
	}
	changes := b.fresh()
	b.mu.Unlock()
	b.announce(context.Background(), changes)
}

// Idle reports whether the breaker could be forgotten without changing a decision: it is closed, not on its ramp, and has
// seen no failure for as long as its open time and its window last.
func (b *Breaker) Idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.present(b.now())
	e := b.era.Load()
	keep := b.openFor
	if b.ratio > 0 {
		keep = max(keep, b.window)
	}
	return e.state == Closed && now >= e.until && e.flights.first == nil && (b.failedAt < 0 || now-b.failedAt >= keep)
}
