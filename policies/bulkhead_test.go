package policies_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestBulkhead(t *testing.T) {
	bubble(t, "is first in, first out, and bounded", func(t *testing.T) {
		b := policies.NewBulkhead(1, 3)
		var order []int
		var all sync.WaitGroup
		for i := range 4 {
			ctx := t.Context()
			if i == 2 {
				ctx = within(t, 5*ms) // leaves its place
			}
			all.Go(func() {
				err := retry.Run(ctx, b, func(context.Context) error {
					time.Sleep(10 * ms)
					order = append(order, i)
					return nil
				})
				if (err != nil) != (i == 2) {
					t.Errorf("call %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		err := retry.Run(t.Context(), b, succeed)
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 3}) || !b.Idle() {
			t.Errorf("order %v, idle %v", order, b.Idle())
		}
	})
	bubble(t, "a free slot admits whatever the deadline", func(t *testing.T) {
		if err := retry.Run(within(t, 1), policies.NewBulkhead(1, 0), succeed); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "gives the slot back after a panic", func(t *testing.T) {
		b := policies.NewBulkhead(1, 0)
		func() {
			defer func() { _ = recover() }()
			_ = retry.Run(t.Context(), b, func(context.Context) error { panic(1) })
		}()
		if !b.Idle() {
			t.Error("slot lost")
		}
	})
	bubble(t, "cancelling and handing over at once loses no slot", func(t *testing.T) {
		b := policies.NewBulkhead(2, 100)
		var all sync.WaitGroup
		for i := range 100 {
			ctx := within(t, time.Duration(i%7+1)*ms) // just when slots are handed over
			all.Go(func() {
				_ = retry.Run(ctx, b, func(context.Context) error { time.Sleep(ms); return nil })
			})
		}
		all.Wait()
		if running, waiting := b.Running(), b.Waiting(); running+waiting != 0 {
			t.Errorf("%d running, %d waiting", running, waiting)
		}
	})
}

// enterings runs calls through b that hold their slot until they are told, and notes the order in
// which they began.
type enterings struct {
	t     *testing.T
	mu    sync.Mutex
	order []string
	all   sync.WaitGroup
}

func (e *enterings) call(ctx context.Context, name string, p retry.Policy, hold time.Duration) {
	e.all.Go(func() {
		err := retry.Run(ctx, p, func(context.Context) error {
			e.mu.Lock()
			e.order = append(e.order, name)
			e.mu.Unlock()
			time.Sleep(hold)
			return nil
		})
		if err != nil {
			e.mu.Lock()
			e.order = append(e.order, name+" refused")
			e.mu.Unlock()
			wantIs(e.t, err, retry.ErrRejected, policies.ErrFull)
		}
	})
	synctest.Wait()
}

func (e *enterings) want(order ...string) {
	e.t.Helper()
	e.all.Wait()
	if !slices.Equal(e.order, order) {
		e.t.Errorf("order %q, want %q", e.order, order)
	}
}

func TestBulkheadQueue(t *testing.T) {
	low := func(t *testing.T) context.Context {
		return retry.WithPriority(t.Context(), retry.Sheddable)
	}
	normal := func(t *testing.T) context.Context { return t.Context() }
	high := func(t *testing.T) context.Context {
		return retry.WithPriority(t.Context(), retry.Critical)
	}
	bubble(t, "higher priorities first, in order within one", func(t *testing.T) {
		b, e := policies.NewBulkhead(1, 9), enterings{t: t}
		for _, c := range []struct {
			ctx  func(*testing.T) context.Context
			name string
		}{{normal, "first"}, {low, "l1"}, {normal, "n1"}, {high, "h1"}, {low, "l2"}, {high,
			"h2"}, {normal, "n2"}} {
			e.call(c.ctx(t), c.name, b, ms)
		}
		e.want("first", "h1", "h2", "n1", "n2", "l1", "l2")
	})
	bubble(t, "in a full queue the higher replaces the lowest that came last", func(t *testing.T) {
		b := policies.NewBulkhead(1, 4)
		h := newHold(b)
		for i, p := range []retry.Priority{0, retry.Sheddable, 50, retry.Sheddable, 0} {
			h.start(t.Context(), i, p)
		}
		h.start(t.Context(), 5, retry.Sheddable)
		wantIs(t, h.errs[5], policies.ErrFull)
		h.start(t.Context(), 6, retry.Critical)
		wantIs(t, h.errs[3], policies.ErrFull, retry.ErrRejected)
		if err := h.errs[3]; err == nil ||
			!strings.Contains(err.Error(), "a call of higher priority took its place") {
			t.Error(err)
		}
		if b.Waiting() != 4 {
			t.Errorf("%d wait", b.Waiting())
		}
		h.end()
		if want := []int{0, 6, 2, 4, 1}; !slices.Equal(h.ran, want) ||
			b.Running()+b.Waiting() != 0 {
			t.Errorf("ran %v, want %v; then %v", h.ran, want, b)
		}
	})
	bubble(t, "MaxWait bounds the wait alone", func(t *testing.T) {
		b := policies.NewBulkhead(1, 9, policies.MaxWait(50*ms), policies.Named("catalog"))
		start := time.Now()
		var all sync.WaitGroup
		for i, want := range []time.Duration{5 * time.Second, 50 * ms} {
			all.Go(func() {
				err := retry.Run(t.Context(), b, func(context.Context) error {
					time.Sleep(5 * time.Second)
					return nil
				})
				if (err != nil) != (i == 1) || time.Since(start) != want {
					t.Errorf("call %d: %v after %v", i, err, time.Since(start))
				}
				if r, ok := retry.Rejected(err); ok &&
					(r.Policy != "bulkhead catalog" || !errors.Is(err, policies.ErrFull)) {
					t.Errorf("%v", err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
	})
	bubble(t, "MaxWait(0) waits for none", func(t *testing.T) {
		b, e := policies.NewBulkhead(1, 9, policies.MaxWait(0)), enterings{t: t}
		e.call(normal(t), "a", b, ms)
		e.call(normal(t), "b", b, ms)
		e.want("a", "b refused")
	})
	bubble(t, "a heavy call is not overtaken by light ones of its priority", func(t *testing.T) {
		b, e := policies.NewBulkhead(3, 9), enterings{t: t}
		e.call(normal(t), "a", b, 10*ms)
		e.call(normal(t), "heavy", b.N(3), 10*ms)
		e.call(normal(t), "b", b, ms)
		e.call(high(t), "urgent", b.N(2), ms)
		e.want("a", "urgent", "heavy", "b")
	})
	bubble(t, "more than there are", func(t *testing.T) {
		b := policies.NewBulkhead(3, 9)
		err := retry.Run(t.Context(), b.N(4), succeed)
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		if want := "bulkhead: full: 4 slots asked for, there are 3"; err.Error() != want ||
			!retry.IsPermanent(err) {
			t.Errorf("got %v, want %s, permanent %v", err, want, retry.IsPermanent(err))
		}
		wantIs(t, retry.Validate(b.N(0)), retry.ErrConfig)
	})
}

func TestBulkheadSetSlots(t *testing.T) {
	bubble(t, "more slots admit waiting calls", func(t *testing.T) {
		b, e := policies.NewBulkhead(1, 9), enterings{t: t}
		for _, name := range []string{"a", "b", "c", "d"} {
			e.call(t.Context(), name, b, time.Second)
		}
		if err := b.SetSlots(3); err != nil || b.Running() != 3 || b.Waiting() != 1 {
			t.Errorf("%v: %v", err, b)
		}
		e.all.Wait()
		slices.Sort(e.order) // those let in together begin in any order
		e.want("a", "b", "c", "d")
	})
	bubble(t, "fewer let running calls be", func(t *testing.T) {
		b, e := policies.NewBulkhead(3, 9), enterings{t: t}
		for _, name := range []string{"a", "b", "c", "d"} {
			e.call(t.Context(), name, b, time.Second)
		}
		_ = b.SetSlots(1)
		if got, want := b.String(), "bulkhead(3 of 1 running, 1 of 9 waiting)"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		e.all.Wait()
		if b.Running() != 0 {
			t.Error(b)
		}
	})
	bubble(t, "fewer slots reject calls that need more", func(t *testing.T) {
		b, e := policies.NewBulkhead(3, 9), enterings{t: t}
		e.call(t.Context(), "a", b, time.Second)
		e.call(t.Context(), "heavy", b.N(3), time.Second)
		e.call(t.Context(), "b", b, time.Second)
		_ = b.SetSlots(2)
		synctest.Wait()
		slices.Sort(e.order)
		e.want("a", "b", "heavy refused")
	})
	b := policies.NewBulkhead(2, 0)
	for _, n := range []int{0, -1} {
		wantIs(t, b.SetSlots(n), retry.ErrConfig)
	}
	if got, want := b.String(), "bulkhead(0 of 2 running, 0 of 0 waiting)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A call from inside a call through the same bulkhead never waits for its own place.
func TestBulkheadNesting(t *testing.T) {
	bubble(t, "as deep as you like", func(t *testing.T) {
		b := policies.NewBulkhead(2, 9)
		var in func(ctx context.Context, deep int) error
		in = func(ctx context.Context, deep int) error {
			return retry.Run(ctx, b, func(ctx context.Context) error {
				if b.Running() > 2 {
					t.Errorf("%v", b)
				}
				if deep == 0 {
					time.Sleep(ms)
					return nil
				}
				return in(ctx, deep-1)
			})
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if err := in(t.Context(), 5); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if !b.Idle() || b.Waiting() != 0 {
			t.Error(b)
		}
	})
	bubble(t, "several at once: one shares, others need their own", func(t *testing.T) {
		b := policies.NewBulkhead(2, 9)
		var fine, refused atomic.Int32
		_ = retry.Run(t.Context(), b, func(ctx context.Context) error {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					start := time.Now()
					err := retry.Run(ctx, b, func(context.Context) error {
						time.Sleep(ms)
						return nil
					})
					switch {
					case err == nil:
						fine.Add(1)
					case time.Since(start) == 0 && errors.Is(err, policies.ErrFull):
						refused.Add(1)
					default:
						t.Errorf("%v after %v", err, time.Since(start))
					}
				})
			}
			all.Wait()
			return nil
		})
		if fine.Load() != 2 || refused.Load() != 2 || !b.Idle() {
			t.Errorf("%d fine, %d refused, %v", fine.Load(), refused.Load(), b)
		}
	})
	bubble(t, "a heavy one takes what it needs beyond", func(t *testing.T) {
		b := policies.NewBulkhead(3, 9)
		_ = retry.Run(t.Context(), b, func(ctx context.Context) error {
			for n, want := range []int{0, 1, 2, 3} {
				if n == 0 {
					continue
				}
				if err := retry.Run(ctx, b.N(n), func(context.Context) error {
					if b.Running() != want {
						t.Errorf("N(%d): %v", n, b)
					}
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
			wantIs(t, retry.Run(ctx, b.N(4), succeed), policies.ErrFull)
			if b.Running() != 1 {
				t.Error(b)
			}
			return nil
		})
		if !b.Idle() {
			t.Error(b)
		}
	})
	bubble(t, "one that outlives the call around it keeps the slot", func(t *testing.T) {
		b := policies.NewBulkhead(1, 0)
		var left context.Context
		go func() {
			_ = retry.Run(t.Context(), b, func(ctx context.Context) error {
				left = ctx
				go func() {
					_ = retry.Run(ctx, b, func(context.Context) error {
						time.Sleep(10 * ms)
						return nil
					})
				}()
				time.Sleep(ms)
				return nil
			})
		}()
		time.Sleep(5 * ms)
		wantIs(t, retry.Run(t.Context(), b, succeed), policies.ErrFull)
		time.Sleep(6 * ms)
		// a context of a call that is over is like any other
		if err := retry.Run(left, b, succeed); err != nil || !b.Idle() {
			t.Errorf("%v, %v", err, b)
		}
	})
	bubble(t, "the context of a finished call shares no slot of later calls", func(t *testing.T) {
		b := policies.NewBulkhead(1, 0)
		var left context.Context
		keep := func(ctx context.Context) error { left = ctx; return nil }
		if err := retry.Run(t.Context(), b, keep); err != nil {
			t.Error(err)
		}
		_ = retry.Run(t.Context(), b, func(context.Context) error {
			wantIs(t, retry.Run(left, b, succeed), policies.ErrFull)
			return nil
		})
	})
	bubble(t, "the one around ends while a nested call asks for its slot", func(t *testing.T) {
		b := policies.NewBulkhead(1, 0)
		var all sync.WaitGroup
		for range 50 {
			_ = retry.Run(t.Context(), b, func(ctx context.Context) error {
				for range 4 {
					all.Go(func() { _ = retry.Run(ctx, b, succeed) })
				}
				return nil
			})
			all.Wait()
			if b.Running() != 0 {
				t.Fatal(b)
			}
		}
	})
	bubble(t, "under a queue of others", func(t *testing.T) {
		b := policies.NewBulkhead(1, 9)
		var order []string
		var all sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			all.Go(func() {
				_ = retry.Run(t.Context(), b, func(ctx context.Context) error {
					time.Sleep(ms)
					return retry.Run(ctx, b, func(context.Context) error {
						order = append(order, name)
						return nil
					})
				})
			})
			synctest.Wait()
		}
		all.Wait()
		if !slices.Equal(order, []string{"a", "b"}) {
			t.Errorf("%q", order)
		}
	})
}

// badContext panics where it is asked for its deadline, its end or its values.
type badContext struct {
	context.Context
	bad string
}

func (b badContext) Deadline() (time.Time, bool) { b.at("deadline"); return b.Context.Deadline() }
func (b badContext) Done() <-chan struct{}       { b.at("done"); return b.Context.Done() }
func (b badContext) Value(key any) any           { b.at("value"); return b.Context.Value(key) }

func (b badContext) at(what string) {
	if b.bad == what {
		panic(what)
	}
}

// hookedContext runs hook when it is asked for a value for the n-th time.
type hookedContext struct {
	context.Context
	n    *int
	hook func()
}

func (c hookedContext) Value(key any) any {
	if *c.n--; *c.n == 0 {
		c.hook()
	}
	return c.Context.Value(key)
}

// A call that is over when the one inside it looks for a slot has none to share, whenever it ends.
func TestBulkheadNestedCallOutlivesTheOneAround(t *testing.T) {
	for n := 1; n < 9; n++ {
		synctest.Test(t, func(t *testing.T) {
			b := policies.NewBulkhead(1, 9)
			end, inner := make(chan bool), make(chan context.Context, 1)
			go func() {
				_ = retry.Run(t.Context(), b, func(ctx context.Context) error {
					inner <- ctx
					<-end
					return nil
				})
			}()
			left := n
			ctx := hookedContext{<-inner, &left, func() { close(end); synctest.Wait() }}
			err := retry.Run(ctx, b, func(context.Context) error {
				if left > 0 {
					close(end)
				}
				synctest.Wait()
				if b.Running() != 1 {
					t.Errorf("value %d: %v", n, b)
				}
				return nil
			})
			if err != nil || b.Running() != 0 {
				t.Errorf("value %d: %v, %v", n, b, err)
			}
		})
	}
}

// A panic of foreign code costs nobody a slot, a place in line, or the lock.
func TestBulkheadSurvivesForeignPanics(t *testing.T) {
	observed := func(kind retry.Kind) retry.Policy {
		return retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == kind {
				panic("observer")
			}
		})
	}
	for name, c := range map[string]struct {
		bad    string
		around retry.Policy
		queue  int
	}{
		"an observer of a wait":         {"", observed(retry.KindWait), 1},
		"an observer of a rejection":    {"", observed(retry.KindReject), 0},
		"an observer of the call":       {"", observed(retry.KindCall), 1},
		"a context asked for its end":   {"done", nil, 1},
		"a context asked for its value": {"value", nil, 1},
		"a context asked for its time":  {"deadline", nil, 1},
	} {
		bubble(t, name, func(t *testing.T) {
			b := policies.NewBulkhead(1, c.queue)
			go func() {
				_ = retry.Run(t.Context(), b, func(context.Context) error {
					time.Sleep(ms)
					return nil
				})
			}()
			synctest.Wait()
			func() {
				defer func() { _ = recover() }()
				_ = retry.Chain(c.around, b).Do(badContext{t.Context(), c.bad}, retry.Next{})
				_ = retry.Run(badContext{t.Context(), c.bad}, retry.Chain(c.around, b), succeed)
			}()
			time.Sleep(2 * ms)
			if b.Running() != 0 || b.Waiting() != 0 {
				t.Fatalf("%v", b)
			}
			if err := retry.Run(t.Context(), b, succeed); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whatever calls come, with whatever weights, priorities and ends: never more slots than there are,
// and none is lost.
func TestBulkheadBooksBalance(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(round), 1))
			slots := 1 + rng.IntN(4)
			b := policies.NewBulkhead(slots, rng.IntN(6),
				policies.MaxWait(time.Duration(rng.IntN(8))*ms))
			var used, most atomic.Int32
			var one func(ctx context.Context, rng *rand.Rand, deep int)
			one = func(ctx context.Context, rng *rand.Rand, deep int) {
				n := 1 + rng.IntN(slots)
				if rng.IntN(3) == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(10))*ms)
					defer cancel()
				}
				ctx = retry.WithPriority(ctx, retry.Priority(rng.IntN(3)))
				end, hold, nested := rng.IntN(4), time.Duration(rng.IntN(5))*ms, rng.IntN(3)
				defer func() { _ = recover() }()
				_ = retry.Run(ctx, b.N(n), func(ctx context.Context) error {
					if deep == 0 {
						most.Store(max(most.Load(), used.Add(int32(n))))
						defer used.Add(int32(-n))
					}
					time.Sleep(hold)
					var all sync.WaitGroup
					for range nested * (2 - deep) / 2 {
						in := rand.New(rand.NewPCG(rng.Uint64(), 2))
						all.Go(func() { one(ctx, in, deep+1) })
					}
					all.Wait()
					switch end {
					case 0:
						panic("end")
					case 1:
						return errBoom
					}
					return nil
				})
			}
			var all sync.WaitGroup
			for range 20 {
				in := rand.New(rand.NewPCG(rng.Uint64(), 3))
				all.Go(func() {
					time.Sleep(time.Duration(in.IntN(20)) * ms)
					one(t.Context(), in, 0)
				})
			}
			all.Wait()
			if int(most.Load()) > slots || b.Running() != 0 || b.Waiting() != 0 {
				t.Fatalf("round %d: %d slots used at once of %d; %v", round, most.Load(), slots, b)
			}
		})
	}
}

func TestZeroBulkheadAnswers(t *testing.T) {
	for _, b := range []*policies.Bulkhead{nil, {}} {
		if b.Running()+b.Waiting() != 0 || b.Name() != "" ||
			b.String() != "bulkhead(misconfigured)" || b.SetSlots(1) == nil || !b.Idle() ||
			len(b.Stats()) == 0 {
			t.Errorf("%v", b)
		}
		wantIs(t, retry.Run(t.Context(), b, succeed), retry.ErrConfig)
		wantIs(t, retry.Run(t.Context(), b.N(1), succeed), retry.ErrConfig)
		if got := retry.Describe(b.N(1)); got != "bulkhead(misconfigured)" {
			t.Error(got)
		}
	}
}
