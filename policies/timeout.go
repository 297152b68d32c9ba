package policies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// ErrTimeout is what a call that was ended by [Timeout] matches, beside context.DeadlineExceeded.
// So does a call that ended early because a wait inside the Timeout, of a loop or a limiter, could
// not end in time and was not begun.
var ErrTimeout = errors.New("timeout")

// Timeout bounds the time of what is inside it: outside a loop that of all attempts and waits
// together, inside it that of each attempt. It ends the context of the call; a call that does
// not heed its context goes on until it returns.
//
// The error Is [ErrTimeout], Is context.DeadlineExceeded and Is the call's own. When the caller's
// context ends first, by cancellation or an earlier deadline, that is not a timeout. A call that
// succeeds after all is a success.
//
// The context ends when the call returns. So consume results that are bound to it, such as rows or
// streams, inside the call.
//
// d must be positive. Unlike the other policies this one allocates on success too: a context with a
// deadline is made for each call. Elsewhere this is WithTimeout or TimeLimiter.
func Timeout(d time.Duration) retry.Policy {
	t := &timeout{d: d, cause: &timeoutError{d}}
	if d <= 0 {
		t.err = retry.ConfigErrorf("policies.Timeout", "d %v: must be positive", d)
	}
	return t
}

type timeout struct {
	stateless
	d     time.Duration
	cause *timeoutError
}

func (t *timeout) String() string { return fmt.Sprintf("timeout(%v)", t.d) }

func (t *timeout) Do(ctx context.Context, next retry.Next) error {
	if t.err != nil {
		return t.err
	}
	if ctx.Err() != nil {
		return retry.Ended(ctx)
	}
	limited, cancel := context.WithTimeoutCause(ctx, t.d, t.cause)
	defer cancel()
	err := next.Do(limited)
	if err == nil || errors.Is(err, t.cause) {
		return err
	}
	inVain := limited.Err() == nil && binds(limited, ctx) && spared(limited, err)
	if context.Cause(limited) == t.cause || inVain {
		return &timedOutError{t.cause, err}
	}
	return err
}

// binds reports whether it is the inner deadline that comes first.
func binds(inner, outer context.Context) bool {
	deadline, _ := inner.Deadline()
	callers, ok := outer.Deadline()
	return !ok || deadline.Before(callers)
}

// spared reports whether err tells of a wait that was not begun because it could not end before
// ctx's deadline.
func spared(ctx context.Context, err error) bool {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if gaveUp, ok := errors.AsType[*retry.Error](err); ok && gaveUp != nil {
		return gaveUp.Wait >= left && errors.Is(gaveUp.Reason, context.DeadlineExceeded)
	}
	refused, ok := retry.Rejected(err)
	return ok && refused.RetryAfter >= left && errors.Is(refused, context.DeadlineExceeded)
}

// timeoutError is the cause of the context's end. A pointer, so that it is known from that of any
// other Timeout.
type timeoutError struct{ d time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("timeout of %v", e.d) }
func (e *timeoutError) Timeout() bool { return true } // as net.Error

// ByPolicy tells a breaker further in that no caller has set this deadline.
func (e *timeoutError) ByPolicy() {}

func (e *timeoutError) Is(target error) bool {
	return target == ErrTimeout || target == context.DeadlineExceeded
}

// timedOutError is a call's own error under a timeout.
type timedOutError struct {
	cause *timeoutError
	err   error
}

func (e *timedOutError) Error() string   { return e.cause.Error() + ": " + e.err.Error() }
func (e *timedOutError) Timeout() bool   { return true }
func (e *timedOutError) Unwrap() []error { return []error{e.cause, e.err} }
