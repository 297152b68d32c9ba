package ratelimit

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// flight is the context of a call that a pacer let go. A call of the same pacer made with it is
// nested: its caller holds a place in flight until it is done, so it must not wait for one.
type flight struct {
	context.Context
	pacer  *Pacer
	pass   pass
	lender *flight     // the call around it that lent it its place; nil: it has its own
	lent   atomic.Bool // to a nested call
	begun  atomic.Bool // to be answered

	settled bool // the machine knows the outcome
}

// flightKey is the key of the innermost flight of a pacer.
type flightKey struct{ *Pacer }

// Value finds the flight itself, besides the values around it.
func (f *flight) Value(key any) any {
	switch k := key.(type) {
	case flightKey:
		if k.Pacer == f.pacer {
			return f
		}
	case retry.AnswerKey:
		return f
	}
	return f.Context.Value(key)
}

// abandon settles a call if that did not happen: an observer, the call or Refused ended in a panic
// or Goexit, which says nothing.
func (f *flight) abandon() {
	if !f.settled {
		f.pacer.settle(f, &reply{verdict: noVerdict})
	}
}

// Answered ends the time of the answer for this pacer, and for those around: see [retry.Answered].
func (f *flight) Answered() {
	f.began()
	retry.Answered(f.Context)
}

// began ends the time of the answer for this pacer alone.
func (f *flight) began() {
	if f.begun.CompareAndSwap(false, true) {
		f.pacer.answered(f.pass)
	}
}

var errNestedAtOnce = fmt.Errorf("%w: several calls at once within a call of the same pacer, "+
	"and no place in flight is free: make them one after the other", ErrLimited)

// lend returns f if its place is free for a nested call, and nil otherwise.
func (f *flight) lend() *flight {
	if f.lent.CompareAndSwap(false, true) {
		return f
	}
	return nil
}

// takeBack ends a lend. A nil flight has lent nothing.
func (f *flight) takeBack() {
	if f != nil {
		f.lent.Store(false)
	}
}

// enterNested lets a call go that is made from inside another. It is paced like any call but does
// not wait for a place in flight: it shares the place of the call around it, or takes a free one.
// While it waits no other call goes, so its turn is the next.
func (p *Pacer) enterNested(
	ctx context.Context, outer *flight,
) (c pass, lender *flight, err error) {
	w, _ := newWaiter[queued](ctx, 1, time.Now())
	outer.began() // the time from here on is the nested call's
	lent := outer.lend()
	sent, entered := false, false
	defer func() {
		if sent && !entered { // an observer panicked
			p.undo(c)
		}
		if !entered {
			lent.takeBack()
		}
	}()
	c, expected, err := p.takeTurn(ctx, lent != nil, w)
	sent = err == nil
	if err != nil {
		return c, nil, p.turnedAway(ctx, expected, err)
	}
	if expected > 0 {
		retry.Emit(ctx, retry.Event{
			Kind: retry.KindWait, Policy: p.who(), Wait: expected, Took: time.Since(w.arrived),
		})
	}
	entered = true
	return c, lent, nil
}

// takeTurn waits for the turn of a nested call and takes it. shares says that the call shares the
// place of the call around it. It returns the wait that was expected.
func (p *Pacer) takeTurn(
	ctx context.Context, shares bool, w *waiter[queued],
) (c pass, expected time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.dispatch(p.now()) }() // not before: the line would take the turn
	if !shares && !p.machine.Free() {
		return c, 0, p.rejection(errNestedAtOnce, 0)
	}
	for {
		now := p.now()
		wait := max(duration(p.machine.NextNested(now.Seconds())-now.Seconds()), p.crew.wait(now))
		if wait == 0 {
			c.at = now
			token := p.crew.spend(now)
			if shares {
				c.Ticket = p.machine.OnSendNested(now.Seconds())
			} else {
				c.Ticket = p.machine.OnSend(now.Seconds())
			}
			c.Token = token
			return c, expected, nil
		}
		expected = max(expected, wait)
		if reason := w.misfit(p.clock(now).Add(wait), p.maxWait); reason != nil {
			return c, wait, p.rejection(reason, wait)
		}
		if err := p.sleepAhead(ctx, wait); err != nil {
			return c, expected, &retry.Rejection{Policy: p.who(), Reason: err}
		}
	}
}

// sleepAhead waits ahead of the line, which its caller dispatches afterwards. It is called with
// p.mu held, and unlocks it for the wait.
func (p *Pacer) sleepAhead(ctx context.Context, wait time.Duration) error {
	p.nested++
	p.dispatch(p.now())
	p.mu.Unlock()
	timer := time.NewTimer(max(wait, leastWait))
	defer func() {
		timer.Stop()
		p.mu.Lock()
		p.nested--
	}()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return retry.Ended(ctx)
}
