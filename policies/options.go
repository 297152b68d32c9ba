package policies

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Option tunes a retry loop. Where one is given twice the last counts, but every [OnRetry] runs. A mistake in an option does
// not panic: the loop made with it fails every call with an error that Is [retry.ErrConfig].
type Option func(*config)

// config is what the options say. problems holds their mistakes, given the names of those that were used.
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
	maxCalls   int // 0: unlimited

	given    []string
	problems []string
}

// option names an option, so that a loop can tell of one that means nothing to it, and of one whose value is bad.
func option(name string, ok bool, set func(*config), want string, got any) Option {
	return func(c *config) {
		c.given = append(c.given, name)
		if !ok {
			c.problems = append(c.problems, fmt.Sprintf("%s(%v): %s", name, got, want))
			return
		}
		set(c)
	}
}

// apply runs the options and reports those that are not of use to this policy.
func (c *config) apply(opts []Option, useless ...string) {
	for _, o := range opts {
		if o == nil {
			c.problems = append(c.problems, "nil option")
			continue
		}
		o(c)
	}
	for _, name := range useless {
		for _, given := range c.given {
			if name == given {
				c.problems = append(c.problems, name+" has no meaning here")
				break
			}
		}
	}
}

func (c *config) err(policy string) error {
	if len(c.problems) == 0 {
		return nil
	}
	return retry.ConfigErrorf("policies."+policy, "%s", strings.Join(c.problems, "; "))
}

// Attempts bounds the calls, the first included. The default is 3, for [Delays] one more than there are delays.
func Attempts(n int) Option {
	return option("Attempts", n >= 1, func(c *config) { c.attempts = n }, "must be at least 1; see Unlimited", n)
}

// Unlimited lets a loop go on until it succeeds, its context ends, or another of its bounds is reached.
func Unlimited() Option {
	return option("Unlimited", true, func(c *config) { c.attempts = 0 }, "", "")
}

// MaxElapsed bounds the time from the first attempt to the beginning of the last: a wait that would go beyond it is not
// begun. There is no bound by default. A running attempt is not cut off; that is what [Timeout] does.
func MaxElapsed(d time.Duration) Option {
	return option("MaxElapsed", d > 0, func(c *config) { c.maxElapsed = d }, "must be positive", d)
}

// Initial is the first wait of [Exponential] and the unit of [Fibonacci], before jitter. The default is 100 ms; with 0 they
// never wait. One above [MaxDelay], whose default is 30 s, is a configuration error.
func Initial(d time.Duration) Option {
	return option("Initial", d >= 0, func(c *config) { c.initial = d }, "must not be negative", d)
}

// Factor is what each wait of [Exponential] is multiplied by. The default is 2; 1 makes it constant.
func Factor(f float64) Option {
	return option("Factor", f >= 1 && !math.IsInf(f, 1), func(c *config) { c.factor = f }, "must be a number of at least 1", f)
}

// MaxDelay is the longest wait of a schedule, after jitter. The default is 30 s for [Exponential] and [Fibonacci]; the other
// schedules have no cap. A callee's own wish (see [retry.After]) may be longer; see [HintCap].
func MaxDelay(d time.Duration) Option {
	return option("MaxDelay", d > 0, func(c *config) { c.maxDelay = d }, "must be positive", d)
}

// WithJitter says how waits are spread, so that callers who failed together do not come back together. The default is
// [Proportional] for [Exponential] and [Fibonacci] and [NoJitter] for the other schedules.
func WithJitter(j Jitter) Option {
	return option("WithJitter", j >= NoJitter && j <= Decorrelated, func(c *config) { c.jitter = j }, "no such jitter", j)
}

// RetryIf says which errors are worth another attempt; by default all are. It is not asked about permanent errors, which
// are final whatever it says, nor about rejections.
func RetryIf(f func(error) bool) Option {
	return option("RetryIf", f != nil, func(c *config) { c.retryIf = f }, "must not be nil", "nil")
}

// HintCap is the longest wait that a loop accepts from a callee ([retry.After]) or a rejection, as by a breaker that is open for
// longer. A longer one ends the call at once: coming back earlier than asked would be wrong. The default is 5 minutes.
func HintCap(d time.Duration) Option {
	return option("HintCap", d > 0, func(c *config) { c.hintCap = d }, "must be positive", d)
}

// WithBudget makes every further attempt ask b, which is shared by all loops that are to be held back together.
func WithBudget(b *Budget) Option {
	return func(c *config) {
		option("WithBudget", b != nil, func(c *config) { c.budget = b }, "must not be nil", "nil")(c)
		if err := b.Validate(); b != nil && err != nil {
			c.problems = append(c.problems, err.Error())
		}
	}
}

// OnRetry has f told of every further attempt: after the attempt that failed, whose number and error it gets, and before the
// wait, once that is known to fit. It is not called for a rejection, which is no attempt: retry.Observe tells of those waits
// too. All functions given run, in order, in the goroutine of the call.
func OnRetry(f func(ctx context.Context, attempt int, wait time.Duration, err error)) Option {
	return option("OnRetry", f != nil, func(c *config) { c.onRetry = append(c.onRetry, f) }, "must not be nil", "nil")
}

// OutermostOnly leaves the retrying to the loop around: inside of another loop's attempt this one makes one call and no
// decision. Three loops of three attempts inside each other make 27 calls; with this option on the inner two, three.
func OutermostOnly() Option {
	return option("OutermostOnly", true, func(c *config) { c.outermost = true }, "", "")
}

// MaxCalls bounds the calls that one call of this loop leads to, over all loops inside of it, however deep and also if they
// run at once. A loop that needs another call when none is left gives up with [retry.ErrExhausted]. There is no bound by
// default. A call is counted where the innermost loop makes an attempt; the further calls of a [Hedge] are no attempts and not
// counted, unless there is a loop inside of them.
func MaxCalls(n int) Option {
	return option("MaxCalls", n >= 1, func(c *config) { c.maxCalls = n }, "must be at least 1", n)
}
