package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/reprise-go/reprise/retry"
)

// Classify is a policy that tells the policies around it what a failure means, by marking it. It
// stands innermost, next to the call. A rule is a verdict over matchers. The first rule with a
// matcher that matches decides:
//
//	On(m...)       worth another attempt: left as it is
//	Neutral(m...)  worth another attempt, and not the callee's fault: marked Neutral
//	Final(m...)    the answer of a healthy callee: marked Permanent and Neutral
//	Fatal(m...)    the callee's failure, and not worth repeating: marked Permanent
//
// The matchers are [Is], [As], [Status], [ServerErrors], [SQLState] and [Func].
//
//	policies.Classify(
//		policies.On(policies.ServerErrors),
//		policies.Final(policies.Is(sql.ErrNoRows)),
//	)
//
// If no rule matches, [Else] decides. Without it, an On rule with a status matcher makes errors
// with another status final, and an On rule with another matcher makes other errors without a
// status final: Permanent, and Neutral too if the status is a 4xx. Everything else is left as it
// is. So On(Status(404)) alone retries 404 and no other status, and Final(Is(err)) alone takes one
// error out.
//
// If there is a status matcher, no rule matches and the error has no status at all, its text says
// so: "(no status found: see StatusOf)". Errors of gRPC are of that kind.
//
// An error that gets a mark is wrapped in it, its text stays: compare what comes back by errors.Is,
// not by ==. Marks are only added: a rule does not take back what the call itself has marked, nor
// make a failure of a rejection. Rejections, and failures after the context has ended, are not
// answers of the callee: they pass as they are unless a rule names them. Configuration errors
// always pass as they are.
func Classify(rules ...Rule) retry.Policy {
	c := &classifier{given: len(rules)}
	var m mistakes
	for i, r := range rules {
		m.check(r.verdict != 0, "rule %d is the zero Rule", i+1)
		m = append(m, r.mistakes...)
		switch {
		case r.verdict == reader:
			m.check(len(c.rules) == 0 && c.rest.verdict == 0, "StatusOf: must be first in the list")
			c.statusOf = append(c.statusOf, r.status)
		case r.rest:
			m.check(c.rest.verdict == 0, "Else: must be given once")
			c.rest = r
		default:
			c.add(r)
		}
	}
	c.err = m.in("Classify")
	return c
}

type classifier struct {
	stateless
	rules    []Rule
	rest     Rule // of Else
	statusOf []func(error) (int, bool)
	onStatus bool // an On rule has a status matcher
	onOther  bool // an On rule has another one
	statuses bool // any rule has a status matcher
	reads    bool // any rule depends on what is in the tree
	given    int
}

func (c *classifier) add(r Rule) {
	c.rules = append(c.rules, r)
	for _, m := range r.matchers {
		c.statuses = c.statuses || m.ofStatus
		c.reads = c.reads || m.reads || r.verdict == on
		c.onStatus = c.onStatus || r.verdict == on && m.ofStatus
		c.onOther = c.onOther || r.verdict == on && !m.ofStatus
	}
}

// Prompt is true: see retry.Policy.
func (c *classifier) Prompt(retry.Policy) bool { return true }

func (c *classifier) String() string {
	if c.given == 1 {
		return "classify(1 rule)"
	}
	return fmt.Sprintf("classify(%d rules)", c.given)
}

func (c *classifier) Do(ctx context.Context, next retry.Next) error {
	if c.err != nil {
		return c.err
	}
	if ctx.Err() != nil {
		return retry.Ended(ctx)
	}
	err := next.Do(ctx)
	if err == nil {
		return nil
	}
	return c.mark(ctx, err)
}

func (c *classifier) mark(ctx context.Context, err error) error {
	said := retry.VerdictOf(err)
	if said.Config {
		return err
	}
	f := c.read(err)
	for _, r := range c.rules {
		if slices.ContainsFunc(r.matchers, func(m Matcher) bool { return m.match(f) }) {
			return r.verdict.mark(err)
		}
	}
	if said.Rejection != nil || ctx.Err() != nil { // however the call words the latter
		return err
	}
	if c.statuses && f.statuses == nil && c.statusOf == nil {
		err = &noStatusError{err}
	}
	switch {
	case c.rest.verdict != 0:
		return c.rest.verdict.mark(err)
	case f.statuses == nil && c.onOther, f.statuses != nil && c.onStatus:
		if f.all4xx() {
			return final.mark(err)
		}
		return fatal.mark(err)
	}
	return err
}

// read looks for statuses and SQL states in the whole tree of err: of several any may match.
func (c *classifier) read(err error) failure {
	f := failure{err: err}
	for _, statusOf := range c.statusOf {
		if s, ok := statusOf(err); ok {
			f.statuses = append(f.statuses, s)
		}
	}
	if c.reads {
		for e := range retry.Tree(err) {
			f.look(e)
		}
	}
	return f
}

// failure is what a matcher looks at.
type failure struct {
	err      error
	statuses []int
	states   []string
}

func (f *failure) look(err error) {
	as, _ := err.(interface{ As(any) bool }) // as errors.As asks it
	if e, ok := find[interface{ StatusCode() int }](err, as); ok {
		f.statuses = append(f.statuses, e.StatusCode())
	} else if e, ok := find[interface{ HTTPStatusCode() int }](err, as); ok {
		f.statuses = append(f.statuses, e.HTTPStatusCode())
	}
	if e, ok := find[interface{ SQLState() string }](err, as); ok {
		f.states = append(f.states, e.SQLState())
	}
}

func find[E any](err error, as interface{ As(any) bool }) (e E, ok bool) {
	if e, ok = err.(E); !ok && as != nil {
		ok = as.As(&e)
	}
	return e, ok
}

func (f *failure) all4xx() bool {
	other := func(s int) bool { return s/100 != 4 }
	return f.statuses != nil && !slices.ContainsFunc(f.statuses, other)
}

// noStatusError is an error over which a status rule could not decide.
type noStatusError struct{ err error }

func (e *noStatusError) Error() string { return e.err.Error() + " (no status found: see StatusOf)" }
func (e *noStatusError) Unwrap() error { return e.err }

// verdict is what a rule says of the errors that it matches.
type verdict uint8

const (
	on verdict = iota + 1
	neutral
	final
	fatal
	reader // no verdict: it says how statuses are read
)

func (v verdict) mark(err error) error {
	switch v {
	case neutral:
		return retry.Neutral(err)
	case final:
		return retry.Permanent(retry.Neutral(err))
	case fatal:
		return retry.Permanent(err)
	}
	return err
}

// Rule is one line of a [Classify]: a verdict over matchers. It is safe for concurrent use if the
// functions given to its matchers are. The zero Rule is a configuration error.
type Rule struct {
	verdict  verdict
	matchers []Matcher
	status   func(error) (int, bool) // of StatusOf
	rest     bool                    // of Else
	mistakes mistakes
}

// On makes errors that one of m matches worth another attempt. See [Classify] for what it does to
// other errors.
func On(m ...Matcher) Rule { return rule("On", on, m) }

// Neutral makes errors that one of m matches worth another attempt, and not the callee's fault: a
// breaker does not count them. Elsewhere this is IsExcluded or ignoreExceptions.
func Neutral(m ...Matcher) Rule { return rule("Neutral", neutral, m) }

// Final makes errors that one of m matches the answer of a healthy callee, as "no rows": no further
// attempt, and a success to a breaker.
func Final(m ...Matcher) Rule { return rule("Final", final, m) }

// Fatal makes errors that one of m matches the callee's failure, and not worth repeating: no
// further attempt, and a breaker counts it.
func Fatal(m ...Matcher) Rule { return rule("Fatal", fatal, m) }

func rule(name string, v verdict, matchers []Matcher) Rule {
	r := Rule{verdict: v, matchers: slices.Clone(matchers)}
	r.mistakes.check(len(matchers) > 0, "%s(): must have a matcher", name)
	for _, m := range matchers {
		r.mistakes.check(m.match != nil, "%s: the zero Matcher matches nothing", name)
		r.mistakes = append(r.mistakes, m.mistakes...)
	}
	return r
}

// Else is the verdict for errors that no other rule matches, wherever it stands in the list:
// Else(Final), Else(Fatal), Else(Neutral) or Else(On). It replaces what [Classify] does by default.
func Else(verdict func(...Matcher) Rule) Rule {
	r := Rule{verdict: on}
	r.mistakes.check(verdict != nil, "Else(nil): must be On, Neutral, Final or Fatal")
	if verdict != nil {
		r = verdict(Func(func(error) bool { return true }))
	}
	r.rest = true
	return r
}

// StatusOf, first in the list, reads the status of errors that have none of the methods that
// [Status] knows. f gets the whole error, and its answer counts beside what those methods say. For
// gRPC:
//
//	policies.StatusOf(func(err error) (int, bool) {
//		s, ok := status.FromError(err)
//		return int(s.Code()), ok
//	})
func StatusOf(f func(error) (int, bool)) Rule {
	r := Rule{verdict: reader, status: f}
	r.mistakes.check(f != nil, "StatusOf(nil): must not be nil")
	return r
}

// Matcher tells which errors a [Rule] is about. The zero Matcher is a configuration error.
type Matcher struct {
	match    func(failure) bool
	ofStatus bool
	reads    bool // what is in the tree of the error
	mistakes mistakes
}

// Is matches errors that are (errors.Is) one of errs.
func Is(errs ...error) Matcher {
	errs = slices.Clone(errs)
	m := Matcher{match: func(f failure) bool {
		is := func(target error) bool { return errors.Is(f.err, target) }
		return slices.ContainsFunc(errs, is)
	}}
	m.mistakes.check(len(errs) > 0, "Is(): must name an error")
	m.mistakes.check(!slices.Contains(errs, nil), "Is(nil): must not be nil")
	return m
}

// As matches errors with an E in their tree (errors.As).
func As[E error]() Matcher {
	return Matcher{match: func(f failure) bool { _, ok := errors.AsType[E](f.err); return ok }}
}

// Func matches errors that f accepts.
func Func(f func(error) bool) Matcher {
	m := Matcher{match: func(x failure) bool { return f(x.err) }}
	m.mistakes.check(f != nil, "Func(nil): must not be nil")
	return m
}
