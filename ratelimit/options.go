package ratelimit

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Option tunes a [Limiter] or a [Pacer]. An option that is given to the wrong one, or whose value
// makes no sense, is a configuration error.
type Option struct {
	name  string
	value any // for the error; none{}: the option takes no value
	fits  kind
	set   func(*config) (mustBe string) // empty: the value is fine
}

// none stands for the value of an option that takes none.
type none struct{}

// kind is a set of policies.
type kind uint8

const (
	forLimiter kind = 1 << iota
	forPacer
)

// config is what the options say together.
type config struct {
	name    string        // given by Named
	label   string        // kind and name, for events and rejections
	maxWait time.Duration // negative: as long as the context allows
	hintCap time.Duration

	shadow bool                         // Limiter only, like the next field
	source func(rate.Limit, int) source // makes the source; nil: a bucket

	startRate   rate.Limit // Pacer only, like this whole group; 0: search
	maxRate     rate.Limit
	maxInFlight int // 0: no bound
	careful     bool
	refused     func(error) bool // nil: nothing else is a refusal

	fleet *fleet // set by Shared; nil: not shared
}

const (
	noMaxWait      = -1
	defaultHintCap = time.Hour
)

// configure applies opts in order: of an option that is given twice the last one counts. An error
// is worded for the constructor and Is [retry.ErrConfig].
func configure(constructor string, k kind, opts []Option) (config, error) {
	c := config{maxWait: noMaxWait, hintCap: defaultHintCap, maxRate: rate.Inf}
	var wrong []string
	for _, o := range opts {
		switch {
		case o.set == nil:
			wrong = append(wrong, "Option{}: must be made by a function of this package")
		case o.fits&k == 0:
			wrong = append(wrong, o.String()+": must not be given here")
		default:
			if mustBe := o.set(&c); mustBe != "" {
				wrong = append(wrong, o.String()+": "+mustBe)
			}
		}
	}
	if len(wrong) == 0 && float64(c.startRate) > float64(c.maxRate) {
		wrong = append(wrong, fmt.Sprintf("StartRate(%v): must be at most MaxRate (%v)",
			c.startRate, c.maxRate))
	}
	c.label = label(policyName, c.name)
	if k == forPacer {
		c.label = label(pacerName, c.name)
	}
	if len(wrong) > 0 {
		return c, retry.ConfigErrorf(constructor, "%s", strings.Join(wrong, "; "))
	}
	return c, nil
}

// label is the name in events and rejections: "limiter catalog".
func label(policy, name string) string {
	if name == "" {
		return policy
	}
	return policy + " " + name
}

// String is the option as it was written.
func (o Option) String() string {
	switch o.value {
	case none{}:
		return o.name + "()"
	case nil:
		return o.name + "(nil)"
	}
	return fmt.Sprintf("%s(%v)", o.name, o.value)
}

// Named names the policy in its events, rejections and String: "limiter catalog". By default there
// is no name.
func Named(name string) Option {
	return Option{"Named", name, forLimiter | forPacer, func(c *config) string {
		c.name = name
		return ""
	}}
}

// MaxWait rejects a call at once if it would have to wait longer than d. 0 rejects every call that
// cannot go now. Without it a call waits as long as its context allows.
func MaxWait(d time.Duration) Option {
	return Option{"MaxWait", d, forLimiter | forPacer, func(c *config) string {
		c.maxWait = d
		return notNegative(d)
	}}
}

// HintCap bounds how long a hint of the callee (a Retry-After, a quota that is used up) may pause
// the callers; a longer one counts as d. The default is an hour; 0 ignores hints. It does not bound
// Pause, nor the rest that a Pacer takes without a hint, which is half a second at least.
func HintCap(d time.Duration) Option {
	return Option{"HintCap", d, forLimiter | forPacer, func(c *config) string {
		c.hintCap = d
		return notNegative(d)
	}}
}

func notNegative(d time.Duration) (mustBe string) {
	if d < 0 {
		return "must not be negative"
	}
	return ""
}

// positive is what a rate must be. rate.Inf is fine.
func positive(r rate.Limit) (mustBe string) {
	if !(r > 0) || math.IsInf(float64(r), 0) {
		return "must be a positive number"
	}
	return ""
}
