package retry

import (
	"fmt"
	"math"
	"time"
)

// Warning is what [Lint] finds: an order of policies that is valid and does not do what people
// expect.
type Warning struct {
	Rule string // short and stable, so that you can ignore one: "limiter-outside-loop"
	Path string // of the policy it is about: see Walk
	Harm string // what happens, with the figures of this chain
}

// String is one line.
func (w Warning) String() string { return w.Path + ": " + w.Harm + " (" + w.Rule + ")" }

// Traits is what a policy tells [Lint] about itself, by a method Traits() Traits. A zero field says
// nothing.
type Traits struct {
	Loop          bool
	Attempts      int           // of a loop: calls in all; 0: unlimited
	Delays        time.Duration // of a loop: all its waits, without jitter; if unlimited: the first
	Patience      time.Duration // of a loop: for rejections
	OutermostOnly bool          // of a loop: it steps aside inside another

	Timeout    time.Duration // it ends what is inside after this time
	Limiter    bool          // it lets calls go at a rate
	Breaker    bool
	Failures   int  // of a breaker: how many failures in a row open it
	Classifier bool // it marks errors for the policies around it
	Chaos      bool // it injects faults
}

// Lint judges the order of the policies in p. [Validate] finds mistakes, which make every call
// fail; Lint finds chains that work and do harm. Print what it returns at start-up, or fail a test
// with it. The policies of policies.Keyed are seen once their key is in use. The rules:
//
//	timeout-shorter-than-delays   a Timeout outside a loop ends it before its last attempts
//	patience-longer-than-timeout  a Timeout outside a loop ends before the loop's Patience
//	loop-inside-breaker           a breaker counts as one outcome more attempts than would open it
//	breaker-opened-by-one-call    a loop makes so many attempts that one call opens the breaker
//	limiter-outside-loop          retries do not pass the limiter
//	classifier-outside-breaker    a breaker does not see the marks of the classifier
//	two-loops                     attempts multiply: see policies.OutermostOnly
//	chaos                         a policies.Chaos is in the chain
func Lint(p Policy) []Warning {
	var l linter
	Walk(p, func(path string, p Policy) bool {
		m := member{path: path}
		if t, ok := p.(interface{ Traits() Traits }); ok {
			m.Traits = t.Traits()
		}
		l.inside(m)
		l.around = append(l.around, m)
		return true
	})
	return l.found
}

type member struct {
	path string
	Traits
}

type linter struct {
	around []member // outermost first
	found  []Warning
}

func (l *linter) warn(rule string, m member, format string, args ...any) {
	l.found = append(l.found, Warning{rule, m.path, fmt.Sprintf(format, args...)})
}

// inside looks at a policy and at those around it.
func (l *linter) inside(in member) {
	if in.Chaos {
		l.warn("chaos", in, "it injects faults: not for production")
	}
	for _, out := range l.around {
		switch {
		case in.Loop:
			l.loopInside(out, in)
		case in.Breaker:
			l.breakerInside(out, in)
		}
	}
}

func (l *linter) loopInside(out, in member) {
	switch {
	case out.Timeout > 0 && in.Delays >= out.Timeout:
		l.warn("timeout-shorter-than-delays", out,
			"%s waits %v in all between its attempts, "+
				"this timeout ends them after %v: the last are never made",
			in.path, in.Delays, out.Timeout)
	case out.Breaker && out.Failures > 0 && in.Attempts > out.Failures:
		l.warn("loop-inside-breaker", out,
			"it counts the %d attempts of %s as one outcome: "+
				"a dead callee gets %s calls before it opens, not %d",
			in.Attempts, in.path, product(in.Attempts, out.Failures), out.Failures)
	case out.Limiter:
		l.warn("limiter-outside-loop", out,
			"retries of %s do not pass it: the callee gets up to %s the rate",
			in.path, times(in.Attempts))
	case out.Loop && !in.OutermostOnly:
		l.warn("two-loops", in,
			"attempts multiply: up to %s calls where each loop alone makes %s and %s",
			product(out.Attempts, in.Attempts), count(out.Attempts), count(in.Attempts))
	}
	if out.Timeout > 0 && in.Patience > out.Timeout {
		l.warn("patience-longer-than-timeout", in,
			"it waits up to %v for a refusal, the timeout %s around it is %v: "+
				"such a wait is never begun",
			in.Patience, out.path, out.Timeout)
	}
}

func (l *linter) breakerInside(out, in member) {
	switch {
	case out.Classifier:
		l.warn("classifier-outside-breaker", out,
			"%s does not see its marks: final answers of a healthy callee open it", in.path)
	case out.Loop && in.Failures > 0 && (out.Attempts == 0 || out.Attempts > in.Failures):
		l.warn("breaker-opened-by-one-call", in,
			"%d failures open it, and one call of %s alone makes %s attempts",
			in.Failures, out.path, count(out.Attempts))
	}
}

func times(n int) string {
	if n == 0 {
		return "any number of times"
	}
	return fmt.Sprintf("%d times", n)
}

func count(n int) string {
	if n == 0 {
		return "any number of"
	}
	return fmt.Sprint(n)
}

func product(a, b int) string {
	if a == 0 || b == 0 {
		return count(0)
	}
	if a > math.MaxInt/b {
		return fmt.Sprintf("more than %d", math.MaxInt)
	}
	return fmt.Sprint(a * b)
}
