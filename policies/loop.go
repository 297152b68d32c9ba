package policies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// loop is every retry loop of this package; they differ in their schedule only.
type loop struct {
	config
	name string        // for events
	text func() string // the schedule, for String
	err  error

	step    func(progress) (time.Duration, progress) // the schedule
	foreign bool                                     // it is the caller's: see Backoff
}

// Validate reports bad options.
func (l *loop) Validate() error { return l.err }

// Idle is true unless the budget of the loop remembers something.
func (l *loop) Idle() bool { return l.budget == nil || l.budget.Idle() }

// Stats are those of the budget; a loop itself holds nothing.
func (l *loop) Stats() []retry.Stat {
	if l.budget == nil {
		return nil
	}
	return l.budget.Stats()
}

// Prompt is true: see retry.Policy.
func (l *loop) Prompt(retry.Policy) bool { return true }

func now() time.Duration { return retry.Next{}.Clock() }

// Do asks ctx two questions and reads the clock once. A success costs nothing more.
func (l *loop) Do(ctx context.Context, next retry.Next) error {
	if l.err != nil {
		return l.err
	}
	inner := retry.Depth(ctx) > 0
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	if inner && (l.outermost || retry.RemoteLoop(ctx)) {
		return next.Do(ctx)
	}
	begun := next.Clock()
	if l.maxCalls > 0 || inner && creditOf(ctx) != nil {
		return l.metered(ctx, next, begun)
	}
	err := next.At(begun).Try(ctx, 1)
	if err != nil {
		return l.failed(ctx, next, begun, err)
	}
	if l.budget != nil {
		l.budget.succeeded(true, 0)
	}
	return nil
}

// failed goes on after a first attempt that failed. It is not in Do so that a run, which is large,
// is not on the stack of every call.
func (l *loop) failed(ctx context.Context, next retry.Next, begun time.Duration, err error) error {
	r := l.run(ctx, next, begun)
	r.verdict = retry.VerdictOf(err)
	return r.goOn(err)
}

// run is one call of a loop, from its first failure on.
type run struct {
	*loop
	ctx   context.Context
	next  retry.Next
	begun time.Duration

	verdict    retry.Verdict // on the last outcome
	made       int           // attempts that were not rejections
	last       error         // the failure of the last of them
	row        row
	rejections rejections
	sleeper    retry.Sleeper

	meter    *meter // of MaxCalls, of this loop or one around; nil: none
	paid     int64  // to the budget, for an attempt that has not been made
	credited bool   // likewise one of the meter's calls is taken
}

// row is a row of attempts, which ResetAfter begins anew.
type row struct {
	before  int           // attempts of earlier rows
	since   time.Duration // MaxElapsed counts from here
	started time.Duration // the attempt that runs or ran last
	waits   waits
}

func (l *loop) run(ctx context.Context, next retry.Next, begun time.Duration) run {
	return run{loop: l, ctx: ctx, next: next, begun: begun, row: row{since: begun, started: begun}}
}

// goOn is what follows err, the outcome of an attempt that failed.
func (r *run) goOn(err error) error {
	defer r.giveBack()
	for {
		wait, over := r.decide(err)
		if over == nil {
			over = r.wait(wait, err)
		}
		if over != nil {
			if retry.Observed(r.ctx) {
				retry.Emit(r.ctx, r.event(retry.Event{Kind: retry.KindGiveUp, Err: over}))
			}
			return over
		}
		if err = r.try(); err == nil {
			return nil
		}
	}
}

// try makes one attempt. What was taken for it is spent, unless a policy further in did not let it
// through.
func (r *run) try() error {
	ctx, paid := r.ctx, r.paid
	var c *credit
	if r.meter != nil {
		c = r.meter.credit(ctx)
		ctx = c
	}
	r.paid, r.credited = 0, false
	if r.resetAfter > 0 {
		r.row.started = now()
	}
	err := r.next.Try(ctx, r.number()+1)
	switch {
	case err != nil:
		if r.verdict = retry.VerdictOf(err); r.verdict.Unreached {
			r.paid, r.credited = paid, c != nil && c.take()
		}
	case r.budget != nil:
		r.budget.succeeded(r.made == 0, paid)
	}
	return err
}

func (r *run) giveBack() {
	if r.paid > 0 {
		r.budget.giveBack(r.paid)
	}
	if r.credited {
		r.meter.giveBack()
	}
	r.paid, r.credited = 0, false
}

// number is that of the last attempt, in its row.
func (r *run) number() int { return r.made - r.row.before }

// decide says what follows on err: a wait, or the error that ends the call.
func (r *run) decide(err error) (wait time.Duration, over error) {
	if r.verdict.Config {
		return 0, r.end(r.made == 0, err, err)
	}
	if r.verdict.Rejection != nil {
		return r.rejected(err)
	}
	r.rejections = rejections{}
	ended := retry.Ended(r.ctx)
	if ended != nil && errors.Is(err, r.ctx.Err()) && err.Error() == ended.Error() {
		// Nothing but the end of ctx: not a failure of the callee. It is counted, because the error
		// of a call that heeds its context looks the same.
		r.made++
		return 0, r.end(r.made == 1, err, ended)
	}
	r.count(err)
	switch {
	case r.verdict.Permanent || isFinal(err, r.retryIf == nil):
		return 0, r.end(r.made == 1, err, retry.ErrPermanent)
	case ended != nil:
		return 0, r.giveUp(ended, 0)
	case r.retryIf != nil && !r.retryIf(err):
		return 0, r.end(r.made == 1, err, retry.ErrDeclined)
	}
	return r.again()
}

// count notes a failed attempt. One that ran for long is the first of a new row.
func (r *run) count(err error) {
	r.made++
	// An inner loop that could not call has no failure.
	if inner, ok := err.(*retry.Error); !ok || inner == nil || inner.Last != nil || r.last == nil {
		r.last = err
	}
	if r.resetAfter > 0 && now()-r.row.started >= r.resetAfter {
		r.row = row{before: r.made - 1, since: now()}
	}
}

// again is for a failure that is worth another attempt: is there one left, and when?
func (r *run) again() (wait time.Duration, over error) {
	if r.budget != nil {
		r.budget.failed(r.made == 1)
	}
	if r.stopped() {
		return 0, r.giveUp(retry.ErrStopped, 0)
	}
	if r.attempts > 0 && r.number() >= r.attempts {
		return 0, r.giveUp(retry.ErrExhausted, 0)
	}
	wait, ok := r.row.waits.next(r.loop)
	if !ok {
		return 0, r.giveUp(retry.ErrExhausted, 0)
	}
	if hint := r.verdict.After; hint > 0 {
		if hint > r.hintCap {
			return 0, r.giveUp(&overCapError{r.name, hint, r.hintCap}, hint)
		}
		if r.jitter != NoJitter { // upwards only: earlier than asked would be refused again
			hint = between(hint, min(hint+min(hint/10, r.hintCap-hint), r.room()))
		}
		wait = max(wait, hint)
	}
	switch {
	case r.tooLate(wait):
		return 0, r.giveUp(retry.ErrExhausted, wait)
	case !retry.Fits(r.ctx, wait):
		return 0, r.giveUp(context.DeadlineExceeded, wait)
	}
	return wait, r.pay()
}

// pay takes what the next attempt costs from the meter and the budget.
func (r *run) pay() error {
	if r.meter != nil && !r.meter.take(nil) {
		return r.giveUp(errNoCalls, 0)
	}
	r.credited = r.meter != nil
	paid, ok := r.budget.spend(r.verdict.Refused)
	if !ok {
		refused := &retry.Rejection{Policy: r.budget.who(), Reason: ErrBudget}
		e := r.event(retry.Event{Kind: retry.KindReject, Err: refused})
		e.Policy = refused.Policy
		retry.Emit(r.ctx, e)
		return r.giveUp(refused, 0)
	}
	r.paid = paid
	return nil
}

// wait tells of the next attempt and sleeps until it is due.
func (r *run) wait(wait time.Duration, err error) error {
	observed := retry.Observed(r.ctx)
	if wait <= 0 && !observed && r.onRetry == nil && r.ctx.Err() == nil && !r.stopped() {
		return nil
	}
	e := r.event(retry.Event{Kind: retry.KindRetry, Wait: wait, Err: err})
	rejected := r.rejections.n > 0
	if rejected {
		e.Attempt = r.number() + 1 // the one that was refused is yet to come
	} else {
		retry.Emit(r.ctx, e)
		for _, listener := range r.onRetry {
			listener(r.ctx, r.number(), wait, err)
		}
	}
	cut := r.sleep(e)
	switch {
	case r.ctx.Err() != nil:
		cut, wait = retry.Ended(r.ctx), 0
	case r.stopped():
		cut, wait = retry.ErrStopped, 0
	case cut != nil: // the listeners took so long that the wait does not fit any more
		cut = context.DeadlineExceeded
	default:
		return nil
	}
	if rejected {
		cut = both(cut, err)
	}
	return r.giveUp(cut, wait)
}

// sleep is retry.Sleep that also ends when StopOn's channel is closed: the caller looks.
func (r *run) sleep(e retry.Event) error {
	if r.stopped() {
		return nil
	}
	if r.stop == nil || e.Wait <= 0 {
		return r.sleeper.Sleep(r.ctx, e)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	stop := r.stop // so that r stays on the stack
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.sleeper.Sleep(ctx, e)
}

func (c *config) stopped() bool {
	select {
	case <-c.stop:
		return true
	default: // also without StopOn: a nil channel
		return false
	}
}

// event is e with the loop's name and the number of its last attempt.
func (r *run) event(e retry.Event) retry.Event {
	e.Policy, e.Attempt, e.Depth = r.name, max(1, r.number()), retry.Depth(r.ctx)+1
	return e
}

// end ends the call with err as it is if that is the first outcome. If it is not, the reason is
// told, and what the callee failed with last.
func (r *run) end(first bool, err, reason error) error {
	if first {
		return err
	}
	return r.giveUp(reason, 0)
}

func (r *run) giveUp(reason error, wait time.Duration) error {
	return &retry.Error{
		Reason: reason, Attempts: r.made, Elapsed: now() - r.begun, Wait: wait, Last: r.last,
	}
}

// tooLate reports whether a wait that begins now would go beyond MaxElapsed.
func (r *run) tooLate(wait time.Duration) bool {
	return r.maxElapsed > 0 && wait > r.maxElapsed-(now()-r.row.since)
}

// room is the longest wait that still fits.
func (r *run) room() time.Duration {
	room := unbounded
	if deadline, ok := r.ctx.Deadline(); ok {
		room = time.Until(deadline) - 1 // see retry.Fits
	}
	if r.maxElapsed > 0 {
		room = min(room, r.maxElapsed-(now()-r.row.since))
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
