package policies

import (
	"math/bits"
	"sync/atomic"
)

// table is the keys of a shard: a hash table that is read without a lock while one writer at a time adds to it. Nothing is
// ever taken out of it: to forget, or to grow, is to fill a new one. A reader that still has the old one misses what is new,
// and then looks again under the lock.
//
// It is laid out for the cache: with a million keys every line that is touched comes from memory, and a hit costs little
// else. Here they are the place, then the entry and, for a string, its bytes; these two are fetched at the same time, because
// the place knows both. (Measured and slower: the key in the
// entry, which has them fetched one after the other, and groups of places behind a word of tags, as in Go's own map.)
type table[K comparable] struct {
	places []place[K]
	len    int // guarded by the shard's lock
}

// place is written before its entry is stored, and never after.
type place[K comparable] struct {
	entry atomic.Pointer[entry] // nil: empty
	hash  uint64
	key   K
}

// newTable makes a table with room for so many keys. A quarter of its places is always empty, where searches end.
func newTable[K comparable](keys int) *table[K] {
	return &table[K]{places: make([]place[K], keys+keys/3+1)}
}

// size of a nil table is 0.
func (t *table[K]) size() int {
	if t == nil {
		return 0
	}
	return t.len
}

func (t *table[K]) full() bool { return t == nil || t.len >= len(t.places)/4*3 }

// home is where the search for a hash begins: its high bits choose the place, the low ones have chosen the shard.
func (t *table[K]) home(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(t.places)))
	return int(high)
}

// find returns the entry of a key, or nil.
func (t *table[K]) find(hash uint64, key K) *entry {
	if t == nil {
		return nil
	}
	for i := t.home(hash); ; i++ {
		if i == len(t.places) {
			i = 0
		}
		p := &t.places[i]
		e := p.entry.Load()
		if e == nil || p.hash == hash && p.key == key {
			return e
		}
	}
}

// add puts in a key that is not there. The shard's lock must be held, and the table must not be full.
func (t *table[K]) add(hash uint64, key K, e *entry) {
	i := t.home(hash)
	for t.places[i].entry.Load() != nil {
		if i++; i == len(t.places) {
			i = 0
		}
	}
	p := &t.places[i]
	p.hash, p.key = hash, key
	p.entry.Store(e)
	t.len++
}

// refill makes a table for so many keys of those that are not forgotten, or nil for none. The shard's lock must be held.
func (t *table[K]) refill(keys int) *table[K] {
	if keys == 0 {
		return nil
	}
	fresh := newTable[K](keys)
	for i := range t.places {
		p := &t.places[i]
		if e := p.entry.Load(); e != nil && e.users.Load() >= 0 {
			fresh.add(p.hash, p.key, e)
		}
	}
	return fresh
}

// grow makes a table for half as many keys again, at least for a few.
func (t *table[K]) grow() *table[K] {
	if t == nil {
		return newTable[K](4)
	}
	return t.refill(t.len + t.len/2 + 4)
}

// entries yields those of every key. The shard's lock must be held.
func (t *table[K]) entries(yield func(*entry) bool) {
	if t == nil {
		return
	}
	for i := range t.places {
		if e := t.places[i].entry.Load(); e != nil && !yield(e) {
			return
		}
	}
}
