package breaker

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Option tunes a [Breaker]. A value that makes no sense is a configuration error: see [Breaker.Validate].
type Option func(*config)

type config struct {
	consecutive    int // 0: not a rule
	ratio          float64
	minimum        int
	window         time.Duration // 0 until configured: the default
	buckets        int
	openFor        time.Duration
	growth         float64 // 0: none
	openMax        time.Duration
	probes         int
	probeLimit     time.Duration // 0 until configured: the open time
	slow           time.Duration // 0: no call is slow
	inFlight       bool
	ignoreDeadline bool
	rampFor        time.Duration
	shadow         bool
	listeners      []func(Change)

	wrong []string
}

func configure(policy string, opts []Option) (config, error) {
	c := config{openFor: 30 * time.Second, probes: 1}
	for _, o := range opts {
		if o == nil {
			c.fail("an option is nil")
			continue
		}
		o(&c)
	}
	if c.consecutive == 0 && c.ratio == 0 {
		c.consecutive = 5
	}
	if c.probeLimit == 0 {
		c.probeLimit = c.openFor
	}
	if c.growth > 0 && c.openMax < c.openFor {
		c.fail("OpenGrowth: max %v is below the open time %v", c.openMax, c.openFor)
	}
	if c.window != 0 && c.ratio == 0 {
		c.fail("Window needs FailureRate")
	}
	if c.window == 0 {
		c.window, c.buckets = 10*time.Second, 10
	}
	if c.inFlight && c.slow == 0 {
		c.fail("SlowInFlight needs SlowCall")
	}
	if len(c.wrong) == 0 {
		return c, nil
	}
	err := retry.ConfigErrorf(policy, "%s", strings.Join(c.wrong, "; "))
	c.ratio = 0 // nothing runs, so nothing may depend on what is wrong
	return c, err
}

func (c *config) fail(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
}

func (c *config) positive(option string, d time.Duration) {
	if d <= 0 {
		c.fail("%s: %v is not positive", option, d)
	}
}

func (c *config) atLeastOne(option string, n int) {
	if n < 1 {
		c.fail("%s: %d is not at least 1", option, n)
	}
}

// ConsecutiveFailures opens the breaker after n failures without a success between them, however far apart. It is the
// default, with n = 5, where there is no FailureRate.
func ConsecutiveFailures(n int) Option {
	return func(c *config) { c.consecutive = n; c.atLeastOne("ConsecutiveFailures", n) }
}

// FailureRate opens the breaker at a failure that brings their share to ratio or more, 0 < ratio <= 1, of at least minimum
// calls that ended within the [Window]. Calls without a verdict are not among them. It replaces the default rule of
// consecutive failures; with both options either opens it.
func FailureRate(ratio float64, minimum int) Option {
	return func(c *config) {
		if !(ratio > 0 && ratio <= 1) {
			c.fail("FailureRate: ratio %v is not in (0, 1]", ratio)
		}
		c.ratio, c.minimum = ratio, minimum
		c.atLeastOne("FailureRate: minimum", minimum)
	}
}

// Window is the time that [FailureRate] looks back, dropped bucket by bucket. The default is 10 s in 10 buckets, as Hystrix
// had it. Without FailureRate it is a configuration error. Choose it so that the usual traffic reaches the minimum in a
// fraction of it.
func Window(d time.Duration, buckets int) Option {
	return func(c *config) {
		c.window, c.buckets = d, buckets
		c.positive("Window", d)
		c.atLeastOne("Window: buckets", buckets)
		if buckets > 0 && d > 0 && (int64(d) < int64(buckets) || buckets > maxBuckets) {
			c.fail("Window: %d buckets are too many for %v", buckets, d)
		}
	}
}

const maxBuckets = 1 << 16

// OpenFor is how long the breaker stays open before it sends a probe. The default is 30 s, the least that it can be 2 ns.
func OpenFor(d time.Duration) Option {
	return func(c *config) { c.openFor = d; c.positive("OpenFor", d) }
}

// OpenGrowth makes the open time factor times as long after each probe that fails, up to max. Once closed it is the one of
// OpenFor again. Without it the open time does not grow.
func OpenGrowth(factor float64, max time.Duration) Option {
	return func(c *config) {
		if !(factor >= 1) || math.IsInf(factor, 0) {
			c.fail("OpenGrowth: factor %v is not a number of at least 1", factor)
		}
		c.growth, c.openMax = factor, max
		c.positive("OpenGrowth: max", max)
	}
}

// Probes is how many calls a half-open breaker sends, and how many successes close it. The default is 1.
//
// While all of them are out nobody knows when one returns. A call that comes then is refused, and told to come back in a tenth
// of the open time, or in as long again as the oldest probe has been out if that is more, but no later than its [ProbeLimit].
func Probes(n int) Option {
	return func(c *config) {
		c.probes = n
		c.atLeastOne("Probes", n)
		if uint64(max(n, 0)) > math.MaxUint32 { // gobreaker counts in 32 bits
			c.fail("Probes: %d is above %d", n, uint32(math.MaxUint32))
		}
	}
}

// ProbeLimit is how long a probe may take before it counts as failed, whether or not it ever returns. The default is the
// open time.
func ProbeLimit(d time.Duration) Option {
	return func(c *config) { c.probeLimit = d; c.positive("ProbeLimit", d) }
}

// SlowCall makes a call that takes longer than d a failure, however it ends and whoever ended it. Time in a queue inside the
// breaker is part of it, so a limiter belongs outside. Without it no call is slow.
func SlowCall(d time.Duration) Option {
	return func(c *config) { c.slow = d; c.positive("SlowCall", d) }
}

// SlowInFlight counts a call as failed as soon as it has been running for longer than [SlowCall], and not only when it ends:
// a callee that hangs opens the breaker at the first call after that time, where otherwise all come in until the first
// gives up. It takes the lock on admission too.
func SlowInFlight() Option { return func(c *config) { c.inFlight = true } }

// IgnoreDeadline makes it no verdict that the caller's deadline expired during a call. Without it that is a failure, for a
// callee that hangs must open the breaker. A deadline that a policy of the chain has set still counts; it is told by its cause
// (context.WithTimeoutCause), an error with a method ByPolicy() as that of policies.Timeout.
func IgnoreDeadline() Option { return func(c *config) { c.ignoreDeadline = true } }

// Ramp has the traffic come back over d once the probes have closed the breaker, as a share of the calls that grows evenly
// from none to all, and not at once: a callee with cold caches falls over again under full load. The rest are refused as if
// the breaker were open, while State is [Closed] and the usual rules open it.
func Ramp(d time.Duration) Option {
	return func(c *config) { c.rampFor = d; c.positive("Ramp", d) }
}

// Shadow runs everything and enforces nothing, not even [Breaker.Isolate]: what the breaker would refuse goes through, and
// [Breaker.ShadowCounts] tells how often that was and how often it would have been wrong. For trying a breaker on live traffic.
func Shadow() Option { return func(c *config) { c.shadow = true } }

// OnChange has f told of every change of state. Any number of listeners may be given; they are called in order, after the
// change, without a lock, so f may call any method of the breaker. Changes come one at a time and in the order in which they
// happened, hence sometimes from another goroutine than the one that caused them.
func OnChange(f func(Change)) Option {
	return func(c *config) {
		if f == nil {
			c.fail("OnChange: nil listener")
			return
		}
		c.listeners = append(c.listeners, f)
	}
}
