package policies

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

const unbounded time.Duration = math.MaxInt64

// Exponential is a retry loop with exponential backoff: the wait before the n-th retry is
// Initial x Factor^(n-1), at most MaxDelay, each drawn within +-50 %.
//
//	by default: 100ms -> 200ms -> 400ms ... -> 30s, and three attempts, so the first two of them
//
// Its options, and those of the other loops, are
//
//	how often   Attempts (3), Unlimited, MaxElapsed, MaxCalls, OutermostOnly, WithBudget
//	how long    Initial (100 ms), Factor (2), MaxDelay (30 s), WithJitter (Proportional)
//	the callee  RetryIf, HintCap (5 min)
//	policies    Patience
//	streams     ResetAfter
//	the end     StopOn
//	watching    OnRetry
//
// Initial is for Exponential and [Fibonacci] only, Factor for Exponential.
func Exponential(opts ...Option) retry.Policy {
	l := &loop{config: growing}
	l.step = func(p progress) (time.Duration, progress) {
		d := l.initial
		if p.last > 0 {
			d = l.grown(p.last)
		}
		return d, progress{last: d}
	}
	l.text = func() string { return fmt.Sprintf("%v x%v", l.initial, l.factor) }
	return l.configured("Exponential", nil, opts)
}

// Fibonacci is a retry loop that waits Initial x 1, 2, 3, 5, 8, 13 ... up to MaxDelay, each +-50 %:
// slower to grow than [Exponential].
func Fibonacci(opts ...Option) retry.Policy {
	l := &loop{config: growing}
	l.useless = []string{"Factor"}
	l.step = func(p progress) (time.Duration, progress) {
		if p.last == 0 {
			return l.initial, progress{before: l.initial, last: l.initial}
		}
		sum := p.last + min(p.before, unbounded-p.last)
		return sum, progress{before: p.last, last: sum}
	}
	l.text = func() string { return fmt.Sprintf("%v x1, 2, 3, 5", l.initial) }
	return l.configured("Fibonacci", nil, opts)
}

// Constant is a retry loop that waits d before every further attempt, exactly. With 0 it does not
// wait. Elsewhere this is FixedDelay, ConstantBackOff or wait_fixed.
func Constant(d time.Duration, opts ...Option) retry.Policy {
	var m mistakes
	m.check(d >= 0, "d %v: must not be negative", d)
	l := &loop{config: exact}
	constant := backoff.NewConstantBackOff(d)
	l.step = func(p progress) (time.Duration, progress) { return constant.NextBackOff(), p }
	l.text = d.String
	return l.configured("Constant", m, opts)
}

// Random is a retry loop whose waits are drawn evenly between low and high, both included.
// Elsewhere this is RandomDelay or wait_random.
func Random(low, high time.Duration, opts ...Option) retry.Policy {
	var m mistakes
	m.check(low >= 0, "low %v: must not be negative", low)
	m.check(low <= high, "low %v: must not be above high, %v", low, high)
	l := &loop{config: exact}
	l.step = func(p progress) (time.Duration, progress) {
		top := min(high, l.maxDelay) // drawn within the cap
		return between(min(low, top), top), p
	}
	l.text = func() string { return fmt.Sprintf("%v to %v", low, high) }
	return l.configured("Random", m, opts)
}

// Delays is a retry loop that waits as listed: the first before the second attempt, and so on. It
// makes one attempt more than there are delays; if [Attempts] or [Unlimited] allow more, the last
// delay is repeated. Elsewhere this is ListRetry.
func Delays(waits []time.Duration, opts ...Option) retry.Policy {
	var m mistakes
	m.check(len(waits) > 0, "no delays: must be at least 1")
	for i, d := range waits {
		m.check(d >= 0, "delay %d, %v: must not be negative", i+1, d)
	}
	waits = slices.Clone(waits)
	l := &loop{config: exact}
	l.attempts = len(waits) + 1
	l.step = func(p progress) (time.Duration, progress) {
		return waits[p.n], progress{n: min(p.n+1, len(waits)-1)}
	}
	l.text = func() string { return strings.Trim(fmt.Sprint(waits), "[]") }
	return l.configured("Delays", m, opts)
}

var (
	// growing is how Exponential and Fibonacci begin: with a first wait, a cap and jitter.
	growing = config{
		attempts: 3, initial: 100 * time.Millisecond, factor: 2, jitter: Proportional,
		hintCap: defaultHintCap, patience: -1,
	}
	// exact is how the other schedules do: they wait as they say unless an option asks for a cap or
	// jitter.
	exact = config{
		attempts: 3, maxDelay: unbounded, jitter: NoJitter,
		hintCap: defaultHintCap, patience: -1, useless: []string{"Initial", "Factor"},
	}
)

const (
	defaultHintCap  = 5 * time.Minute
	defaultMaxDelay = 30 * time.Second
)

// configured is l with its options, or with what is wrong in them and in its arguments.
func (l *loop) configured(constructor string, m mistakes, opts []Option) *loop {
	l.name = strings.ToLower(constructor)
	m.configure(&l.config, opts)
	if l.maxDelay == 0 {
		l.maxDelay = max(defaultMaxDelay, l.initial)
	}
	ok := l.initial <= l.maxDelay
	m.check(ok, "Initial(%v): must not be above MaxDelay(%v)", l.initial, l.maxDelay)
	l.err = m.in(constructor)
	return l
}

// progress is where one row of waits stands, as far as the kind of schedule needs it. It is small
// and handed through the schedule by value: so a call keeps it on its stack. The zero progress
// begins a row.
type progress struct {
	n            int             // Delays: which comes next
	before, last time.Duration   // Exponential, Fibonacci: the waits before; 0: none
	own          backoff.BackOff // Backoff: the schedule of this row
}

// grown is the wait that follows on one in cenkalti's exponential schedule, made to move: that cuts
// each product down to whole nanoseconds, so below 1/(factor-1) ns it would stand still for ever.
func (l *loop) grown(last time.Duration) time.Duration {
	b := backoff.ExponentialBackOff{
		InitialInterval: last, Multiplier: l.factor, MaxInterval: l.maxDelay, Clock: noClock{},
	}
	b.Reset()
	b.NextBackOff() // last
	d := b.NextBackOff()
	switch {
	case d < 0: // the product was rounded up to 2^63
		return l.maxDelay
	case d == last && d > 0 && d < l.maxDelay && l.factor > 1:
		return d + 1
	}
	return d
}

// noClock spares cenkalti the reading of a clock that only its MaxElapsedTime needs.
type noClock struct{}

func (noClock) Now() time.Time { return time.Time{} }
