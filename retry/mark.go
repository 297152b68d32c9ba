package retry

import (
	"errors"
	"fmt"
	"time"
)

// Marks are how a verdict travels outward through a chain. The code that knows what a failure means
// marks the error, and the policies around it read the marks (see VerdictOf). A mark wraps the
// error: its text stays, and errors.Is and errors.As see through it. Wrapping a marked error keeps
// its marks.

// Permanent marks err as final: no loop makes a further attempt. A breaker still counts it as a
// failure, unless it is also marked [Neutral]. Permanent(nil) is nil. Other libraries call it
// Unrecoverable, or mark all other errors instead, as RetryableError.
func Permanent(err error) error { return marked(err, mark{permanent: true}) }

// Neutral marks err as not the callee's fault: a breaker does not count it, a loop still retries
// it. With [Permanent] it is the final answer of a healthy callee (404, no rows), which a breaker
// counts as a success. Neutral(nil) is nil.
func Neutral(err error) error { return marked(err, mark{neutral: true}) }

// After marks err with the time that the callee asks for, as a Retry-After field does: the next
// attempt is not made before wait has passed. After(err, 0) says that the callee refused and gave
// no time. A negative wait is not a mark. After(nil, d) is nil.
func After(err error, wait time.Duration) error {
	if wait < 0 {
		return err
	}
	return marked(err, mark{refused: true, after: wait})
}

// Unmark hides the marks and rejections in err from the policies further out, so that an inner
// service's verdicts do not rule the outer chain. errors.Is and errors.As still see all of it.
// Unmark(nil) is nil.
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

// Format keeps %+v and other verbs of the wrapped error: a mark does not show.
func (m *mark) Format(s fmt.State, verb rune) { fmt.Fprintf(s, fmt.FormatString(s, verb), m.err) }

// unmarked has no Unwrap method, so that no walk over the tree goes on below it.
type unmarked struct{ err error }

func (u *unmarked) Error() string        { return u.err.Error() }
func (u *unmarked) Is(target error) bool { return errors.Is(u.err, target) }
func (u *unmarked) As(target any) bool   { return errors.As(u.err, target) }
