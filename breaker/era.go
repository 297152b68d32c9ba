package breaker

import (
	"time"

	"github.com/sony/gobreaker/v2"
)

// era is a stretch of time in one state. Which era a call was admitted in is its generation: a result that belongs to
// another one than the present changes nothing. Times are counted from the making of the breaker.
type era struct {
	state   State
	since   time.Duration
	until   time.Duration // Open: when the first probe may go; Closed: when the ramp is over
	openFor time.Duration // Open and HalfOpen: how long the opening lasts, which OpenGrowth makes longer
	cause   error         // what opened the breaker

	// All below is guarded by Breaker.mu; all above never changes.
	tally   tally
	streak  int // consecutive failures
	neutral int
	flights flights // HalfOpen: probes that are out; Closed: calls in flight, with SlowInFlight
	ramp    ramp
}

// newEngine makes the gobreaker that counts probes: it opens at the first failure it is told of, gives out permits once it
// is half-open, and decides when they close it.
//
// It does not see the calls of the closed state. Its windows lose the result of a call that began before them (rule 31), its
// Allow allocates a closure per call, and counting beside it would take two locks on each side of a call instead of none and
// one. Its timeout is fixed and exclusive, while ours grows, is restored, and admits whoever waits exactly that long; so it
// gets the shortest there is and until decides when it is asked at all.
func newEngine(probes int) *engine {
	g := &engine{}
	g.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:   uint32(probes),
		Timeout:       1,
		ReadyToTrip:   func(gobreaker.Counts) bool { return true },
		IsExcluded:    func(err error) bool { return err == errNoVerdict },
		OnStateChange: func(_ string, _, to gobreaker.State) { g.turned = to },
	})
	return g
}

// engine is such a gobreaker, and how it has turned. To ask it for its state would be too late: it is open for a nanosecond only.
type engine struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	turned gobreaker.State // by its last change; guarded by Breaker.mu, as all of it
}

// refusal is why a call is refused in this era.
func (e *era) refusal() error {
	if e.state == Isolated {
		return errIsolated
	}
	return ErrOpen
}

// left is how long an open era still lasts. It is 0 too where the clock has gone back, which present is to see.
func (e *era) left(now time.Duration) time.Duration {
	if now < e.since {
		return 0
	}
	return max(0, e.until-now)
}

// settle brings the state up to now: what the passing of time has changed since anybody last looked. b.mu is held.
//
// Time is looked at when a call comes or the state is asked for, and not by a timer: a breaker that nobody uses costs
// nothing, and one that is dropped leaves nothing behind.
func (b *Breaker) settle(now time.Duration) {
	switch e := b.era.Load(); e.state {
	case Closed:
		b.countOverdue(e, now)
	case HalfOpen:
		if p := e.flights.first; p != nil && now-p.start >= b.probeLimit {
			b.probeHangs(e, p.start+b.probeLimit)
			b.settle(now)
		}
	case Open:
		if now >= e.until && b.engine.State() == gobreaker.StateHalfOpen {
			b.spare = openedEngine(b.probes, e.cause)
			b.enter(&era{state: HalfOpen, since: now, openFor: e.openFor, cause: e.cause}, e.cause)
		}
	}
}

// trip opens a closed breaker. b.mu is held.
func (b *Breaker) trip(now time.Duration, cause error) {
	openEngine(b.engine, cause)
	b.open(now, b.openFor, cause)
}

func openEngine(g *engine, cause error) {
	if cause == nil {
		cause = errUnknown
	}
	if done, err := g.Allow(); err == nil {
		done(cause)
	}
}

// openedEngine makes one that is about to give out probes.
func openedEngine(probes int, cause error) *engine {
	g := newEngine(probes)
	openEngine(g, cause)
	return g
}

// reopen opens it after a failed probe, for longer than the last time if so configured. b.mu is held.
func (b *Breaker) reopen(e *era, at time.Duration, cause error) {
	b.open(at, b.grown(e.openFor), cause)
}

func (b *Breaker) open(at, openFor time.Duration, cause error) {
	b.lastFailure = cause
	openFor = max(2, openFor) // ns, as the engine's time is over after 1 ns and not at it
	b.enter(&era{state: Open, since: at, until: after(at, openFor), openFor: openFor, cause: cause}, cause)
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
	if b.ratio > 0 {
		e.tally = newTally(b.window, b.buckets, now)
	}
	return e
}

// enter begins a new era and notes the change for the listeners. b.mu is held.
func (b *Breaker) enter(e *era, cause error) {
	from := b.era.Swap(e).state
	if from == e.state {
		return
	}
	b.changes = append(b.changes, Change{Name: b.name, From: from, To: e.state, Time: b.wall(e.since), Cause: cause})
}

// probeHangs opens the breaker as of at, when its oldest probe reached its limit, though it may be noticed
// so much later that the open time is over too. An engine that were opened only then would refuse the probe that is due, as it
// needs a moment to pass; so the spare takes over, which was opened before. b.mu is held.
func (b *Breaker) probeHangs(e *era, at time.Duration) {
	b.engine = b.spare
	b.reopen(e, at, errProbeHangs)
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
