package policies

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// place is a call inside a Bulkhead, by which a nested call finds it: see retry.Holder. A call that
// finds a slot free, which is the usual case, has none until a nested call shares its slot. The
// fields are guarded by the bulkhead's lock.
type place struct {
	retry.Held
	bulkhead *Bulkhead // never changes
	proxy    bool      // never changes: of a call that has none itself; in Bulkhead.nested

	in     any             // where it is marked; nil: it is over
	size   int             // slots that it may use, its own or shared
	held   int             // slots that it gives back
	around *place          // the call whose slots it shares; nil: none
	inside *place          // the nested call that shares its slots at the moment
	waits  *waiter[*place] // nil: it did not have to
}

// owns reports whether policy, of a mark, is of a call through b.
func (b *Bulkhead) owns(policy any) bool {
	p, ok := policy.(*place)
	return ok && p.bulkhead == b || policy == any(b)
}

// around finds the call through b around ctx, and where it is marked; nil if there is none.
func (b *Bulkhead) around(ctx context.Context) (policy, in any) {
	return retry.Holder(ctx, func(policy, in any) bool {
		if p, ok := policy.(*place); ok {
			return p.bulkhead == b && p.isIn(in)
		}
		return policy == any(b)
	})
}

func (p *place) isIn(in any) bool {
	p.bulkhead.mu.Lock()
	defer p.bulkhead.mu.Unlock()
	return p.in == in
}

// placeOf returns the place of a call that around has found, or nil if that is over by now. The
// lock must be held.
func (b *Bulkhead) placeOf(policy, in any) *place {
	p, ok := policy.(*place)
	switch {
	case ok && p.in == in:
		return p
	case ok || policy == nil || !b.marks.Has(in):
		return nil
	case b.nested[in] != nil:
		return b.nested[in]
	}
	return &place{bulkhead: b, proxy: true, in: in, size: 1, held: 1}
}

// mark lets nested calls find p.
func (b *Bulkhead) mark(ctx context.Context, p *place) {
	in := p.Enter(ctx, p)
	b.mu.Lock()
	p.in = in
	b.mu.Unlock()
}

// share lets p use the slots of the call around it, and takes what p needs beyond them. The lock
// must be held, and those must be free.
func (b *Bulkhead) share(p, around *place) {
	if more := p.size - around.size; more > 0 {
		b.take(p, more)
	}
	p.size = max(p.size, around.size)
	p.around, around.inside = around, p
	if around.proxy {
		b.nested[around.in] = around
	}
}

// leave gives back what p holds, and its place in line. If a nested call still runs, that goes on
// with the slots.
func (b *Bulkhead) leave(p *place) {
	p.Leave()
	b.lock()
	defer b.unlock()
	if p.waits != nil {
		b.line.remove(p.waits)
	}
	b.settle(p)
}

// settle is leave under the lock.
func (b *Bulkhead) settle(p *place) {
	inside := p.inside
	if around := p.around; around != nil {
		if around.inside = inside; around.proxy && inside == nil {
			delete(b.nested, around.in)
		}
	}
	if p.proxy {
		delete(b.nested, p.in)
	}
	p.in = nil
	if inside != nil {
		inside.around = p.around
		inside.held += p.held
		p.inside = nil
		return
	}
	b.add(p.held)
	b.admit()
}
