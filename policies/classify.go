package policies

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/retry"
)

// Classify is a policy that tells the policies around it what a failure means, by marking it. It stands innermost, next to
// the call. The first rule that matches decides:
//
//	Statuses, ServerErrors, OnError, OnType, OnMatch          worth another attempt: left as it is
//	FinalStatuses, FinalError, FinalType, FinalMatch          the answer of a healthy callee: Permanent and Neutral
//	NeutralStatuses, NeutralError, NeutralType, NeutralMatch  not the callee's fault, still retried: Neutral
//
// Where none matches, a status rule (Statuses, ServerErrors) makes errors with another status final, and an On rule makes
// other errors without a status final: Permanent, and Neutral too if the status is a 4xx. Everything else is left as it is.
// So Statuses(404) alone retries 404 and no other status, and FinalError alone takes one error out.
//
// An error that gets a mark is wrapped in it, its text stays: compare what comes back by errors.Is, not by ==.
//
// The status of an error is what a method StatusCode() int says that it or an error in its tree has. Of several any may match;
// where none does, they are a 4xx if all of them are. Marks are only added: a rule does not take back what the call itself has
// marked, nor make a failure of a rejection. Rejections, and failures when the context has ended, are no answers of the callee: they
// pass as they are where no rule names them, and configuration errors always.
func Classify(rules ...Rule) retry.Policy {
	c := &classifier{rules: slices.Clone(rules)}
	var problems []string
	for _, r := range rules {
		if r.match == nil && r.problem == "" {
			r.problem = "empty rule"
		}
		if r.problem != "" {
			problems = append(problems, r.problem)
		}
		c.status = c.status || r.verdict == transientStatus
		c.on = c.on || r.verdict == transient
	}
	if problems != nil {
		c.err = retry.ConfigErrorf("policies.Classify", "%s", strings.Join(problems, "; "))
	}
	return c
}

type classifier struct {
	rules  []Rule
	status bool // there is a Statuses or ServerErrors
	on     bool // there is an On rule
	err    error
}

func (c *classifier) Validate() error { return c.err }
func (c *classifier) Idle() bool      { return true }

func (c *classifier) Do(ctx context.Context, next retry.Next) error {
	if c.err != nil {
		return c.err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	err := next.Do(ctx)
	if err == nil || errors.Is(err, retry.ErrConfig) {
		return err
	}
	return c.mark(ctx, err)
}

func (c *classifier) mark(ctx context.Context, err error) error {
	f := failure{err: err}
	f.readStatuses(err)
	for _, r := range c.rules {
		if !r.match(f) {
			continue
		}
		switch r.verdict {
		case final:
			return retry.Permanent(retry.Neutral(err))
		case neutral:
			return retry.Neutral(err)
		}
		return err
	}
	ruled := c.on
	if f.statuses != nil {
		ruled = c.status
	}
	if !ruled || !answered(ctx, err) {
		return err
	}
	if f.statuses != nil && !slices.ContainsFunc(f.statuses, func(s int) bool { return s/100 != 4 }) {
		err = retry.Neutral(err)
	}
	return retry.Permanent(err)
}

// answered is false for what does not come from the callee. How a call speaks of the end of its context is its own affair: a
// command says that it was killed.
func answered(ctx context.Context, err error) bool {
	_, rejected := retry.Rejected(err)
	return !rejected && ctx.Err() == nil
}

// failure is what a rule looks at.
type failure struct {
	err      error
	statuses []int
}

// readStatuses goes through the tree as errors.As does, but does not stop at the first status.
func (f *failure) readStatuses(err error) {
	if s, ok := err.(interface{ StatusCode() int }); ok {
		f.statuses = append(f.statuses, s.StatusCode())
	} else if as, ok := err.(interface{ As(any) bool }); ok {
		var s interface{ StatusCode() int }
		if as.As(&s) {
			f.statuses = append(f.statuses, s.StatusCode())
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		f.readStatuses(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			f.readStatuses(inner)
		}
	}
}

// Rule is one line of a [Classify]. It is safe for concurrent use if the function given to it is.
type Rule struct {
	match   func(failure) bool
	verdict verdict
	problem string
}

type verdict uint8

const (
	transient       verdict = iota + 1
	transientStatus         // transient too, but it speaks of statuses
	final
	neutral
)

// Statuses makes errors with one of these statuses worth another attempt, and other statuses final. Codes that are not HTTP's,
// as those of gRPC, will do.
func Statuses(codes ...int) Rule { return statusRule("Statuses", transientStatus, codes) }

// ServerErrors makes errors with a status of 500 to 599 worth another attempt, and other statuses final.
func ServerErrors() Rule {
	return Rule{verdict: transientStatus, match: func(f failure) bool {
		return slices.ContainsFunc(f.statuses, func(s int) bool { return s/100 == 5 })
	}}
}

// FinalStatuses makes errors with one of these statuses final.
func FinalStatuses(codes ...int) Rule { return statusRule("FinalStatuses", final, codes) }

// NeutralStatuses makes errors with one of these statuses no fault of the callee.
func NeutralStatuses(codes ...int) Rule { return statusRule("NeutralStatuses", neutral, codes) }

// OnError makes errors that are (errors.Is) one of errs worth another attempt, and others without a status final.
func OnError(errs ...error) Rule { return errorRule("OnError", transient, errs) }

// FinalError makes errors that are (errors.Is) one of errs final.
func FinalError(errs ...error) Rule { return errorRule("FinalError", final, errs) }

// NeutralError makes errors that are (errors.Is) one of errs no fault of the callee.
func NeutralError(errs ...error) Rule { return errorRule("NeutralError", neutral, errs) }

// OnType makes errors with an E in their tree (errors.As) worth another attempt, and others without a status final.
func OnType[E error]() Rule { return Rule{verdict: transient, match: hasType[E]} }

// FinalType makes errors with an E in their tree (errors.As) final.
func FinalType[E error]() Rule { return Rule{verdict: final, match: hasType[E]} }

// NeutralType makes errors with an E in their tree (errors.As) no fault of the callee.
func NeutralType[E error]() Rule { return Rule{verdict: neutral, match: hasType[E]} }

// OnMatch makes errors that f accepts worth another attempt, and others without a status final.
func OnMatch(f func(error) bool) Rule { return matchRule("OnMatch", transient, f) }

// FinalMatch makes errors that f accepts final.
func FinalMatch(f func(error) bool) Rule { return matchRule("FinalMatch", final, f) }

// NeutralMatch makes errors that f accepts no fault of the callee.
func NeutralMatch(f func(error) bool) Rule { return matchRule("NeutralMatch", neutral, f) }

func statusRule(name string, v verdict, codes []int) Rule {
	codes = slices.Clone(codes)
	r := Rule{verdict: v, match: func(f failure) bool {
		return slices.ContainsFunc(f.statuses, func(s int) bool { return slices.Contains(codes, s) })
	}}
	if len(codes) == 0 {
		r.problem = name + " without a status"
	}
	for _, code := range codes {
		if code < 0 {
			r.problem = name + ": a status is not negative"
		}
	}
	return r
}

func errorRule(name string, v verdict, errs []error) Rule {
	errs = slices.Clone(errs)
	r := Rule{verdict: v, match: func(f failure) bool {
		return slices.ContainsFunc(errs, func(target error) bool { return errors.Is(f.err, target) })
	}}
	if len(errs) == 0 || slices.Contains(errs, nil) {
		r.problem = name + " without an error"
	}
	return r
}

func matchRule(name string, v verdict, f func(error) bool) Rule {
	r := Rule{verdict: v, match: func(x failure) bool { return f(x.err) }}
	if f == nil {
		r.problem = name + ": nil function"
	}
	return r
}

func hasType[E error](f failure) bool {
	_, ok := errors.AsType[E](f.err)
	return ok
}
