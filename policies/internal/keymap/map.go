// Package keymap keeps a policy for each of many keys: the table of policies.Keyed. A hit allocates
// nothing and takes no lock, except while its shard, 1 of 256, is resized. A key is forgotten when
// it has not been used for a while, none of its calls runs, and its policy says that it is idle
// (retry.Idle).
package keymap

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/reprise-go/reprise/retry"
)

// Map is the policies of keys K. It is safe for concurrent use.
type Map[K comparable] interface {
	// Run runs next under the policy of key, which is made if there is none.
	Run(ctx context.Context, key K, next retry.Next) error
	// Get returns the policy of a key that is known. That is not a use of the key.
	Get(key K) (retry.Policy, bool)
	// All yields every key and its policy, in random order, and holds no lock meanwhile.
	All(yield func(K, retry.Policy) bool)
	// Sweep forgets idle keys that have not been used since the last sweep, as a timer does every
	// minute.
	Sweep()
	Len() int
	Idle() bool
}

// New makes a map of at most limit keys. create makes the policy of a key; if many calls with a new
// key come at once it may run more than once, and one of its policies is kept. A call for which
// there is no room fails with the error that full returns; ended is what ended the context of a
// call that waited for room, nil otherwise.
func New[K comparable](
	create func(K) retry.Policy, limit int, full func(ctx context.Context, ended error) error,
) Map[K] {
	if ofText, ok := any(create).(func(string) retry.Policy); ok {
		s := &store[string, text]{
			make: ofText, keep: keepText, key: (*text).String, same: (*text).is,
		}
		return any(s.ready(limit, full)).(Map[K])
	}
	s := &store[K, K]{
		make: create,
		keep: func(k K) K { return k },
		key:  func(kept *K) K { return *kept },
		same: func(kept *K, k K) bool { return *kept == k },
	}
	return s.ready(limit, full)
}

// store is the policies of keys K, which it keeps in the form S.
type store[K comparable, S any] struct {
	make func(K) retry.Policy
	full func(context.Context, error) error
	keep func(K) S
	key  func(*S) K // the reverse of keep
	same func(*S, K) bool
	max  int64

	seed     maphash.Seed
	shards   [shards]shard[K, S]
	known    atomic.Int64 // keys, and those for which room is reserved; at most max
	ticking  atomic.Bool
	crowded  sync.Mutex    // held while room is made at the cap: see await
	searched time.Duration // when no room was found last; guarded by crowded
}

// shards is how many locks the callers with new keys share.
const shards = 256

// shard holds the keys of some hashes.
type shard[K, S any] struct {
	mu      sync.Mutex                  // held to change what follows, not to find a key
	table   atomic.Pointer[table[K, S]] // nil: no keys
	sweepAt int                         // sweep when there are so many keys
	_       [40]byte                    // pads to a cache line: a new key slows no other shard
}

func (k *store[K, S]) ready(limit int, full func(context.Context, error) error) *store[K, S] {
	k.max, k.full, k.seed = int64(limit), full, maphash.MakeSeed()
	return k
}

// shard returns the shard of key, and the key's hash within it.
func (k *store[K, S]) shard(key K) (*shard[K, S], uint32) {
	hash := maphash.Comparable(k.seed, key)
	return &k.shards[hash%shards], uint32(hash >> 32)
}

func (k *store[K, S]) Run(ctx context.Context, key K, next retry.Next) error {
	if ctx.Err() != nil {
		return retry.Ended(ctx)
	}
	s, h := k.shard(key)
	p := s.table.Load().find(h, key)
	if p == nil || !p.enter() {
		var err error
		if p, err = k.create(ctx, s, h, key); err != nil {
			return err
		}
		if p == nil {
			return next.Do(ctx)
		}
	}
	defer s.leave(h, key) // not p, because a long call would keep old tables alive
	return p.policy.Do(ctx, next)
}

func (k *store[K, S]) Get(key K) (retry.Policy, bool) {
	s, h := k.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.table.Load().find(h, key); p != nil {
		return p.policy, true
	}
	return nil, false
}

// leave counts a call out, also if its key has moved in the meantime.
func (s *shard[K, S]) leave(hash uint32, key K) {
	p := s.table.Load().find(hash, key)
	if p == nil || p.leave() { // nil: a NaN, which is not kept
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table.Load().find(hash, key).leave()
}

// create makes the policy of a new key and counts the caller in. If the key has no policy it
// returns nil without an error.
func (k *store[K, S]) create(
	ctx context.Context, s *shard[K, S], hash uint32, key K,
) (*place[S], error) {
	policy := k.make(key)
	if policy == nil {
		return nil, nil
	}
	if err := retry.Validate(policy); err != nil {
		return nil, err // the key is not kept
	}
	if key != key { // a NaN cannot be found again
		return &place[S]{policy: policy}, nil
	}
	room, ended := k.makeRoom(ctx)
	if ended != nil {
		return nil, k.full(ctx, ended)
	}
	if p := k.add(s, hash, key, policy, room); p != nil {
		return p, nil
	}
	return nil, k.full(ctx, nil)
}

// add adds a new key and counts the caller in. room tells whether room was reserved; without it add
// returns nil unless another caller has added the key.
func (k *store[K, S]) add(
	s *shard[K, S], hash uint32, key K, policy retry.Policy, room bool,
) *place[S] {
	added := false
	defer func() { // also if a sweep panics in retry.Idle
		if room && !added {
			k.known.Add(-1)
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.table.Load().find(hash, key); p != nil { // another caller was faster
		p.enter()
		return p
	}
	if !room {
		return nil
	}
	if s.table.Load().size() >= max(minSweep, s.sweepAt) {
		k.sweepShard(s, (*place[S]).forgetUnused)
		s.sweepAt = 2 * s.table.Load().size()
	}
	t := s.table.Load()
	if t.full() {
		t = t.grow(k.same)
		s.table.Store(t)
	}
	p := t.add(hash, k.keep(key), policy, fresh)
	added = true
	k.tick()
	return p
}

// minSweep is how many entries a shard may hold before a new key makes it look for idle ones.
const minSweep = 32

// sweepShard forgets keys of a shard, by forgetUnused or, at the cap, by another. s.mu must be
// held.
func (k *store[K, S]) sweepShard(s *shard[K, S], forget func(*place[S]) bool) {
	t, dropped := s.table.Load(), 0
	defer func() { // also after a panic, because forgotten keys must go
		if dropped > 0 {
			s.table.Store(t.refill(t.size() - dropped))
			k.known.Add(-int64(dropped))
		}
	}()
	for p := range t.entries {
		if forget(p) {
			dropped++
		}
	}
}

func (k *store[K, S]) Sweep() { k.sweep((*place[S]).forgetUnused) }

func (k *store[K, S]) sweep(forget func(*place[S]) bool) {
	for i := range k.shards {
		s := &k.shards[i]
		func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			k.sweepShard(s, forget)
		}()
	}
}

// reserve counts a key that will be added, if there is room for it.
func (k *store[K, S]) reserve() bool {
	for {
		n := k.known.Load()
		if n >= k.max {
			return false
		}
		if k.known.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// makeRoom reserves room for a new key. At the cap it forgets idle keys but spares those that have
// been found again since the last sweep: otherwise a flood of keys that stay, such as dead hosts,
// would push out those in use. If that frees nothing and most policies are idle it forgets those
// too, because they find room again at once.
//
// A search that found nothing is not repeated for 1 µs per key, about ten times as long as it
// takes: so a flood of keys without room costs a tenth of a processor, not all of it. In that time
// it tries a few keys only, so that it finds room if many keys have become idle.
func (k *store[K, S]) makeRoom(ctx context.Context) (ok bool, ended error) {
	if k.reserve() {
		return true, nil
	}
	if ended := k.await(ctx); ended != nil {
		return false, ended
	}
	defer k.crowded.Unlock()
	if k.reserve() { // another caller has made room
		return true, nil
	}
	pause, since := time.Duration(k.max)*time.Microsecond, retry.Next{}.Clock()-k.searched
	// since is negative if the last search was in another synctest bubble
	inVain := k.searched != 0 && since >= 0 && since < pause
	if k.max > 1000 && inVain {
		return k.tryFew() && k.reserve(), nil
	}
	idle, known := 0, 0
	k.sweep(func(p *place[S]) bool {
		if known++; retry.Idle(p.policy) {
			idle++
		}
		return p.forgetStranger()
	})
	if k.reserve() {
		return true, nil
	}
	if 2*idle >= known {
		if k.sweep((*place[S]).forget); k.reserve() {
			return true, nil
		}
	}
	k.searched = retry.Next{}.Clock()
	return false, nil
}

// await locks crowded, or returns what ended ctx. It polls, which is good enough because making
// room never blocks, so the lock is held only briefly.
func (k *store[K, S]) await(ctx context.Context) error {
	for pause := time.Microsecond; !k.crowded.TryLock(); pause = min(2*pause, time.Millisecond) {
		if err := retry.Ended(ctx); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return nil
}

// tryFew sweeps a shard if one of a few of its keys, taken at random, is idle.
func (k *store[K, S]) tryFew() bool {
	const few = 16
	s := &k.shards[rand.IntN(shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table.Load()
	if t.size() == 0 {
		return false
	}
	first := rand.IntN(len(t.places))
	for i := range min(few, len(t.places)) {
		p := &t.places[(first+i)%len(t.places)]
		if p.state.Load()&(live|used) == live && p.idle() {
			k.sweepShard(s, (*place[S]).forgetStranger)
			return true
		}
	}
	return false
}

// All copies one shard after the other: a key stays in its shard, so none is seen twice.
func (k *store[K, S]) All(yield func(K, retry.Policy) bool) {
	type entry struct {
		key    K
		policy retry.Policy
	}
	var found []entry
	for i := range k.shards {
		s := &k.shards[i]
		found = found[:0]
		s.mu.Lock()
		for p := range s.table.Load().entries {
			found = append(found, entry{k.key(&p.key), p.policy})
		}
		s.mu.Unlock()
		for _, e := range found {
			if !yield(e.key, e.policy) {
				return
			}
		}
	}
}

func (k *store[K, S]) Len() int { return int(k.known.Load()) }

func (k *store[K, S]) Idle() bool {
	for i := range k.shards {
		if !k.shards[i].idle() {
			return false
		}
	}
	return true
}

func (s *shard[K, S]) idle() bool {
	s.mu.Lock() // so that no sweep has marked a place as moved
	defer s.mu.Unlock()
	for p := range s.table.Load().entries {
		if !p.idle() {
			return false
		}
	}
	return true
}

// sweepEvery is how often idle keys are looked for if no new ones come.
const sweepEvery = time.Minute

// tick sweeps the keys after a while, and again as long as there are any. It uses a timer that does
// not keep k alive, not a goroutine, so nothing has to be closed. The timer is made anew each time,
// so that a global map may be used in several synctest bubbles.
func (k *store[K, S]) tick() {
	if k.ticking.Load() || !k.ticking.CompareAndSwap(false, true) {
		return
	}
	handle := weak.Make(k)
	time.AfterFunc(sweepEvery, func() {
		k := handle.Value()
		if k == nil {
			return
		}
		k.ticking.Store(false)
		k.Sweep()
		if k.known.Load() > 0 {
			k.tick()
		}
	})
}
