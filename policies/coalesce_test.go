package policies_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
)

// source is a callee that counts.
type source struct {
	calls atomic.Int32
	ended atomic.Int32 // by the end of their context
	takes time.Duration
}

func (s *source) ask(ctx context.Context) (int, error) {
	n := int(s.calls.Add(1))
	select {
	case <-time.After(s.takes):
		return n, nil
	case <-ctx.Done():
		s.ended.Add(1)
		return 0, context.Cause(ctx)
	}
}

func TestCoalesce(t *testing.T) {
	type callers struct {
		keys   []string
		within []time.Duration // 0: for ever
		delay  []time.Duration
	}
	for _, c := range []struct {
		name  string
		who   callers
		calls int32
		ended int32
		want  []int // values; -1: its own deadline
	}{
		{"one call for all who ask at once",
			callers{keys: []string{"a", "a", "a"}}, 1, 0, []int{1, 1, 1}},
		{"who comes while it runs",
			callers{keys: []string{"a", "a"}, delay: []time.Duration{0, 999 * ms}}, 1, 0,
			[]int{1, 1}},
		{"who comes later asks anew",
			callers{keys: []string{"a", "a"}, delay: []time.Duration{0, 1001 * ms}}, 2, 0,
			[]int{1, 2}},
		{"no caller's deadline is the call's",
			callers{keys: []string{"a", "a"}, within: []time.Duration{100 * ms, 0}}, 1, 0,
			[]int{-1, 1}},
		{"each keeps its own", callers{keys: []string{"a", "a"},
			within: []time.Duration{0, 100 * ms}}, 1, 0, []int{1, -1}},
		{"the last to leave ends it",
			callers{keys: []string{"a", "a"}, within: []time.Duration{100 * ms, 200 * ms}}, 1, 1,
			[]int{-1, -1}},
		{"after that the next asks anew",
			callers{keys: []string{"a", "a"}, within: []time.Duration{100 * ms, 0},
				delay: []time.Duration{0, 200 * ms}}, 2, 1, []int{-1, 2}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			s := &source{takes: time.Second}
			asked := policies.Coalesce(keyIn, s.ask)
			var all sync.WaitGroup
			for i, key := range c.who.keys {
				all.Go(func() {
					if c.who.delay != nil {
						time.Sleep(c.who.delay[i])
					}
					ctx := context.WithValue(t.Context(), keyOf{}, key)
					if c.who.within != nil && c.who.within[i] > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, c.who.within[i])
						defer cancel()
					}
					v, err := asked(ctx)
					if c.want[i] == -1 {
						wantIs(t, err, context.DeadlineExceeded)
						return
					}
					if err != nil || v != c.want[i] {
						t.Errorf("caller %d got %d, %v", i, v, err)
					}
				})
				synctest.Wait()
			}
			all.Wait()
			synctest.Wait()
			if s.calls.Load() != c.calls || s.ended.Load() != c.ended {
				t.Errorf("%d calls, %d ended; want %d, %d", s.calls.Load(), s.ended.Load(), c.calls,
					c.ended)
			}
		})
	}
	bubble(t, "keys apart, and NaN alone", func(t *testing.T) {
		s := &source{takes: time.Second}
		keys := make(chan float64, 4)
		asked := policies.Coalesce(func(context.Context) float64 { return <-keys }, s.ask)
		var all sync.WaitGroup
		for _, k := range []float64{1, 2, math.NaN(), math.NaN()} {
			keys <- k
			all.Go(func() { _, _ = asked(t.Context()) })
		}
		all.Wait()
		if s.calls.Load() != 4 {
			t.Errorf("%d calls", s.calls.Load())
		}
	})
	bubble(t, "it has the values of the first", func(t *testing.T) {
		asked := policies.Coalesce(func(context.Context) int { return 0 },
			func(ctx context.Context) (string, error) {
				time.Sleep(ms)
				return keyIn(ctx), ctx.Err()
			})
		var all sync.WaitGroup
		for _, name := range []string{"first", "second"} {
			all.Go(func() {
				got, err := asked(context.WithValue(t.Context(), keyOf{}, name))
				if got != "first" || err != nil {
					t.Errorf("%s got %q, %v", name, got, err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
	})
	for name, end := range map[string]func(){
		"a panic reaches all": func() { panic("bang") },
		"Goexit reaches all":  runtime.Goexit,
	} {
		bubble(t, name, func(t *testing.T) {
			asked := policies.Coalesce(keyIn, func(context.Context) (int, error) {
				time.Sleep(ms)
				end()
				return 0, nil
			})
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					v, returned := abruptly(func() { _, _ = asked(t.Context()) })
					if returned || (v == "bang") != (name == "a panic reaches all") {
						t.Errorf("recovered %v, returned %v", v, returned)
					}
				})
			}
			all.Wait()
		})
	}
}

func TestCoalesceInsideItselfDoesNotWait(t *testing.T) {
	bubble(t, "the same key, and another between", func(t *testing.T) {
		calls := 0
		var asked func(context.Context) (int, error)
		type keyOf struct{}
		key := func(ctx context.Context) string { s, _ := ctx.Value(keyOf{}).(string); return s }
		asked = policies.Coalesce(key, func(ctx context.Context) (int, error) {
			calls++
			if calls == 4 {
				return 4, nil
			}
			if calls%2 == 1 {
				ctx = context.WithValue(ctx, keyOf{}, "b")
			} else {
				ctx = context.WithValue(ctx, keyOf{}, "")
			}
			return asked(ctx)
		})
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		if v, err := asked(ctx); v != 4 || err != nil || calls != 4 {
			t.Error(v, err, calls)
		}
	})
	bubble(t, "a context that was kept asks as any", func(t *testing.T) {
		var kept context.Context
		s := &source{takes: time.Second}
		asked := policies.Coalesce(keyIn, func(ctx context.Context) (int, error) {
			if kept == nil {
				kept = context.WithoutCancel(ctx)
			}
			return s.ask(ctx)
		})
		if _, err := asked(context.Background()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _, _ = asked(kept) })
		}
		all.Wait()
		if n := s.calls.Load(); n != 2 {
			t.Error(n, "calls")
		}
	})
}

// Flights of one Coalesce, or of several, that ask for each other in a ring: one of them makes the
// call itself, and nobody waits for ever.
func TestCoalescesThatAskEachOtherDoNotWait(t *testing.T) {
	for _, c := range []struct {
		name     string
		coalesce int // how many there are
		ring     int // calls that each ask for the next one's key
	}{
		{"two keys crosswise", 1, 2}, {"two Coalesces crosswise", 2, 2}, {"a ring of three", 3, 3},
		{"a ring of nine keys", 1, 9},
	} {
		bubble(t, c.name, func(t *testing.T) {
			type key struct{}
			at := func(ctx context.Context, i int) context.Context {
				return context.WithValue(ctx, key{}, i)
			}
			of := func(ctx context.Context) int { return ctx.Value(key{}).(int) }
			asks := make([]func(context.Context) (int, error), c.coalesce)
			var made atomic.Int32
			for i := range asks {
				asks[i] = policies.Coalesce(of, func(ctx context.Context) (int, error) {
					time.Sleep(time.Second) // so that all are under way
					if made.Add(1) > int32(c.ring) {
						return 7, nil
					}
					next := (of(ctx) + 1) % c.ring
					return asks[next%c.coalesce](at(ctx, next))
				})
			}
			var wg sync.WaitGroup
			ended, stop := context.WithTimeout(t.Context(), time.Hour)
			defer stop()
			for i := range c.ring {
				wg.Go(func() {
					if v, err := asks[i%c.coalesce](at(ended, i)); v != 7 || err != nil {
						t.Errorf("%d: got %v, %v", i, v, err)
					}
				})
			}
			wg.Wait()
			if n := int(made.Load()); n != c.ring+1 {
				t.Errorf("%d calls were made, want one of each and one that is shared with nobody",
					n)
			}
		})
	}
}
