package ratelimit_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
)

// scene is a fleet of 100 calls a second, whose lease is 200 ms, and its store.
type scene struct {
	all   crowd
	wire  *wire
	stops map[int]context.CancelFunc
	by    map[int]*ratelimit.Limiter
}

const (
	sceneLimit = 100
	sceneLease = 200 * ms
	sceneLate  = 20 // tokens of a lease
)

func newScene(latency time.Duration) *scene {
	s := &scene{stops: map[int]context.CancelFunc{}, by: map[int]*ratelimit.Limiter{}}
	s.wire = newWire(ratelimit.NewStore(), latency)
	return s
}

// busy has so many callers of a member call without a break; 0: none.
func (s *scene) busy(member, burst, callers int) {
	if stop := s.stops[member]; stop != nil {
		stop()
	}
	if s.by[member] == nil {
		s.by[member] = ratelimit.New(sceneLimit, burst, ratelimit.Shared(s.wire, "x"))
	}
	ctx, cancel := context.WithCancel(bg)
	s.stops[member] = cancel
	s.all.greedy(ctx, member, callers, s.by[member])
}

func (s *scene) down(yes bool) { s.wire.set(func() { s.wire.down = yes }) }

func (s *scene) end() {
	for _, stop := range s.stops {
		stop()
	}
	s.all.wg.Wait()
	time.Sleep(time.Minute)
}

// However its members came and went before it, an outage adds no more than a lease of the limit,
// and what members that were idle have for their parts.
func TestAnOutageAddsALease(t *testing.T) {
	type step struct {
		at              float64 // leases
		member, callers int     // the store's end: member -1; that it is back: -2
	}
	const gone, back = -1, -2
	for _, c := range []struct {
		name  string
		burst int
		steps []step
		idle  float64 // part of the limit that idle members have besides
	}{
		{"all busy for long", 1,
			[]step{{0, 0, 8}, {0, 1, 8}, {0, 2, 8}, {0, 3, 8}, {30, gone, 0},
				{70, back, 0}, {80, gone, 0}}, 0},
		{"one has just come, and is no longer young before the end", 1,
			[]step{{0, 0, 8}, {0, 1, 8}, {20, 2, 8}, {23, gone, 0}, {70, back, 0}}, 0},
		{"most have just come", 1,
			[]step{{0, 0, 8}, {20, 1, 8}, {20, 2, 8}, {20, 3, 8}, {20, 4, 8},
				{23.3, gone, 0}, {70, back, 0}}, 0},
		{"all begin, and have asked once", 1,
			[]step{{0, 0, 8}, {0, 1, 8}, {0, 2, 8}, {0, 3, 8}, {0.5, gone, 0}, {70, back, 0}}, 0},
		{"one rests while the other has all, and comes meanwhile", 1,
			[]step{{0, 0, 8}, {0, 1, 8}, {20, 0, 0}, {45, gone, 0}, {46, 0, 8}, {70, back, 0}},
			0.5},
		{"one uses little", 40, []step{{0, 0, 1}, {0, 1, 30}, {20, gone, 0}, {60, back, 0}}, 0},
		{"short ones", 1, []step{{0, 0, 8}, {0, 1, 8}, {20, gone, 0}, {20.4, back, 0},
			{21, gone, 0}, {21.4, back, 0}, {22, gone, 0}, {22.4, back, 0}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, latency := range []time.Duration{0, 2 * ms, sceneLease / 10, sceneLease / 2} {
				synctest.Test(t, func(t *testing.T) {
					s, begin := newScene(latency), time.Now()
					outages, away := 0, time.Duration(0)
					for _, step := range c.steps {
						at := time.Duration(step.at * float64(sceneLease))
						time.Sleep(time.Until(begin.Add(at)))
						switch step.member {
						case gone:
							outages++
							away -= at
							s.down(true)
						case back:
							away += at
							s.down(false)
						default:
							s.busy(step.member, c.burst, step.callers)
						}
					}
					if away < 0 {
						away += time.Since(begin) + 10*sceneLease
					}
					time.Sleep(10 * sceneLease)
					s.end()
					most := float64(c.burst+sceneLate*(1+outages)) +
						c.idle*sceneLimit*away.Seconds()
					need := needed(s.all.seen(), sceneLimit)
					t.Logf("latency %v: needed %.1f, of %.0f", latency, need, most)
					if need > most {
						t.Error("too much")
					}
				})
			}
		})
	}
}

// Members that hold tokens rest until the bucket is full, and come again one after the other: what
// they have not used is not in the bucket twice.
func TestWhatIsGivenBackIsNotThereTwice(t *testing.T) {
	for _, burst := range []int{1, 50} {
		for _, latency := range []time.Duration{0, sceneLease / 2} {
			for _, rest := range []time.Duration{300 * ms, 10 * time.Second} {
				synctest.Test(t, func(t *testing.T) {
					s := newScene(latency)
					for range 4 {
						for member := range 8 {
							s.busy(member, burst, 30)
							time.Sleep(190 * ms)
						}
						time.Sleep(10*sceneLease + 37*ms)
						for member := range 8 {
							s.busy(member, burst, 0)
						}
						time.Sleep(rest)
					}
					s.end()
					if need := needed(s.all.seen(), sceneLimit); need > float64(burst+sceneLate) {
						t.Errorf("burst %d, latency %v, %v of rest: needed %.0f",
							burst, latency, rest, need)
					}
				})
			}
		}
	}
}
