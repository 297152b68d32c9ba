package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// wire is the way from one member to the store. It can be slow, lose questions and answers, and
// hang.
type wire struct {
	breaker.Store
	mu     sync.Mutex
	delay  func() time.Duration // each way
	slow   time.Duration        // of answers
	cut    bool                 // questions are lost
	deaf   bool                 // answers are lost
	hangs  bool                 // whatever the context says
	asked  int
	change func([]breaker.Fleet)
}

var errCut = errors.New("connection refused")

func (w *wire) way(ctx context.Context, f func() error) error {
	w.mu.Lock()
	delay, slow, cut, deaf, hangs := w.delay, w.slow, w.cut, w.deaf, w.hangs
	w.asked++
	w.mu.Unlock()
	pause := func() {
		if delay != nil {
			time.Sleep(delay())
		}
	}
	if hangs {
		time.Sleep(20 * time.Second)
	}
	if pause(); cut || ctx.Err() != nil {
		return errCut
	}
	if err := f(); err != nil {
		return err
	}
	time.Sleep(slow)
	if pause(); deaf {
		return errCut
	}
	if slow > 0 {
		return nil // whatever the context says
	}
	return ctx.Err()
}

func (w *wire) count() int { w.mu.Lock(); defer w.mu.Unlock(); return w.asked }

func (w *wire) set(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }

func (w *wire) Exchange(ctx context.Context,
	mine []breaker.Report) (all []breaker.Fleet, err error) {
	err = w.way(ctx, func() (err error) { all, err = w.Store.Exchange(ctx, mine); return err })
	if err != nil {
		return nil, err
	}
	w.set(func() {
		if w.change != nil {
			w.change(all)
		}
	})
	return all, err
}

func (w *wire) Probe(ctx context.Context, name, member string, era uint64,
	d time.Duration) (ok bool, err error) {
	err = w.way(ctx, func() (err error) {
		ok, err = w.Store.Probe(ctx, name, member, era, d)
		return err
	})
	return ok, err
}

func (w *wire) Done(ctx context.Context, name, member string, era uint64, healthy bool) error {
	return w.way(ctx, func() error { return w.Store.Done(ctx, name, member, era, healthy) })
}

// fleet is a number of members around one callee, each with traffic.
type fleet struct {
	t       *testing.T
	members []*breaker.Breaker
	wires   []*wire
	cancel  []context.CancelFunc
	all     sync.WaitGroup

	mu    sync.Mutex
	down  bool         // the callee is
	bad   map[int]bool // members that do not reach it
	takes time.Duration
	calls []time.Time   // that reached it
	most  time.Duration // the longest that Do has taken beside the call
}

func newFleet(t *testing.T, n int, opts ...breaker.Option) *fleet {
	f := &fleet{t: t, bad: map[int]bool{}}
	store := breaker.NewStore()
	for range n {
		w := &wire{Store: store}
		f.wires = append(f.wires, w)
		b := breaker.New("catalog",
			append([]breaker.Option{breaker.OpenFor(5 * time.Second), breaker.Shared(w)},
				opts...)...)
		f.members = append(f.members, b)
	}
	return f
}

// run has member i make a call every 20 ms, each for itself.
func (f *fleet) run() {
	for i := range f.members {
		ctx, stop := context.WithCancel(context.Background())
		f.cancel = append(f.cancel, stop)
		f.all.Go(func() {
			for ctx.Err() == nil {
				f.all.Go(func() { f.call(i) })
				time.Sleep(20*time.Millisecond + time.Duration(i)*time.Microsecond)
			}
		})
	}
}

func (f *fleet) stop() {
	for _, stop := range f.cancel {
		stop()
	}
	f.all.Wait()
}

func (f *fleet) call(i int) {
	began, inside := time.Now(), time.Duration(0)
	_ = run(f.members[i], func(context.Context) error {
		f.mu.Lock()
		f.calls = append(f.calls, time.Now())
		bad, takes := f.down || f.bad[i], f.takes
		f.mu.Unlock()
		time.Sleep(takes)
		inside = takes
		if bad {
			return errBoom
		}
		return nil
	})
	f.mu.Lock()
	f.most = max(f.most, time.Since(began)-inside)
	f.mu.Unlock()
}

func (f *fleet) set(do func()) { f.mu.Lock(); defer f.mu.Unlock(); do() }

// since counts the calls that reached the callee.
func (f *fleet) since(t time.Time) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if !c.Before(t) {
			n++
		}
	}
	return n
}

func (f *fleet) states() (s string) {
	for _, b := range f.members {
		s += b.State().String() + " "
	}
	return strings.TrimSpace(s)
}

func (f *fleet) want(states ...breaker.State) {
	f.t.Helper()
	for i, b := range f.members {
		ok := false
		for _, s := range states {
			ok = ok || b.State() == s
		}
		if !ok {
			f.t.Fatalf("member %d: %v of %s, want %v", i, b, f.states(), states)
		}
	}
}

// until waits until all members are in the state, and returns how long that took.
func (f *fleet) until(s breaker.State, limit time.Duration) time.Duration {
	f.t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		all := true
		for _, b := range f.members {
			all = all && b.State() == s
		}
		if took := time.Since(began); all {
			return took
		} else if took > limit {
			f.t.Fatalf("after %v: %s, want %v", took, f.states(), s)
		}
	}
}

func TestFleetOpensByQuorumAndAllKnowWithinThePeriod(t *testing.T) {
	in(t, func(t *testing.T) {
		f := newFleet(t, 8, breaker.ConsecutiveFailures(5))
		f.run()
		time.Sleep(3 * time.Second)
		f.want(breaker.Closed)
		for i := range 3 { // below the quorum of 4
			f.set(func() { f.bad[i] = true })
		}
		time.Sleep(2 * time.Second)
		for i, b := range f.members {
			if open := b.State() != breaker.Closed; open != (i < 3) {
				t.Fatalf("three bad nodes of eight: %s", f.states())
			}
		}
		f.set(func() { f.bad[3] = true })
		for f.members[3].State() == breaker.Closed {
			time.Sleep(time.Millisecond)
		}
		quorum := time.Now()
		if took := f.until(breaker.Open, time.Second); took > 300*time.Millisecond {
			t.Errorf("all knew after %v", took)
		}
		if n := f.since(quorum); n > 4*50*300/1000 {
			t.Errorf("%d calls after the quorum, more than four members make in 300 ms", n)
		}
		s := f.members[7].String()
		if !strings.HasPrefix(s, "breaker catalog(open, next probe in 4.") ||
			!strings.Contains(s, " of 8 members voted") {
			t.Error(s)
		}
		if r, ok := retry.Rejected(run(f.members[7], succeed)); !ok || r.Cause.Error() != "boom" {
			t.Errorf("%+v", r)
		}
		f.stop()
	})
}

func TestFleetSendsOneProbePerOpenTime(t *testing.T) {
	in(t, func(t *testing.T) {
		f := newFleet(t, 8)
		f.run()
		time.Sleep(time.Second)
		f.set(func() { f.down = true })
		f.until(breaker.Open, 2*time.Second)
		time.Sleep(300 * time.Millisecond) // what was under way
		began := time.Now()
		time.Sleep(20 * 5500 * time.Millisecond)
		if n := f.since(began); n < 19 || n > 22 {
			t.Errorf("%d probes in 20 open times", n)
		}
		f.set(func() { f.takes = 2 * time.Second }) // slow probes: others must not go beside them
		began = time.Now()
		time.Sleep(10 * 7500 * time.Millisecond)
		if n := f.since(began); n < 8 || n > 11 {
			t.Errorf("%d slow probes in 10 open times", n)
		}
		f.set(func() { f.down, f.takes = false, 0 })
		for began = time.Now(); f.since(began) == 0; {
			time.Sleep(time.Millisecond)
		}
		if took := f.until(breaker.Closed, time.Second); took > 300*time.Millisecond {
			t.Errorf("all knew after %v", took)
		}
		f.stop()
	})
}

func TestFleetIsolatedAndReleasedByHand(t *testing.T) {
	in(t, func(t *testing.T) {
		f := newFleet(t, 4)
		f.run()
		time.Sleep(time.Second)
		f.members[2].Isolate()
		if took := f.until(breaker.Isolated, time.Second); took > 300*time.Millisecond {
			t.Errorf("all knew after %v", took)
		}
		time.Sleep(time.Minute)
		f.want(breaker.Isolated)
		operator := breaker.New("catalog", breaker.Shared(f.wires[0])) // makes no calls
		operator.Release()
		if took := f.until(breaker.Closed, time.Second); took > 600*time.Millisecond {
			t.Errorf("all knew after %v", took)
		}
		f.stop()
	})
}

func TestFleetWithoutItsStoreGoesOnAloneAndComesBack(t *testing.T) {
	for name, break_ := range map[string]func(w *wire){
		"refuses": func(w *wire) { w.cut = true },
		"deaf":    func(w *wire) { w.deaf = true },
		"hangs":   func(w *wire) { w.hangs = true },
		"slow":    func(w *wire) { w.delay = func() time.Duration { return 5 * time.Second } },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				f := newFleet(t, 4)
				f.run()
				time.Sleep(time.Second)
				for _, w := range f.wires {
					w.set(func() { break_(w) })
				}
				time.Sleep(3 * time.Second)
				f.want(breaker.Closed)
				for _, b := range f.members {
					if s := b.String(); s != "breaker catalog(closed, alone: the store is away)" {
						t.Fatal(s)
					}
				}
				f.set(func() { f.bad[0] = true; f.most = 0 })
				time.Sleep(12 * time.Second) // over its open time: it probes by itself
				if s := f.states(); !strings.HasSuffix(s, "closed closed closed") {
					t.Fatal(s)
				}
				f.set(func() { f.down = true })
				f.until(breaker.Open, time.Second) // each by itself
				f.set(func() { f.down, f.bad[0] = false, false })
				f.until(breaker.Closed, 8*time.Second)
				f.set(func() {
					if f.most > 0 {
						t.Errorf("a call was held up for %v", f.most)
					}
				})
				for _, w := range f.wires {
					w.set(func() { w.cut, w.deaf, w.hangs, w.delay = false, false, false, nil })
				}
				time.Sleep(25 * time.Second)
				f.members[1].Isolate()
				f.until(breaker.Isolated, time.Second)
				f.stop()
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestStoreThatGoesAwayIsToldToTheNextObserverOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		w := &wire{Store: breaker.NewStore()}
		b := breaker.New("x", breaker.Shared(w))
		var seen []string
		watched := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindChange {
				seen = append(seen, fmt.Sprintf("%s: %s -> %s (%v)", e.Policy, e.From, e.To, e.Err))
			}
		}), b)
		for range 3 {
			for _, cut := range []bool{false, true} {
				w.set(func() { w.cut = cut })
				for range 20 {
					_ = run(watched, succeed)
					time.Sleep(100 * time.Millisecond)
				}
			}
		}
		want := strings.Repeat("breaker x: shared -> alone (connection refused)\n"+
			"breaker x: alone -> shared (<nil>)\n", 3)
		if got := strings.Join(seen, "\n") + "\n"; !strings.HasPrefix(want, got) || len(seen) != 5 {
			t.Errorf("%s", got)
		}
	})
}

// Whatever becomes of questions and answers, the fleet finds its way.
func TestFleetOverALossyWire(t *testing.T) {
	n := 60
	if testing.Short() {
		n = 6
	}
	for range n {
		seed := rand.Uint64()
		in(t, func(t *testing.T) {
			rng, mu := rand.New(rand.NewPCG(seed, 0)), sync.Mutex{}
			draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return rng.IntN(n) }
			f := newFleet(t, 2+draw(7), breaker.Probes(1+draw(2)))
			for _, w := range f.wires {
				w.delay = func() time.Duration {
					return time.Duration(draw(500)) * time.Millisecond / 2
				}
			}
			f.run()
			for range 40 {
				w := f.wires[draw(len(f.wires))]
				switch draw(7) {
				case 0:
					f.set(func() { f.down = !f.down })
				case 1:
					w.set(func() { w.cut = !w.cut })
				case 2:
					w.set(func() { w.deaf = !w.deaf })
				case 3:
					f.members[draw(len(f.members))].Trip(errBoom)
				case 4:
					i := draw(len(f.cancel))
					f.cancel[i]() // a member is gone
				case 5:
					f.members[draw(len(f.members))].Isolate()
				case 6:
					f.members[draw(len(f.members))].Release()
				}
				time.Sleep(time.Duration(draw(3000)) * time.Millisecond)
			}
			for _, w := range f.wires {
				w.set(func() { w.cut, w.deaf = false, false })
			}
			f.set(func() { f.down = false })
			f.stop()
			f.cancel = nil
			f.run() // all are there
			time.Sleep(5 * time.Second)
			f.members[0].Release()
			// A lost member may hold the probe for its limit of 10 s.
			f.until(breaker.Closed, 30*time.Second)
			f.set(func() {
				if f.most > 1100*time.Millisecond {
					t.Errorf("a call was held up for %v", f.most)
				}
			})
			f.stop()
			time.Sleep(time.Minute)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestProbeOfALostMemberIsTakenOverAfterItsLimit(t *testing.T) {
	in(t, func(t *testing.T) {
		f := newFleet(t, 3, breaker.ProbeLimit(3*time.Second))
		f.run()
		time.Sleep(time.Second)
		f.set(func() { f.down = true })
		f.until(breaker.Open, 2*time.Second)
		store := f.wires[0].Store
		time.Sleep(5 * time.Second)
		all, err := store.Exchange(t.Context(), []breaker.Report{{Name: "catalog", Member: "lost"}})
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if ok, _ := store.Probe(t.Context(), "catalog", "lost", all[0].Era, 3*time.Second); ok {
				break
			}
			time.Sleep(time.Millisecond)
			all, _ = store.Exchange(t.Context(),
				[]breaker.Report{{Name: "catalog", Member: "lost"}})
		}
		f.set(func() { f.down = false })
		f.until(breaker.Closed, 10*time.Second)
		f.stop()
	})
}

func TestFleetsOpenTimeGrows(t *testing.T) {
	in(t, func(t *testing.T) {
		f := newFleet(t, 3, breaker.OpenGrowth(2, time.Minute))
		f.run()
		time.Sleep(time.Second)
		f.set(func() { f.down = true })
		f.until(breaker.Open, 2*time.Second)
		time.Sleep(300 * time.Millisecond)
		began := time.Now()
		time.Sleep(150 * time.Second) // 5, 10, 20, 40, 60
		if n := f.since(began); n != 5 && n != 4 {
			t.Errorf("%d probes", n)
		}
		f.stop()
	})
}

func TestStoreThatForgetsChangesNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		f := newFleet(t, 3)
		f.run()
		time.Sleep(time.Second)
		flush := func() {
			empty := breaker.NewStore()
			for _, w := range f.wires {
				w.set(func() { w.Store = empty })
			}
		}
		f.members[0].Isolate()
		f.until(breaker.Isolated, time.Second)
		flush()
		time.Sleep(time.Minute)
		f.want(breaker.Isolated)
		f.members[1].Release()
		f.until(breaker.Closed, time.Second)
		time.Sleep(time.Second)
		f.set(func() { f.down = true })
		f.until(breaker.Open, 2*time.Second)
		flush()
		time.Sleep(2 * time.Second)
		f.want(breaker.Open)
		f.set(func() { f.down = false })
		f.until(breaker.Closed, 10*time.Second)
		f.stop()
	})
}

// A store may answer anything.
func TestHostileAnswerDoesNotDoWhatTheOptionsDoNotAllow(t *testing.T) {
	const name = "catalog"
	for _, c := range []struct {
		answer []breaker.Fleet
		closed bool // the answer makes no sense
	}{
		{nil, true},
		{[]breaker.Fleet{}, true},
		{[]breaker.Fleet{{}}, true},
		{[]breaker.Fleet{{Name: "other", State: breaker.Open, Left: time.Hour}}, true},
		{[]breaker.Fleet{{Name: name, State: 9, Era: 1}}, true},
		{[]breaker.Fleet{{Name: name, State: breaker.Open, Era: math.MaxUint64, Left: time.Hour}},
			true},
		{[]breaker.Fleet{
			{Name: name, State: breaker.Closed, Era: 7, Members: -1, Votes: math.MinInt}}, true},
		{[]breaker.Fleet{{Name: name, State: breaker.Open, Era: 3, Left: math.MaxInt64},
			{Name: name}}, false},
		{[]breaker.Fleet{{Name: name, State: breaker.Open, Era: 3, Left: math.MinInt64}}, false},
		{[]breaker.Fleet{{Name: name, State: breaker.HalfOpen, Era: 3, Left: math.MaxInt64,
			Cause: strings.Repeat("x", 1<<24)}}, false},
	} {
		in(t, func(t *testing.T) {
			f := newFleet(t, 1, breaker.ProbeLimit(time.Second))
			hostile := true
			f.wires[0].change = func(all []breaker.Fleet) {
				if hostile {
					copy(all[:cap(all)], make([]breaker.Fleet, len(all)))
					copy(all, c.answer)
				}
			}
			f.run()
			time.Sleep(time.Second)
			if s := f.members[0].State(); (s == breaker.Closed) != c.closed {
				t.Errorf("%+.200v: %v", c.answer, f.members[0])
			}
			if r, ok := retry.Rejected(run(f.members[0], succeed)); ok &&
				(r.RetryAfter > 5*time.Second || len(r.Error()) > 2000) {
				t.Errorf("%v", r)
			}
			f.wires[0].set(func() { hostile = false })
			f.until(breaker.Closed, 10*time.Second)
			f.stop()
		})
	}
}

type panicky struct{ breaker.Store }

func (panicky) Exchange(context.Context, []breaker.Report) ([]breaker.Fleet, error) {
	panic("store")
}
func (panicky) Probe(context.Context, string, string, uint64, time.Duration) (bool, error) {
	panic("store")
}

func TestStoreThatPanicsIsAway(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.Shared(panicky{}))
		_ = run(b, succeed)
		time.Sleep(time.Second)
		if s := b.String(); s != "breaker x(closed, alone: the store is away)" {
			t.Error(s)
		}
	})
}

func TestListenerThatPanicsAtTheFleetsWordIsToldToAnObserver(t *testing.T) {
	in(t, func(t *testing.T) {
		store := breaker.NewStore()
		b := breaker.New("x", breaker.Shared(store),
			breaker.OnChange(func(breaker.Change) { panic("listener") }))
		var seen []string
		watched := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindChange {
				seen = append(seen, fmt.Sprint(e.From, " ", e.To, ": ", e.Err))
			}
		}), b)
		_ = run(watched, succeed)
		breaker.New("x", breaker.Shared(store)).Isolate()
		for range 10 {
			_ = run(watched, succeed)
			time.Sleep(100 * time.Millisecond)
		}
		if len(seen) != 1 ||
			seen[0] != "listener panicked: breaker: a listener has panicked: listener" {
			t.Errorf("%q", seen)
		}
	})
}

func TestFleetAtRestAsksNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		hubs := breaker.Hubs() // of bubbles that have ended
		f := newFleet(t, 3)
		f.run()
		time.Sleep(10 * time.Second)
		if n := f.wires[0].count(); n < 33 || n > 50 {
			t.Errorf("asked %d times in 10 s", n)
		}
		f.stop()
		time.Sleep(time.Second)
		n := f.wires[0].count()
		time.Sleep(time.Hour)
		if f.wires[0].count() != n || breaker.Hubs() != hubs {
			t.Errorf("%d more, %d hubs", f.wires[0].count()-n, breaker.Hubs()-hubs)
		}
		f.cancel = nil
		f.run() // and wakes up
		time.Sleep(time.Second)
		f.members[0].Isolate()
		f.until(breaker.Isolated, time.Second)
		f.stop()
		time.Sleep(time.Minute)
		if n := breaker.Hubs() - hubs; n != 0 {
			t.Errorf("%d hubs are left", n)
		}
	})
}

func TestBreakersOfAProcessAskTogether(t *testing.T) {
	in(t, func(t *testing.T) {
		w := &wire{Store: breaker.NewStore()}
		var most int
		w.change = func(all []breaker.Fleet) { most = max(most, len(all)) }
		for i := range 50 {
			b := breaker.New(fmt.Sprint("host ", i), breaker.Shared(w))
			go func() {
				for range 500 {
					_ = run(b, succeed)
					time.Sleep(20 * time.Millisecond)
				}
			}()
		}
		time.Sleep(9 * time.Second)
		w.set(func() {
			if w.asked > 50 || most != 50 {
				t.Errorf("asked %d times, for %d breakers at most", w.asked, most)
			}
		})
		time.Sleep(time.Minute)
	})
}

func TestSharedOptionsSayWhatTheyMustBe(t *testing.T) {
	s, hubs := breaker.NewStore(), breaker.Hubs()
	for _, c := range []struct {
		option breaker.Option
		want   string
	}{
		{breaker.Shared(nil), "Shared(nil): must be a store"},
		{breaker.Shared(s, nil), "Shared: option 1: must not be nil"},
		{breaker.Shared(s, breaker.Quorum(0)), "Quorum(0): must be above 0 and at most 1"},
		{breaker.Shared(s, breaker.Quorum(1.5)), "Quorum(1.5): must be above 0 and at most 1"},
		{breaker.Shared(s, breaker.Quorum(math.NaN())),
			"Quorum(NaN): must be above 0 and at most 1"},
		{breaker.Shared(s, breaker.Every(0)), "Every(0s): must be positive"},
	} {
		b := breaker.New("x", c.option)
		if err := b.Validate(); err == nil || err.Error() != "breaker.New: "+c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		useAll(b)
		if breaker.Hubs() != hubs {
			t.Error("a misconfigured breaker asks a store")
		}
	}
}

var bg = context.Background()

// two is a fleet of two members without traffic of their own, on one store.
func two(opts ...breaker.Option) (a, b *breaker.Breaker, wa, wb *wire) {
	store := breaker.NewStore()
	wa, wb = &wire{Store: store}, &wire{Store: store}
	make := func(w *wire) *breaker.Breaker {
		return breaker.New("x",
			append([]breaker.Option{breaker.ConsecutiveFailures(1),
				breaker.OpenFor(5 * time.Second), breaker.ProbeLimit(time.Hour), breaker.Shared(w)},
				opts...)...)
	}
	return make(wa), make(wb), wa, wb
}

// down has both members vote, and waits until the fleet is half-open.
func down(t *testing.T, a, b *breaker.Breaker) {
	t.Helper()
	_, _ = run(a, succeed), run(b, succeed)
	time.Sleep(100 * time.Millisecond)
	_, _ = run(a, fail), run(b, fail)
	time.Sleep(time.Second)
	rejected(t, a) // both are in use, and hear that the fleet is open
	rejected(t, b)
	time.Sleep(4500 * time.Millisecond)
	want(t, a, breaker.HalfOpen)
	want(t, b, breaker.HalfOpen)
}

// goesIn tells after how long a call is admitted.
func goesIn(t *testing.T, b *breaker.Breaker, call func(context.Context) error) time.Duration {
	t.Helper()
	began := time.Now()
	for time.Since(began) < 20*time.Second {
		if err := run(b, call); !errors.Is(err, breaker.ErrOpen) {
			return time.Since(began)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("no call is admitted: %v", b)
	return 0
}

func storeSays(t *testing.T, s breaker.Store) breaker.Fleet {
	t.Helper()
	all, err := s.Exchange(bg, []breaker.Report{{Name: "x", Member: "looks"}})
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestFleetsProbe(t *testing.T) {
	neutral := func(context.Context) error { return retry.Neutral(errBoom) }
	for name, test := range map[string]func(t *testing.T){
		"without a verdict is given back to all": func(t *testing.T) {
			a, b, w, _ := two()
			down(t, a, b)
			if err := run(a, neutral); errors.Is(err, breaker.ErrOpen) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if ok, _ := w.Store.Probe(bg, "x", "another", 1, time.Millisecond); !ok {
				t.Error("it is not free at once")
			}
			if took := goesIn(t, b, succeed); took > 500*time.Millisecond {
				t.Errorf("after %v", took)
			}
			time.Sleep(10 * time.Millisecond)
			if f := storeSays(t, w.Store); f.State != breaker.Closed {
				t.Errorf("%+v", f)
			}
		},
		"that fails opens the store": func(t *testing.T) {
			a, b, w, _ := two()
			down(t, a, b)
			_ = run(a, fail)
			time.Sleep(10 * time.Millisecond)
			if f := storeSays(t, w.Store); f.State != breaker.Open || f.Era != 2 {
				t.Errorf("%+v", f)
			}
			rejected(t, b)
			if took := goesIn(t, b, succeed); took < 4900*time.Millisecond ||
				took > 5500*time.Millisecond {
				t.Errorf("after %v", took)
			}
		},
		"of several is kept by the member until it has them all": func(t *testing.T) {
			a, b, w, _ := two(breaker.Probes(2))
			down(t, a, b)
			_ = run(a, succeed)
			time.Sleep(300 * time.Millisecond)
			if ok, _ := w.Store.Probe(bg, "x", "another", 1, time.Second); ok {
				t.Error("given back after the first")
			}
			_ = run(a, succeed)
			time.Sleep(10 * time.Millisecond)
			if f := storeSays(t, w.Store); f.State != breaker.Closed {
				t.Errorf("%+v", f)
			}
		},
		"that nobody waits for any more is given back": func(t *testing.T) {
			a, b, w, _ := two()
			down(t, a, b)
			w.set(func() { w.slow = 200 * time.Millisecond })
			ctx, stop := context.WithTimeout(bg, 100*time.Millisecond)
			defer stop()
			began := time.Now()
			err := retry.Run(ctx, a, func(context.Context) error { t.Error("called"); return nil })
			if time.Since(began) > 100*time.Millisecond || !errors.Is(err, breaker.ErrOpen) ||
				!errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			time.Sleep(time.Second)
			if took := goesIn(t, b, succeed); took > 500*time.Millisecond {
				t.Errorf("after %v", took)
			}
		},
		"is not asked for by every call": func(t *testing.T) {
			a, b, _, w := two()
			down(t, a, b)
			go func() { _ = run(a, takes(10*time.Second, nil)) }()
			time.Sleep(100 * time.Millisecond)
			w.set(func() { w.asked = 0 })
			for range 1000 {
				rejected(t, b)
				time.Sleep(10 * time.Millisecond)
				if b.State() == breaker.Closed {
					break
				}
			}
			if n := w.count(); n > 120 {
				t.Errorf("asked %d times in 10 s", n)
			}
			time.Sleep(time.Minute)
		},
		"closes once, though older answers come after it": func(t *testing.T) {
			var seen []string
			a, b, w, _ := two(breaker.OnChange(func(c breaker.Change) {
				seen = append(seen, c.To.String())
			}))
			down(t, a, b)
			seen = nil
			w.set(func() { w.delay = func() time.Duration { return 200 * time.Millisecond } })
			for range 100 { // traffic, so that it asks all the time
				_ = run(a, succeed)
				time.Sleep(20 * time.Millisecond)
			}
			if got := strings.Join(seen, " "); got != "closed" {
				t.Errorf("%s", got)
			}
			time.Sleep(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) { in(t, test) })
	}
}

func TestIsolatedWhileAQuestionIsUnderWay(t *testing.T) {
	in(t, func(t *testing.T) {
		a, _, w, _ := two()
		w.set(func() { w.delay = func() time.Duration { return 100 * time.Millisecond } })
		_ = run(a, succeed)
		time.Sleep(150 * time.Millisecond) // asked after 25 ms, answered 200 ms later
		a.Isolate()
		time.Sleep(200 * time.Millisecond)
		if f := storeSays(t, w.Store); f.State != breaker.Isolated {
			t.Errorf("%+v", f)
		}
		want(t, a, breaker.Isolated)
		time.Sleep(time.Minute)
		want(t, a, breaker.Isolated)
	})
}

func TestOwnOpeningLastsAlsoIfTheFleetIsClosed(t *testing.T) {
	in(t, func(t *testing.T) {
		a, b, _, _ := two()
		_, _ = run(a, succeed), run(b, succeed)
		a.Isolate()
		time.Sleep(time.Second)
		a.Release() // it is not the first era any more
		time.Sleep(time.Second)
		_ = run(a, fail)
		want(t, a, breaker.Open)
		for range 49 {
			time.Sleep(100 * time.Millisecond)
			_ = run(b, succeed)
			rejected(t, a)
		}
	})
}

func TestStoreThatHangsIsAskedByOneGoroutine(t *testing.T) {
	in(t, func(t *testing.T) {
		a, _, w, _ := two()
		_ = run(a, succeed)
		time.Sleep(100 * time.Millisecond)
		got := stats(a)
		if got != "fleet_members=1 fleet_votes=0 store_questions=1 store_failures=0 store_away=0 " {
			t.Error(got)
		}
		w.set(func() { w.hangs, w.asked = true, 0 })
		for range 300 {
			_ = run(a, succeed)
			time.Sleep(50 * time.Millisecond)
		}
		if n := w.count(); n != 1 {
			t.Errorf("%d questions hang", n)
		}
		if got := stats(a); !strings.HasSuffix(got, " store_away=1away ") {
			t.Error(got)
		}
		time.Sleep(time.Minute)
	})
}

func TestShadowFollowsAndDoesNotVote(t *testing.T) {
	in(t, func(t *testing.T) {
		store := breaker.NewStore()
		option := []breaker.Option{breaker.ConsecutiveFailures(1), breaker.Shared(store)}
		a, b := breaker.New("x", option...), breaker.New("x", append(option, breaker.Shadow())...)
		for range 20 {
			_, _ = run(a, fail), run(b, fail)
			time.Sleep(100 * time.Millisecond)
		}
		if f := storeSays(t, store); f.State != breaker.Closed || f.Votes != 1 {
			t.Errorf("%+v", f)
		}
		b.Isolate()
		time.Sleep(time.Second)
		if f := storeSays(t, store); f.State != breaker.Closed {
			t.Errorf("%+v", f)
		}
	})
}

func TestAllowIsAUseToo(t *testing.T) {
	in(t, func(t *testing.T) {
		a, b, _, _ := two()
		a.Isolate()
		time.Sleep(time.Second)
		for range 2 {
			if done, err := b.Allow(t.Context()); err == nil {
				done(nil)
			}
			time.Sleep(100 * time.Millisecond)
		}
		want(t, b, breaker.Isolated)
	})
}

// stats is what Stats tells of the fleet.
func stats(b *breaker.Breaker) (text string) {
	for _, s := range b.Stats() {
		if strings.HasPrefix(s.Name, "fleet_") || strings.HasPrefix(s.Name, "store_") {
			text += fmt.Sprintf("%s=%g%s ", s.Name, s.Value, s.Text)
		}
	}
	return text
}
