package keymap

import (
	"sync/atomic"

	"github.com/reprise-go/reprise/retry"
)

// table holds the keys of a shard: a hash table that is read without a lock while one writer at a
// time adds to it. Keys are never removed from it: to forget keys, or to grow, the remaining ones
// are moved to a new table. A reader that still has the old table misses keys that are new or have
// moved, and then looks again under the lock.
//
// Its layout saves memory accesses: with a million keys each cache line that is touched comes from
// main memory, and a hit costs little else. So everything that a hit needs of a key is in one
// place, at the index of its hash. (Measured and slower: a pointer to the rest, which takes twice
// the time, and a word of tags for each eight places, as in Go's own map. No gain: prefetching the
// next place, and a search without branches.)
type table[K, S any] struct {
	places []place[S]
	same   func(*S, K) bool
	len    int // guarded by the shard's lock
}

// place is one key in the form S and its policy. Both are written before the state, and never
// changed.
type place[S any] struct {
	policy retry.Policy
	key    S
	hash   uint32
	state  atomic.Int32
}

// The bits of a place's state. The state of an empty place is 0.
const (
	live  = 1        // it holds a key
	used  = 2        // found again since the last sweep
	young = 4        // added since the last sweep
	call  = 8        // for each call that runs under the policy
	moved = -1 << 30 // or forgotten: look again under the lock; calls cannot make it positive

	fresh = live | young | call
)

// enter counts a call in; false if the key has moved.
func (p *place[S]) enter() bool {
	state := p.state.Add(call)
	if state >= 0 && state&used == 0 {
		p.state.Or(used)
	}
	return state >= 0
}

// leave counts a call out; false if the key has moved, and the call with it.
func (p *place[S]) leave() bool { return p.state.Add(-call) >= 0 }

// idle tells whether no call runs and the policy says that it is idle.
func (p *place[S]) idle() bool {
	return p.state.Load() < call && retry.Idle(p.policy)
}

// forgetUnused is forget, unless the key is new or was used since forgetUnused was called last.
func (p *place[S]) forgetUnused() bool {
	return p.state.And(^(used|young))&(used|young) == 0 && p.forget()
}

// forgetStranger is forget, unless the key was found again since the last sweep.
func (p *place[S]) forgetStranger() bool { return p.state.Load()&used == 0 && p.forget() }

// forget marks the place as moved if no call runs and its policy is idle, so that forgetting it
// changes no decision. The shard's lock must be held.
func (p *place[S]) forget() (done bool) {
	state := p.state.Load()
	if state >= call || !retry.Idle(p.policy) || !p.state.CompareAndSwap(state, moved) {
		return false
	}
	defer func() {
		if !done {
			p.state.Store(state)
		}
	}()
	return retry.Idle(p.policy) // again, because calls may have come and gone since
}

// newTable makes a table with room for this number of keys. Half of its places are always empty.
// With a quarter empty it would take two fifths less memory, but a search among many keys would
// take a tenth longer, because it reaches the next cache line more often.
func newTable[K, S any](same func(*S, K) bool, keys int) *table[K, S] {
	return &table[K, S]{places: make([]place[S], 2*keys+1), same: same}
}

// size is the number of keys; 0 for a nil table.
func (t *table[K, S]) size() int {
	if t == nil {
		return 0
	}
	return t.len
}

func (t *table[K, S]) full() bool { return t == nil || t.len >= len(t.places)/2 }

// home is the index at which the search for a hash begins.
func (t *table[K, S]) home(hash uint32) int {
	return int(uint64(hash) * uint64(len(t.places)) >> 32)
}

// find returns the place of a key, or nil.
func (t *table[K, S]) find(hash uint32, key K) *place[S] {
	if t == nil {
		return nil
	}
	for i := t.home(hash); ; i++ {
		if i == len(t.places) {
			i = 0
		}
		p := &t.places[i]
		if p.state.Load() == 0 {
			return nil
		}
		if p.hash == hash && t.same(&p.key, key) {
			return p
		}
	}
}

// add adds a key that is not in the table. The shard's lock must be held, and the table must not be
// full.
func (t *table[K, S]) add(hash uint32, key S, policy retry.Policy, state int32) *place[S] {
	i := t.home(hash)
	for t.places[i].state.Load() != 0 {
		if i++; i == len(t.places) {
			i = 0
		}
	}
	p := &t.places[i]
	p.policy, p.key, p.hash = policy, key, hash
	p.state.Store(state)
	t.len++
	return p
}

// refill moves the keys that are not forgotten to a new table with room for this number of keys;
// nil for 0. The calls that run move with them. The shard's lock must be held.
func (t *table[K, S]) refill(keys int) *table[K, S] {
	if keys == 0 {
		return nil
	}
	to := newTable(t.same, keys)
	for p := range t.entries {
		if state := p.state.Swap(moved); state >= 0 {
			to.add(p.hash, p.key, p.policy, state)
		}
	}
	return to
}

// grow moves the keys to a table that is half as large again.
func (t *table[K, S]) grow(same func(*S, K) bool) *table[K, S] {
	if t == nil {
		return newTable(same, 4)
	}
	return t.refill(t.len + t.len/2 + 4)
}

// entries yields the places that are not empty. The shard's lock must be held.
func (t *table[K, S]) entries(yield func(*place[S]) bool) {
	if t == nil {
		return
	}
	for i := range t.places {
		if p := &t.places[i]; p.state.Load() != 0 && !yield(p) {
			return
		}
	}
}
