package policies

import (
	"context"
	"errors"
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/reprise-go/reprise/retry"
)

// ErrKeys is the reason of the rejection when a [Keys] holds as many keys as it may and can forget none of them.
var ErrKeys = errors.New("too many keys")

// Keys is a policy that has a policy of its own for every key, as for each host, tenant or method: one that is down or slow
// does not hold up the others. Make it with [Keyed]. It is safe for concurrent use; a hit takes no lock and allocates nothing.
//
// Keys are forgotten when that changes no decision: when no call of the key is running, it has not been used for a minute or
// two, and its policy says that it is idle ([retry.Idler]; a chain is when all of its members are). So memory follows the
// keys in use, and a flood of new keys cannot make it forget an open breaker. A policy that does not say is never forgotten.
type Keys[K comparable] struct {
	key  func(context.Context) K
	make func(K) retry.Policy
	max  int64
	err  error

	seed     maphash.Seed
	shards   [shards]shard[K]
	known    atomic.Int64
	ticking  atomic.Bool
	crowded  sync.Mutex    // held while room is made at the cap
	searched time.Duration // when that was last in vain. crowded must be held
}

// shards is how many locks the callers with new keys share.
const shards = 256

// shard holds the keys of some hashes.
type shard[K comparable] struct {
	mu      sync.Mutex               // held to change what follows, not to find a key
	table   atomic.Pointer[table[K]] // nil: no keys
	sweepAt int                      // how many entries call for a sweep
	_       [40]byte                 // a cache line each: a new key does not slow the hits of other shards
}

// entry is the policy of one key.
type entry struct {
	policy retry.Policy
	users  atomic.Int32 // calls that run under it; negative: forgotten
	used   atomic.Bool  // since the last sweep
}

const forgotten = math.MinInt32

// enter counts a call in; false if the entry is forgotten.
func (e *entry) enter() bool {
	if !e.used.Load() { // mostly it is, and to write it again would cost
		e.used.Store(true)
	}
	return e.users.Add(1) > 0 // a number that is raised in vain is of no use any more, or forget resets it
}

// forget takes the entry out of use if that changes no decision. The shard's lock must be held.
func (e *entry) forget() bool {
	i, ok := e.policy.(retry.Idler)
	if !ok || !i.Idle() || !e.users.CompareAndSwap(0, forgotten) {
		return false
	}
	if i.Idle() { // still, after the calls that have come and gone since
		return true
	}
	e.users.Store(0)
	return false
}

// KeysOption tunes [Keyed].
type KeysOption func(*keysConfig)

type keysConfig struct{ max int }

// MaxKeys bounds the keys that are known at once. A call with another key, when none can be forgotten, is rejected with
// [ErrKeys]. The default is 1,048,576.
func MaxKeys(n int) KeysOption { return func(c *keysConfig) { c.max = n } }

// Keyed makes a policy of policies: key reads a call's key from its context, and create makes the policy of a key when the
// first call with it comes. See [Keys.For] for keys that are not in the context.
//
//	policies.Keyed(httpx.Host, func(host string) retry.Policy { return breaker.New(host) })
//
// create may run more than once where several calls bring a new key at the same time; one of its policies is kept. If it
// returns nil, calls with that key go through as they are. If it returns a misconfigured policy they fail with that error.
func Keyed[K comparable](key func(context.Context) K, create func(K) retry.Policy, opts ...KeysOption) *Keys[K] {
	c := keysConfig{max: 1 << 20}
	nilOption := false
	for _, o := range opts {
		if o == nil {
			nilOption = true
			continue
		}
		o(&c)
	}
	k := &Keys[K]{key: key, make: create, max: int64(c.max), seed: maphash.MakeSeed()}
	switch {
	case key == nil || create == nil || nilOption:
		k.err = retry.ConfigErrorf("policies.Keyed", "nil function or option")
	case c.max < 1:
		k.err = retry.ConfigErrorf("policies.Keyed", "MaxKeys(%d): must be at least 1", c.max)
	}
	return k
}

// Validate reports bad options.
func (k *Keys[K]) Validate() error { return k.err }

// Do runs the call under the policy of its key.
func (k *Keys[K]) Do(ctx context.Context, next retry.Next) error {
	if k.err != nil {
		return k.err
	}
	return k.run(ctx, k.key(ctx), next)
}

// For is the policy of one key, whatever the context says: for a key that the caller knows, as a tenant or a gRPC method. It
// is cheap, holds no entry by itself, and shares its policy with all other calls of that key.
func (k *Keys[K]) For(key K) retry.Policy { return &oneKey[K]{k, key} }

type oneKey[K comparable] struct {
	keys *Keys[K]
	key  K
}

func (o *oneKey[K]) Validate() error { return o.keys.err }
func (o *oneKey[K]) Idle() bool      { return true } // what it could lose stays in keys

func (o *oneKey[K]) Do(ctx context.Context, next retry.Next) error {
	if o.keys.err != nil {
		return o.keys.err
	}
	return o.keys.run(ctx, o.key, next)
}

func (k *Keys[K]) run(ctx context.Context, key K, next retry.Next) error {
	if ctx.Err() != nil {
		return retry.Ended(ctx)
	}
	hash := maphash.Comparable(k.seed, key)
	s := &k.shards[hash%shards]
	e := s.table.Load().find(hash, key)
	if e == nil || !e.enter() {
		var err error
		if e, err = k.create(ctx, s, hash, key); err != nil {
			return err
		}
		if e == nil {
			return next.Do(ctx)
		}
	}
	defer e.users.Add(-1)
	return e.policy.Do(ctx, next)
}

// create makes the entry of a new key and counts the caller in. There is none, and no error, where the key has no policy.
func (k *Keys[K]) create(ctx context.Context, s *shard[K], hash uint64, key K) (*entry, error) {
	policy := k.make(key)
	if policy == nil {
		return nil, nil
	}
	if err := retry.Validate(policy); err != nil {
		return nil, err // not kept: there is nothing to remember
	}
	if e := k.add(s, hash, key, policy); e != nil {
		return e, nil
	}
	full := &retry.Rejection{Policy: "keyed", Reason: ErrKeys}
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: full.Policy, Err: full})
	return nil, full
}

// add puts a new entry in and counts the caller in; nil if there is no room.
func (k *Keys[K]) add(s *shard[K], hash uint64, key K, policy retry.Policy) *entry {
	room := k.known.Add(1) <= k.max || k.makeRoom()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.table.Load().find(hash, key)
	if e != nil { // another caller was faster
		e.enter()
	}
	if e != nil || !room {
		k.known.Add(-1)
		return e
	}
	if s.table.Load().size() >= max(minSweep, s.sweepAt) {
		k.sweepShard(s, false)
		s.sweepAt = 2 * s.table.Load().size()
	}
	t := s.table.Load()
	if t.full() {
		t = t.grow()
		s.table.Store(t)
	}
	if text, ok := any(key).(string); ok { // often a part of a longer one, which would be kept with it
		key = any(strings.Clone(text)).(K)
	}
	e = &entry{policy: policy}
	e.enter()
	t.add(hash, key, e)
	k.tick()
	return e
}

// minSweep is how many entries a shard may hold before it looks for idle ones on its own.
const minSweep = 32

// sweepShard forgets the idle entries that were not used since the last sweep, or all idle ones. s.mu must be held.
func (k *Keys[K]) sweepShard(s *shard[K], all bool) {
	t, dropped := s.table.Load(), 0
	for e := range t.entries {
		if (!e.used.Swap(false) || all) && e.forget() {
			dropped++
		}
	}
	if dropped > 0 {
		s.table.Store(t.refill(t.size() - dropped))
		k.known.Add(-int64(dropped))
	}
}

func (k *Keys[K]) sweep(all bool) {
	for i := range k.shards {
		s := &k.shards[i]
		s.mu.Lock()
		k.sweepShard(s, all)
		s.mu.Unlock()
	}
}

// makeRoom forgets what it can at the cap, first of all what is not in use. A search in vain is not repeated for 1 µs per
// key, about ten times what it takes: a flood of keys that find no room costs a tenth of a processor, not all of it.
func (k *Keys[K]) makeRoom() bool {
	k.crowded.Lock()
	defer k.crowded.Unlock()
	if k.known.Load() <= k.max {
		return true
	}
	pause := time.Duration(k.max) * time.Microsecond
	if k.max > 1000 && k.searched != 0 && now()-k.searched < pause {
		return false
	}
	for _, all := range []bool{false, true} {
		k.sweep(all)
		if k.known.Load() <= k.max {
			return true
		}
	}
	k.searched = now()
	return false
}

// Len returns how many keys are known.
func (k *Keys[K]) Len() int { return int(k.known.Load()) }

// Idle is true when every policy of a key says so and none is in use.
func (k *Keys[K]) Idle() bool {
	for i := range k.shards {
		if !k.shards[i].idle() {
			return false
		}
	}
	return true
}

func (s *shard[K]) idle() bool {
	s.mu.Lock() // so that no sweep has an entry in its hands
	defer s.mu.Unlock()
	for e := range s.table.Load().entries {
		if i, ok := e.policy.(retry.Idler); !ok || e.users.Load() != 0 || !i.Idle() {
			return false
		}
	}
	return true
}

// sweepEvery is how often idle keys are looked for when no new ones come.
const sweepEvery = time.Minute

// tick has the keys swept after a while, and again as long as there are any. A timer and not a goroutine, and it does not
// keep k alive: there is nothing to close. It is made anew each time, so that a global Keys may be used in several synctest
// bubbles.
func (k *Keys[K]) tick() {
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
		k.sweep(false)
		if k.known.Load() > 0 {
			k.tick()
		}
	})
}
