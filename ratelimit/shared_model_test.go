package ratelimit_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// needed is the smallest burst of a bucket of the given rate that would have let calls at these
// times go.
func needed(times []time.Time, limit float64) float64 {
	slices.SortFunc(times, time.Time.Compare)
	level, most := 0.0, 0.0
	for i, at := range times {
		if i > 0 {
			level = max(0, level-at.Sub(times[i-1]).Seconds()*limit)
		}
		level++
		most = max(most, level)
	}
	return most
}

// wire is a store behind a network: answers take a time, and some are lost after they had their
// effect.
type wire struct {
	store ratelimit.Store

	mu      sync.Mutex
	rnd     *rand.Rand
	latency time.Duration // of a round trip, at most
	loss    float64       // part of the answers
	down    bool
	mute    bool // answers nothing
	trips   int
}

// asked is how many questions there were.
func (n *wire) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.trips
}

var errWire = errors.New("connection refused")

func (n *wire) Take(ctx context.Context, name string, a ratelimit.Ask) (ratelimit.Grant, error) {
	n.mu.Lock()
	n.trips++
	there, back := n.delay(), n.delay()
	lost, down := n.mute || n.rnd.Float64() < n.loss, n.down
	n.mu.Unlock()
	if down {
		return ratelimit.Grant{}, errWire
	}
	if err := sleep(ctx, there); err != nil {
		return ratelimit.Grant{}, err
	}
	g, err := n.store.Take(ctx, name, a)
	if lost {
		<-ctx.Done()
		return ratelimit.Grant{}, ctx.Err()
	}
	if err := sleep(ctx, back); err != nil {
		return ratelimit.Grant{}, err
	}
	return g, err
}

func (n *wire) delay() time.Duration {
	if n.latency == 0 {
		return 0
	}
	return time.Duration(n.rnd.Int64N(int64(n.latency) / 2))
}

func (n *wire) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// crowd is the members of a fleet in a bubble, and when their calls went.
type crowd struct {
	mu    sync.Mutex
	times []time.Time
	by    map[int]int // calls by member
	wg    sync.WaitGroup
}

// seen are the times of the calls so far.
func (c *crowd) seen() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.times)
}

// of is how many calls a member has made.
func (c *crowd) of(member int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[member]
}

// greedy has a member's callers call without a break until ctx ends.
func (c *crowd) greedy(ctx context.Context, member, callers int, l retry.Policy) {
	for range callers {
		c.wg.Go(func() {
			for ctx.Err() == nil {
				err := retry.Run(ctx, l, func(context.Context) error {
					c.mu.Lock()
					defer c.mu.Unlock()
					c.times = append(c.times, time.Now())
					if c.by == nil {
						c.by = map[int]int{}
					}
					c.by[member]++
					return nil
				})
				if err != nil {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
}

func newWire(store ratelimit.Store, latency time.Duration) *wire {
	return &wire{store: store, rnd: rand.New(rand.NewPCG(1, 2)), latency: latency}
}

// A greedy fleet uses its limit, keeps it, asks seldom, and its members get equal parts whatever
// the number of their callers.
func TestFleetUsesItsLimitAndKeepsIt(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   rate.Limit
		burst   int
		lease   time.Duration
		members int
		callers []int // of member i: callers[i%len]
		latency time.Duration
	}{
		{"8 members of 8 callers", 1000, 100, 100 * ms, 8, []int{8}, 200 * time.Microsecond},
		{"one of 64 callers", 1000, 100, 100 * ms, 8,
			[]int{64, 8, 8, 8, 8, 8, 8, 8}, 200 * time.Microsecond},
		{"24 members", 1000, 100, 100 * ms, 24, []int{8}, 200 * time.Microsecond},
		{"one member", 1000, 100, 100 * ms, 1, []int{8}, 200 * time.Microsecond},
		{"single callers", 1000, 100, 100 * ms, 8, []int{1}, 200 * time.Microsecond},
		{"slow", 10, 5, time.Second, 4, []int{3}, 2 * ms},
		{"quanta of one", 9, 1, time.Second, 5, []int{5}, 0},
		{"far away", 1000, 100, 100 * ms, 8, []int{16}, 40 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newWire(ratelimit.NewStore(), c.latency)
				var all crowd
				took := 10 * time.Second
				if c.limit < 100 {
					took = 2 * time.Minute
				}
				ctx, cancel := context.WithCancel(bg)
				time.AfterFunc(took, cancel)
				for i := range c.members {
					all.greedy(ctx, i, c.callers[i%len(c.callers)],
						ratelimit.New(c.limit, c.burst, ratelimit.Shared(n, "catalog")))
				}
				all.wg.Wait()
				time.Sleep(time.Second) // the last question is answered
				calls := len(all.seen())
				use := float64(calls) / (float64(c.limit) * (took - 2*c.lease).Seconds())
				need := needed(all.seen(), float64(c.limit))
				trips := float64(n.asked()) / float64(calls)
				low, high := math.MaxInt, 0
				for i := range c.members {
					low, high = min(low, all.of(i)), max(high, all.of(i))
				}
				t.Logf("use %.1f %%, needed %.0f, trips per call %.3f, shares %d to %d", use*100,
					need, trips, low, high)
				if use < 0.95 {
					t.Errorf("use %.1f %%", use*100)
				}
				if bound := float64(c.burst) + float64(c.limit)*c.lease.Seconds(); need > bound {
					t.Errorf("needed %.0f, the bound is %.0f", need, bound)
				}
				most := 2 * float64(c.members) / (c.lease.Seconds() * float64(c.limit))
				if trips > most {
					t.Errorf("%.3f trips per call, at most %.3f are right", trips, most)
				}
				if mean := float64(calls) / float64(c.members); float64(low) < 0.8*mean ||
					float64(high) > 1.2*mean {
					t.Errorf("shares from %d to %d", low, high)
				}
			})
		})
	}
}

// shifted is a clock that is set now and then.
type shifted struct {
	mu sync.Mutex
	by time.Duration
}

func (c *shifted) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.by)
}

func (c *shifted) shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by += d
}

// forgetful is a store that can be emptied.
type forgetful struct {
	mu  sync.Mutex
	now func() time.Time
	in  ratelimit.Store
}

func (f *forgetful) Take(ctx context.Context, name string,
	a ratelimit.Ask) (ratelimit.Grant, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.in.Take(ctx, name, a)
}

func (f *forgetful) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in = ratelimit.NewStoreAt(f.now)
}

// Whatever befalls a fleet, it spends no more than its burst, what its limit gives in the time, and
// what is spent late: B + r(w + L), and after a jump of the store's clock what that adds.
func TestFleetKeepsItsBoundWhateverHappens(t *testing.T) {
	runs := 150
	if testing.Short() || ratelimit.RaceEnabled {
		runs = 15
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) { storm(t, uint64(seed)) })
	}
}

func storm(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	limit := math.Round(math.Exp(math.Log(5) + rnd.Float64()*math.Log(200)))
	burst := 1 + rnd.IntN(int(limit))
	lease := time.Duration(min(max(20/limit, 0.1), 1) * float64(time.Second))
	members, callers := 1+rnd.IntN(8), 1+rnd.IntN(12)
	latency := []time.Duration{0, 200 * time.Microsecond, lease / 10, lease / 2}[rnd.IntN(4)]

	var clock shifted
	memory := &forgetful{now: clock.now}
	memory.flush()
	n := newWire(memory, latency)
	n.loss = []float64{0, 0, 0.05}[rnd.IntN(3)]
	var all crowd
	var stops []context.CancelFunc
	begin := func(i int) context.CancelFunc {
		ctx, cancel := context.WithCancel(bg)
		all.greedy(ctx, i, 1+rnd.IntN(callers),
			ratelimit.New(rate.Limit(limit), burst, ratelimit.Shared(n, "catalog")))
		return cancel
	}
	for i := range members {
		stops = append(stops, begin(i))
	}
	late := limit * lease.Seconds()
	bound, story := float64(burst)+late, []string{}
	for range 12 {
		time.Sleep(time.Duration(rnd.Float64() * 8 * float64(lease)))
		what := []string{"flush", "kill", "back", "jump", "down", "mute", "rest"}[rnd.IntN(7)]
		story = append(story, what)
		switch what {
		case "flush":
			memory.flush()
		case "kill":
			i := rnd.IntN(members)
			stops[i]()
			stops[i] = begin(i)
		case "back":
			clock.shift(-time.Duration(rnd.Float64() * 20 * float64(lease)))
		case "jump":
			clock.shift(time.Duration(rnd.Float64() * 20 * float64(lease)))
			bound += float64(burst) + 2*late
		case "down":
			n.set(func() { n.down = true })
			time.Sleep(time.Duration(rnd.Float64() * 10 * float64(lease)))
			n.set(func() { n.down = false })
			bound += late // of the members some notice later than others that it is back
		case "mute": // what it grants meanwhile is lost
			n.set(func() { n.mute = true })
			time.Sleep(time.Duration(rnd.Float64() * 10 * float64(lease)))
			n.set(func() { n.mute = false })
			// Until the last question is given up.
			bound += late + limit*max(50*ms, 4*latency).Seconds()
		case "rest": // nobody calls
			for _, stop := range stops {
				stop()
			}
			time.Sleep(time.Duration(rnd.Float64() * 10 * float64(lease)))
			for i := range stops {
				stops[i] = begin(i)
			}
			time.Sleep(3 * lease) // a new member does not know yet how many there are
		}
	}
	time.Sleep(4 * lease)
	for _, stop := range stops {
		stop()
	}
	all.wg.Wait()
	time.Sleep(time.Minute)
	asked := n.asked()
	time.Sleep(time.Minute)
	if n.asked() > asked {
		t.Errorf("seed %d: %d questions in an idle minute", seed, n.asked()-asked)
	}
	need := needed(all.seen(), limit)
	if need > bound {
		t.Errorf("seed %d: limit %v, burst %d, %d members, latency %v, loss %v, %v: "+
			"needed %.1f, the bound is %.1f",
			seed, limit, burst, members, latency, n.loss, story, need, bound)
	}
}

// Of a hundred callers at most one waits longer than the estimate it was judged by, and a lease,
// two round trips and twice the time in which each member gets a token. (Near saturation members
// that come back can overtake an estimate. Of 480 runs two had such callers: 3 of 891, and 1 of
// 1431.)
func TestFleetWaitsAsItSays(t *testing.T) {
	seeds := 60
	if testing.Short() || ratelimit.RaceEnabled {
		seeds = 8
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { punctual(t, uint64(seed)) })
	}
}

func punctual(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 11))
	limit := math.Round(math.Exp(math.Log(5) + rnd.Float64()*math.Log(200)))
	burst := 1 + rnd.IntN(int(limit))
	lease := time.Duration(min(max(20/limit, 0.1), 1) * float64(time.Second))
	latency := []time.Duration{0, ms, lease / 10, lease / 2}[rnd.IntN(4)]
	n := newWire(ratelimit.NewStore(), latency)
	members := 1 + rnd.IntN(6)
	load := 0.3 + rnd.Float64() // of the limit
	var mu sync.Mutex
	round := time.Duration(float64(members) / limit * float64(time.Second)) // one token for each
	var waits, late int
	var waited retry.Event // the last late one
	begin := time.Now()
	watch := retry.Observe(func(_ context.Context, e retry.Event) {
		mu.Lock()
		defer mu.Unlock()
		// a member that never heard of the limit cannot know
		if time.Since(begin) < 3*time.Second+3*lease {
			return
		}
		if e.Kind != retry.KindWait {
			return
		}
		if waits++; e.Took-e.Wait > lease+2*latency+2*round {
			late++
			waited = e
		}
	})
	var wg sync.WaitGroup
	for range members {
		l := retry.Chain(watch, ratelimit.New(rate.Limit(limit), burst, ratelimit.Shared(n, "x")))
		gap := time.Duration(float64(time.Second) / (limit * load) * float64(members))
		seed := rnd.Uint64()
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var calls sync.WaitGroup
			for range 300 {
				calls.Go(func() { _ = retry.Run(bg, l, nop) })
				time.Sleep(time.Duration(rnd.ExpFloat64() * float64(gap)))
			}
			calls.Wait()
		})
	}
	wg.Wait()
	time.Sleep(time.Minute)
	if late > max(3, waits/100) {
		t.Errorf("seed %d: limit %v, burst %d, %d members, latency %v, load %.2f: %d of %d waits "+
			"were longer, one of %v took %v",
			seed, limit, burst, members, latency, load, late, waits, waited.Wait, waited.Took)
	}
}

// A member that is the only busy one gets all, also while the others still count.
func TestFleetOfWhichOneIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newWire(ratelimit.NewStore(), ms)
		var idle, busy crowd
		ctx, cancel := context.WithCancel(bg)
		for i := range 7 {
			idle.greedy(ctx, i, 3, ratelimit.New(100, 5, ratelimit.Shared(n, "x")))
		}
		one, stop := context.WithCancel(bg)
		busy.greedy(one, 0, 20, ratelimit.New(100, 5, ratelimit.Shared(n, "x")))
		time.Sleep(3 * time.Second)
		cancel()
		time.Sleep(100 * ms)
		before := len(busy.seen())
		time.Sleep(time.Second) // ten leases are two
		if calls := len(busy.seen()) - before; calls < 90 {
			t.Errorf("%d calls in a second, of 100", calls)
		}
		stop()
		idle.wg.Wait()
		busy.wg.Wait()
		time.Sleep(time.Second)
	})
}
