package policies_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type keyOf struct{}

func keyIn(ctx context.Context) string { k, _ := ctx.Value(keyOf{}).(string); return k }

func TestKeyed(t *testing.T) {
	made := map[string]*plain{}
	var mu sync.Mutex
	create := func(k string) retry.Policy {
		mu.Lock()
		defer mu.Unlock()
		p := &plain{idle: k[0] != '!'} // ! is a key whose policy remembers something
		made[k+strconv.Itoa(len(made))] = p
		return p
	}
	t.Run("one policy for each key", func(t *testing.T) {
		keys := policies.Keyed(keyIn, create)
		for range 3 {
			for _, k := range []string{"a", "b"} {
				if err := retry.Run(context.WithValue(t.Context(), keyOf{}, k), keys, succeed); err != nil {
					t.Error(err)
				}
				_ = retry.Run(t.Context(), keys.For(k), succeed)
			}
		}
		if keys.Len() != 2 || len(made) != 2 {
			t.Errorf("%d keys, %d made", keys.Len(), len(made))
		}
	})
	t.Run("a flood does not push out what remembers", func(t *testing.T) {
		keys := policies.Keyed(keyIn, create, policies.MaxKeys(100))
		_ = retry.Run(t.Context(), keys.For("!"), succeed)
		before := len(made)
		for i := range 10_000 {
			if err := retry.Run(t.Context(), keys.For("k"+strconv.Itoa(i)), succeed); err != nil {
				t.Fatal(err)
			}
		}
		if keys.Len() > 100 || len(made) != before+10_000 {
			t.Errorf("%d keys", keys.Len())
		}
		_ = retry.Run(t.Context(), keys.For("!"), succeed)
		if len(made) != before+10_000 {
			t.Error("the policy of ! was forgotten")
		}
	})
	t.Run("full", func(t *testing.T) {
		keys := policies.Keyed(keyIn, create, policies.MaxKeys(2))
		for _, k := range []string{"!1", "!2"} {
			_ = retry.Run(t.Context(), keys.For(k), succeed)
		}
		wantIs(t, retry.Run(t.Context(), keys.For("c"), succeed), policies.ErrKeys, retry.ErrRejected)
		if err := retry.Run(t.Context(), keys.For("!1"), succeed); err != nil || keys.Len() != 2 {
			t.Errorf("%v, %d keys", err, keys.Len())
		}
	})
	t.Run("not under a running call, and not without an Idler", func(t *testing.T) {
		keys := policies.Keyed(keyIn, create, policies.MaxKeys(1))
		_ = retry.Run(t.Context(), keys.For("a"), func(context.Context) error {
			wantIs(t, retry.Run(t.Context(), keys.For("b"), succeed), policies.ErrKeys)
			return nil
		})
		if err := retry.Run(t.Context(), keys.For("b"), succeed); err != nil {
			t.Error(err)
		}
		silent := policies.Keyed(keyIn, func(string) retry.Policy {
			return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error { return next.Do(ctx) })
		}, policies.MaxKeys(1))
		_ = retry.Run(t.Context(), silent.For("a"), succeed)
		wantIs(t, retry.Run(t.Context(), silent.For("b"), succeed), policies.ErrKeys)
	})
	t.Run("nil and bad policies", func(t *testing.T) {
		none := policies.Keyed(keyIn, func(string) retry.Policy { return nil })
		bad := policies.Keyed(keyIn, func(string) retry.Policy { return policies.Timeout(-1) })
		if err := retry.Run(t.Context(), none, succeed); err != nil {
			t.Error(err)
		}
		wantIs(t, retry.Run(t.Context(), bad, succeed), retry.ErrConfig)
	})
	bubble(t, "idle keys go with time", func(t *testing.T) {
		keys := policies.Keyed(keyIn, create)
		for i := range 1000 {
			_ = retry.Run(t.Context(), keys.For("k"+strconv.Itoa(i)), succeed)
		}
		_ = retry.Run(t.Context(), keys.For("!"), succeed)
		time.Sleep(2*time.Minute + 1)
		if keys.Len() != 1 {
			t.Errorf("%d keys", keys.Len())
		}
	})
	t.Run("used by many", func(t *testing.T) {
		keys := policies.Keyed(keyIn, create, policies.MaxKeys(50))
		var all sync.WaitGroup
		for g := range 100 {
			all.Go(func() {
				for i := range 60 {
					_ = retry.Run(t.Context(), keys.For("k"+strconv.Itoa((g*i)%120)), succeed)
				}
			})
		}
		all.Wait()
		if n := keys.Len(); n < 1 || n > 50 || !keys.Idle() {
			t.Errorf("%d keys, idle %v", n, keys.Idle())
		}
	})
}

// asked runs a function whenever a sweep asks whether it is idle.
type asked struct {
	plain
	idle  func() bool
	calls atomic.Int32
}

func (a *asked) Do(ctx context.Context, next retry.Next) error {
	a.calls.Add(1)
	return a.plain.Do(ctx, next)
}

func (a *asked) Idle() bool { return a.idle() }

// A call may come while a sweep looks at its key. What it leaves behind is not lost.
func TestKeyedSweepMeetsACall(t *testing.T) {
	for name, from := range map[string]int{"before the key is taken out of use": 1, "after": 2} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			var first *asked
			questions, made := 0, 0
			var keys *policies.Keys[string]
			call := func() {
				if err := retry.Run(t.Context(), keys.For("a"), succeed); err != nil {
					t.Error(err)
				}
			}
			keys = policies.Keyed(keyIn, func(string) retry.Policy {
				made++
				a := &asked{idle: func() bool { return true }}
				if first == nil {
					first = a
				}
				return a
			})
			call()
			first.idle = func() bool {
				if questions++; questions == from {
					if from == 1 {
						call() // a hit takes no lock
						return true
					}
					all.Go(call) // it waits for the sweep
					time.Sleep(ms)
				}
				return questions < 2
			}
			policies.Sweep(keys) // used since
			policies.Sweep(keys)
			all.Wait()
			call()
			if keys.Len() != 1 || first.calls.Load() != 3 || made != from { // who waits for the sweep has made a policy in vain
				t.Errorf("%d keys, %d calls under the first policy, %d policies", keys.Len(), first.calls.Load(), made)
			}
		})
	}
}
