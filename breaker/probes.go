package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// What an opening is told of a probe.
var (
	errFailed    = errors.New("failed")
	errNoVerdict = errors.New("no verdict")
)

// freeOverdue takes their place from the probes that have been out for as long as ProbeLimit: another
// may go beside them. Their own outcome still counts, when it comes. So a callee that is slower than
// the limit can close the breaker, and one that hangs cannot hold it. b.mu is held.
func (b *Breaker) freeOverdue(e *era, now time.Duration) {
	for f := e.flights.first; f != nil && now-f.start >= b.probeLimit; f = e.flights.first {
		e.flights.remove(f)
		f.late = true
		f.done(errNoVerdict)
	}
}

// probeEnds counts the outcome of a probe and does what the opening makes of it. b.mu is held.
func (b *Breaker) probeEnds(e *era, f *flight, o outcome, err error, now time.Duration) {
	f.over = true
	if f.outer != nil { // part of a probe, and not counted
		if f.outer.inner == f {
			f.outer.inner = nil
		}
		return
	}
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
		b.close(now)
	case gobreaker.StateOpen:
		b.open(b.grown(e.openFor), err)
	}
}

// untilProbe is the RetryAfter given while all probes are out. Nobody knows when one returns, and
// "unknown" would make a retry loop give up just when the callee may be back. So it is a tenth of the
// open time, or as long again as the oldest probe has been out, which makes few visits of a slow
// probe; but no later than its limit.
func (b *Breaker) untilProbe(e *era, now time.Duration) time.Duration {
	f := e.flights.first
	if f == nil {
		return max(1, e.openFor/10)
	}
	return max(1, min(max(e.openFor/10, now-f.start), f.start+b.probeLimit-now))
}

// insideProbe is the context of a probe. A call that is made with it through the same breaker is part
// of the probe: it waits for no place of its own, which the probe that waits for it holds.
type insideProbe struct {
	context.Context
	breaker *Breaker
	flight  *flight
}

type probeKey struct{ *Breaker }

func (p *insideProbe) Value(key any) any {
	if key == any(probeKey{p.breaker}) {
		return p.flight
	}
	return p.Context.Value(key)
}

// probeAround is the probe of this breaker that a call with ctx is made from, nil if none. It runs code
// of the context, so it is asked before the lock is taken.
func (b *Breaker) probeAround(ctx context.Context) *flight {
	f, _ := ctx.Value(probeKey{b}).(*flight)
	return f
}

// probing reports whether f is a probe of this era, or a call inside one, that has not ended. b.mu is
// held.
func (e *era) probing(f *flight) bool { return f != nil && f.era == e && !f.over }

// nest is a call inside f, or nil if there is one already: one at a time goes through. As for a probe,
// one that has been out for the limit no longer holds its place. b.mu is held.
func (f *flight) nest(now, limit time.Duration) *flight {
	if f.inner != nil && now-f.inner.start < limit {
		return nil
	}
	f.inner = &flight{start: now, era: f.era, outer: f}
	return f.inner
}
