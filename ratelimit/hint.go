package ratelimit

import (
	"errors"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// What a [Limiter] and a [Pacer] both read from the outcome of a call.

// made tells whether an outcome comes from the callee: a rejection or a configuration error further in says that nobody called
// it, unless a loop in between had called it before.
func made(err error) bool {
	if err == nil {
		return true
	}
	if _, rejected := retry.Rejected(err); !rejected && !errors.Is(err, retry.ErrConfig) {
		return true
	}
	if _, refused := calleesWish(err); refused { // beside the rejection, as of a fallback's second way
		return true
	}
	var loop *retry.Error
	return errors.As(err, &loop) && loop.Attempts > 0
}

// calleesWish is the wait that the callee asked for. One that a policy further in asks for is that policy's business, so in a
// joined error only the members that hold no rejection are asked.
func calleesWish(err error) (wait time.Duration, refused bool) {
	if _, rejected := retry.Rejected(err); !rejected {
		return retry.RetryAfter(err)
	}
	switch e := err.(type) {
	case *retry.Rejection:
	case interface{ Unwrap() error }:
		return calleesWish(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, member := range e.Unwrap() {
			w, r := calleesWish(member)
			wait, refused = max(wait, w), refused || r
		}
	}
	return wait, refused
}

// patience is calleesWish, with the time taken from the stated quota where a refusal gives none: many an API answers 429 with
// X-RateLimit-Reset and no Retry-After.
func patience(err error, q retry.Quota) (wait time.Duration, refused bool) {
	wait, refused = calleesWish(err)
	if wait == 0 && q.Remaining <= 0 && q.Reset > 0 {
		wait = q.Reset
	}
	return wait, refused
}
