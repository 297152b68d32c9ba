package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// What an opening is told of a probe.
var (
	errFailed    = errors.New("failed")
	errNoVerdict = errors.New("no verdict")
)

// probe is the part of a flight that only calls of the half-open state have.
type probe struct {
	done  func(error) // gives its permit back to the opening
	late  bool        // it holds no place any more
	ask   bool        // the fleet, before the call is made
	sent  bool        // for the fleet
	turns []turn      // made by the admission
}

// inside makes the call of a probe, or one inside a probe. Calls made with its context are part of
// the probe; of is the policy by which they find that.
func inside(ctx context.Context, of any, next retry.Next) error {
	var held retry.Held
	held.Enter(ctx, of)
	defer held.Leave()
	return next.Do(ctx)
}

// freeOverdue frees the places of the probes that have been out for as long as ProbeLimit: others
// may go beside them. Their own outcomes still count when they come. So a callee that is slower
// than the limit can close the breaker, and one that hangs cannot hold it half-open. b.mu is held.
func (b *Breaker) freeOverdue(e *era, now time.Duration) {
	for f := e.flights.first; f != nil && now-f.start >= b.probeLimit; f = e.flights.first {
		e.flights.remove(f)
		f.late = true
		f.done(errNoVerdict)
	}
}

// probeEnds counts the outcome of a probe and does what the opening makes of it. b.mu is held.
func (b *Breaker) probeEnds(e *era, f *flight, o outcome, err error, now time.Duration) {
	b.count(e, o, err, now)
	if !f.late {
		e.flights.remove(f)
	}
	switch {
	case o == success:
		f.done(nil)
	case o == failure:
		f.done(errFailed)
	case !f.late: // a late one has given its place back already
		f.done(errNoVerdict)
	}
	switch e.opening.state {
	case gobreaker.StateClosed:
		b.tellFleet(e, success)
		b.close(now)
	case gobreaker.StateOpen:
		b.tellFleet(e, failure)
		b.open(b.grown(e.openFor), err)
	default:
		if f.sent && o != success { // one of several that succeeded keeps the fleet's probe
			b.tellFleet(e, neutral)
		}
	}
}

// untilProbe is the RetryAfter given while all probes are out. When one returns is not known, but
// "unknown" would make a retry loop give up just when the callee may be back. So it is a tenth of
// the open time, or as long again as the oldest probe has been out if that is longer: then a slow
// probe brings few useless attempts. It is no later than the limit of that probe.
func (b *Breaker) untilProbe(e *era, now time.Duration) time.Duration {
	f := e.flights.first
	if f == nil {
		return max(1, e.openFor/10)
	}
	return max(1, min(max(e.openFor/10, now-f.start), f.start+b.probeLimit-now))
}
