package policies_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
				err := retry.Run(context.WithValue(t.Context(), keyOf{}, k), keys, succeed)
				if err != nil {
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
		wantIs(t, retry.Run(t.Context(), keys.For("c"), succeed), policies.ErrKeys,
			retry.ErrRejected)
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
			return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				return next.Do(ctx)
			})
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
	enter func(p retry.Policy, by int) // if not nil: when a call comes (1) and goes (-1)
}

func (a *asked) Do(ctx context.Context, next retry.Next) error {
	a.calls.Add(1)
	if a.enter != nil {
		a.enter(a, 1)
		defer a.enter(a, -1)
	}
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
			second := make(chan bool)
			var keys *policies.Keys[string]
			call := func() {
				if err := retry.Run(t.Context(), keys.For("a"), succeed); err != nil {
					t.Error(err)
				}
			}
			keys = policies.Keyed(keyIn, func(string) retry.Policy {
				if made++; made == 2 {
					close(second)
				}
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
					// it does not find the key, and waits for the sweep with a new policy
					all.Go(call)
					<-second
				}
				return questions < 2
			}
			policies.Sweep(keys) // used since
			policies.Sweep(keys)
			all.Wait()
			call()
			// a call that waits for the sweep has made a policy in vain
			if keys.Len() != 1 || first.calls.Load() != 3 || made != from {
				t.Errorf("%d keys, %d calls under the first policy, %d policies", keys.Len(),
					first.calls.Load(), made)
			}
		})
	}
}

// A user's Idle may panic, in a sweep or in a call that needs room. That call fails; no key and no
// lock is lost with it.
func TestKeyedIdleMayPanic(t *testing.T) {
	recovered := func(f func()) (v any) {
		defer func() { v = recover() }()
		f()
		return nil
	}
	for name, at := range map[string]int{"when first asked": 1, "when asked again": 2} {
		t.Run(name, func(t *testing.T) {
			questions, panics := 0, true
			made := 0
			keys := policies.Keyed(keyIn, func(k string) retry.Policy {
				made++
				return &asked{idle: func() bool {
					if k == "bug" && panics {
						if questions++; questions%2 == at%2 {
							panic("bug")
						}
					}
					return true
				}}
			}, policies.MaxKeys(1000))
			use := func(k string) error { return retry.Run(t.Context(), keys.For(k), succeed) }
			_ = use("bug")
			for i := range 999 {
				_ = use(strconv.Itoa(i))
			}
			if v := recovered(func() { _ = use("one too many") }); v != "bug" {
				t.Fatalf("recovered %v", v)
			}
			if v := recovered(func() { policies.Sweep(keys); policies.Sweep(keys) }); v != "bug" {
				t.Fatalf("recovered %v", v)
			}
			panics, made = false, 0
			known := keys.Len()
			for i := range 999 { // every shard can be used, and what was forgotten is made anew
				if err := use(strconv.Itoa(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := use("bug"); err != nil || made != 1000-known || keys.Len() != 1000 ||
				!keys.Idle() {
				t.Errorf("%v; %d made, %d keys were known, %d are, idle %v", err, made, known,
					keys.Len(), keys.Idle())
			}
			policies.Sweep(keys)
			policies.Sweep(keys)
			if keys.Len() != 0 {
				t.Errorf("%d keys after a sweep", keys.Len())
			}
		})
	}
}

// Keys are moved to larger and smaller tables while calls run under them. The calls are counted
// where the key is then.
func TestKeyedMovesKeysInUse(t *testing.T) {
	made := 0
	keys := policies.Keyed(func(context.Context) int { return 0 },
		func(int) retry.Policy { made++; return &plain{idle: true} })
	var in func(int) error
	in = func(key int) error {
		return retry.Run(t.Context(), keys.For(key), func(context.Context) error {
			if key == 300 {
				for i := 1000; i < 20_000; i++ {
					_ = retry.Run(t.Context(), keys.For(i), succeed)
				}
				policies.Sweep(keys)
				policies.Sweep(keys)
				if keys.Len() != 300 || keys.Idle() {
					t.Errorf("%d keys while 300 are in use, idle %v", keys.Len(), keys.Idle())
				}
				return nil
			}
			return in(key + 1)
		})
	}
	if err := in(1); err != nil {
		t.Error(err)
	}
	if keys.Len() != 300 || !keys.Idle() {
		t.Errorf("%d keys, idle %v", keys.Len(), keys.Idle())
	}
	policies.Sweep(keys)
	policies.Sweep(keys)
	if keys.Len() != 0 {
		t.Errorf("%d keys after all calls", keys.Len())
	}
}

// However calls, sweeps and new keys meet, no two policies of one key have calls at the same time.
func TestKeyedNeverHasTwoPoliciesOfAKey(t *testing.T) {
	const names = 300
	type running struct {
		sync.Mutex
		under retry.Policy
		calls int
	}
	var now [names]running
	keys := policies.Keyed(func(context.Context) int { return 0 }, func(k int) retry.Policy {
		return &asked{idle: func() bool { return true }, enter: func(p retry.Policy, by int) {
			r := &now[k]
			r.Lock()
			defer r.Unlock()
			if r.calls > 0 && r.under != p {
				t.Errorf("two policies of %d at once", k)
			}
			r.under = p
			r.calls += by
		}}
	}, policies.MaxKeys(names/2))
	var all, sweeper sync.WaitGroup
	done := make(chan bool)
	sweeper.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				policies.Sweep(keys)
			}
		}
	})
	for g := range 100 {
		all.Go(func() {
			for i := range 100 {
				_ = retry.Run(t.Context(), keys.For((g*31+i*i)%names), func(context.Context) error {
					runtime.Gosched()
					return nil
				})
			}
		})
	}
	all.Wait()
	close(done)
	sweeper.Wait()
	policies.Sweep(keys)
	policies.Sweep(keys)
	if keys.Len() != 0 {
		t.Errorf("%d keys", keys.Len())
	}
}

func TestKeyedYieldsAllKeys(t *testing.T) {
	made := map[string]retry.Policy{}
	keys := policies.Keyed(nil, func(k string) retry.Policy {
		made[k] = &plain{idle: true}
		return made[k]
	})
	want := []string{"", "a", strings.Repeat("long", 20)}
	for i := range 1000 {
		want = append(want, "k"+strconv.Itoa(i))
	}
	for _, k := range want {
		_ = retry.Run(t.Context(), keys.For(k), succeed)
	}
	seen := map[string]retry.Policy{}
	for k, p := range keys.All() {
		if seen[k] != nil {
			t.Errorf("%q came twice", k)
		}
		seen[k] = p
		_ = retry.Run(t.Context(), keys.For(k+"new"), succeed) // would hang if the lock were held
		delete(made, k+"new")
	}
	for _, k := range want {
		if seen[k] == nil || seen[k] != made[k] {
			t.Errorf("%q: %v, want %v", k, seen[k], made[k])
		}
	}
	n := 0
	for range keys.All() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d keys before the break", n)
	}
	policies.Sweep(keys) // all were used
	for range keys.All() {
		n++
	}
	policies.Sweep(keys)
	for k := range keys.All() {
		t.Errorf("%q was used by being yielded", k)
	}
	type pair struct{ a, b int }
	pairs := policies.Keyed(nil, func(pair) retry.Policy { return &plain{} })
	_ = retry.Run(t.Context(), pairs.For(pair{1, 2}), succeed)
	for k := range pairs.All() {
		if k != (pair{1, 2}) {
			t.Errorf("got %v", k)
		}
	}
}

func TestKeyedYieldsBesideCalls(t *testing.T) {
	keys := policies.Keyed(nil, func(int) retry.Policy { return &plain{idle: true} },
		policies.MaxKeys(100))
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2000 {
				_ = retry.Run(t.Context(), keys.For(g*i%300), succeed)
			}
		})
		all.Go(func() {
			for range 20 {
				for k, p := range keys.All() {
					if k < 0 || k >= 300 || p == nil {
						t.Errorf("%d: %v", k, p)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestKeyedWithoutAKeyFunction(t *testing.T) {
	create := func(string) retry.Policy { return &plain{} }
	keys := policies.Keyed(nil, create)
	if err := retry.Run(t.Context(), keys.For("a"), succeed); err != nil ||
		retry.Validate(keys.For("a")) != nil {
		t.Errorf("For: %v", err)
	}
	for want, p := range map[string]retry.Policy{
		"policies.Keyed: nil key function: use For": keys,
		"policies.Keyed: nil create function":       policies.Keyed[string](keyIn, nil),
		"policies.Keyed: nil option":                policies.Keyed(keyIn, create, nil),
		"policies.Keys: made without Keyed":         &policies.Keys[string]{},
		"policies.Keys: made without Keyed ":        (*policies.Keys[string])(nil),
		"policies.Keys: made without Keyed  ":       new(policies.Keys[string]).For("a"),
		"policies.Keyed: MaxKeys(0): must be at least 1": policies.Keyed(keyIn, create,
			policies.MaxKeys(0)),
	} {
		err := retry.Run(t.Context(), retry.Chain(p, policies.Classify()), succeed)
		wantIs(t, err, retry.ErrConfig)
		wantIs(t, retry.Validate(p), retry.ErrConfig)
		if want = strings.TrimSpace(want); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for range new(policies.Keys[string]).All() {
		t.Error("the zero Keys has a key")
	}
}

func TestKeyedSearchesAgainWhenTheClockWentBack(t *testing.T) {
	idle := false
	keys := policies.Keyed(nil,
		func(k int) retry.Policy { return &asked{idle: func() bool { return idle && k == 0 }} },
		policies.MaxKeys(2000))
	for i := range 2001 { // the last one finds no room
		_ = retry.Run(t.Context(), keys.For(i), succeed)
	}
	idle = true // one that is found by a search only
	bubble(t, "in the year 2000", func(t *testing.T) {
		if err := retry.Run(t.Context(), keys.For(3000), succeed); err != nil {
			t.Error(err)
		}
	})
}

// A search in vain is not repeated for a while, but when many keys have become idle meanwhile there
// is room.
func TestKeyedFindsTheRoomThatManyIdleKeysMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second)
		idle := false
		keys := policies.Keyed(nil,
			func(int) retry.Policy { return &asked{idle: func() bool { return idle }} },
			policies.MaxKeys(2000))
		for i := range 2000 {
			_ = retry.Run(t.Context(), keys.For(i), succeed)
		}
		wantIs(t, retry.Run(t.Context(), keys.For(2000), succeed), policies.ErrKeys)
		idle = true
		var err error
		for i := range 10 { // the part of the keys that is looked at may have none
			if err = retry.Run(t.Context(), keys.For(3000+i), succeed); err == nil {
				break
			}
		}
		if err != nil || keys.Len() > 2000 {
			t.Errorf("%v, %d keys", err, keys.Len())
		}
	})
}

func TestKeyedTellsTextsApart(t *testing.T) {
	long := strings.Repeat("x", 22)
	texts := []string{"", "\x00", "a", "a\x00", long, long + "y", long + "\x00", long + "yy", long +
		"yz", long + long}
	keys := policies.Keyed(keyIn, func(string) retry.Policy { return &plain{} })
	for range 2 {
		for _, k := range texts {
			_ = retry.Run(t.Context(), keys.For(k), succeed)
		}
	}
	if keys.Len() != len(texts) {
		t.Errorf("%d keys of %d", keys.Len(), len(texts))
	}
}

func TestKeyedTellsFloatsApart(t *testing.T) {
	floats := policies.Keyed(func(context.Context) float64 { return 0 },
		func(float64) retry.Policy { return &plain{} })
	// a NaN is never found again
	for _, k := range []float64{0, math.Copysign(0, -1), math.NaN(), math.NaN()} {
		if err := retry.Run(t.Context(), floats.For(k), succeed); err != nil {
			t.Error(err)
		}
	}
	if floats.Len() != 1 {
		t.Errorf("%d keys", floats.Len())
	}
}

// At its cap, under a flood of new keys, a key in steady use gets every call through: if the new
// ones are idle, and also if they stay, as hosts that are down do.
func TestKeyedServesAKeyInUseUnderAFloodOfNewOnes(t *testing.T) {
	for _, c := range []struct {
		name         string
		idle         bool
		most, others int
	}{{"idle", true, 1000, 3000}, {"that stay", false, 100, 200}} {
		bubble(t, c.name, func(t *testing.T) {
			keys := policies.Keyed(nil, func(key int) retry.Policy {
				return &plain{idle: c.idle || key == 0}
			}, policies.MaxKeys(c.most))
			_ = retry.Run(t.Context(), keys.For(0), succeed)
			var flood sync.WaitGroup
			var refused atomic.Int32
			for g := range c.others {
				flood.Go(func() {
					for i := range 10 {
						time.Sleep(ms)
						if retry.Run(t.Context(), keys.For(1+g*10+i), succeed) != nil {
							refused.Add(1)
						}
					}
				})
			}
			for i := range 47 {
				if err := retry.Run(t.Context(), keys.For(0), succeed); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
				time.Sleep(ms / 4)
			}
			flood.Wait()
			if refused.Load() > 0 == c.idle || keys.Len() > c.most {
				t.Errorf("%d calls of new keys refused, %d keys", refused.Load(), keys.Len())
			}
		})
	}
}

// A call that waits until another one has made room heeds its context.
func TestKeyedWaitsForRoomNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, begun := make(chan bool), false
		keys := policies.Keyed(nil, func(int) retry.Policy {
			return &asked{idle: func() bool { begun = true; <-release; return true }}
		}, policies.MaxKeys(1))
		_ = retry.Run(t.Context(), keys.For(0), succeed)
		var all sync.WaitGroup
		// asks whether 0 is idle
		all.Go(func() { _ = retry.Run(t.Context(), keys.For(1), succeed) })
		synctest.Wait()
		if !begun {
			t.Fatal("nobody makes room")
		}
		start := time.Now()
		err := retry.Run(within(t, 50*ms), keys.For(2), succeed)
		wantIs(t, err, context.DeadlineExceeded, retry.ErrRejected, policies.ErrKeys)
		if d := time.Since(start); d > 52*ms {
			t.Errorf("returned after %v", d)
		}
		close(release)
		all.Wait()
	})
}

func TestKeyedShowsItsKeys(t *testing.T) {
	keys := policies.Keyed(keyIn, func(string) retry.Policy { return policies.NewBulkhead(1, 0) },
		policies.Named("hosts"))
	_ = retry.Run(t.Context(), keys.For("a"), succeed)
	p, ok := keys.Get("a")
	if b, is := p.(*policies.Bulkhead); !ok || !is || !b.Idle() {
		t.Errorf("got %v, %v", p, ok)
	}
	if p, ok := keys.Get("b"); ok || p != nil || keys.Len() != 1 {
		t.Errorf("got %v, %v: looking makes no key", p, ok)
	}
	var paths []string
	retry.Walk(retry.Chain(policies.Constant(0), keys), func(path string, _ retry.Policy) bool {
		paths = append(paths, path)
		return true
	})
	if want := []string{"constant", "keyed hosts", "keyed hosts/a"}; !slices.Equal(paths, want) {
		t.Errorf("walked %q, want %q", paths, want)
	}
	for p, want := range map[retry.Policy]string{keys: "keyed hosts(1 keys)",
		keys.For("a"): "keyed hosts(key a)", keys.For("b"): "keyed hosts(key b)"} {
		if got := retry.Describe(p); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for range 2 {
		policies.Sweep(keys)
		_, _ = keys.Get("a") // not a use
	}
	if keys.Len() != 0 {
		t.Errorf("%d keys", keys.Len())
	}
}

func TestZeroKeysAnswer(t *testing.T) {
	for _, k := range []*policies.Keys[string]{
		nil, {}, policies.Keyed[string](nil, nil),
		policies.Keyed(keyIn, func(string) retry.Policy { return nil }, policies.MaxKeys(0)),
	} {
		if _, ok := k.Get("a"); ok || k.Len() != 0 || k.Name() != "" || !k.Idle() ||
			k.String() != "keyed(misconfigured)" ||
			k.For("a").(fmt.Stringer).String() != "keyed(misconfigured)" {
			t.Errorf("%v", k)
		}
		for range k.All() {
			t.Error("a key")
		}
		for range k.Members {
			t.Error("a member")
		}
		wantIs(t, retry.Run(t.Context(), k, succeed), retry.ErrConfig)
		wantIs(t, retry.Run(t.Context(), k.For("a"), succeed), retry.ErrConfig)
		retry.Walk(k.For("a"), func(string, retry.Policy) bool { return true })
	}
}

// A limiter outside serves all keys: what one of their callees says of its limit is not for it.
func TestReportStaysWithItsKey(t *testing.T) {
	hears := func(heard *bool) retry.Policy {
		return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			began := time.Now()
			err := next.Do(ctx)
			_, *heard = retry.Reported(ctx, began)
			return err
		})
	}
	var outside, inside bool
	keys := policies.Keyed(func(context.Context) string { return "a" },
		func(string) retry.Policy { return hears(&inside) })
	for name, p := range map[string]retry.Policy{"by the context": keys, "by hand": keys.For("b")} {
		err := retry.Run(t.Context(), retry.Chain(hears(&outside), p),
			func(ctx context.Context) error {
				retry.Report(ctx, retry.Quota{Limit: 10, Reset: time.Minute})
				return nil
			})
		if err != nil || outside || !inside {
			t.Errorf("%s: outside %v, inside %v: %v", name, outside, inside, err)
		}
	}
}
