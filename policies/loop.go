package policies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

// loop is every retry loop of this package; they differ in their schedule only.
type loop struct {
	config
	name  string // for events
	fresh func() backoff.BackOff
	err   error
}

// Validate reports bad options.
func (l *loop) Validate() error { return l.err }

// Idle is true unless the budget of the loop remembers something.
func (l *loop) Idle() bool { return l.budget == nil || l.budget.Idle() }

// epoch makes reading the clock cheap: a difference needs the monotonic reading only.
var epoch = time.Now()

func now() time.Duration { return time.Since(epoch) }

// Do is the whole price of a success: two questions to ctx and one reading of the clock.
func (l *loop) Do(ctx context.Context, next retry.Next) error {
	if l.err != nil {
		return l.err
	}
	inner := retry.Depth(ctx) > 0
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	if inner && l.outermost {
		return next.Do(ctx)
	}
	begun := now()
	if l.maxCalls > 0 || inner && creditOf(ctx) != nil {
		r := run{loop: l, ctx: ctx, next: next, begun: begun}
		return r.metered()
	}
	err := next.Try(ctx, 1)
	if err != nil {
		r := run{loop: l, ctx: ctx, next: next, begun: begun}
		return r.rest(err)
	}
	if l.budget != nil {
		l.budget.succeeded(true)
	}
	return nil
}

// run is one call of a loop, from its first failure on.
type run struct {
	*loop
	ctx   context.Context
	next  retry.Next
	begun time.Duration

	made     int   // attempts that were no rejections
	last     error // the failure of the last of them
	refusals int   // rejections in a row
	waits    waits

	meter  *meter // of MaxCalls, of this loop or one around; nil: none
	token  bool   // a budget's token is held for an attempt that has not been made
	called bool   // likewise one of the meter's calls
}

// rest goes on after err, the outcome of an attempt that failed.
func (r *run) rest(err error) error {
	defer r.giveBack()
	for {
		wait, over := r.judge(err)
		if over == nil {
			over = r.wait(wait, err)
		}
		if over != nil {
			retry.Emit(r.ctx, r.event(retry.Event{Kind: retry.KindGiveUp, Err: over}))
			return over
		}
		if err = r.try(); err == nil {
			if r.budget != nil {
				r.budget.succeeded(r.made == 0)
			}
			return nil
		}
	}
}

// try makes one attempt. What was held for it is spent, unless a policy further in did not let it through.
func (r *run) try() error {
	ctx, token := r.ctx, r.token
	var c *credit
	if r.meter != nil {
		c = r.meter.credit(ctx)
		ctx = c
	}
	r.token, r.called = false, false
	err := r.next.Try(ctx, r.made+1)
	if err == nil {
		return nil
	}
	if _, rejected := retry.Rejected(err); rejected {
		r.token, r.called = token, c != nil && c.take()
	}
	return err
}

func (r *run) giveBack() {
	if r.token {
		r.budget.giveBack()
	}
	if r.called {
		r.meter.giveBack()
	}
	r.token, r.called = false, false
}

// judge decides what follows on err: a wait, or the error that ends the call.
func (r *run) judge(err error) (wait time.Duration, over error) {
	if errors.Is(err, retry.ErrConfig) {
		if r.made == 0 {
			return 0, err
		}
		return 0, r.giveUp(err, 0)
	}
	if refusal, rejected := retry.Rejected(err); rejected {
		return r.rejected(err, refusal)
	}
	r.refusals = 0
	ended := retry.Ended(r.ctx)
	if ended != nil && errors.Is(err, r.ctx.Err()) && err.Error() == ended.Error() {
		// Nothing but the end of ctx: no failure of the callee. It is counted, though it may come from a policy that was waiting
		// further in and made no call: nobody can tell, and the error of a call that heeds its context is the usual one.
		if r.made == 0 {
			return 0, err
		}
		r.made++
		return 0, r.giveUp(ended, 0)
	}
	r.made++
	if inner, ok := err.(*retry.Error); !ok || inner.Last != nil || r.last == nil { // an inner loop that could not call has no failure of its own
		r.last = err
	}
	switch {
	case retry.IsPermanent(err) || stopsCenkalti(err):
		return 0, r.final(err)
	case ended != nil:
		return 0, r.giveUp(ended, 0)
	case r.retryIf != nil && !r.retryIf(err):
		return 0, r.final(err)
	}
	return r.again(err)
}

// again is for a failure that is worth another attempt: is there one left, and when?
func (r *run) again(err error) (wait time.Duration, over error) {
	if r.budget != nil {
		r.budget.failed(r.made == 1)
	}
	if r.attempts > 0 && r.made >= r.attempts {
		return 0, r.giveUp(retry.ErrExhausted, 0)
	}
	if r.waits.schedule == nil {
		r.waits.schedule = r.fresh()
	}
	wait, ok := r.waits.next(&r.config)
	if !ok {
		return 0, r.giveUp(retry.ErrExhausted, 0)
	}
	if hint, _ := retry.RetryAfter(err); hint > 0 {
		if hint > r.hintCap {
			return 0, r.giveUp(errOverCap, hint)
		}
		if r.jitter != NoJitter { // upwards only: earlier than asked would be refused again
			hint = between(hint, min(hint+min(hint/10, r.hintCap-hint), r.room()))
		}
		wait = max(wait, hint)
	}
	switch {
	case r.tooLate(r.begun, wait):
		return 0, r.giveUp(retry.ErrExhausted, wait)
	case !retry.Fits(r.ctx, wait):
		return 0, r.giveUp(context.DeadlineExceeded, wait)
	case r.meter != nil && !r.meter.take(nil):
		return 0, r.giveUp(errNoCalls, 0)
	}
	r.called = r.meter != nil
	if r.budget != nil {
		if !r.budget.withdraw() {
			refused := &retry.Rejection{Policy: r.budget.who(), Reason: ErrBudget}
			retry.Emit(r.ctx, retry.Event{Kind: retry.KindReject, Policy: refused.Policy, Err: refused})
			return 0, r.giveUp(refused, 0)
		}
		r.token = true
	}
	return wait, nil
}

// rejected is for an attempt that a policy further in refused: no failure, no attempt used, no jitter. The refusal tells how
// long to wait, or there is no wait: what a failure beside it asks for may make it longer, but is no answer to when it ends.
func (r *run) rejected(err error, refusal *retry.Rejection) (wait time.Duration, over error) {
	wait = refusal.RetryAfter
	if _, inner := errors.AsType[*retry.Error](err); wait > 0 && !inner { // an inner loop has waited for what its failure asked
		wait, _ = retry.RetryAfter(err)
	}
	ended := retry.Ended(r.ctx)
	switch {
	case ended != nil:
		return 0, r.giveUp(both(err, ended), 0)
	case wait == 0 || retry.IsPermanent(err):
		if r.made == 0 {
			return 0, err
		}
		return 0, r.giveUp(err, 0)
	case r.attempts == 1, r.attempts > 0 && r.refusals >= r.attempts, wait > r.hintCap, r.tooLate(r.begun, wait):
		return 0, r.giveUp(both(err, retry.ErrExhausted), wait)
	case !retry.Fits(r.ctx, wait):
		return 0, r.giveUp(both(err, context.DeadlineExceeded), wait)
	}
	r.refusals++
	return wait, nil
}

// wait tells of the next attempt and sleeps until it is due.
func (r *run) wait(wait time.Duration, err error) error {
	if r.refusals == 0 {
		retry.Emit(r.ctx, r.event(retry.Event{Kind: retry.KindRetry, Wait: wait, Err: err}))
		for _, listener := range r.onRetry {
			listener(r.ctx, r.made, wait, err)
		}
	}
	e := r.event(retry.Event{Wait: wait})
	if r.refusals > 0 { // the attempt that was refused is none, and yet to come
		e.Attempt = r.made + 1
	}
	cut := retry.Wait(r.ctx, e)
	if cut == nil {
		return nil
	}
	if r.ctx.Err() == nil { // the listeners took so long that the wait does not fit any more
		cut = context.DeadlineExceeded
	} else {
		wait = 0
	}
	if r.refusals > 0 {
		cut = both(cut, err)
	}
	return r.giveUp(cut, wait)
}

// event is e as this loop tells it, of the last attempt that it made.
func (r *run) event(e retry.Event) retry.Event {
	e.Policy, e.Attempt, e.Depth = r.name, max(1, r.made), retry.Depth(r.ctx)+1
	return e
}

// final ends the call with a failure that is not worth repeating; the first attempt's comes back as it was.
func (r *run) final(err error) error {
	if r.made == 1 {
		return err
	}
	return r.giveUp(retry.ErrPermanent, 0)
}

func (r *run) giveUp(reason error, wait time.Duration) error {
	return &retry.Error{Reason: reason, Attempts: r.made, Elapsed: now() - r.begun, Wait: wait, Last: r.last}
}

// errOverCap is ErrExhausted by a hint over its cap. httpx asks for the method: such a response is not handed back.
var errOverCap error = overCapError{}

type overCapError struct{}

func (overCapError) Error() string { return retry.ErrExhausted.Error() }
func (overCapError) Unwrap() error { return retry.ErrExhausted }
func (overCapError) OverCap()      {}

// tooLate reports whether a wait that begins now would go beyond MaxElapsed.
func (c *config) tooLate(begun, wait time.Duration) bool {
	return c.maxElapsed > 0 && wait > c.maxElapsed-(now()-begun)
}

// room is the longest wait that still fits.
func (r *run) room() time.Duration {
	room := unbounded
	if deadline, ok := r.ctx.Deadline(); ok {
		room = time.Until(deadline) - 1 // see retry.Fits
	}
	if r.maxElapsed > 0 {
		room = min(room, r.maxElapsed-(now()-r.begun))
	}
	return room
}

// both is an error that Is each of two; only the first if that says it all.
func both(err, also error) error {
	if errors.Is(err, also) {
		return err
	}
	return fmt.Errorf("%w: %w", err, also)
}

// stopsCenkalti finds cenkalti's mark for final errors, which functions written for backoff.Retry return. Like the marks of
// retry it is not seen behind retry.Unmark, therefore not errors.As.
func stopsCenkalti(err error) bool {
	for err != nil {
		switch e := err.(type) {
		case *backoff.PermanentError:
			return true
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, member := range e.Unwrap() {
				if stopsCenkalti(member) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}
