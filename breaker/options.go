package breaker

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Option tunes a [Breaker]. A value that makes no sense is a configuration error: see
// [Breaker.Validate].
type Option func(*config)

type config struct {
	consecutive    int // 0: not a rule
	failures       int // within the window; 0: not a rule
	ratio          float64
	minimum        int
	window         time.Duration // 0 until configured: the default
	buckets        int
	openFor        time.Duration
	growth         float64 // 0: none
	openMax        time.Duration
	probes         int
	probeLimit     time.Duration // 0 until configured: the default
	slow           time.Duration // 0: no call is slow
	inFlight       bool
	ignoreDeadline bool
	rampFor        time.Duration
	shadow         bool
	listeners      []func(Change)
	member         *member // nil: it is not shared

	mistakes
}

// mistakes is what is wrong with options, or with a snapshot.
type mistakes []string

// check notes a mistake unless ok: the option with its values, and what it must do.
func (m *mistakes) check(ok bool, must, option string, values ...any) {
	if ok {
		return
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	*m = append(*m, fmt.Sprintf("%s(%s): must %s", option, strings.Join(texts, ", "), must))
}

// in is the configuration error of that function, nil without a mistake.
func (m mistakes) in(function string) error {
	if len(m) == 0 {
		return nil
	}
	return retry.ConfigErrorf("breaker."+function, "%s", strings.Join(m, "; "))
}

const (
	defaultFailures = 5
	defaultOpenFor  = 30 * time.Second
	defaultWindow   = 10 * time.Second
	defaultBuckets  = 10
	leastProbeLimit = 10 * time.Second
	maxBuckets      = 1 << 16
	maxProbes       = 1_000_000
)

// windowed reports whether outcomes are counted within the window only.
func (c *config) windowed() bool { return c.ratio > 0 || c.failures > 0 }

func configure(opts []Option) (config, error) {
	c := config{openFor: defaultOpenFor, probes: 1}
	for i, o := range opts {
		if o == nil {
			c.mistakes = append(c.mistakes, fmt.Sprintf("option %d: must not be nil", i+1))
			continue
		}
		o(&c)
	}
	if c.consecutive == 0 && !c.windowed() {
		c.consecutive = defaultFailures
	}
	if c.probeLimit == 0 {
		c.probeLimit = max(c.openFor, leastProbeLimit)
	}
	if c.growth > 0 && c.openMax > 0 {
		longEnough := fmt.Sprintf("have a max of at least the open time of %v", c.openFor)
		c.check(c.openMax >= c.openFor, longEnough, "OpenGrowth", c.growth, c.openMax)
	}
	if c.window == 0 {
		c.window, c.buckets = defaultWindow, defaultBuckets
	} else {
		const must = "stand beside FailureRate or FailureCount"
		c.check(c.windowed(), must, "Window", c.window, c.buckets)
	}
	c.check(!c.inFlight || c.slow != 0, "stand beside SlowCall", "SlowInFlight")
	if err := c.in("New"); err != nil {
		// Nothing may depend on what is wrong.
		return config{openFor: defaultOpenFor, probes: 1}, err
	}
	return c, nil
}

func (c *config) positive(option string, d time.Duration) {
	c.check(d > 0, "be positive", option, d)
}

func (c *config) atLeastOne(option string, n int) {
	c.check(n >= 1, "be at least 1", option, n)
}

// ConsecutiveFailures opens the breaker after n failures without a success between them, however
// far apart. It is the default, with n = 5, unless FailureRate or FailureCount is given. Elsewhere
// this is FailureThreshold.
func ConsecutiveFailures(n int) Option {
	return func(c *config) { c.consecutive = n; c.atLeastOne("ConsecutiveFailures", n) }
}

// FailureRate opens the breaker at a failure that brings the share of failures to ratio or more, of
// at least minimum calls that ended within the [Window]. The ratio is above 0 and at most 1. Calls
// without a verdict do not count. It replaces the default rule of consecutive failures; of several
// rules that are given, any opens the breaker. For a rule of your own, ReadyToTrip in gobreaker,
// see [Breaker.Trip]. Elsewhere this is FailureRatio with MinimumThroughput, or
// failureRateThreshold.
func FailureRate(ratio float64, minimum int) Option {
	return func(c *config) {
		ok := ratio > 0 && ratio <= 1
		c.check(ok, "have a ratio above 0 and at most 1", "FailureRate", ratio, minimum)
		c.check(minimum >= 1, "have a minimum of at least 1", "FailureRate", ratio, minimum)
		c.ratio, c.minimum = ratio, minimum
	}
}

// FailureCount opens the breaker at the n-th failure within the [Window], whatever succeeded
// meanwhile. It replaces the default rule of consecutive failures; of several rules that are given,
// any opens the breaker.
func FailureCount(n int) Option {
	return func(c *config) { c.failures = n; c.atLeastOne("FailureCount", n) }
}

// Window is the time that [FailureRate] and [FailureCount] look back. It slides by buckets: the
// oldest bucket is dropped as a whole. The default is 10 s in 10 buckets, as in Hystrix. Without
// either rule it is a configuration error. Choose it so that the usual traffic reaches the minimum
// of calls in a fraction of it. Elsewhere this is Interval, SamplingDuration or slidingWindowSize.
func Window(d time.Duration, buckets int) Option {
	return func(c *config) {
		most := max(1, min(int64(d), maxBuckets))
		c.check(d > 0, "be of a positive duration", "Window", d, buckets)
		c.check(buckets >= 1, "have at least 1 bucket", "Window", d, buckets)
		few := fmt.Sprintf("have at most %d buckets", most)
		c.check(d <= 0 || int64(buckets) <= most, few, "Window", d, buckets)
		c.window, c.buckets = d, buckets
	}
}

// OpenFor is how long the breaker stays open before it sends a probe: 30 s by default, at least 2
// ns. Elsewhere this is Timeout, ResetTimeout, SleepWindow, BreakDuration or
// waitDurationInOpenState.
func OpenFor(d time.Duration) Option {
	return func(c *config) { c.openFor = d; c.positive("OpenFor", d) }
}

// OpenGrowth multiplies the open time by factor after each probe that fails, up to max. Once the
// breaker has closed the open time is that of OpenFor again. Without OpenGrowth it does not grow.
func OpenGrowth(factor float64, max time.Duration) Option {
	return func(c *config) {
		ok := factor >= 1 && !math.IsInf(factor, 0)
		c.check(ok, "have a finite factor of at least 1", "OpenGrowth", factor, max)
		c.check(max > 0, "have a positive max", "OpenGrowth", factor, max)
		c.growth, c.openMax = factor, max
	}
}

// Probes is how many calls a half-open breaker sends, and how many successes close it. The default
// is 1, the most a million. Elsewhere this is MaxRequests or SuccessThreshold.
//
// While all of them are under way it is not known when one returns. A call that comes then is
// rejected, with a RetryAfter of a tenth of the open time, or of the time that the oldest probe has
// taken so far if that is more, but no later than its [ProbeLimit].
func Probes(n int) Option {
	return func(c *config) {
		c.probes = n
		c.atLeastOne("Probes", n)
		c.check(n <= maxProbes, fmt.Sprintf("be at most %d", maxProbes), "Probes", n)
	}
}

// ProbeLimit is how long a probe holds its place. After that another may go beside it. The outcome
// of the first still counts if it comes while the breaker is half-open. The default is the time of
// [OpenFor], but at least 10 s.
func ProbeLimit(d time.Duration) Option {
	return func(c *config) { c.probeLimit = d; c.positive("ProbeLimit", d) }
}

// SlowCall makes a call that takes longer than d a failure, however it ends and whoever ended it.
// Time in a queue inside the breaker is part of it, so a limiter belongs outside. Without it no
// call is slow. Elsewhere this is slowCallDurationThreshold.
func SlowCall(d time.Duration) Option {
	return func(c *config) { c.slow = d; c.positive("SlowCall", d) }
}

// SlowInFlight counts a call as failed as soon as it has been running for longer than [SlowCall],
// and not only when it ends. So a callee that hangs opens the breaker at the first call after that
// time; without SlowInFlight all calls are admitted until the first one gives up. It costs the
// breaker's lock on admission too.
func SlowInFlight() Option { return func(c *config) { c.inFlight = true } }

// IgnoreDeadline does not count calls that hit the caller's deadline. Without it they are failures,
// since a callee that hangs must open the breaker. A deadline that a policy of the chain has set
// still counts. It is recognized by its cause (context.WithTimeoutCause): an error with a method
// ByPolicy(), as policies.Timeout sets it.
func IgnoreDeadline() Option { return func(c *config) { c.ignoreDeadline = true } }

// Ramp lets the traffic come back over d once the probes have closed the breaker, as a share of the
// calls that grows evenly from none to all, because a callee with cold caches falls over again
// under full load. The other calls are rejected as if the breaker were open, while State is
// [Closed] and the usual rules can open it. By default all calls come back at once.
func Ramp(d time.Duration) Option {
	return func(c *config) { c.rampFor = d; c.positive("Ramp", d) }
}

// Shadow runs everything and enforces nothing, not even [Breaker.Isolate]: what the breaker would
// reject goes through, and [Breaker.ShadowCounts] tells how often that was and how often it would
// have been wrong. It is for trying a breaker on live traffic.
func Shadow() Option { return func(c *config) { c.shadow = true } }

// OnChange calls f after every change of state. Any number of listeners may be given; they are
// called in order and without a lock, so f may call any method of the breaker. Changes come one at
// a time and in the order in which they happened, so the goroutine may be another than the one that
// caused the change. Elsewhere this is OnStateChange.
func OnChange(f func(Change)) Option {
	return func(c *config) {
		c.check(f != nil, "be a function", "OnChange", "nil")
		c.listeners = append(c.listeners, f)
	}
}
