package breaker

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// From makes a policy of a gobreaker that you already have, with its own settings. It counts
// outcomes as [Breaker] does: nil and final answers as successes; panics, runtime.Goexit and the
// caller's deadline as failures; the caller's cancellation, Neutral errors and rejections from
// inside not at all. A rejected call gets a [*retry.Rejection] that Is [ErrOpen] and the
// gobreaker's error; its RetryAfter is 0, since gobreaker does not tell.
//
// A half-open gobreaker must be told the outcome of every probe. For a probe without a verdict it
// is told an error that is marked Neutral. With the setting IsExcluded: retry.IsNeutral that frees
// the probe's place and changes nothing else; without it the breaker opens again.
//
// A nil cb is a configuration error.
func From[T any](cb *gobreaker.TwoStepCircuitBreaker[T]) retry.Policy {
	if cb == nil {
		return &adopted{}
	}
	return &adopted{cb: cb, policy: policyName(cb.Name())}
}

// adopted is a foreign gobreaker. It has no type parameter, as no policy has.
type adopted struct {
	cb interface {
		Name() string
		State() gobreaker.State
		Counts() gobreaker.Counts
		Allow() (func(error), error)
	}
	policy string
	last   atomic.Pointer[failed]
}

var errNilGobreaker = retry.ConfigErrorf("breaker.From", "cb: must not be nil")

func (a *adopted) Validate() error {
	if a.cb == nil {
		return errNilGobreaker
	}
	return nil
}

func (a *adopted) Name() string {
	if a.cb == nil {
		return ""
	}
	return a.cb.Name()
}

func (a *adopted) String() string {
	if a.cb == nil {
		return errNilGobreaker.Error()
	}
	return a.policy + "(" + a.cb.State().String() + ")"
}

// Format: see Breaker.Format.
func (a *adopted) Format(s fmt.State, verb rune) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), a.String())
}

// Stats are those of a Breaker, without the time to the next probe.
func (a *adopted) Stats() []retry.Stat {
	if a.cb == nil {
		return nil
	}
	state, c := Closed, a.cb.Counts()
	switch a.cb.State() {
	case gobreaker.StateHalfOpen:
		state = HalfOpen
	case gobreaker.StateOpen:
		state = Open
	}
	return statsOf(state, Counts{
		Successes: int(c.TotalSuccesses), Failures: int(c.TotalFailures),
		Neutral: int(c.TotalExclusions), ConsecutiveFailures: int(c.ConsecutiveFailures),
	})
}

func (a *adopted) Do(ctx context.Context, next retry.Next) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	done, err := a.cb.Allow()
	if err == gobreaker.ErrTooManyRequests {
		if _, unshare := retry.Inside(ctx, a); unshare != nil { // it is part of a probe
			defer unshare()
			return inside(ctx, a, next)
		}
	}
	if err != nil {
		return a.rejection(ctx, err)
	}
	result := errAborted
	defer func() { a.settle(ctx, done, result) }()
	if a.cb.State() == gobreaker.StateHalfOpen {
		result = inside(ctx, a, next)
	} else {
		result = next.Do(ctx)
	}
	return result
}

func (a *adopted) settle(ctx context.Context, done func(error), err error) {
	o := failure
	defer func() { // also if the context or the error panics
		switch o {
		case success:
			done(nil)
		case failure:
			done(err)
		default: // a closed one counts nothing if it is told nothing
			if a.cb.State() == gobreaker.StateHalfOpen {
				done(retry.Neutral(err))
			}
		}
	}()
	if o = classify(ctx, err, false); o == failure {
		last := newFailed(err)
		last.shrink()
		a.last.Store(last)
	}
}

func (a *adopted) rejection(ctx context.Context, err error) error {
	r := &retry.Rejection{Policy: a.policy, Reason: &adoptedError{err}, Cause: a.last.Load().get()}
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: a.policy, Err: r})
	return r
}

// adoptedError is gobreaker's error, and Is ErrOpen.
type adoptedError struct{ error }

func (r *adoptedError) Is(target error) bool { return target == ErrOpen }
func (r *adoptedError) Unwrap() error        { return r.error }
