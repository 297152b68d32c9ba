package ratelimit

import (
	"errors"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Option tunes a [Limiter] or a [Pacer]. An option that does not fit the one it is given to, or whose value makes no sense,
// is a configuration error.
type Option struct {
	name string
	fits kind
	set  func(*config) error // an error is worded to follow the option's name
}

// kind is a set of constructors.
type kind uint8

const (
	forLimiter kind = 1 << iota
	forPacer
)

// config is what the options say together.
type config struct {
	maxWait time.Duration // negative: as long as the context allows
	hintCap time.Duration

	shadow bool                         // Limiter only, as the next
	source func(rate.Limit, int) source // makes the source; nil: a bucket

	startRate   rate.Limit // Pacer only, as the rest; 0: search
	maxRate     rate.Limit
	maxInFlight int              // 0: no bound
	refused     func(error) bool // nil: nothing else is a refusal
}

const (
	noMaxWait      = -1
	defaultHintCap = time.Hour
)

// configure applies opts in order, so that the last of a name counts. The error names policy and Is [retry.ErrConfig].
func configure(policy string, k kind, opts []Option) (config, error) {
	c := config{maxWait: noMaxWait, hintCap: defaultHintCap, maxRate: rate.Inf}
	var wrong []string
	for _, o := range opts {
		switch {
		case o.set == nil:
			wrong = append(wrong, "an option is the zero Option")
		case o.fits&k == 0:
			wrong = append(wrong, o.name+" is no option of this policy")
		default:
			if err := o.set(&c); err != nil {
				wrong = append(wrong, o.name+" "+err.Error())
			}
		}
	}
	if len(wrong) > 0 {
		return c, retry.ConfigErrorf(policy, "%s", strings.Join(wrong, "; "))
	}
	return c, nil
}

// MaxWait refuses a call at once that would have to wait longer than d before it may go. 0 refuses every call that cannot go
// now. Without it a call waits as long as its context allows.
func MaxWait(d time.Duration) Option {
	return Option{"MaxWait", forLimiter | forPacer, func(c *config) error {
		c.maxWait = d
		return notNegative(d)
	}}
}

// HintCap bounds how long a hint of the callee (a Retry-After, a quota that is used up) may pause the callers; a longer one
// counts as d. The default is an hour; 0 ignores hints. It does not bound Pause, nor the rest that a Pacer takes without a hint,
// which is half a second at least.
func HintCap(d time.Duration) Option {
	return Option{"HintCap", forLimiter | forPacer, func(c *config) error {
		c.hintCap = d
		return notNegative(d)
	}}
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return errors.New("is negative: " + d.String())
	}
	return nil
}

// checkRate tells what is wrong with a rate: it is not positive, or no number. rate.Inf is fine.
func checkRate(r rate.Limit) error {
	if !(r > 0) || math.IsInf(float64(r), 0) {
		return errors.New("is no positive rate")
	}
	return nil
}
