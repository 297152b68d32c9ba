package policies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

// loop is every retry loop of this package; they differ in their schedule only.
type loop struct {
	config
	name  string        // for events
	plan  func() string // the schedule, for String
	fresh func() backoff.BackOff
	err   error
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
		r := l.begin(ctx, next, begun)
		return r.metered()
	}
	err := next.Try(ctx, 1)
	if err != nil {
		r := l.begin(ctx, next, begun)
		return r.rest(err, retry.VerdictOf(err))
	}
	if l.budget != nil {
		l.budget.succeeded(true, 0)
	}
	return nil
}

// run is one call of a loop, from its first failure on.
type run struct {
	*loop
	ctx   context.Context
	next  retry.Next
	begun time.Duration

	made     int   // attempts that were not rejections
	last     error // the failure of the last of them
	row      row
	refusals refusals

	meter  *meter // of MaxCalls, of this loop or one around; nil: none
	paid   int64  // to the budget, for an attempt that has not been made
	called bool   // likewise one of the meter's calls is taken
}

// row is a row of attempts, which ResetAfter begins anew.
type row struct {
	before  int           // attempts of earlier rows
	since   time.Duration // MaxElapsed counts from here
	started time.Duration // the attempt that runs or ran last
	waits   waits
}

// refusals is a row of rejections.
type refusals struct {
	n      int
	waited time.Duration
	waits  waits // for those that name no time
}

func (l *loop) begin(ctx context.Context, next retry.Next, begun time.Duration) run {
	return run{loop: l, ctx: ctx, next: next, begun: begun, row: row{since: begun, started: begun}}
}

// rest goes on after err, the outcome of an attempt that failed.
func (r *run) rest(err error, v retry.Verdict) error {
	defer r.giveBack()
	for {
		wait, over := r.decide(err, v)
		if over == nil {
			over = r.wait(wait, err)
		}
		if over != nil {
			if retry.Observed(r.ctx) {
				retry.Emit(r.ctx, r.event(retry.Event{Kind: retry.KindGiveUp, Err: over}))
			}
			return over
		}
		if v, err = r.try(); err == nil {
			return nil
		}
	}
}

// try makes one attempt. What was taken for it is spent, unless a policy further in did not let it
// through.
func (r *run) try() (v retry.Verdict, err error) {
	ctx, paid := r.ctx, r.paid
	var c *credit
	if r.meter != nil {
		c = r.meter.credit(ctx)
		ctx = c
	}
	r.paid, r.called = 0, false
	if r.resetAfter > 0 {
		r.row.started = now()
	}
	err = r.next.Try(ctx, r.number()+1)
	switch {
	case err != nil:
		if v = retry.VerdictOf(err); v.Unreached {
			r.paid, r.called = paid, c != nil && c.take()
		}
	case r.budget != nil:
		r.budget.succeeded(r.made == 0, paid)
	}
	return v, err
}

func (r *run) giveBack() {
	if r.paid > 0 {
		r.budget.giveBack(r.paid)
	}
	if r.called {
		r.meter.giveBack()
	}
	r.paid, r.called = 0, false
}

// number is that of the last attempt, in its row.
func (r *run) number() int { return r.made - r.row.before }

// decide says what follows on err: a wait, or the error that ends the call.
func (r *run) decide(err error, v retry.Verdict) (wait time.Duration, over error) {
	if v.Config {
		return 0, r.asItIs(err, r.made == 0)
	}
	if v.Rejection != nil {
		return r.rejected(err, v)
	}
	r.refusals = refusals{}
	ended := retry.Ended(r.ctx)
	if ended != nil && errors.Is(err, r.ctx.Err()) && err.Error() == ended.Error() {
		// Nothing but the end of ctx: not a failure of the callee. It is counted, because the error
		// of a call that heeds its context looks the same.
		if r.made == 0 {
			return 0, err
		}
		r.made++
		return 0, r.giveUp(ended, 0)
	}
	r.count(err)
	switch {
	case v.Permanent || isFinal(err, r.retryIf == nil):
		return 0, r.final(err, retry.ErrPermanent)
	case ended != nil:
		return 0, r.giveUp(ended, 0)
	case r.retryIf != nil && !r.retryIf(err):
		return 0, r.final(err, retry.ErrDeclined)
	}
	return r.again(v)
}

// count notes a failed attempt. One that ran for long is the first of a new row.
func (r *run) count(err error) {
	r.made++
	// An inner loop that could not call has no failure of its own.
	if inner, ok := err.(*retry.Error); !ok || inner.Last != nil || r.last == nil {
		r.last = err
	}
	if r.resetAfter > 0 && now()-r.row.started >= r.resetAfter {
		r.row = row{before: r.made - 1, since: now()}
	}
}

// again is for a failure that is worth another attempt: is there one left, and when?
func (r *run) again(v retry.Verdict) (wait time.Duration, over error) {
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
	if hint := v.After; hint > 0 {
		if hint > r.hintCap {
			return 0, r.giveUp(&overCap{r.name, hint, r.hintCap}, hint)
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
	return wait, r.pay(v)
}

// pay takes what the next attempt costs from the meter and the budget.
func (r *run) pay(v retry.Verdict) error {
	if r.meter != nil && !r.meter.take(nil) {
		return r.giveUp(errNoCalls, 0)
	}
	r.called = r.meter != nil
	paid, ok := r.budget.spend(v.Refused)
	if !ok {
		refused := &retry.Rejection{Policy: r.budget.who(), Reason: ErrBudget}
		retry.Emit(r.ctx, retry.Event{Kind: retry.KindReject, Policy: refused.Policy, Err: refused})
		return r.giveUp(refused, 0)
	}
	r.paid = paid
	return nil
}

// rejected is for an attempt that a policy further in refused: no failure, no attempt used, unless
// a loop further in had made calls before. Where it is not waited for, the loop adds nothing to the
// rejection but its own last failure.
func (r *run) rejected(err error, v retry.Verdict) (wait time.Duration, over error) {
	first := r.made == 0
	if !v.Unreached {
		r.made++
	}
	wait = v.Rejection.RetryAfter
	if inner, ok := errors.AsType[*retry.Error](err); ok {
		if inner.Last != nil {
			r.last = inner.Last
		}
	} else if wait > 0 { // an inner loop has waited for what its failure asked
		wait = v.After
	}
	if ended := retry.Ended(r.ctx); ended != nil {
		return 0, r.asItIs(both(err, ended), first)
	}
	wait, worth := r.patient(wait)
	switch {
	case v.Permanent || !worth || r.tooLate(wait) || r.attempts > 0 && r.number() >= r.attempts:
		return 0, r.asItIs(err, first)
	case !retry.Fits(r.ctx, wait):
		return 0, r.giveUp(both(err, context.DeadlineExceeded), wait)
	}
	r.refusals.n++
	r.refusals.waited += wait
	return wait, nil
}

// patient says how long to wait on a rejection that asks for wait, 0 if it does not know, and
// whether at all: if that costs no more than a failure would now, or fits the patience that is
// left.
func (r *run) patient(wait time.Duration) (time.Duration, bool) {
	refused := &r.refusals
	if r.patience < 0 {
		if wait <= 0 || r.attempts == 1 || r.attempts > 0 && refused.n >= r.attempts {
			return 0, false
		}
		usual, ok := r.row.waits.peek(r.loop)
		return wait, ok && wait <= usual
	}
	if wait <= 0 || refused.n >= max(1, r.attempts) { // the latter against very short times for ever
		own, ok := refused.waits.next(r.loop)
		if wait = max(wait, own); !ok || wait <= 0 {
			return 0, false
		}
	}
	return wait, wait <= r.patience-refused.waited
}

// wait tells of the next attempt and sleeps until it is due.
func (r *run) wait(wait time.Duration, err error) error {
	e := retry.Event{Policy: r.name, Wait: wait}
	refused := r.refusals.n > 0
	if retry.Observed(r.ctx) {
		e = r.event(e)
		if refused {
			e.Attempt = r.number() + 1 // the one that was refused is yet to come
		} else {
			told := e
			told.Kind, told.Err = retry.KindRetry, err
			retry.Emit(r.ctx, told)
		}
	}
	if !refused {
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
	if refused {
		cut = both(cut, err)
	}
	return r.giveUp(cut, wait)
}

// sleep is retry.Wait that also ends when StopOn's channel is closed.
func (r *run) sleep(e retry.Event) error {
	if r.stop == nil || e.Wait <= 0 || r.stopped() {
		return retry.Sleep(r.ctx, e)
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
	return retry.Sleep(ctx, e)
}

func (c *config) stopped() bool {
	select {
	case <-c.stop:
		return true
	default: // also without StopOn: a nil channel
		return false
	}
}

// event is e as this loop tells it, of the last attempt that it made.
func (r *run) event(e retry.Event) retry.Event {
	e.Policy, e.Attempt, e.Depth = r.name, max(1, r.number()), retry.Depth(r.ctx)+1
	return e
}

// final ends the call with a failure that is not worth repeating; the first attempt's comes back as
// it was.
func (r *run) final(err, reason error) error {
	if r.made == 1 {
		return err
	}
	return r.giveUp(reason, 0)
}

// asItIs ends the call with err, which is not a failure of the callee. If it is not the first
// outcome, what the callee failed with before comes along.
func (r *run) asItIs(err error, first bool) error {
	if first {
		return err
	}
	return r.giveUp(err, 0)
}

func (r *run) giveUp(reason error, wait time.Duration) error {
	elapsed := now() - r.begun
	return &retry.Error{Reason: reason, Attempts: r.made, Elapsed: elapsed, Wait: wait, Last: r.last}
}

// overCap is ErrExhausted by a hint above HintCap. httpx looks for the method OverCap: such a
// response is not handed back.
type overCap struct {
	loop      string
	hint, cap time.Duration
}

func (o *overCap) Error() string {
	return fmt.Sprintf("the callee asked for %v, above HintCap (%v)", o.hint, o.cap)
}
func (o *overCap) Unwrap() error { return retry.ErrExhausted }
func (o *overCap) OverCap()      {}

// GaveUp words the whole of the error for retry.Error.
func (o *overCap) GaveUp(attempts string) string {
	return fmt.Sprintf("%s: gave up after %s: %v", o.loop, attempts, o)
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

// isFinal finds what says in another library's words that no attempt can help: cenkalti's mark,
// which functions written for backoff.Retry return, and, by default, a command that is not there or
// may not be run. Like the marks of retry neither is seen behind retry.Unmark.
func isFinal(err error, byDefault bool) bool {
	for e := range retry.Tree(err) {
		if _, ok := e.(*backoff.PermanentError); ok {
			return true
		}
		if byDefault && cannotRun(e) {
			return true
		}
	}
	return false
}

func cannotRun(err error) bool {
	switch e := err.(type) {
	case *exec.Error:
		return true
	case *fs.PathError:
		useless := errors.Is(e.Err, fs.ErrNotExist) || errors.Is(e.Err, fs.ErrPermission)
		return e.Op == "fork/exec" && useless
	}
	return err == exec.ErrNotFound || err == exec.ErrDot
}
