package policies

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/reprise-go/reprise/retry"
)

// ErrFull is the reason of the rejection when a [Bulkhead] has neither a free slot nor room in its queue.
var ErrFull = errors.New("bulkhead full")

// Bulkhead bounds how many calls run at once, so that one slow callee does not hold all of a program's goroutines. Calls
// beyond its slots wait in a queue, first in first out, until a slot is free or their context ends; calls beyond the queue
// are rejected at once with [ErrFull]. It is safe for concurrent use. The zero Bulkhead is a configuration error.
//
// A free slot admits even a call whose deadline is a nanosecond away. A waiting call cannot know when a slot will be free,
// so it waits as long as its context lives; a [Timeout] around bounds that. A wait that ends so is a rejection too, which Is
// what ended the context: the callee was not reached, so no breaker counts it. No rejection of a bulkhead tells a time to come
// back, so a retry loop around gives up at once.
type Bulkhead struct {
	slots, queue int
	err          error

	mu      sync.Mutex
	running int
	waiting list.List // of chan struct{}, closed when its slot is handed over
}

// NewBulkhead makes a bulkhead for slots calls at once, at least 1, and a queue of at least 0: with 0 nobody waits.
func NewBulkhead(slots, queue int) *Bulkhead {
	b := &Bulkhead{slots: slots, queue: queue}
	if slots < 1 || queue < 0 {
		b.err = retry.ConfigErrorf("policies.NewBulkhead", "%d slots and a queue of %d: must be at least 1 and 0", slots, queue)
	}
	return b
}

// Validate reports bad numbers, and a bulkhead that NewBulkhead has not made.
func (b *Bulkhead) Validate() error {
	if b == nil || b.slots == 0 && b.err == nil {
		return errZeroBulkhead
	}
	return b.err
}

var errZeroBulkhead = retry.ConfigErrorf("policies.Bulkhead", "made without NewBulkhead")

// Idle is true while no call runs or waits.
func (b *Bulkhead) Idle() bool { running, _ := b.Load(); return running == 0 }

// Load returns how many calls run and how many wait.
func (b *Bulkhead) Load() (running, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running, b.waiting.Len()
}

// Do lets the call through when it has a slot, and gives the slot back on every way out.
func (b *Bulkhead) Do(ctx context.Context, next retry.Next) error {
	if err := b.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.leave()
	return next.Do(ctx)
}

func (b *Bulkhead) enter(ctx context.Context) error {
	b.mu.Lock()
	if b.running < b.slots {
		b.running++
		b.mu.Unlock()
		return nil
	}
	if b.waiting.Len() >= b.queue {
		b.mu.Unlock()
		full := &retry.Rejection{Policy: "bulkhead", Reason: ErrFull}
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: full.Policy, Err: full})
		return full
	}
	turn := make(chan struct{})
	place := b.waiting.PushBack(turn)
	b.mu.Unlock()

	began := now()
	select {
	case <-turn:
	case <-ctx.Done():
	}
	ended := retry.Ended(ctx)
	if ended != nil {
		b.abandon(place, turn)
	}
	retry.Emit(ctx, retry.Event{Kind: retry.KindWait, Policy: "bulkhead", Took: now() - began, Err: ended})
	if ended != nil {
		return &retry.Rejection{Policy: "bulkhead", Reason: fmt.Errorf("no slot in time: %w", ended)}
	}
	return nil
}

// abandon leaves the queue, or passes the slot on if it was handed over in the same moment.
func (b *Bulkhead) abandon(place *list.Element, turn chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-turn:
		b.pass()
	default:
		b.waiting.Remove(place)
	}
}

func (b *Bulkhead) leave() {
	b.mu.Lock()
	b.pass()
	b.mu.Unlock()
}

// pass hands a slot that has become free to who waits longest. b.mu must be held.
func (b *Bulkhead) pass() {
	first := b.waiting.Front()
	if first == nil {
		b.running--
		return
	}
	close(b.waiting.Remove(first).(chan struct{}))
}
