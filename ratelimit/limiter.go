package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// ErrLimited is the reason of a rejection by a [Limiter] or a [Pacer]: the wait would be longer than the context's deadline or
// [MaxWait] allow, or no wait would ever be enough. The wait it would take is the rejection's RetryAfter, 0 if there is none.
var ErrLimited = errors.New("rate limited")

// errLimitedByDeadline is the reason when it was the context's deadline that the wait did not fit.
var errLimitedByDeadline = fmt.Errorf("%w: the wait does not fit (%w)", ErrLimited, context.DeadlineExceeded)

// Limiter is a policy that lets calls go at a rate: a token bucket of [golang.org/x/time/rate], full at first. A call that finds
// no token waits in line, first in first out; one whose wait cannot fit its deadline or [MaxWait] is refused at once and takes
// nothing. An abandoned wait leaves no trace, and a call that was refused further in (an open breaker) gives its token back.
// It counts from when it is back: where calls are held further in while the bucket fills again, and then refused, as many others as
// tokens come back may go beyond the burst, though no more than the limit permits since those were let go.
//
// What a callee says of its patience pauses every caller: see [Limiter.Pause] for how a pause ends.
//
// A Limiter is safe for concurrent use. One limiter stands for one limit: share it among all who are under that limit. The
// zero Limiter is a configuration error; make one with [New], [From] or [All].
type Limiter struct {
	sources []source   // a call takes its tokens from all of them or from none
	members []*Limiter // of All: the owners of the sources
	shared  bool       // others may take from the sources, or change them, without a word
	config
	invalid atomic.Pointer[error] // what is wrong with the configuration

	mu      sync.Mutex // of All, it is taken before the members'
	now     time.Time  // the latest moment seen
	checked time.Time  // when those in line were last looked at, whether they fit
	free    uint64     // the sources, as bits, that were without limit when last looked at
	line    line[ticket]
	pause   pause
	fits    time.Time // a pause that ends then leaves all in line their turn in time
	stats   Stats
}

// New makes a limiter that lets burst calls go at once and limit calls a second in the long run. rate.Inf lets all go, whatever
// the burst, until something pauses them. A limit of 0 lets the first burst go and no other call. A limit that is negative or no
// number, and a burst below 1, are configuration errors.
func New(limit rate.Limit, burst int, opts ...Option) *Limiter {
	l := &Limiter{}
	c, err := configure(policyName, forLimiter, opts)
	l.config = c
	if c.source == nil {
		l.use(bucket{rate.NewLimiter(number(limit), max(burst, 0))}, err)
	} else {
		l.shared = true
		l.use(c.source(number(limit), max(burst, 0)), err)
	}
	return l
}

// From makes a limiter of a bucket that is there already and that others may go on using. Those others are not in line: they
// take their tokens when they come. What they change of the bucket is noticed by the next call, and within a second by those in
// line, of whom those are refused then who can no longer be served in time.
func From(b *rate.Limiter, opts ...Option) *Limiter {
	l := &Limiter{shared: true}
	c, err := configure(policyName, forLimiter, opts)
	l.config = c
	switch {
	case err != nil:
	case b == nil:
		err = retry.ConfigErrorf(policyName, "nil bucket")
	case c.source != nil:
		err = retry.ConfigErrorf(policyName, "a bucket of its own beside a shared limit")
	}
	if err != nil {
		l.judge(err)
		return l
	}
	if math.IsInf(float64(b.Limit()), 1) {
		b.SetLimit(rate.Inf)
	}
	l.use(bucket{b}, nil)
	return l
}

// use gives a new limiter its source, and the error that its options made.
func (l *Limiter) use(s source, err error) {
	l.sources = []source{s}
	l.free = l.unlimited()
	if err == nil {
		err = checkSource(s)
	}
	l.judge(err)
}

const policyName = "limiter"

// number is limit as a bucket can bear it: one that counts with NaN or an infinity is left with NaN tokens, which let all go.
func number(limit rate.Limit) rate.Limit {
	switch {
	case math.IsNaN(float64(limit)):
		return -1
	case math.IsInf(float64(limit), 1):
		return rate.Inf
	}
	return limit
}

func checkSource(s source) error {
	limit := s.limit()
	switch {
	case !(limit >= 0): // NaN too
		return retry.ConfigErrorf(policyName, "a limit that is negative or no number is no rate")
	case limit == rate.Inf:
		return nil
	case s.burst() < 1:
		return retry.ConfigErrorf(policyName, "a burst below 1 lets no call go")
	case math.IsNaN(s.tokens(time.Now())):
		return retry.ConfigErrorf(policyName, "a bucket that was used with a limit that is no number is of no more use")
	}
	return nil
}

func (l *Limiter) judge(err error) {
	if err == nil {
		l.invalid.Store(nil)
		return
	}
	l.invalid.Store(&err)
}

// Validate reports a configuration error, also one that came with SetLimit or SetBurst.
func (l *Limiter) Validate() error {
	if l == nil {
		return errNil
	}
	if err := l.invalid.Load(); err != nil {
		return *err
	}
	if len(l.sources) == 0 {
		return errZero
	}
	for _, m := range l.members {
		if err := m.Validate(); err != nil {
			return err
		}
	}
	return nil
}

var (
	errNil  = retry.ConfigErrorf(policyName, "a nil Limiter")
	errZero = retry.ConfigErrorf(policyName, "the zero Limiter is not ready: use New, From or All")
)

// Do waits for the call's turn, or refuses it. A refusal is a [*retry.Rejection] that Is [ErrLimited] and, where the deadline is
// the reason, Is context.DeadlineExceeded.
func (l *Limiter) Do(ctx context.Context, next retry.Next) error { return l.do(ctx, next, 1) }

func (l *Limiter) do(ctx context.Context, next retry.Next, n int) error {
	if err := l.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	t, err := l.admit(ctx, n)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // a panic or Goexit: the token is spent, but a probe frees its place
			l.settle(&t, void)
		}
	}()
	err = next.Do(ctx)
	returned = true
	if quota, ok := retry.Reported(ctx, t.at); ok || err != nil || t.probe != 0 {
		l.hear(ctx, &t, quota, err)
	}
	return err
}

// ticket is what an admitted call holds.
type ticket struct {
	n      int       // tokens
	free   uint64    // the sources, as bits, that were without limit and gave none
	at     time.Time // when it was admitted
	pauses int32     // pauses there had been by then
	probe  int32     // its number, if it is the one call that goes first after a pause; else 0
}

// hear settles a call that has returned: what became of its tokens, and what its callee said.
func (l *Limiter) hear(ctx context.Context, t *ticket, quota retry.Quota, err error) {
	if !made(err) {
		l.settle(t, unmade)
		return
	}
	if wait, refused := patience(err, quota); refused {
		l.hint(ctx, t, wait, err)
		return
	}
	if quota.Remaining <= 0 && quota.Reset > 0 {
		l.hint(ctx, t, quota.Reset, err)
		return
	}
	if err != nil && ctx.Err() != nil { // it says nothing of the callee
		l.settle(t, void)
		return
	}
	l.settle(t, answered)
}

// Limit returns the limit in calls a second; of [All] the lowest one.
func (l *Limiter) Limit() rate.Limit {
	low := rate.Inf
	for _, s := range l.sources {
		low = min(low, s.limit())
	}
	return low
}

// Burst returns the burst; of [All] the lowest one.
func (l *Limiter) Burst() int {
	low := math.MaxInt
	for _, s := range l.sources {
		low = min(low, s.burst())
	}
	return low
}

// SetLimit changes the limit. Those in line get their new turn, and who can no longer be served in time is refused. With a limit
// that is no rate every call fails until it is set right.
func (l *Limiter) SetLimit(limit rate.Limit) {
	l.change(func(s source) { s.set(l.now, number(limit), s.burst()) })
}

// SetBurst changes the burst as SetLimit changes the limit.
func (l *Limiter) SetBurst(burst int) {
	l.change(func(s source) { s.set(l.now, s.limit(), max(burst, 0)) })
}

func (l *Limiter) change(set func(source)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.sources) == 0: // Validate tells
	case l.members != nil:
		l.judge(retry.ConfigErrorf(policyName, "a limiter made by All has no limit of its own to set: set that of a member"))
	default:
		l.tick()
		set(l.sources[0])
		l.inspect()
	}
	l.replan()
}

// inspect looks at the limiter's own source after a change. It requires that l.mu is held.
func (l *Limiter) inspect() {
	l.free = l.unlimited()
	l.judge(checkSource(l.sources[0]))
}

// changed is what a source calls whose limit or burst was changed elsewhere. It must not be called with l.mu held.
func (l *Limiter) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick()
	if l.members == nil {
		l.inspect()
	}
	l.replan()
}

// Idle reports whether the limiter could be forgotten without changing a decision: nobody waits, nothing pauses it, and its bucket
// is full.
func (l *Limiter) Idle() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	l.follow()
	l.opens(now) // sees the members' pauses
	if l.line.head != nil || l.pause.pending(now) {
		return false
	}
	for _, s := range l.sources {
		if s.limit() != rate.Inf && s.tokens(now) < float64(s.burst()) {
			return false
		}
	}
	return true
}

// String is one readable line.
func (l *Limiter) String() string {
	if err := l.Validate(); err != nil {
		return err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	s := policyName
	for i, source := range l.sources {
		if i > 0 {
			s += " and"
		}
		s += " " + source.String()
	}
	if wait := l.opens(now).Sub(now); wait > 0 {
		s += fmt.Sprintf(", paused for %v", wait)
	}
	if l.line.len > 0 {
		s += fmt.Sprintf(", %d waiting", l.line.len)
	}
	return s
}
