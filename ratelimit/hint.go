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
	var loop *retry.Error
	return errors.As(err, &loop) && loop.Attempts > 0
}

// calleesWish is the wait that the callee asked for. One that a policy further in asks for is that policy's business.
func calleesWish(err error) (wait time.Duration, refused bool) {
	if _, rejected := retry.Rejected(err); rejected {
		var loop *retry.Error
		if !errors.As(err, &loop) || loop.Last == nil {
			return 0, false
		}
		err = loop.Last
		if _, rejected := retry.Rejected(err); rejected {
			return 0, false
		}
	}
	return retry.RetryAfter(err)
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
