package policies

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

const unbounded time.Duration = math.MaxInt64

// Exponential is a retry loop whose waits grow by a factor: Initial x Factor^(n-1) up to MaxDelay, each +-50 %.
//
//	defaults: 100ms -> 200ms -> 400ms ... -> 30s, and three attempts, so the first two of them
func Exponential(opts ...Option) retry.Policy {
	l := growing("exponential", "Exponential", opts)
	l.fresh = func() backoff.BackOff {
		b := &exponential{backoff.ExponentialBackOff{
			InitialInterval: l.initial, Multiplier: l.factor, MaxInterval: l.maxDelay, Clock: backoff.SystemClock,
		}, 0}
		b.Reset()
		return b
	}
	return l
}

// Fibonacci is a retry loop that waits Initial x 1, 2, 3, 5, 8, 13 ... up to MaxDelay, each +-50 %: slower to grow than
// [Exponential].
func Fibonacci(opts ...Option) retry.Policy {
	l := growing("fibonacci", "Fibonacci", opts, "Factor")
	l.fresh = func() backoff.BackOff { return &fibonacci{unit: l.initial, a: l.initial, b: l.initial} }
	return l
}

// Constant is a retry loop that waits d before every further attempt, exactly. With 0 it does not wait.
func Constant(d time.Duration, opts ...Option) retry.Policy {
	l := exact("constant", "Constant", 3, opts)
	l.check(d >= 0, "a delay of %v: must not be negative", d)
	l.fresh = func() backoff.BackOff { return backoff.NewConstantBackOff(d) }
	return l.checked()
}

// Random is a retry loop whose waits are drawn evenly between low and high, both included.
func Random(low, high time.Duration, opts ...Option) retry.Policy {
	l := exact("random", "Random", 3, opts)
	l.check(low >= 0, "a delay of %v: must not be negative", low)
	l.check(low <= high, "the lower bound %v is above the upper bound %v", low, high)
	top := min(high, l.maxDelay) // drawn within the cap
	l.fresh = func() backoff.BackOff { return random{min(low, top), top} }
	return l.checked()
}

// Delays is a retry loop that waits as listed: the first before the second attempt, and so on. It makes one attempt more
// than there are delays; if [Attempts] or [Unlimited] allow more, the last delay is repeated.
func Delays(waits []time.Duration, opts ...Option) retry.Policy {
	waits = slices.Clone(waits)
	l := exact("delays", "Delays", len(waits)+1, opts)
	l.check(len(waits) > 0, "no delays")
	for _, d := range waits {
		l.check(d >= 0, "a delay of %v: must not be negative", d)
	}
	l.fresh = func() backoff.BackOff { return &listed{waits: waits} }
	return l.checked()
}

// growing is what Exponential and Fibonacci have in common: a first wait, a cap and jitter.
func growing(name, constructor string, opts []Option, useless ...string) *loop {
	l := &loop{name: name, constructor: constructor, config: config{
		attempts: 3, initial: 100 * time.Millisecond, factor: 2, maxDelay: 30 * time.Second, jitter: Proportional, hintCap: defaultHintCap,
	}}
	l.apply(opts, useless...)
	l.check(l.initial <= l.maxDelay, "Initial (%v) is above MaxDelay (%v)", l.initial, l.maxDelay)
	return l.checked()
}

// exact is what the other schedules have in common: they wait as they say unless an option asks for a cap or jitter.
func exact(name, constructor string, attempts int, opts []Option) *loop {
	l := &loop{name: name, constructor: constructor, config: config{
		attempts: attempts, maxDelay: unbounded, jitter: NoJitter, hintCap: defaultHintCap,
	}}
	l.apply(opts, "Initial", "Factor")
	return l
}

const defaultHintCap = 5 * time.Minute

func (l *loop) check(ok bool, format string, args ...any) {
	if !ok {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

func (l *loop) checked() *loop {
	l.err = l.config.err(l.constructor)
	return l
}

// exponential is cenkalti's, made to move: that one cuts each product down to whole nanoseconds, so below 1/(factor-1) ns it
// would stand still for ever.
type exponential struct {
	backoff.ExponentialBackOff
	previous time.Duration
}

func (e *exponential) NextBackOff() time.Duration {
	d := e.ExponentialBackOff.NextBackOff()
	if d == e.previous && d > 0 && d < e.MaxInterval && e.Multiplier > 1 {
		e.InitialInterval = d + 1
		e.Reset()
		d = e.ExponentialBackOff.NextBackOff()
	}
	if d < 0 { // the product was rounded up to 2^63
		d = e.MaxInterval
	}
	e.previous = d
	return d
}

type fibonacci struct{ unit, a, b time.Duration }

func (f *fibonacci) NextBackOff() time.Duration {
	d := f.b
	if f.b > unbounded-f.a {
		f.a, f.b = unbounded, unbounded
	} else {
		f.a, f.b = f.b, f.a+f.b
	}
	return d
}

func (f *fibonacci) Reset() { f.a, f.b = f.unit, f.unit }

type random struct{ low, high time.Duration }

func (r random) NextBackOff() time.Duration { return between(r.low, r.high) }
func (r random) Reset()                     {}

type listed struct {
	waits []time.Duration
	next  int
}

func (l *listed) NextBackOff() time.Duration {
	d := l.waits[l.next]
	l.next = min(l.next+1, len(l.waits)-1)
	return d
}

func (l *listed) Reset() { l.next = 0 }
