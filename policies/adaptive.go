package policies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/policies/internal/load"
	"github.com/reprise-go/reprise/retry"
)

// Adaptive is an adaptive concurrency limit, for load shedding at a server and for clients of one:
// it bounds how many calls run at once, as a [Bulkhead] does, but learns the bound from how long
// calls take. It rises while more calls at once do not take longer, and falls when calls begin to
// queue at the callee. Calls beyond it are rejected at once with [ErrFull] or, with [QueueOf] or
// [MaxWait], wait. Make one with [NewAdaptive] and share it among all calls of one callee. It is
// safe for concurrent use. The zero Adaptive is a configuration error.
//
// The law is a gradient, as in Netflix's concurrency-limits (Gradient2), failsafe-go's adaptive
// limiter and Envoy's adaptive concurrency filter. The limit in force is measured in rounds of at
// least 100 ms and 20 calls, or 100 calls if their latencies differ by a factor of e; after a
// second 10 calls are enough. A round has a latency, the geometric mean of its calls. At its end
//
//	gradient = between(1/2, 1.2·baseline/latency, 1.2)
//	limit    = half way to gradient·limit + √limit/2
//
// or a quarter of the way, if the limit is to fall and the difference may be noise. Until latency
// is first a fifth above the baseline the limit doubles. A limit that is not reached does not rise.
// If less than half of it is used it does not fall for latency.
//
// The baseline is what a call takes if our calls do not queue. While one call in ten or more is
// rejected it is measured every ten seconds (50 calls' time, if that is longer), and as soon as the
// limit has fallen by half: for a moment half as many calls are let in, and half of that again
// while they become faster. So the limit stays if the callee has become slower, and falls if it has
// lost workers. This costs about one part in 200 of the throughput of an overloaded callee, and
// nothing otherwise.
//
// What counts: the latency of calls that succeed, of final answers of a healthy callee (Permanent
// and Neutral), and of other failures if it is above the baseline, because failing fast is not
// being fast. Timeouts, those of callers too, count as four times the baseline at least. A throttle
// mark ([retry.After], also on a Neutral error) means that the callee says it has too much to do:
// if one in ten calls or more has it the limit falls by a tenth, and then grows slowly near the
// value it had. Other neutral outcomes, cancellations, rejections from further in, panics and
// Goexit do not count. All give the slot back.
//
// Priorities ([retry.WithPriority]): in the queue the higher is served first and takes the place of
// the lowest if the queue is full. Without a queue lower calls leave as many slots free as higher
// ones have needed lately. If lower calls fill the limit a higher one goes beyond it, up to the
// second bound of [Between], and lower calls are shed until that is made up for. So no call is
// rejected in favour of a lower one, except at that bound, because a call that runs is not stopped.
//
// A call made from inside a call through the same Adaptive never waits for its caller's slot. If no
// slot is free one such call at a time shares it, and others are rejected at once.
type Adaptive struct {
	label
	start, min, max int
	queue           int           // calls that may wait; -1: as many as the limit
	maxWait         time.Duration // in the queue; -1: as long as the context allows
	err             error

	mu      sync.Mutex
	clock   steady
	law     load.Adaptive
	waiting line[*seat]
	told    int           // the limit that observers were last told of
	used    time.Duration // when a call was last over
	spare   []*seat       // not in use
}

// NewAdaptive makes an adaptive limit. Options: [StartLimit] (20), [Between] (1 to 1000), [QueueOf]
// and [MaxWait] (by default no call waits), [Named].
func NewAdaptive(opts ...Option) *Adaptive {
	a := &Adaptive{label: label{kind: "adaptive"}, min: 1, max: 1000, queue: 0, maxWait: -1}
	var m mistakes
	m.configure((*adaptiveSettings)(a), opts)
	switch {
	case a.start == 0:
		a.start = max(a.min, min(20, a.max))
	case a.start < a.min || a.start > a.max:
		m.check(false, "StartLimit(%d): must be within Between(%d, %d)", a.start, a.min, a.max)
	}
	a.err = m.in("NewAdaptive")
	a.law = load.NewAdaptive(a.start, a.min, a.max)
	a.told = a.start
	return a
}

// adaptiveSettings keeps the setters out of Adaptive's methods.
type adaptiveSettings Adaptive

func (s *adaptiveSettings) setMaxWait(d time.Duration) {
	s.maxWait = d
	if s.queue == 0 {
		s.queue = -1
	}
}

// StartLimit is the limit that [NewAdaptive] begins with, until it has learned one. The default is
// 20, or what [Between] has nearest to it. n is at least 1.
func StartLimit(n int) Option {
	return option("StartLimit", n, n >= 1, "be at least 1",
		func(s *adaptiveSettings) { s.start = n })
}

// Between bounds what [NewAdaptive] may learn. The default is 1 to 1000.
func Between(min, max int) Option {
	ok := 1 <= min && min <= max
	return option("Between", span{min, max}, ok, "be at least 1 and not above the second",
		func(s *adaptiveSettings) { s.min, s.max = min, max })
}

type span struct{ min, max int }

func (s span) String() string { return fmt.Sprintf("%d, %d", s.min, s.max) }

// QueueOf lets n calls of [NewAdaptive] wait for a slot. With 0, the default, no call waits; with
// [MaxWait] alone as many may wait as the limit is.
func QueueOf(n int) Option {
	return option("QueueOf", n, n >= 0, "not be negative",
		func(s *adaptiveSettings) { s.queue = n })
}

// Validate reports bad options, and an Adaptive that NewAdaptive has not made.
func (a *Adaptive) Validate() error {
	if a == nil || a.start == 0 {
		return errZeroAdaptive
	}
	return a.err
}

var errZeroAdaptive = retry.ConfigErrorf("policies.Adaptive", "made without NewAdaptive")

// Name is the name given by [Named].
func (a *Adaptive) Name() string {
	if a == nil {
		return ""
	}
	return a.name
}

// Limit is how many calls may run at once, as learned up to now.
func (a *Adaptive) Limit() int {
	limit, _, _, _ := a.now()
	return limit
}

// InFlight is how many calls run.
func (a *Adaptive) InFlight() int {
	_, running, _, _ := a.now()
	return running
}

// Waiting is how many calls wait for a slot.
func (a *Adaptive) Waiting() int {
	_, _, waiting, _ := a.now()
	return waiting
}

func (a *Adaptive) now() (limit, running, waiting int, baseline time.Duration) {
	if a == nil {
		return 0, 0, 0, 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.law.Limit(), a.law.InFlight(), len(a.waiting.waiters), a.law.Baseline()
}

// String is one line: adaptive catalog(limit 26, 3 in flight).
func (a *Adaptive) String() string {
	if a.Validate() != nil {
		return "adaptive(misconfigured)"
	}
	limit, running, waiting, _ := a.now()
	if waiting > 0 {
		return fmt.Sprintf("%s(limit %d, %d in flight, %d waiting)",
			a.who(), limit, running, waiting)
	}
	return fmt.Sprintf("%s(limit %d, %d in flight)", a.who(), limit, running)
}

// Format prints String, whatever the verb.
func (a *Adaptive) Format(s fmt.State, verb rune) { format(s, verb, a.String()) }

// Stats are limit, in_flight, waiting and baseline, which is 0 until it is known.
func (a *Adaptive) Stats() []retry.Stat {
	limit, running, waiting, baseline := a.now()
	return []retry.Stat{
		{Name: "limit", Value: float64(limit), Unit: "1"},
		{Name: "in_flight", Value: float64(running), Unit: "1"},
		{Name: "waiting", Value: float64(waiting), Unit: "1"},
		{Name: "baseline", Value: baseline.Seconds(), Unit: "s"},
	}
}

// Idle is true while no call runs or waits and nothing has been learned in the last ten minutes.
func (a *Adaptive) Idle() bool {
	const forgotten = 10 * time.Minute
	if a == nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.law.InFlight() > 0 || len(a.waiting.waiters) > 0 {
		return false
	}
	fresh := a.law.Baseline() == 0 && a.law.Limit() == a.start
	return fresh || a.clock.now()-a.used >= forgotten
}

// Prompt is true if p is a: see retry.Policy.
func (a *Adaptive) Prompt(p retry.Policy) bool { return p == retry.Policy(a) }

// Do lets the call through when it has a slot, and gives the slot back on every way out.
func (a *Adaptive) Do(ctx context.Context, next retry.Next) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	p, err := a.enter(ctx)
	if err != nil {
		return err
	}
	outcome := load.Ignored
	defer func() { a.leave(ctx, p, outcome) }()
	p.Enter(ctx, a)
	err = next.Do(ctx)
	outcome = loadOutcome(ctx, err)
	return err
}

// loadOutcome is what the end of a call says of the callee's load.
func loadOutcome(ctx context.Context, err error) load.Outcome {
	if err == nil {
		return load.Succeeded
	}
	v := retry.VerdictOf(err)
	switch end := ctx.Err(); {
	case v.Unreached:
		return load.Ignored
	case v.Hinted:
		return load.Throttled
	case v.Neutral && v.Permanent:
		return load.Succeeded
	case v.Neutral, end == context.Canceled:
		return load.Ignored
	case end != nil, timedOut(err):
		return load.TimedOut
	}
	return load.Failed
}

// timedOut reports whether err is a timeout: of this package, of a context further in, of the
// network.
func timedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrTimeout) {
		return true
	}
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// seat is what a call has while it runs: its own slot, or a share in that of the call around it. An
// Adaptive uses its seats again.
type seat struct {
	retry.Held
	pass    load.Pass
	unshare func() // nil: it has a slot
}

func (a *Adaptive) enter(ctx context.Context) (*seat, error) {
	priority := int(retry.PriorityOf(ctx))
	a.mu.Lock()
	p := a.admit(priority)
	a.mu.Unlock()
	if p != nil {
		return p, nil
	}
	if inside, unshare := retry.Inside(ctx, a); unshare != nil {
		return &seat{unshare: unshare}, nil
	} else if inside {
		return nil, a.reject(ctx,
			"several calls at once within a call: make them one after the other")
	}
	return a.queued(ctx, priority)
}

// admit takes a slot at once, or returns nil. a.mu must be held.
func (a *Adaptive) admit(priority int) *seat {
	now := a.clock.now()
	if a.queue == 0 {
		return a.seat(a.law.Arrive(now, priority))
	}
	a.serve(now)
	if len(a.waiting.waiters) > 0 {
		return nil
	}
	return a.seat(a.law.Take(now, priority))
}

// seat is a seat with the slot, nil without one. a.mu must be held.
func (a *Adaptive) seat(pass load.Pass, ok bool) *seat {
	if !ok {
		return nil
	}
	n := len(a.spare) - 1
	if n < 0 {
		return &seat{pass: pass}
	}
	p := a.spare[n]
	a.spare = a.spare[:n]
	p.pass = pass
	return p
}

// serve hands free slots to the waiters. a.mu must be held.
func (a *Adaptive) serve(now time.Duration) {
	for len(a.waiting.waiters) > 0 {
		w := a.waiting.waiters[0]
		if w.has = a.seat(a.law.Take(now, int(w.priority))); w.has == nil {
			return
		}
		a.waiting.dismiss(w, nil)
	}
}

// queued waits for a slot, if there is room to wait.
func (a *Adaptive) queued(ctx context.Context, priority int) (*seat, error) {
	if a.queue == 0 || a.maxWait == 0 {
		return nil, a.reject(ctx, "")
	}
	w := a.line(retry.Priority(priority))
	if w == nil {
		return nil, a.reject(ctx, "and the queue is full")
	}
	admitted := false
	defer func() { // also after a panic of an observer, or of ctx
		if !admitted {
			a.abandon(w)
		}
	}()
	ended := await(ctx, retry.Event{Policy: a.who()}, w.turn, a.maxWait)
	switch {
	case ended != nil:
		late := &atLimit{a.Limit(), "no slot in time", ended}
		return nil, &retry.Rejection{Policy: a.who(), Reason: late}
	case !a.settled(w):
		return nil, a.reject(ctx, fmt.Sprintf("no slot within MaxWait (%v)", a.maxWait))
	case w.rejected != nil:
		return nil, a.reject(ctx, w.rejected.Error())
	}
	admitted = true
	return w.has, nil
}

// line puts a call into the queue, if that is full in the place of a lower one; nil: there is none.
func (a *Adaptive) line(priority retry.Priority) *waiter[*seat] {
	a.mu.Lock()
	defer a.mu.Unlock()
	room := a.queue
	if room < 0 {
		room = a.law.Limit()
	}
	if len(a.waiting.waiters) >= room {
		last := a.waiting.below(priority)
		if last == nil {
			return nil
		}
		a.waiting.dismiss(last, errDisplaced)
	}
	w := a.waiting.push(nil, priority)
	a.serve(a.clock.now()) // a slot may have become free since it was refused one
	return w
}

// settled reports whether w's wait has had an end: one whose patience is over may have been served
// in the same moment.
func (a *Adaptive) settled(w *waiter[*seat]) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return w.has != nil || w.rejected != nil
}

// abandon leaves the queue, or gives the slot back that came in the same moment.
func (a *Adaptive) abandon(w *waiter[*seat]) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.has != nil {
		a.giveBack(w.has, load.Ignored)
	} else {
		a.waiting.remove(w)
	}
}

// leave gives back what the call has taken.
func (a *Adaptive) leave(ctx context.Context, p *seat, o load.Outcome) {
	p.Leave()
	if p.unshare != nil {
		p.unshare()
		return
	}
	a.mu.Lock()
	a.giveBack(p, o)
	from, to := a.told, a.law.Limit()
	news := to != from && 10*max(to-from, from-to) >= from
	if news {
		a.told = to
	}
	a.mu.Unlock()
	if news && retry.Observed(ctx) {
		retry.Emit(ctx, retry.Event{
			Kind: retry.KindChange, Policy: a.who(),
			From: fmt.Sprintf("limit %d", from), To: fmt.Sprintf("limit %d", to),
		})
	}
}

// giveBack ends a slot and hands it on. a.mu must be held.
func (a *Adaptive) giveBack(p *seat, o load.Outcome) {
	now := a.clock.last
	if p.pass.Measured() {
		now = a.clock.now()
	}
	a.used = now
	a.law.Finish(now, p.pass, o)
	a.spare = append(a.spare, p)
	a.serve(now)
}

func (a *Adaptive) reject(ctx context.Context, why string) error {
	return reject(ctx, a.who(), &atLimit{a.Limit(), why, nil})
}

// atLimit is the reason of a rejection by an Adaptive.
type atLimit struct {
	limit int
	why   string
	end   error // of the context
}

func (e *atLimit) Error() string {
	text := fmt.Sprintf("at its limit of %d", e.limit)
	if e.why != "" {
		text += ", " + e.why
	}
	if e.end != nil {
		text += ": " + e.end.Error()
	}
	return text
}

func (e *atLimit) Is(target error) bool { return target == ErrFull }
func (e *atLimit) Unwrap() error        { return e.end }
