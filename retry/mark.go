package retry

import (
	"errors"
	"fmt"
	"time"
)

// Marks are how a verdict travels outward through a chain: the code that knows marks the error, the policies around read.
// A mark wraps: the text stays and errors.Is and errors.As see through it. Wrapping a marked error keeps its marks, and in
// a joined error any mark in the tree counts.

// Permanent marks err as final: no loop makes a further attempt. A breaker still counts it as a failure, unless it is also
// marked [Neutral]. Permanent(nil) is nil.
func Permanent(err error) error { return marked(err, mark{permanent: true}) }

// Neutral marks err as not the callee's fault: a breaker does not count it, a loop still retries it. With [Permanent] it is
// the final answer of a healthy callee (404, no rows), which a breaker counts as a success. Neutral(nil) is nil.
func Neutral(err error) error { return marked(err, mark{neutral: true}) }

// After marks err with the callee's wish for the next attempt, as a Retry-After field does: not before wait has passed.
// After(err, 0) says that the callee refused and gave no time. A negative wait is no mark. After(nil, d) is nil.
func After(err error, wait time.Duration) error {
	if wait < 0 {
		return err
	}
	return marked(err, mark{refused: true, after: wait})
}

// IsPermanent reports whether err is marked [Permanent], or has [ErrPermanent] in its tree, as what a loop returns that gave up on
// such an error. Like the other questions to marks it does not look behind [Unmark]. errors.Is(err, ErrPermanent) answers another
// one: it is false for a mark, and may be true behind Unmark.
func IsPermanent(err error) bool { return verdictOf(err).permanent }

// IsNeutral reports whether err is marked [Neutral].
func IsNeutral(err error) bool { return verdictOf(err).neutral }

// RetryAfter returns the time after which it is worth coming back, from an [After] mark or from a [Rejection]. Of several
// the largest wins. It is false where nobody asked for patience; 0, true means: refused, time unknown.
func RetryAfter(err error) (time.Duration, bool) {
	v := verdictOf(err)
	return v.after, v.refused
}

// Rejected returns the first rejection in err's tree; if an [After] mark around it asks for longer, a copy that says so. A bare
// [ErrRejected] is one too, of unknown time. Unlike errors.As it does not look behind [Unmark]: an inner service's rejection is
// no rejection by this chain.
func Rejected(err error) (*Rejection, bool) {
	r := verdictOf(err).rejection
	return r, r != nil
}

// Unmark hides the marks and rejections in err from the policies further out, so that an inner service's verdicts do not
// rule the outer chain. errors.Is and errors.As still see all of it. Unmark(nil) is nil.
func Unmark(err error) error {
	if err == nil {
		return nil
	}
	return &unmarked{err}
}

// mark is a set of marks on one error.
type mark struct {
	err       error
	permanent bool
	neutral   bool
	refused   bool
	after     time.Duration
}

func marked(err error, m mark) error {
	if err == nil {
		return nil
	}
	m.err = err
	return &m
}

func (m *mark) Error() string { return m.err.Error() }
func (m *mark) Unwrap() error { return m.err }

// Format keeps %+v and other verbs of the wrapped error: a mark is not to be seen.
func (m *mark) Format(s fmt.State, verb rune) { fmt.Fprintf(s, fmt.FormatString(s, verb), m.err) }

// unmarked has no Unwrap method, so that no walk over the tree goes on below it.
type unmarked struct{ err error }

func (u *unmarked) Error() string        { return u.err.Error() }
func (u *unmarked) Is(target error) bool { return errors.Is(u.err, target) }
func (u *unmarked) As(target any) bool   { return errors.As(u.err, target) }

// verdict is all that the marks in a tree say together.
type verdict struct {
	mark
	rejection *Rejection
}

func verdictOf(err error) (v verdict) {
	v.read(err, 0)
	return v
}

// read adds what err says. around is what the marks around it ask for.
func (v *verdict) read(err error, around time.Duration) {
	for err != nil {
		switch e := err.(type) {
		case *mark:
			v.permanent = v.permanent || e.permanent
			v.neutral = v.neutral || e.neutral
			v.refused = v.refused || e.refused
			around = max(around, e.after)
			v.after = max(v.after, e.after)
		case *Rejection:
			v.reject(e, around)
		default:
			v.permanent = v.permanent || err == ErrPermanent
			if err == ErrRejected && v.rejection == nil { // bare
				v.reject(&Rejection{Policy: "a policy", Reason: err}, around)
			}
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, member := range e.Unwrap() {
				v.read(member, around)
			}
			return
		default:
			return
		}
	}
}

func (v *verdict) reject(r *Rejection, around time.Duration) {
	v.refused = true
	v.after = max(v.after, r.RetryAfter)
	if v.rejection != nil {
		return
	}
	if around > r.RetryAfter {
		later := *r
		later.RetryAfter = around
		r = &later
	}
	v.rejection = r
}
