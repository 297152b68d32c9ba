package breaker

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// turn is the beginning of an era: a change to tell, unless the state is the same.
type turn struct {
	Change
	cause *failed // of the new era
	own   bool    // the fleet is to hear of it
}

// fresh returns the turns made under the lock that is held, and queues their changes for the
// listeners, in order.
func (b *Breaker) fresh() []turn {
	turns := b.turns
	b.turns = nil
	for _, t := range turns {
		if t.From != t.To && len(b.listeners) > 0 {
			b.pending = append(b.pending, t.Change)
		}
	}
	return turns
}

// announce tells the observers of the call that caused the changes, and the listeners. No lock is
// held.
func (b *Breaker) announce(ctx context.Context, turns []turn) {
	if len(turns) == 0 {
		return
	}
	defer b.tellListeners() // also if an observer panics
	for _, t := range turns {
		if t.own {
			enroll(b, 0)
		}
		if t.To == Open {
			t.cause.shrink()
		}
		if t.From != t.To {
			retry.Emit(ctx, retry.Event{
				Kind: retry.KindChange, Policy: b.policy, Err: t.Cause, Time: t.Time,
				From: t.From.String(), To: t.To.String(),
			})
		}
	}
}

// tellListeners has one goroutine at a time tell, so that every listener sees the changes in order.
// A goroutine that finds another one telling leaves its changes to it: waiting would deadlock a
// listener that itself changes the state.
func (b *Breaker) tellListeners() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling {
		return
	}
	b.telling = true
	defer func() { b.telling = false }() // after a panic the rest is told with the next change
	for len(b.pending) > 0 {
		c := b.pending[0]
		b.pending = b.pending[1:]
		b.tellOne(c)
	}
}

func (b *Breaker) tellOne(c Change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	for _, listener := range b.listeners {
		listener(c)
	}
}
