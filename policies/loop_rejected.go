package policies

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// rejections is a row of rejections.
type rejections struct {
	n      int
	waited time.Duration
	waits  *waits // for those that name no time; nil: none did
}

// rejected is for an attempt that a policy further in rejected. It is not a failure and uses no
// attempt, unless a loop further in had made calls before. If the loop does not wait for it, it
// adds only its own last failure to the rejection.
func (r *run) rejected(err error) (wait time.Duration, over error) {
	v, first := &r.verdict, r.made == 0
	if !v.Unreached {
		r.made++
	}
	wait = v.Rejection.RetryAfter
	if inner, ok := errors.AsType[*retry.Error](err); ok && inner != nil {
		if inner.Last != nil {
			r.last = inner.Last
		}
	} else if wait > 0 { // unlike here, an inner loop has waited for what its failure asked
		wait = v.After
	}
	if ended := retry.Ended(r.ctx); ended != nil {
		err = both(err, ended)
		return 0, r.end(first, err, err)
	}
	wait, worth := r.patient(wait)
	switch {
	case v.Permanent || !worth || r.tooLate(wait) || r.attempts > 0 && r.number() >= r.attempts:
		return 0, r.end(first, err, err)
	case !retry.Fits(r.ctx, wait):
		return 0, r.giveUp(both(err, context.DeadlineExceeded), wait)
	}
	r.rejections.n++
	r.rejections.waited += wait
	return wait, nil
}

// patient says how long to wait on a rejection that asks for wait, 0 if it does not know, and
// whether at all: if that costs no more than a failure would now, or fits the patience that is
// left.
func (r *run) patient(wait time.Duration) (time.Duration, bool) {
	row := &r.rejections
	if r.patience < 0 {
		enough := r.attempts > 0 && row.n >= r.attempts
		return wait, !enough && r.usual(wait, &r.row.waits)
	}
	if wait <= 0 || row.n >= max(1, r.attempts) { // the latter against very short times for ever
		if row.waits == nil {
			row.waits = new(waits)
		}
		own, ok := row.waits.next(r.loop)
		if wait = max(wait, own); !ok || wait <= 0 {
			return 0, false
		}
	}
	return wait, wait <= r.patience-row.waited
}

// usual reports whether wait is no longer than the next one after a failure would be.
func (l *loop) usual(wait time.Duration, next *waits) bool {
	if wait <= 0 || l.attempts == 1 {
		return false
	}
	usual, ok := next.peek(l)
	return ok && wait <= usual
}

// PassesOn reports whether the loop returns a first attempt's rejection as it is, if it is not
// observed and no other loop is around it. retry.Do asks before it makes anything for a call.
func (l *loop) PassesOn(refusal error) bool {
	r, ok := refusal.(*retry.Rejection)
	var first waits
	return ok && l.patience < 0 && !l.foreign && !l.usual(r.RetryAfter, &first)
}
