package policies

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// place is a call inside a Bulkhead, by which a nested call finds it: see retry.Holder. Places are
// used again. Their fields are guarded by the bulkhead's lock.
type place struct {
	retry.Held
	bulkhead *Bulkhead // never changes

	size   int             // slots that it may use, its own or shared
	held   int             // slots that it gives back
	around *place          // the call whose slots it shares; nil: none
	inside *place          // the nested call that shares its slots at the moment
	waits  *waiter[*place] // nil: it did not have to
	unused *place          // of one not in use: the next one
}

// around returns the place of the call around ctx, nil if there is none, and its entry number,
// which changes when that call is over.
func (b *Bulkhead) around(ctx context.Context) (*place, uint64) {
	p, entry := retry.Holder(ctx, func(policy any) bool {
		p, ok := policy.(*place)
		return ok && p.bulkhead == b
	})
	around, _ := p.(*place)
	return around, entry
}

// place returns a place for a call of that size, without any slots yet. b.mu must be held.
func (b *Bulkhead) place(size int) *place {
	p := b.unused
	if p == nil {
		p = &place{bulkhead: b}
	} else {
		b.unused = p.unused
	}
	p.size, p.held, p.around, p.inside, p.waits = size, 0, nil, nil, nil
	return p
}

// recycle keeps p, which no call has any more, for the next one. b.mu must be held.
func (b *Bulkhead) recycle(p *place) { p.unused, b.unused = b.unused, p }

// share lets p use the slots of the call around it, and takes what p needs beyond them. It is false
// if those are not free. b.mu must be held.
func (b *Bulkhead) share(p, around *place) bool {
	if more := p.size - around.size; more > 0 && !b.take(p, more) {
		return false
	}
	p.size = max(p.size, around.size)
	p.around, around.inside = around, p
	return true
}

// leave gives back what p holds, and its place in line. If a nested call still runs, that goes on
// with the slots.
func (b *Bulkhead) leave(p *place) {
	p.Leave()
	b.mu.Lock()
	if p.waits != nil {
		b.line.remove(p.waits)
	}
	inside := p.inside
	if p.around != nil {
		p.around.inside = inside
	}
	if inside != nil {
		inside.around = p.around
		inside.held += p.held
	} else {
		b.taken -= p.held
		b.admit()
	}
	b.recycle(p)
	b.mu.Unlock()
}
