// Package callee simulates callees under load in virtual time: an event loop, without a clock or
// goroutines. A run depends on its seed only.
package callee

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Callee is a service that works on a number of calls at once (its hands); further calls wait in an
// endless queue. Its hands and its slowness may change with time.
type Callee struct {
	Hands func(now time.Duration) int     // calls worked on at once
	Slow  func(now time.Duration) float64 // factor on the length of a call; nil: 1
	Work  func(r *rand.Rand) time.Duration
}

// Limiter decides how many calls may be at the callee.
type Limiter interface {
	// Admit takes a slot for a call of a priority, or says that there is none.
	Admit(now time.Duration, priority int) (ticket any, ok bool)
	// Limit is how many calls it admits at once.
	Limit() int
	// Finish gives the slot back.
	Finish(now time.Duration, ticket any, timedOut bool)
}

// Load is the calls that a callee gets.
type Load struct {
	Rate    func(now time.Duration) float64 // arrivals a second, a Poisson process
	For     time.Duration
	Timeout time.Duration // of a call; 0: none. The callee does not notice and works on
	Share   float64       // of critical calls: priority 100; the others have -100
	Seed    uint64
}

// Sample is one call that was admitted.
type Sample struct {
	Start, End time.Duration
	TimedOut   bool
	Critical   bool
}

// Refusal is one call that was not admitted.
type Refusal struct {
	At       time.Duration
	Critical bool
}

// Result is the outcome of a run.
type Result struct {
	Samples []Sample // in order of their end
	Refused []Refusal
	Limits  []int // at the end of each second
}

// Goodput is how many calls a second succeeded in a part of the run.
func (r *Result) Goodput(from, to time.Duration) float64 {
	n := 0
	for _, s := range r.Samples {
		if s.End >= from && s.End < to && !s.TimedOut {
			n++
		}
	}
	return float64(n) / (to - from).Seconds()
}

// Quantile of the latencies of the calls that began within a part of the run.
func (r *Result) Quantile(q float64, from, to time.Duration) time.Duration {
	var all []time.Duration
	for _, s := range r.Samples {
		if s.Start >= from && s.Start < to {
			all = append(all, s.End-s.Start)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(math.Ceil(q*float64(len(all))))-1)]
}

// RefusedIn counts refusals within a part of the run.
func (r *Result) RefusedIn(from, to time.Duration) (n int) {
	for _, o := range r.Refused {
		if o.At >= from && o.At < to {
			n++
		}
	}
	return n
}

// Lost is the share of calls in a part of the run that were refused or timed out, of the critical
// calls or of the others.
func (r *Result) Lost(critical bool, from, to time.Duration) float64 {
	all, lost := 0, 0
	for _, o := range r.Refused {
		if o.Critical == critical && o.At >= from && o.At < to {
			all, lost = all+1, lost+1
		}
	}
	for _, s := range r.Samples {
		if s.Critical == critical && s.Start >= from && s.Start < to {
			all++
			if s.TimedOut {
				lost++
			}
		}
	}
	return float64(lost) / float64(max(1, all))
}

// call is one call at the callee.
type call struct {
	start    time.Duration
	work     time.Duration
	ticket   any
	gone     bool // timed out
	critical bool
}

// event is something that is due: the end of a call, its timeout, an arrival, the end of a second.
type event struct {
	at   time.Duration
	seq  int
	kind kind
	call *call
}

type kind uint8

const (
	arrival kind = iota
	done
	timeout
	second
)

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e *events) Push(x any) { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// run is a simulation under way.
type run struct {
	Callee
	load    Load
	limiter Limiter
	random  *rand.Rand
	due     events
	seq     int
	busy    int
	queue   []*call
	result  Result
}

// Run sends load to c through l.
func Run(c Callee, l Limiter, load Load) *Result {
	r := &run{Callee: c, load: load, limiter: l, random: rand.New(rand.NewPCG(load.Seed, 1))}
	if r.Slow == nil {
		r.Slow = func(time.Duration) float64 { return 1 }
	}
	r.push(0, arrival, nil)
	r.push(time.Second, second, nil)
	for len(r.due) > 0 {
		e := heap.Pop(&r.due).(event)
		if e.at > load.For {
			break
		}
		r.happen(e)
	}
	return &r.result
}

func (r *run) push(at time.Duration, k kind, c *call) {
	r.seq++
	heap.Push(&r.due, event{at, r.seq, k, c})
}

func (r *run) happen(e event) {
	switch e.kind {
	case arrival:
		r.arrive(e.at)
	case timeout:
		if !e.call.gone {
			r.end(e.at, e.call, true)
		}
	case done:
		r.busy--
		if !e.call.gone {
			r.end(e.at, e.call, false)
		}
		r.work(e.at)
	case second:
		r.result.Limits = append(r.result.Limits, r.limiter.Limit())
		r.work(e.at) // there may be more hands
		r.push(e.at+time.Second, second, nil)
	}
}

func (r *run) arrive(now time.Duration) {
	if rate := r.load.Rate(now); rate > 0 {
		r.push(now+time.Duration(r.random.ExpFloat64()/rate*float64(time.Second)), arrival, nil)
	} else {
		r.push(now+10*time.Millisecond, arrival, nil)
		return
	}
	work, critical, priority := r.Work(r.random), r.random.Float64() < r.load.Share, -100
	if critical {
		priority = 100
	}
	ticket, ok := r.limiter.Admit(now, priority)
	if !ok {
		r.result.Refused = append(r.result.Refused, Refusal{now, critical})
		return
	}
	c := &call{start: now, work: work, ticket: ticket, critical: critical}
	if r.load.Timeout > 0 {
		r.push(now+r.load.Timeout, timeout, c)
	}
	r.queue = append(r.queue, c)
	r.work(now)
}

// work gives calls from the queue to free hands.
func (r *run) work(now time.Duration) {
	for len(r.queue) > 0 && r.busy < r.Hands(now) {
		c := r.queue[0]
		r.queue = r.queue[1:]
		r.busy++
		r.push(now+time.Duration(float64(c.work)*r.Slow(now)), done, c)
	}
}

func (r *run) end(now time.Duration, c *call, timedOut bool) {
	c.gone = true
	r.result.Samples = append(r.result.Samples, Sample{c.start, now, timedOut, c.critical})
	r.limiter.Finish(now, c.ticket, timedOut)
}
