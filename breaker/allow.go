package breaker

import (
	"context"
	"sync/atomic"

	"github.com/reprise-go/reprise/retry"
)

// Allow is Do in two steps, for a call whose outcome is known only later: a stream whose first
// message has yet to come, or that breaks in the middle. It admits the call or returns the error
// that Do would.
//
// The caller calls done once with the outcome, as soon as it says whether the callee is well: nil
// when a stream is established, its error if it breaks. Further calls of done do nothing, so that a
// deferred done(err) may follow an early done(nil). ctx is the call's: as with Do, an error that
// comes after the caller has cancelled it is not counted. [SlowCall] is measured until done.
//
// A done that never comes counts nothing. If it belongs to a probe, the probe no longer holds its
// place after [ProbeLimit].
func (b *Breaker) Allow(ctx context.Context) (done func(error), err error) {
	p, err := b.admit(ctx, retry.Next{})
	if err != nil {
		return nil, err
	}
	var called atomic.Bool
	done = func(err error) {
		if called.CompareAndSwap(false, true) {
			b.settle(ctx, p, err)
		}
	}
	told := false
	defer func() {
		if !told { // an observer panicked: the call is not made
			done(errAborted)
		}
	}()
	if p.flight != nil {
		b.announce(ctx, p.flight.turns)
	}
	told = true
	return done, nil
}
