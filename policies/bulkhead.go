package policies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// ErrFull is the reason of the rejection when a policy has neither a free slot nor room in its
// queue, or no slot became free in time.
var ErrFull = errors.New("full")

// Bulkhead bounds how many calls run at once, so that one slow callee does not hold all of a
// program's goroutines. Calls beyond its slots wait in a queue until a slot is free, [MaxWait] has
// passed or their context ends: higher priorities first ([retry.WithPriority]), and first in, first
// out within one. Calls beyond the queue are rejected at once with [ErrFull]; a call of higher
// priority takes the place of the lowest that waits, which is rejected instead. It is safe for
// concurrent use. The zero Bulkhead is a configuration error.
//
// A free slot admits even a call whose deadline is a nanosecond away. A waiting call cannot know
// when a slot will be free. A wait that its context ends is a rejection too, which Is what ended
// the context: the callee was not reached, so no breaker counts it. A bulkhead's rejection has no
// RetryAfter, so a retry loop around gives up at once, unless it has [Patience].
//
// A call that is made from inside a call through the same bulkhead, with its context, shares the
// slots of that one and does not wait. Only one at a time can do so: others beside it need slots of
// their own, and are rejected if none is free.
type Bulkhead struct {
	label
	queue   int
	maxWait time.Duration // negative: as long as the context allows
	err     error

	mu     sync.Mutex
	slots  int
	taken  int
	line   line[*place]
	unused *place // a list of those that stay
}

// NewBulkhead makes a bulkhead for slots calls at once, at least 1, and a queue of at least 0: with
// 0 no call waits. Its options are [MaxWait] and [Named]. Elsewhere this is a semaphore,
// MaxConcurrency or maxConcurrentCalls.
func NewBulkhead(slots, queue int, opts ...Option) *Bulkhead {
	b := &Bulkhead{label: label{kind: "bulkhead"}, slots: slots, queue: queue, maxWait: -1}
	var m mistakes
	m.check(slots >= 1, "slots %d: must be at least 1", slots)
	m.check(queue >= 0, "queue %d: must not be negative", queue)
	m.configure(b, opts)
	b.err = m.in("NewBulkhead")
	return b
}

func (b *Bulkhead) setMaxWait(d time.Duration) { b.maxWait = d }

// Validate reports bad numbers, and a bulkhead that NewBulkhead has not made.
func (b *Bulkhead) Validate() error {
	if b == nil || b.kind == "" {
		return errZeroBulkhead
	}
	return b.err
}

var errZeroBulkhead = retry.ConfigErrorf("policies.Bulkhead", "made without NewBulkhead")

// Name returns what [Named] gave, "" without it.
func (b *Bulkhead) Name() string {
	if b == nil {
		return ""
	}
	return b.name
}

// String is one line for people: "bulkhead catalog(3 of 10 running, 0 of 5 waiting)". It is safe
// while calls run.
func (b *Bulkhead) String() string {
	if b.Validate() != nil {
		return "bulkhead(misconfigured)"
	}
	slots, running, waiting := b.load()
	return fmt.Sprintf("%s(%d of %d running, %d of %d waiting)",
		b.who(), running, slots, waiting, b.queue)
}

// Format prints String, whatever the verb.
func (b *Bulkhead) Format(s fmt.State, verb rune) { format(s, verb, b.String()) }

// Stats are slots, running and waiting.
func (b *Bulkhead) Stats() []retry.Stat {
	slots, running, waiting := b.load()
	return []retry.Stat{
		{Name: "slots", Value: float64(slots)},
		{Name: "running", Value: float64(running)},
		{Name: "waiting", Value: float64(waiting)},
	}
}

// Idle is true while no call runs or waits.
func (b *Bulkhead) Idle() bool { return b.Running() == 0 }

// Running returns how many slots are taken: one by each call that runs, and n by a call of
// [Bulkhead.N].
func (b *Bulkhead) Running() int { _, running, _ := b.load(); return running }

// Waiting returns how many calls are in the queue.
func (b *Bulkhead) Waiting() int { _, _, waiting := b.load(); return waiting }

func (b *Bulkhead) load() (slots, running, waiting int) {
	if b == nil {
		return 0, 0, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.slots, b.taken, len(b.line.waiters)
}

// SetSlots changes the number of slots. More slots admit waiting calls; with fewer, running calls
// stay until they are over, and waiting calls that need more than n are rejected. n below 1 is
// refused with an error that Is [retry.ErrConfig], and changes nothing.
func (b *Bulkhead) SetSlots(n int) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if n < 1 {
		return retry.ConfigErrorf("policies.Bulkhead", "SetSlots(%d): must be at least 1", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slots = n
	for _, w := range slices.Clone(b.line.waiters) {
		if w.has.size > n {
			b.line.dismiss(w, b.tooMany(w.has.size, n))
		}
	}
	b.admit()
	return nil
}

// Prompt is true if p is b: see retry.Policy.
func (b *Bulkhead) Prompt(p retry.Policy) bool { return p == retry.Policy(b) }

// Do lets the call through when it has a slot, and gives the slot back on every way out.
func (b *Bulkhead) Do(ctx context.Context, next retry.Next) error { return b.do(ctx, next, 1) }

// N is the bulkhead for calls that take n slots each, at least 1. One that asks for more than there
// are is rejected, and marked permanent. A call that waits for several slots is not overtaken by
// later calls that need fewer.
func (b *Bulkhead) N(n int) retry.Policy { return &heavy{b, n} }

type heavy struct {
	b *Bulkhead
	n int
}

func (h *heavy) Do(ctx context.Context, next retry.Next) error {
	if err := h.Validate(); err != nil {
		return err
	}
	return h.b.do(ctx, next, h.n)
}

// Validate reports an n below 1, and what is wrong with the bulkhead.
func (h *heavy) Validate() error {
	if err := h.b.Validate(); err != nil || h.n >= 1 {
		return err
	}
	return retry.ConfigErrorf("policies.Bulkhead", "N(%d): must be at least 1", h.n)
}

func (h *heavy) Idle() bool           { return true } // what it could lose stays in the bulkhead
func (h *heavy) Unwrap() retry.Policy { return h.b }

func (h *heavy) String() string {
	if h.Validate() != nil {
		return "bulkhead(misconfigured)"
	}
	return fmt.Sprintf("%s(%d slots a call)", h.b.who(), h.n)
}

func (b *Bulkhead) do(ctx context.Context, next retry.Next, n int) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return retry.Ended(ctx)
	}
	around, in := b.around(ctx) // ctx, foreign code, is not asked under the lock
	if around == nil {
		if p := b.takeAtOnce(ctx, n); p != nil {
			defer b.leave(p)
			return next.Do(ctx)
		}
	}
	p, err := b.enter(ctx, n, around, in)
	if err != nil {
		return err
	}
	defer b.leave(p)
	b.mark(ctx, p)
	return next.Do(ctx)
}

// takeAtOnce is the usual case: the slots are free, no call waits, and this one is not nested.
// Otherwise, and beside another bulkhead in one chain, it returns nil.
func (b *Bulkhead) takeAtOnce(ctx context.Context, n int) *place {
	b.mu.Lock()
	if len(b.line.waiters) > 0 || n > b.slots-b.taken {
		b.mu.Unlock()
		return nil
	}
	p := b.unused
	if p == nil {
		p = &place{bulkhead: b, stays: true}
	} else {
		b.unused = p.unused
	}
	if p.in = p.Stay(ctx, p); p.in == nil {
		b.recycle(p)
		p = nil
	} else {
		p.size, p.held = n, n
		b.taken += n
	}
	b.mu.Unlock()
	return p
}

// take gives p n slots if they are free. b.mu must be held.
func (b *Bulkhead) take(p *place, n int) bool {
	if n > b.slots-b.taken {
		return false
	}
	b.taken += n
	p.held += n
	return true
}

// enter is for a call that is nested or may have to wait. If it returns an error nothing is held.
func (b *Bulkhead) enter(ctx context.Context, n int, around *place, in any) (p *place, err error) {
	p, err = b.join(n, around, in, retry.PriorityOf(ctx))
	if err != nil {
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: b.who(), Err: err})
		return nil, err
	}
	if p.waits == nil {
		return p, nil
	}
	admitted := false
	defer func() { // also after a panic of an observer, or of ctx
		if !admitted {
			b.leave(p)
		}
	}()
	err = b.wait(ctx, p.waits)
	admitted = err == nil
	return p, err
}

// join takes the slots for a call, or a place in line, or says why neither.
func (b *Bulkhead) join(
	n int, around *place, in any, priority retry.Priority,
) (*place, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	nested := around != nil && around.in == in
	free := b.slots - b.taken
	shares := nested && around.inside == nil && n-around.size <= max(0, free)
	takes := n <= free &&
		(nested && around.inside != nil || !nested && !b.line.before(priority))
	switch {
	case n > b.slots:
		return nil, b.tooMany(n, b.slots)
	case shares || takes:
	case nested:
		return nil, b.full("%w: no slot is free, and a call from inside another does not wait",
			ErrFull)
	case b.maxWait == 0 || len(b.line.waiters) >= b.queue && !b.displace(priority):
		return nil, &retry.Rejection{Policy: b.who(), Reason: ErrFull}
	}
	p := &place{bulkhead: b, size: n}
	switch {
	case shares:
		b.share(p, around)
	case takes:
		b.take(p, n)
	default:
		p.waits = b.line.push(p, priority)
	}
	return p, nil
}

// displace rejects the last in line if its priority is below the given one. b.mu must be held.
func (b *Bulkhead) displace(priority retry.Priority) bool {
	w := b.line.below(priority)
	if w != nil {
		b.line.dismiss(w, b.full("%w: %w", ErrFull, errDisplaced))
	}
	return w != nil
}

func (b *Bulkhead) full(format string, args ...any) error {
	return &retry.Rejection{Policy: b.who(), Reason: fmt.Errorf(format, args...)}
}

func (b *Bulkhead) tooMany(n, slots int) error {
	return retry.Permanent(b.full("%w: %d slots asked for, there are %d", ErrFull, n, slots))
}

// wait waits for w's turn and says how the wait ended. The caller gives back what was taken.
func (b *Bulkhead) wait(ctx context.Context, w *waiter[*place]) error {
	ended := await(ctx, retry.Event{Policy: b.who()}, w.turn, b.maxWait)
	err := b.outcome(w, ended) // under the lock: the turn may have come in the same moment
	if err != nil && ended == nil {
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: b.who(), Err: err})
	}
	return err
}

func (b *Bulkhead) outcome(w *waiter[*place], ended error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case ended != nil:
		return b.full("%w: no slot in time: %w", ErrFull, ended)
	case w.rejected != nil:
		return w.rejected
	case w.has.held == 0:
		return b.full("%w: no slot within MaxWait (%v)", ErrFull, b.maxWait)
	}
	return nil
}

// admit lets waiters in as long as there are slots for the first. b.mu must be held.
func (b *Bulkhead) admit() {
	for len(b.line.waiters) > 0 {
		w := b.line.waiters[0]
		if !b.take(w.has, w.has.size) {
			return
		}
		b.line.dismiss(w, nil)
	}
}
