package policies

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/reprise-go/reprise/policies/internal/keymap"
	"github.com/reprise-go/reprise/retry"
)

// ErrKeys is the reason of the rejection when a [Keys] is full and cannot forget any of its keys.
var ErrKeys = errors.New("too many keys")

// Keys is a policy that has a separate policy for every key, such as a host, a tenant or a method:
// one that is down or slow does not hold up the others. Make it with [Keyed]. It is safe for
// concurrent use. A hit allocates nothing and takes no lock, except while its shard (1 of 256) is
// resized.
//
// A key is forgotten when that changes no decision: when no call of the key is running, it has not
// been used for a minute or two, and its policy says that it is idle ([retry.Idler]; a chain is
// idle if all of its members are). So memory follows the keys in use, and a flood of new keys
// cannot make it forget an open breaker that is still asked. A stateful policy that is not an Idler
// is never forgotten. At the cap (see [MaxKeys]) idle keys go earlier: those in use only if most
// keys are idle.
type Keys[K comparable] struct {
	label
	key  func(context.Context) K
	err  error
	keys keymap.Map[K]
}

// MaxKeys bounds the keys that a [Keyed] knows at once. A call with another key, when none can be
// forgotten, is rejected with [ErrKeys]. The default is 1,048,576.
func MaxKeys(n int) Option {
	return option("MaxKeys", n, n >= 1, "be at least 1", func(c *keysConfig) { c.max = n })
}

type keysConfig struct {
	label
	max int
}

// Keyed makes a policy of policies, as for limits per host: key reads a call's key from its
// context, and create makes the policy of a key when the first call with it comes. See [Keys.For]
// for keys that are not in the context.
//
//	policies.Keyed(httpx.Host, func(host string) retry.Policy { return breaker.New(host) })
//
// key may be nil if all calls go through For.
//
// create may run more than once if several calls bring a new key at the same time; one of its
// policies is kept. If it returns nil, calls with that key go through as they are. If it returns a
// misconfigured policy they fail with that error; retry.Validate cannot see it earlier, because it
// does not know the keys.
func Keyed[K comparable](
	key func(context.Context) K, create func(K) retry.Policy, opts ...Option,
) *Keys[K] {
	c := keysConfig{label{kind: "keyed"}, 1 << 20}
	var m mistakes
	m.check(create != nil, "nil create function")
	m.configure(&c, opts)
	k := &Keys[K]{label: c.label, key: key, err: m.in("Keyed")}
	k.keys = keymap.New(create, c.max, k.full)
	return k
}

func (k *Keys[K]) full(ctx context.Context, ended error) error {
	reason := ErrKeys
	if ended != nil {
		reason = fmt.Errorf("%w, no idle one was found in time: %w", ErrKeys, ended)
	}
	return reject(ctx, k.who(), reason)
}

// Validate reports bad options, and a missing key function: without one, put only what [Keys.For]
// returns into chains.
func (k *Keys[K]) Validate() error {
	if err := k.usable(); err != nil {
		return err
	}
	if k.key == nil {
		return errNoKey
	}
	return nil
}

var (
	errNoKey    = retry.ConfigErrorf("policies.Keyed", "nil key function: use For")
	errZeroKeys = retry.ConfigErrorf("policies.Keys", "made without Keyed")
)

// usable is Validate for calls that bring their key.
func (k *Keys[K]) usable() error {
	if k == nil || k.keys == nil {
		return errZeroKeys
	}
	return k.err
}

// Do runs the call under the policy of its key.
func (k *Keys[K]) Do(ctx context.Context, next retry.Next) error {
	if err := k.Validate(); err != nil {
		return err
	}
	err := k.keys.Run(ctx, k.key(ctx), next)
	// The limiters outside serve all keys: what one callee reports is not for them.
	retry.Shield(ctx)
	return err
}

// For is the policy of one key, whatever the context says: for a key that the caller knows, as a
// tenant or a gRPC method. It is cheap, holds no entry by itself, and shares its policy with all
// other calls of that key.
func (k *Keys[K]) For(key K) retry.Policy { return &oneKey[K]{k, key} }

type oneKey[K comparable] struct {
	keys *Keys[K]
	key  K
}

func (o *oneKey[K]) Validate() error { return o.keys.usable() }
func (o *oneKey[K]) Idle() bool      { return true } // what it could lose stays in keys

func (o *oneKey[K]) Do(ctx context.Context, next retry.Next) error {
	if err := o.keys.usable(); err != nil {
		return err
	}
	err := o.keys.keys.Run(ctx, o.key, next)
	retry.Shield(ctx)
	return err
}

func (o *oneKey[K]) Unwrap() retry.Policy { p, _ := o.keys.Get(o.key); return p }

func (o *oneKey[K]) String() string {
	if o.keys.usable() != nil {
		return "keyed(misconfigured)"
	}
	return fmt.Sprintf("%s(key %v)", o.keys.who(), o.key)
}

// Get returns the policy of a key that is known, as create made it: to look at one breaker. That is
// not a use of the key.
func (k *Keys[K]) Get(key K) (retry.Policy, bool) {
	if k.usable() != nil {
		return nil, false
	}
	return k.keys.Get(key)
}

// All yields every key that is known and its policy, as create made it: to print the states of
// breakers, or to save what they learned before a restart. The order is random. It may run while
// calls do: keys that come or go meanwhile may be missing, and no key comes twice. No lock is held
// while the loop's body runs, and being yielded is not a use of a key.
func (k *Keys[K]) All() iter.Seq2[K, retry.Policy] {
	return func(yield func(K, retry.Policy) bool) {
		if k.usable() == nil {
			k.keys.All(yield)
		}
	}
}

// Members yields the policies by their key's text, for retry.Walk.
func (k *Keys[K]) Members(yield func(name string, p retry.Policy) bool) {
	for key, p := range k.All() {
		if !yield(fmt.Sprint(key), p) {
			return
		}
	}
}

// Name returns what [Named] gave, "" without it.
func (k *Keys[K]) Name() string {
	if k == nil {
		return ""
	}
	return k.name
}

// String is one line for people: "keyed hosts(3 keys)". It is safe while calls run.
func (k *Keys[K]) String() string {
	if k.usable() != nil {
		return "keyed(misconfigured)"
	}
	return fmt.Sprintf("%s(%d keys)", k.who(), k.Len())
}

// Format prints String, whatever the verb.
func (k *Keys[K]) Format(s fmt.State, verb rune) { format(s, verb, k.String()) }

// Stats are how many keys are known.
func (k *Keys[K]) Stats() []retry.Stat {
	return []retry.Stat{{Name: "keys", Value: float64(k.Len())}}
}

// Len returns how many keys are known.
func (k *Keys[K]) Len() int {
	if k.usable() != nil {
		return 0
	}
	return k.keys.Len()
}

// Idle is true when every policy of a key says so and none is in use.
func (k *Keys[K]) Idle() bool { return k.usable() != nil || k.keys.Idle() }
