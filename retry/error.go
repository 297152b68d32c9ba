package retry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The families of errors, for errors.Is. See also [ErrConfig]. The bounds of a loop are: its
// attempts, its calls (policies.MaxCalls), its time, the end of its schedule, the longest wait that
// it accepts from the callee (policies.HintCap), and as many rejections in a row as it has
// attempts.
var (
	ErrExhausted = newFamily("retries exhausted") // a bound of the loop was reached
	ErrPermanent = newFamily("permanent error")   // a later attempt's failure was marked Permanent
	ErrDeclined  = newFamily("declined")          // policies.RetryIf said no to a later failure
	ErrStopped   = newFamily("stopped")           // policies.StopOn's channel was closed
	ErrRejected  = newFamily("rejected")          // a policy rejected the call: see Rejection
)

// family is a separate type, so that VerdictOf knows one by its type.
type family struct{ text string }

func newFamily(text string) error { return &family{text} }

func (f *family) Error() string { return f.text }

// Error is what a loop returns if it has made more than one attempt, or could not make the next
// one. By errors.Is and errors.As it matches both its Reason and the Last failure. Elsewhere this
// is ExceededError; only the last failure is kept, as with LastErrorOnly.
type Error struct {
	// Reason is why there was no further attempt: ErrExhausted, ErrPermanent, ErrDeclined,
	// ErrStopped, the context's cause, a rejection.
	Reason error

	Attempts int           // of this loop; with loops inside it there may have been more calls
	Elapsed  time.Duration // from the first attempt to giving up, waits further in included
	Wait     time.Duration // the wait that did not fit; 0 if none
	Last     error         // the function's own last failure; nil if it was never called
}

// Error is one line: the reason, what was tried, and the last failure.
func (e *Error) Error() string {
	if e == nil { // a nil *Error that was returned as an error
		return "<nil>"
	}
	var b strings.Builder
	attempts := fmt.Sprintf("%d %s", e.Attempts, plural(e.Attempts, "attempt"))
	worded, ok := e.Reason.(interface{ GaveUp(attempts string) string })
	if ok { // the reason words all of this itself
		b.WriteString(worded.GaveUp(attempts))
	} else {
		fmt.Fprintf(&b, "%v after %s in %v", e.Reason, attempts, round(e.Elapsed))
	}
	switch {
	case e.Wait <= 0 || ok:
	case errors.Is(e.Reason, context.DeadlineExceeded):
		fmt.Fprintf(&b, ", the next wait of %v does not fit", round(e.Wait))
	default: // MaxElapsed
		fmt.Fprintf(&b, ", the next wait of %v does not fit MaxElapsed", round(e.Wait))
	}
	if e.Last != nil {
		fmt.Fprintf(&b, ": %v", e.Last)
	}
	return b.String()
}

// Unwrap returns Reason and Last.
func (e *Error) Unwrap() []error {
	if e == nil {
		return nil
	}
	both := []error{e.Reason, e.Last}
	return slices.DeleteFunc(both, func(err error) bool { return err == nil })
}

// Rejection is the error of a policy that did not let a call through. It Is [ErrRejected] and Is
// its Reason.
type Rejection struct {
	Policy     string        // by kind and name: "breaker catalog"
	Reason     error         // breaker.ErrOpen, ratelimit.ErrLimited, policies.ErrFull, ...
	RetryAfter time.Duration // when it is worth coming back; 0 if unknown

	// Cause is the last failure that led here, perhaps of another caller: to be read and printed,
	// not matched.
	Cause error

	// Quota is a limiter's own limit, what is left of it, and when there is more. Rejections by
	// other policies leave it zero.
	Quota Quota
}

// Error is one line: the policy, why, until when, and the failure behind it. A Reason with a method
// Refusal(after time.Duration) string words the why and the when itself; after is RetryAfter,
// rounded.
func (r *Rejection) Error() string {
	if r == nil {
		return "<nil>"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", r.Policy)
	switch reason := r.Reason.(type) {
	case interface {
		Refusal(after time.Duration) string
	}:
		b.WriteString(reason.Refusal(round(r.RetryAfter)))
	default:
		fmt.Fprintf(&b, "%v", reason)
		if r.RetryAfter > 0 {
			fmt.Fprintf(&b, ", retry after %v", round(r.RetryAfter))
		}
	}
	if r.Cause != nil {
		fmt.Fprintf(&b, " (last failure: %v)", r.Cause)
	}
	return b.String()
}

// Unwrap returns Reason only: a breaker's Cause is another call's failure, and must not decide what
// is done about this one.
func (r *Rejection) Unwrap() error {
	if r == nil {
		return nil
	}
	return r.Reason
}

// Timeout reports whether the deadline ended the loop, as the errors of package net do.
func (e *Error) Timeout() bool { return errors.Is(e, context.DeadlineExceeded) }

// Timeout reports whether the wait did not fit the deadline.
func (r *Rejection) Timeout() bool { return errors.Is(r, context.DeadlineExceeded) }

// Is makes every rejection match [ErrRejected].
func (r *Rejection) Is(target error) bool { return r != nil && target == ErrRejected }

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// round cuts a duration to four digits, for reading.
func round(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 10000 {
		unit *= 10
	}
	return d.Round(unit)
}
