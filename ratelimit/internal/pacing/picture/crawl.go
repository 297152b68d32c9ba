package main

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/internal/pacing/sim"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

const (
	seed    = 1
	workers = 8
	seconds = 3600. // of the crawl
	net     = .015  // s; median one-way delay
	limit   = 10.   // requests a second at first
	burst   = 20
)

// changes are the times at which the limit changes, and its factors of the first one.
var changes = []struct{ at, factor float64 }{{1200, .5}, {2400, 1.5}}

// limitAt is the server's limit at a time, in requests a second.
func limitAt(at float64) float64 {
	l := limit
	for _, c := range changes {
		if at >= c.at {
			l = limit * c.factor
		}
	}
	return l
}

// server is nginx with limit_req and limit_req_status 429.
func server() *limitertest.Server {
	s := limitertest.Nginx(limit, burst, true)
	s.Rule, s.Refuse, s.Seed = &changing{Rule: s.Rule}, limitertest.TooMany, seed
	return s
}

// changing is a rule whose rate changes more than once.
type changing struct {
	limitertest.Rule
	n int // changes that are done
}

func (c *changing) turn(now time.Duration) {
	for c.n < len(changes) && now.Seconds() >= changes[c.n].at {
		c.Rule.(limitertest.Resizer).Resize(now, changes[c.n].factor)
		c.n++
	}
}

func (c *changing) Next(now time.Duration) time.Duration { c.turn(now); return c.Rule.Next(now) }

func (c *changing) Count(now time.Duration, admitted bool) time.Duration {
	c.turn(now)
	return c.Rule.Count(now, admitted)
}

// A record is when a crawl's answers came.
type record struct {
	accepted, refused []float64

	// Of a pacer: the seconds from the start, and from each change, until its pace was within a
	// fifth of the limit; and its first such pace, as a share of the limit.
	found []float64
	share float64
}

func (r *record) add(now float64, a limitertest.Answer) {
	if a.Verdict == limitertest.OK {
		r.accepted = append(r.accepted, now)
	} else {
		r.refused = append(r.refused, now)
	}
}

// paced is the crawl by workers that share a pacer.
func paced() (r record) {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(seed, 9)))
	begin := []float64{0}
	for _, c := range changes {
		begin = append(begin, c.at)
	}
	sim.Crawl{
		Server: server(), Clients: []sim.Client{m}, Workers: workers, Deadline: seconds, Net: net,
		Seed: seed,
		Trace: func(now float64, _ int, _ string, a limitertest.Answer) {
			r.add(now, a)
			if n := len(r.found); n < len(begin) && now >= begin[n] &&
				math.Abs(m.Pace(now)/limitAt(now)-1) <= .2 {
				r.found = append(r.found, now-begin[n])
				if n == 0 {
					r.share = m.Pace(now) / limitAt(now)
				}
			}
		},
	}.Run()
	return r
}

// A call is one attempt of a worker, on its way to the server or back.
type call struct {
	at     float64
	n      int // breaks ties
	worker int
	back   bool
	answer limitertest.Answer
}

type calls []call

func (c calls) Len() int { return len(c) }
func (c calls) Less(i, j int) bool {
	return c[i].at < c[j].at || c[i].at == c[j].at && c[i].n < c[j].n
}
func (c calls) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *calls) Push(x any)   { *c = append(*c, x.(call)) }
func (c *calls) Pop() any {
	o := *c
	x := o[len(o)-1]
	*c = o[:len(o)-1]
	return x
}

// backingOff is the crawl by workers that each repeat a refused request on their own, after the
// waits of policies.Exponential, until it is accepted.
func backingOff() (r record) {
	rng := rand.New(rand.NewPCG(seed, 77))
	wait := make([]func() float64, workers)
	fresh := func() func() float64 {
		// The jitter is drawn here, the same +-50 %: the policy's own has no seed.
		next := .1
		return func() float64 {
			d := next
			next = min(2*next, 30)
			return d * (.5 + rng.Float64())
		}
	}
	trip := func() float64 { return net * math.Exp(.18*rng.NormFloat64()) }
	srv := server()
	var under calls
	n := 0
	push := func(c call) {
		c.n = n
		n++
		heap.Push(&under, c)
	}
	for w := range workers {
		wait[w] = fresh()
		push(call{at: trip(), worker: w})
	}
	for under[0].at <= seconds {
		c := heap.Pop(&under).(call)
		if !c.back {
			c.answer = srv.Serve(time.Duration(c.at * 1e9))
			c.at += c.answer.Busy.Seconds() + trip()
			c.back = true
			push(c)
			continue
		}
		r.add(c.at, c.answer)
		next := c.at + trip()
		if c.answer.Verdict == limitertest.OK {
			wait[c.worker] = fresh()
		} else {
			next += wait[c.worker]()
		}
		push(call{at: next, worker: c.worker})
	}
	return r
}
