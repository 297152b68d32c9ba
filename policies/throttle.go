package policies

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/policies/internal/load"
	"github.com/reprise-go/reprise/retry"
)

// ErrThrottled is the reason of a rejection by a [Throttle].
var ErrThrottled = errors.New("throttled: the callee has not accepted enough of late")

// Throttle holds calls back at the client while the callee does not accept them, so that an
// overloaded callee does not spend itself on refusing. It is the client-side throttling of the SRE
// book (Beyer et al., Site Reliability Engineering, 2016, chapter 21): a call is rejected with
// probability
//
//	max(0, (requests − K·accepts) / (requests + 1))
//
// where requests are the calls of a window ([Over], 1 minute) with the rejected ones, and accepts
// those that the callee accepted. With K = 2 nothing is rejected while the callee accepts at least
// half, and below that at most twice what it accepts is sent. A circuit breaker lets all or nothing
// through; a throttle lets through about what the callee can do.
//
// The book's law is changed in three ways. Never more than 95 % are rejected, because otherwise too
// few calls would see that the callee is well again. The probability is the smaller of two, over
// the window and over its last sixth: so half of the calls pass a third of a window after the
// callee is well again, and not after two windows. And a call counts when its outcome is known.
//
// What counts as not accepted is what [Refused] says, by default what a circuit breaker counts as a
// failure, and every throttle mark ([retry.After]). The final answer of a healthy callee (Permanent
// and Neutral) is accepted. Other neutral outcomes, the caller's cancellation and rejections from
// further in do not count. Panic and Goexit count as not accepted.
//
// Calls of the lowest priority ([retry.WithPriority]) are rejected first. A rejection has no
// RetryAfter.
//
// Make one with [NewThrottle] for each callee and share it. It is safe for concurrent use. The zero
// Throttle is a configuration error.
type Throttle struct {
	label
	k       float64
	over    time.Duration
	refused func(error) bool // nil: the default
	err     error

	mu    sync.Mutex
	clock steady
	law   load.Throttle
}

// NewThrottle makes a throttle. Options: [K] (2), [Over] (1 minute), [Refused], [Named].
func NewThrottle(opts ...Option) *Throttle {
	t := &Throttle{label: label{kind: "throttle"}, k: 2, over: time.Minute}
	var m mistakes
	m.configure((*throttleSettings)(t), opts)
	t.err = m.in("NewThrottle")
	t.law = load.NewThrottle(t.k, t.over)
	return t
}

// throttleSettings keeps the setters out of Throttle's methods.
type throttleSettings Throttle

// K is how many calls [NewThrottle] sends for each that the callee accepts, once it has to hold
// back. The default is 2. A lower one spares the callee, a higher one notices sooner that it is
// well again. It is at least 1.
func K(k float64) Option {
	return option("K", k, k >= 1 && !math.IsInf(k, 1), "be a number of at least 1",
		func(s *throttleSettings) { s.k = k })
}

// Over is the window over which [NewThrottle] counts. The default is 1 minute; the book has 2.
func Over(d time.Duration) Option {
	return option("Over", d, d >= time.Second, "be at least 1s",
		func(s *throttleSettings) { s.over = d })
}

// Refused says which errors [NewThrottle] counts as not accepted, instead of the default. f is
// asked about every error of a call that reached the callee and was not cancelled by its caller.
func Refused(f func(error) bool) Option {
	return option("Refused", f, f != nil, "not be nil", func(s *throttleSettings) { s.refused = f })
}

// Validate reports bad options, and a Throttle that NewThrottle has not made.
func (t *Throttle) Validate() error {
	if t == nil || t.k == 0 {
		return errZeroThrottle
	}
	return t.err
}

var errZeroThrottle = retry.ConfigErrorf("policies.Throttle", "made without NewThrottle")

// Name is the name given by [Named].
func (t *Throttle) Name() string {
	if t == nil {
		return ""
	}
	return t.name
}

// Rejecting is the probability, from 0 to 0.95, with which a call is rejected at the moment.
func (t *Throttle) Rejecting() float64 {
	p, _, _ := t.now()
	return p
}

func (t *Throttle) now() (probability float64, requests, accepts int) {
	if t.Validate() != nil {
		return 0, 0, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.now()
	requests, accepts = t.law.Counts(now)
	return t.law.Probability(now), requests, accepts
}

// String is one line: throttle catalog(rejects 12 %).
func (t *Throttle) String() string {
	if t.Validate() != nil {
		return "throttle(misconfigured)"
	}
	return fmt.Sprintf("%s(rejects %.0f %%)", t.who(), 100*t.Rejecting())
}

// Format prints String, whatever the verb.
func (t *Throttle) Format(s fmt.State, verb rune) { format(s, verb, t.String()) }

// Stats are rejecting (a probability), and requests and accepts of the window.
func (t *Throttle) Stats() []retry.Stat {
	p, requests, accepts := t.now()
	return []retry.Stat{
		{Name: "rejecting", Value: p, Unit: "1"},
		{Name: "requests", Value: float64(requests), Unit: "1"},
		{Name: "accepts", Value: float64(accepts), Unit: "1"},
	}
}

// Idle is true if the window is empty.
func (t *Throttle) Idle() bool {
	_, requests, _ := t.now()
	return requests == 0
}

// Prompt is true if p is t: see retry.Policy.
func (t *Throttle) Prompt(p retry.Policy) bool { return p == retry.Policy(t) }

// Do rejects the call or lets it through and counts it.
func (t *Throttle) Do(ctx context.Context, next retry.Next) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	if t.reject(int(retry.PriorityOf(ctx))) {
		return reject(ctx, t.who(), ErrThrottled)
	}
	v := notAccepted // after a panic or Goexit
	defer func() { t.count(v) }()
	err := next.Do(ctx)
	v = t.judge(ctx, err)
	return err
}

func (t *Throttle) reject(priority int) bool {
	chance := rand.Float64()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.law.Reject(t.clock.now(), priority, chance)
}

// acceptance is what a call says of the callee.
type acceptance uint8

const (
	notAccepted acceptance = iota
	accepted
	unsaid
)

func (t *Throttle) judge(ctx context.Context, err error) acceptance {
	if err == nil {
		return accepted
	}
	v := retry.VerdictOf(err)
	switch {
	case v.Unreached, ctx.Err() == context.Canceled && !v.Hinted:
		return unsaid
	case t.refused != nil:
		if t.refused(err) {
			return notAccepted
		}
		return accepted
	case v.Hinted, !v.Neutral:
		return notAccepted
	case v.Permanent:
		return accepted
	}
	return unsaid
}

func (t *Throttle) count(a acceptance) {
	if a == unsaid {
		return
	}
	t.mu.Lock()
	t.law.Finish(a == accepted)
	t.mu.Unlock()
}
