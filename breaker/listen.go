package breaker

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// fresh hands over the changes made under the lock that is held, and queues them for the listeners in the order in which
// they happened.
func (b *Breaker) fresh() []Change {
	changes := b.changes
	b.changes = nil
	if len(b.listeners) > 0 {
		b.pending = append(b.pending, changes...)
	}
	return changes
}

// announce tells the observers of the call that caused the changes, and the listeners. No lock is held.
func (b *Breaker) announce(ctx context.Context, changes []Change) {
	if len(changes) == 0 {
		return
	}
	defer b.tellListeners() // also when an observer panics
	for _, c := range changes {
		retry.Emit(ctx, retry.Event{
			Kind: retry.KindChange, Policy: b.policy, From: c.From.String(), To: c.To.String(), Err: c.Cause, Time: c.Time,
		})
	}
}

// tellListeners has one goroutine at a time tell, so that every listener sees the changes in order. Whoever finds another
// one telling leaves its changes to it: waiting would deadlock a listener that itself changes the state.
func (b *Breaker) tellListeners() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.telling {
		return
	}
	b.telling = true
	defer func() { b.telling = false }() // when a listener panics the rest is told with the next change
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
