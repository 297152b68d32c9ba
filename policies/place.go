package policies

import "context"

// place is a call inside a Bulkhead, and the node in its context by which a nested call finds it.
// Its fields are guarded by the bulkhead's lock, but the first three, which never change.
type place struct {
	context.Context
	bulkhead *Bulkhead
	size     int // slots that it may use, its own or shared

	held   int    // slots that it gives back
	around *place // the call whose slots it shares; nil: none
	inside *place // the nested call that shares its slots at the moment
	over   bool
} // 64 bytes, the only allocation of a call

type placeKey struct{ b *Bulkhead }

func (p *place) Value(key any) any {
	if k, ok := key.(placeKey); ok && k.b == p.bulkhead {
		return p
	}
	return p.Context.Value(key)
}

// share has p use the slots of the call around it, and take what it needs beyond them. b.mu must be
// held.
func (b *Bulkhead) share(p, around *place) bool {
	if more := p.size - around.size; more > 0 && !b.take(p, more) {
		return false
	}
	p.size = max(p.size, around.size)
	p.around, around.inside = around, p
	return true
}

// leave gives back what p holds. If a nested call still runs, that goes on with the slots.
func (b *Bulkhead) leave(p *place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.over = true
	inside := p.inside
	if p.around != nil {
		p.around.inside = inside
	}
	if inside != nil {
		inside.around = p.around
		inside.held += p.held
		return
	}
	b.taken -= p.held
	b.admit()
}
