package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// One value of every policy, shared by 100 goroutines and three result types: each call gets its
// own value and its own number of attempts.
func TestEveryPolicyIsSharedByCallsOfAnyType(t *testing.T) {
	at := policies.Initial(0)
	cenkalti := func() backoff.BackOff { return &backoff.ZeroBackOff{} }
	for name, p := range map[string]retry.Policy{
		"exponential": policies.Exponential(at),
		"constant":    policies.Constant(0),
		"fibonacci":   policies.Fibonacci(at),
		"random":      policies.Random(0, 1),
		"delays":      policies.Delays([]time.Duration{0, 0}),
		"backoff":     policies.Backoff(cenkalti),
		"token budget": policies.Constant(0,
			policies.WithBudget(policies.NewTokenBudget(1_000_000, 1))),
		"ratio budget": policies.Constant(0,
			policies.WithBudget(policies.NewRatioBudget(2, 1000))),
		"cost budget": policies.Constant(0,
			policies.WithBudget(policies.NewCostBudget(1_000_000, 1, 1))),
		"max calls":      policies.Constant(0, policies.MaxCalls(3)),
		"outermost only": policies.Constant(0, policies.OutermostOnly()),
		"classify":       inLoop(policies.Classify(policies.On(policies.Is(errBoom)))),
		"timeout":        inLoop(policies.Timeout(time.Hour)),
		"bulkhead":       inLoop(policies.NewBulkhead(2, 100)),
		"keyed": inLoop(policies.Keyed(keyIn, func(string) retry.Policy {
			return policies.NewBulkhead(3, 100)
		})),
		"key": inLoop(
			policies.Keyed(keyIn, func(string) retry.Policy { return &plain{} }).For("a")),
	} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for g := range 100 {
				ctx := context.WithValue(t.Context(), keyOf{}, fmt.Sprint(g%7))
				all.Go(func() {
					for i := range 3 {
						switch (g + i) % 3 {
						case 0:
							thirdTime(ctx, t, p, g)
						case 1:
							thirdTime(ctx, t, p, fmt.Sprint(g))
						case 2:
							thirdTime(ctx, t, p, &g)
						}
					}
				})
			}
			all.Wait()
		})
	}
}

func inLoop(p retry.Policy) retry.Policy { return retry.Chain(policies.Constant(0), p) }

// thirdTime makes a call under p that gives value at the third attempt.
func thirdTime[T comparable](ctx context.Context, t *testing.T, p retry.Policy, value T) {
	attempts := 0
	got, err := retry.Do(ctx, p, func(ctx context.Context) (none T, err error) {
		if attempts++; attempts < 3 {
			return none, errBoom
		}
		return value, nil
	})
	if got != value || err != nil || attempts != 3 {
		t.Errorf("%v, %v after %d attempts, want %v after 3", got, err, attempts, value)
	}
}

// The wrappers are typed: one value of each, shared.
func TestTypedWrappersAreShared(t *testing.T) {
	echo := func(ctx context.Context) (string, error) { return keyIn(ctx), nil }
	var discarded atomic.Int64
	hedge := policies.Hedge(echo, 0, 3, func(string) { discarded.Add(1) })
	fallback := policies.Fallback(func(context.Context) (string, error) { return "", errBoom },
		func(ctx context.Context, _ error) (string, error) { return keyIn(ctx), nil })
	wrapped := map[string]func(context.Context) (string, error){
		"hedge":    hedge,
		"fallback": fallback,
		"detach":   policies.Detach(echo, nil),
		"coalesce": policies.Coalesce(keyIn, echo),
		"failover": policies.Failover(
			func(context.Context) (string, error) { return "", errBoom }, echo),
	}
	var all sync.WaitGroup
	for g := range 100 {
		all.Go(func() {
			ctx := context.WithValue(t.Context(), keyOf{}, fmt.Sprint(g))
			for name, call := range wrapped {
				if v, err := call(ctx); v != fmt.Sprint(g) || err != nil {
					t.Errorf("%s: %q, %v in goroutine %d", name, v, err, g)
				}
			}
		})
	}
	all.Wait()
}

// Whatever a policy has taken is given back when the call, or a listener between the attempts,
// panics or exits.
func TestEveryPolicySettlesItsBooks(t *testing.T) {
	type policy interface {
		retry.Policy
		retry.Idler // its books are settled
	}
	loop := func(b *policies.Budget) func(func()) policy {
		return func(listener func()) policy {
			heard := policies.OnRetry(func(context.Context, int, time.Duration, error) {
				listener()
			})
			return policies.Constant(0, policies.Unlimited(), policies.WithBudget(b),
				heard).(policy)
		}
	}
	keyed := func(k string, p func() retry.Policy) func(func()) policy {
		return func(func()) policy {
			return policies.Keyed(keyIn, func(string) retry.Policy { return p() })
		}
	}
	for name, c := range map[string]struct {
		fresh    func(listener func()) policy
		listener bool // the end may also come between two attempts, where it holds a token
	}{
		"bulkhead": {func(func()) policy { return policies.NewBulkhead(1, 0) }, false},
		"keyed":    {keyed("a", func() retry.Policy { return &plain{idle: true} }), false},
		"keyed bulkhead": {
			keyed("a", func() retry.Policy { return policies.NewBulkhead(1, 0) }), false},
		"bulkheads": {func(func()) policy {
			return retry.Chain(policies.NewBulkhead(1, 0), policies.NewBulkhead(1, 0)).(policy)
		}, false},
		"token budget": {loop(policies.NewTokenBudget(10, 0.1)), false},
		"cost budget":  {loop(policies.NewCostBudget(5, 5, 1)), true},
		"ratio budget": {loop(policies.NewRatioBudget(0, 0.1)), true},
		"budget in a chain": {func(f func()) policy {
			return retry.Chain(policies.NewBulkhead(1, 0),
				loop(policies.NewCostBudget(5, 5, 1))(f)).(policy)
		}, true},
	} {
		for how, end := range map[string]func(){
			"panic":  func() { panic(errBoom) },
			"Goexit": runtime.Goexit,
		} {
			p := c.fresh(end)
			settled := func(where string, call func(context.Context) error) {
				busy := false
				v, returned := abruptly(func() {
					_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
						busy = true
						return call(ctx)
					})
				})
				if returned || how == "panic" && v != errBoom || !busy {
					t.Errorf("%s, %s in the %s: returned %v, recovered %v", name, how, where,
						returned, v)
				}
				if !p.Idle() {
					t.Errorf("%s, %s in the %s: something is still taken", name, how, where)
				}
			}
			settled("call", func(context.Context) error { end(); return nil })
			if c.listener {
				settled("listener", fail)
			}
			if err := retry.Run(t.Context(), p, succeed); err != nil {
				t.Errorf("%s: %v after a %s", name, err, how)
			}
		}
	}
}

// abruptly runs f in a goroutine of its own and reports what it panicked with and whether it
// returned.
func abruptly(f func()) (recovered any, returned bool) {
	var all sync.WaitGroup
	all.Go(func() {
		defer func() { recovered = recover() }()
		f()
		returned = true
	})
	all.Wait()
	return recovered, returned
}

// A key is in use for as long as its call runs, however that ends: not before is it dropped for
// another.
func TestKeyIsFreeAfterAnAbruptEnd(t *testing.T) {
	for how, end := range map[string]func(){
		"panic":  func() { panic(1) },
		"Goexit": runtime.Goexit,
	} {
		keys := policies.Keyed(keyIn, func(string) retry.Policy { return &plain{idle: true} },
			policies.MaxKeys(1))
		_, _ = abruptly(func() {
			_ = retry.Run(t.Context(), keys.For("a"), func(context.Context) error {
				err := retry.Run(t.Context(), keys.For("b"), succeed)
				if !errors.Is(err, policies.ErrKeys) {
					t.Errorf("%s: %v while a was in use", how, err)
				}
				end()
				return nil
			})
		})
		if err := retry.Run(t.Context(), keys.For("b"), succeed); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
}
