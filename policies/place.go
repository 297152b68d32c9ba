package policies

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// place is a call inside a Bulkhead, by which a nested call finds it: see retry.Holder. Its fields
// are guarded by the bulkhead's lock.
type place struct {
	retry.Held
	bulkhead *Bulkhead // never changes
	stays    bool      // never changes: it is marked by Stay, and used again

	in     any             // where it is marked; nil: it is over
	size   int             // slots that it may use, its own or shared
	held   int             // slots that it gives back
	around *place          // the call whose slots it shares; nil: none
	inside *place          // the nested call that shares its slots at the moment
	waits  *waiter[*place] // nil: it did not have to
	unused *place          // of one not in use: the next one
}

// around returns the place of the call around ctx and where it is marked, nil if there is none.
func (b *Bulkhead) around(ctx context.Context) (around *place, in any) {
	p, in := retry.Holder(ctx, func(policy, in any) bool {
		p, ok := policy.(*place)
		return ok && p.bulkhead == b && p.isIn(in)
	})
	around, _ = p.(*place)
	return around, in
}

func (p *place) isIn(in any) bool {
	p.bulkhead.mu.Lock()
	defer p.bulkhead.mu.Unlock()
	return p.in == in
}

// mark lets nested calls find p, which does not stay.
func (b *Bulkhead) mark(ctx context.Context, p *place) {
	in := p.Enter(ctx, p)
	b.mu.Lock()
	p.in = in
	b.mu.Unlock()
}

// recycle keeps p, which no call has any more, for the next one. b.mu must be held.
func (b *Bulkhead) recycle(p *place) { p.unused, b.unused = b.unused, p }

// share lets p use the slots of the call around it, and takes what p needs beyond them. b.mu must
// be held, and those must be free.
func (b *Bulkhead) share(p, around *place) {
	if more := p.size - around.size; more > 0 {
		b.take(p, more)
	}
	p.size = max(p.size, around.size)
	p.around, around.inside = around, p
}

// leave gives back what p holds, and its place in line. If a nested call still runs, that goes on
// with the slots.
func (b *Bulkhead) leave(p *place) {
	if !p.stays {
		p.Leave()
	}
	b.mu.Lock()
	p.in = nil
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
		p.inside = nil
	} else {
		b.taken -= p.held
		b.admit()
	}
	if p.stays {
		b.recycle(p)
	}
	b.mu.Unlock()
}
