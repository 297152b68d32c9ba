package policies

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// config is what the options of a loop say.
type config struct {
	attempts   int           // calls in all; 0: unlimited
	maxElapsed time.Duration // 0: unlimited
	initial    time.Duration
	factor     float64
	maxDelay   time.Duration
	jitter     Jitter
	hintCap    time.Duration
	retryIf    func(error) bool // nil: every error
	onRetry    []func(ctx context.Context, attempt int, wait time.Duration, err error)
	budget     *Budget // nil: none
	outermost  bool
	maxCalls   int             // 0: unlimited
	patience   time.Duration   // negative: as long as a failure would take
	resetAfter time.Duration   // 0: never
	stop       <-chan struct{} // nil: none

	useless []string // options that have no meaning for this schedule
}

func (c *config) refuses(option string) bool { return slices.Contains(c.useless, option) }

func (c *config) setBudget(b *Budget) { c.budget = b }

// Attempts bounds the calls, the first included. The default is 3, for [Delays] one more than there
// are delays. n is at least 1; [Unlimited] takes the bound off. Elsewhere this is MaxAttempts,
// MaxTries, stop_after_attempt or, less one, MaxRetries, MaxRetryAttempts, SetRetryCount.
func Attempts(n int) Option {
	return option("Attempts", n, n >= 1, "be at least 1", func(c *config) { c.attempts = n })
}

// Unlimited lets a loop go on until it succeeds, its context ends, or another of its bounds is
// reached. Elsewhere this is Attempts(0), UntilSucceeded or MaxRetries(-1).
func Unlimited() Option {
	return option("Unlimited", nil, true, "", func(c *config) { c.attempts = 0 })
}

// MaxElapsed bounds the time from the first attempt to the beginning of the last: a wait that would
// go beyond it is not begun. There is no bound by default. A running attempt is not cut off; that
// is what [Timeout] does. Elsewhere this is MaxElapsedTime, MaxDuration or stop_after_delay.
func MaxElapsed(d time.Duration) Option {
	return option("MaxElapsed", d, d > 0, "be positive", func(c *config) { c.maxElapsed = d })
}

// Initial is the first wait of [Exponential] and the unit of [Fibonacci], before jitter. The
// default is 100 ms; with 0 they never wait. One above a [MaxDelay] that was given is a
// configuration error. Elsewhere this is InitialInterval, Delay, RetryWaitMin, SetRetryWaitTime or
// start_timeout.
func Initial(d time.Duration) Option {
	return option("Initial", d, d >= 0, "not be negative", func(c *config) { c.initial = d })
}

// Factor is what each wait of [Exponential] is multiplied by. The default is 2; 1 makes it
// constant. Elsewhere this is Multiplier.
func Factor(f float64) Option {
	ok := f >= 1 && !math.IsInf(f, 1)
	return option("Factor", f, ok, "be a number of at least 1", func(c *config) { c.factor = f })
}

// MaxDelay is the longest wait of a schedule, after jitter. The default is 30 s for [Exponential]
// and [Fibonacci], or [Initial] if that is longer; the other schedules have no cap. A callee's own
// wish (see [retry.After]) may be longer; see [HintCap]. Elsewhere this is MaxInterval,
// RetryWaitMax or max_timeout.
func MaxDelay(d time.Duration) Option {
	return option("MaxDelay", d, d > 0, "be positive", func(c *config) { c.maxDelay = d })
}

// WithJitter sets the [Jitter] of the waits: how they are spread, so that callers that failed
// together do not come back together. The default is [Proportional] for [Exponential] and
// [Fibonacci] and [NoJitter] for the other schedules. Elsewhere this is RandomizationFactor,
// JitterFactor or UseJitter.
func WithJitter(j Jitter) Option {
	set := func(c *config) { c.jitter = j }
	return option("WithJitter", j, j.known(), "be one of this package", set)
}

// RetryIf says which errors are worth another attempt. By default all are, except that a command
// was not found or may not be run. f is not asked about permanent errors, which are final whatever
// it says, nor about rejections. If it says no, this loop ends, with the error as it was or, on a
// later attempt, with [retry.ErrDeclined]; a loop further out decides for itself. Elsewhere this is
// ShouldHandle, AbortIf or retry_if_exception.
func RetryIf(f func(error) bool) Option {
	return option("RetryIf", f, f != nil, "not be nil", func(c *config) { c.retryIf = f })
}

// HintCap is the longest wait that a loop accepts from a callee ([retry.After]). A longer one ends
// the call at once: coming back earlier than asked would be wrong. The default is 5 minutes. It
// does not bound waits for rejections: see [Patience].
func HintCap(d time.Duration) Option {
	return option("HintCap", d, d > 0, "be positive", func(c *config) { c.hintCap = d })
}

// Patience lets a loop wait up to d for policies that reject the call (a breaker is open, a limit
// reached): d in all for rejections in a row. After a rejection that names no time (a bulkhead is
// full) it asks again by its own schedule. It is for crawls and batch jobs, which would rather wait
// for a breaker than lose the call.
//
// By default a rejection fails fast: a loop waits for it only if the wait is no longer than the one
// that would now follow a failure, and at most [Attempts] times in a row. With 0 it never waits for
// a rejection.
func Patience(d time.Duration) Option {
	return option("Patience", d, d >= 0, "not be negative", func(c *config) { c.patience = d })
}

// ResetAfter starts the loop anew at an attempt that ran at least d before it failed: attempts,
// waits and [MaxElapsed] count again from that attempt, which is the first. It is for streams,
// subscriptions and long polls, which are expected to break now and then. By default a loop never
// starts anew.
func ResetAfter(d time.Duration) Option {
	return option("ResetAfter", d, d > 0, "be positive", func(c *config) { c.resetAfter = d })
}

// StopOn ends the loop when done is closed: no further attempt and no further wait. An attempt that
// runs may finish, and its success counts; otherwise the error Is [retry.ErrStopped]. It is for a
// graceful shutdown, when ending the context would cut off what runs. Each of several loops inside
// each other needs it.
func StopOn(done <-chan struct{}) Option {
	return option("StopOn", done, done != nil, "not be nil", func(c *config) { c.stop = done })
}

// WithBudget makes the loop ask b before every further attempt. All loops with the same b are held
// back together.
func WithBudget(b *Budget) Option {
	return func(settings any) error {
		if err := b.Validate(); b != nil && err != nil {
			return fmt.Errorf("WithBudget: %w", err)
		}
		set := func(s interface{ setBudget(*Budget) }) { s.setBudget(b) }
		return option("WithBudget", b, b != nil, "not be nil", set)(settings)
	}
}

// OnRetry calls f before every further attempt: with the number and the error of the attempt that
// failed, and with the wait that now begins. It is not called for a rejection, which is not an
// attempt; [retry.Observe] tells of those waits too. If it is given more than once all functions
// run, in order, in the goroutine of the call. Elsewhere this is Notify, OnRetryScheduled or
// before_sleep.
func OnRetry(f func(ctx context.Context, attempt int, wait time.Duration, err error)) Option {
	set := func(c *config) { c.onRetry = append(c.onRetry, f) }
	return option("OnRetry", f, f != nil, "not be nil", set)
}

// OutermostOnly leaves the retrying to the loop around: inside another loop's attempt this one
// makes one call and no decision. Three loops of three attempts inside each other make 27 calls;
// with this option on the inner two, three.
func OutermostOnly() Option {
	return option("OutermostOnly", nil, true, "", func(c *config) { c.outermost = true })
}

// MaxCalls bounds the calls that one call of this loop leads to, over all loops inside it,
// however deep and also if they run at once. A loop that needs another call when none is left gives
// up with [retry.ErrExhausted]. There is no bound by default. A call is counted where the innermost
// loop makes an attempt; the further calls of a [Hedge] are not attempts and not counted, unless
// there is a loop inside them.
func MaxCalls(n int) Option {
	return option("MaxCalls", n, n >= 1, "be at least 1", func(c *config) { c.maxCalls = n })
}
