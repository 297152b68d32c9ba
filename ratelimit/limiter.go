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

// ErrLimited is the reason of a rejection by a [Limiter] or a [Pacer]: the wait would be longer
// than the context's deadline or [MaxWait] allow, no wait would ever be enough, or the context
// ended while the call waited. The rejection's RetryAfter is the wait that the call would need, 0
// if no wait helps or it is unknown.
var ErrLimited = errors.New("rate limited")

// errLimitedByDeadline is the reason if the wait does not fit the context's deadline.
var errLimitedByDeadline = fmt.Errorf("%w: the wait does not fit (%w)",
	ErrLimited, context.DeadlineExceeded)

// Limiter is a policy that admits calls at a rate: a token bucket of [golang.org/x/time/rate], full
// at first. It has no Wait, Allow or Reserve: a call is sent through it by retry.Do, and waits;
// with MaxWait(0) it goes at once or is rejected. A call that finds no token waits in line, the
// higher priority first ([retry.WithPriority]) and first in first out within one. A call whose wait
// cannot fit its deadline or [MaxWait] is rejected at once and takes nothing; so is a waiting call
// that others overtake, as soon as it no longer fits. An abandoned wait leaves no trace and is a
// rejection too, so that the policies further out know that the callee was not reached.
//
// A call that was rejected further in (an open breaker) gives its token back. That token can be
// spent at once. So if calls are held further in, others spend the tokens that come meanwhile, and
// the held calls are then rejected, more calls than the burst may follow: one for each token given
// back, but never more than the limit has permitted since the held calls were admitted.
//
// A hint of the callee (Retry-After, a used-up quota) pauses every caller: see [Limiter.Pause] for
// how a pause ends.
//
// Use [Limiter.N] for calls of several tokens and [Limiter.Charge] if the price is known only
// afterwards. A Limiter is safe for concurrent use. One limiter stands for one limit: share it
// among all callers under that limit. The zero Limiter is a configuration error; make one with
// [New], [From] or [All].
type Limiter struct {
	sources []source   // a call takes its tokens from all of them or from none
	members []*Limiter // of All: the owners of the sources
	shared  bool       // others may take from the sources, or change them, without telling it
	config
	invalid atomic.Pointer[error] // what is wrong with the configuration

	mu      sync.Mutex // of All, it is taken before the members'
	asked   asked
	now     time.Time // the latest moment seen
	checked time.Time // when all in line were last checked for whether they fit
	free    uint64    // as bits, the sources that had no limit when last checked
	line    line[ticket]
	pause   pause
	latest  time.Time // a pause may last until then and nobody in line is too late
	spent   int       // tokens taken and charged, and not given back
	moves   int       // how often tokens were taken from the sources or given back
	lent    bool      // an All takes from the source too
	found   found
	filling filling
	counts  Counts
}

// asked is the limit and burst as they were given, for errors.
type asked struct {
	limit rate.Limit
	burst int
}

const policyName = "limiter"

// New makes a limiter that admits burst calls at once and limit calls a second in the long run.
// [rate.Inf] admits every call, whatever the burst, except during a pause. A limit of 0 admits the
// first burst and no other call. A negative or NaN limit and a burst below 1 are configuration
// errors. Package x/time/rate calls it NewLimiter, others NewSmooth, NewBursty or limitForPeriod.
// There is no PerMinute: 300 a minute is a limit of 300.0/60.
//
// Options: [MaxWait], [HintCap], [Named], [Shadow]. Without them a call waits as long as its
// context allows, and no hint of the callee pauses the callers for longer than an hour.
func New(limit rate.Limit, burst int, opts ...Option) *Limiter {
	l := &Limiter{asked: asked{limit, burst}}
	c, err := configure("ratelimit.New", forLimiter, opts)
	l.config = c
	if c.source != nil && err == nil {
		l.shared = true
		l.use(c.source(number(limit), max(burst, 0)))
		if m, ok := l.sources[0].(*member); ok {
			m.owner = l
		}
	} else {
		l.use(bucket{rate.NewLimiter(number(limit), max(burst, 0))})
	}
	if err == nil {
		err = l.check("ratelimit.New")
	}
	l.spoil(err)
	return l
}

// From makes a limiter on top of an existing bucket, which other code may go on using. That code
// does not wait in this limiter's line: it takes its tokens when it comes. If it changes the
// bucket, the next call notices at once and waiting calls within a second; those that can no longer
// be served in time are then rejected. The options are those of [New].
func From(b *rate.Limiter, opts ...Option) *Limiter {
	l := &Limiter{shared: true}
	c, err := configure("ratelimit.From", forLimiter, opts)
	l.config = c
	switch {
	case err != nil:
	case b == nil:
		err = retry.ConfigErrorf("ratelimit.From", "bucket nil: must be made by rate.NewLimiter")
	case c.source != nil:
		err = retry.ConfigErrorf("ratelimit.From", "a shared limit: must be made by New")
	}
	if err != nil {
		l.spoil(err)
		return l
	}
	l.asked = asked{b.Limit(), b.Burst()}
	if math.IsInf(float64(b.Limit()), 1) {
		b.SetLimit(rate.Inf)
	}
	l.use(bucket{b})
	l.spoil(l.check("ratelimit.From"))
	return l
}

// use gives a new limiter its source.
func (l *Limiter) use(s source) {
	l.sources = []source{s}
	l.free = l.unlimited()
}

// number replaces a limit of NaN or +Inf, with which a bucket must not calculate: its tokens would
// become NaN, and a bucket with NaN tokens admits every call.
func number(limit rate.Limit) rate.Limit {
	switch {
	case math.IsNaN(float64(limit)):
		return -1
	case math.IsInf(float64(limit), 1):
		return rate.Inf
	}
	return limit
}

// check tells what is wrong with the limiter's own source. by names the function that set it.
func (l *Limiter) check(by string) error {
	s := l.sources[0]
	limit := s.limit()
	m, fleet := s.(*member)
	switch {
	case !(limit >= 0): // NaN too
		return retry.ConfigErrorf(by, "limit %v: must be a number, not negative", l.asked.limit)
	case limit == rate.Inf && !fleet:
		return nil
	case s.burst() < 1:
		return retry.ConfigErrorf(by, "burst %d: must be at least 1", l.asked.burst)
	case math.IsNaN(s.tokens(time.Now())):
		return retry.ConfigErrorf(by,
			"bucket with NaN tokens: must be a new one, since it was used with a limit of NaN")
	}
	if fleet {
		return m.check(by, limit, m.burst())
	}
	return nil
}

// spoil makes every call fail with err; nil ends that.
func (l *Limiter) spoil(err error) {
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
	errNil  = retry.ConfigErrorf("ratelimit", "nil Limiter: must be made by New, From or All")
	errZero = retry.ConfigErrorf("ratelimit", "zero Limiter: must be made by New, From or All")
)

// Prompt is true if p is l: see retry.Policy.
func (l *Limiter) Prompt(p retry.Policy) bool { return p == retry.Policy(l) }

// Do waits for the call's turn, or rejects it. The error then is a [*retry.Rejection] that Is
// [ErrLimited] and tells the limiter's Quota. If the deadline is the reason it Is
// context.DeadlineExceeded, and if the context ended during the wait it Is what ended it.
func (l *Limiter) Do(ctx context.Context, next retry.Next) error { return l.do(ctx, next, 1) }

func (l *Limiter) do(ctx context.Context, next retry.Next, n int) error {
	if err := l.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	clock := next.Clock()
	now := retry.TimeOf(clock)
	var told *retry.Event
	if !l.shadow && retry.Wanted(ctx, retry.KindAdmit) {
		// Filled in as early as possible, because to copy what has just been written costs more.
		told = new(retry.Event) // on the stack
		told.Kind, told.Policy = retry.KindAdmit, l.label
	}
	var t ticket
	err := l.admit(ctx, &t, now, n, told)
	if err != nil {
		if l.shared {
			l.tellNews(ctx)
		}
		return err
	}
	settled, o := false, unmade
	defer func() {
		if !settled { // a panic or Goexit, in an observer, the call or a method of its error
			l.settle(&t, o)
		}
	}()
	if l.shared {
		l.tellNews(ctx)
	}
	if told != nil {
		told.Emit(ctx)
	}
	if t.at.Equal(now) { // it did not wait
		next = next.At(clock)
	}
	o = void // its token is spent, but a probe frees its place
	err = next.Do(ctx)
	quota, reported := retry.Reported(ctx, t.at)
	if err == nil && !reported && t.probe == 0 {
		settled = true
		return nil
	}
	o, wait := classify(ctx, quota, err)
	settled = true
	if o == refused {
		l.hint(ctx, &t, wait, err)
	} else {
		l.settle(&t, o)
	}
	return err
}

// ticket is what an admitted call holds.
type ticket struct {
	n      int       // tokens
	free   uint64    // as bits, the sources that had no limit and gave no tokens
	at     time.Time // when it was admitted
	pauses int32     // how many pauses had begun by then
	probe  int32     // its number, if it is the one call that goes first after a pause; else 0
}

// outcome of a call, for the limiter.
type outcome uint8

const (
	answered outcome = iota // by the callee
	refused                 // the callee asked for patience
	void                    // unknown: it panicked, or its context ended
	unmade                  // rejected further in
)

// classify reads the outcome of a call, and how long the callee asked to be left alone if it
// refused.
func classify(ctx context.Context, quota retry.Quota, err error) (outcome, time.Duration) {
	v := retry.VerdictOf(err)
	if v.Unreached {
		return unmade, 0
	}
	wait := v.Hint
	if wait == 0 && quota.Remaining <= 0 && quota.Reset > 0 {
		wait = quota.Reset // many APIs answer 429 with X-RateLimit-Reset and without Retry-After
	}
	switch {
	case v.Hinted || wait > 0:
		return refused, wait
	case err != nil && ctx.Err() != nil: // that says nothing about the callee
		return void, 0
	}
	return answered, 0
}

// Limit returns the limit in calls a second; of [All] the lowest one.
func (l *Limiter) Limit() rate.Limit {
	if l == nil || len(l.sources) == 0 {
		return 0
	}
	low := rate.Inf
	for _, s := range l.sources {
		low = min(low, s.limit())
	}
	return low
}

// Burst returns the burst; of [All] the lowest one.
func (l *Limiter) Burst() int {
	if l == nil || len(l.sources) == 0 {
		return 0
	}
	low := math.MaxInt
	for _, s := range l.sources {
		low = min(low, s.burst())
	}
	return low
}

// SetLimit changes the limit. Waiting calls are rescheduled; those that would now miss their
// deadline are rejected. With a limit that [New] would not accept every call fails with a
// configuration error until a valid one is set.
func (l *Limiter) SetLimit(limit rate.Limit) {
	l.change("SetLimit", func(s source) {
		l.asked.limit = limit
		s.set(l.now, number(limit), s.burst())
	})
}

// SetBurst changes the burst as SetLimit changes the limit.
func (l *Limiter) SetBurst(burst int) {
	l.change("SetBurst", func(s source) {
		l.asked.burst = burst
		s.set(l.now, s.limit(), max(burst, 0))
	})
}

func (l *Limiter) change(method string, set func(source)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.sources) == 0: // Validate reports it
	case l.members != nil:
		l.spoil(retry.ConfigErrorf("ratelimit.All", "%s: must be called on a member", method))
	default:
		l.tick()
		l.moves++
		set(l.sources[0])
		l.free = l.unlimited()
		l.spoil(l.check("ratelimit." + method))
	}
	l.replan()
}

// A source calls changed when its limit or burst was changed elsewhere. It must not be called with
// l.mu held.
func (l *Limiter) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick()
	if l.members == nil {
		s := l.sources[0]
		l.asked = asked{s.limit(), s.burst()}
		l.free = l.unlimited()
		l.spoil(l.check(l.label))
	}
	l.replan()
}

// Idle reports whether the limiter could be forgotten without changing a decision: no call waits,
// nothing pauses it, and its bucket is full.
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
	const full = 1 - 1e-9 // full but for rounding
	for _, s := range l.sources {
		if s.limit() != rate.Inf && s.tokens(now) < full*float64(s.burst()) {
			return false
		}
	}
	return true
}
