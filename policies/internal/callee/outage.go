package callee

import (
	"math/rand/v2"
	"time"
)

// Throttler is client-side throttling.
type Throttler interface {
	Reject(now time.Duration, priority int, chance float64) bool
	Finish(accepted bool)
}

// Outage is a client's traffic to a callee that accepts a share of the calls, which changes.
type Outage struct {
	Rate    float64 // calls a second
	Accepts func(now time.Duration) float64
	For     time.Duration
	Seed    uint64
}

// Traffic counts the outcomes of the calls of one second.
type Traffic struct {
	Calls, Sent, Accepted int
}

// Run runs it and returns the outcomes of the calls, second by second.
func (o Outage) Run(t Throttler) []Traffic {
	random := rand.New(rand.NewPCG(o.Seed, 2))
	seconds := make([]Traffic, int(o.For/time.Second))
	now := time.Duration(0)
	for {
		now += time.Duration(random.ExpFloat64() / o.Rate * float64(time.Second))
		if now >= o.For {
			return seconds
		}
		s := &seconds[int(now/time.Second)]
		s.Calls++
		if t.Reject(now, 0, random.Float64()) {
			continue
		}
		s.Sent++
		ok := random.Float64() < o.Accepts(now)
		t.Finish(ok)
		if ok {
			s.Accepted++
		}
	}
}

// Sum adds up the seconds from one to another.
func Sum(seconds []Traffic, from, to int) (sum Traffic) {
	for _, s := range seconds[from:to] {
		sum.Calls += s.Calls
		sum.Sent += s.Sent
		sum.Accepted += s.Accepted
	}
	return sum
}

// Passing is the share of the calls that are sent.
func (t Traffic) Passing() float64 { return float64(t.Sent) / float64(max(1, t.Calls)) }

// Book is the SRE book's own formula over one window, but with at most the share Most rejected;
// with 1 it is the book's.
type Book struct {
	K      float64
	Window time.Duration
	Most   float64

	events []bookEvent
	counts struct{ requests, accepts int }
	now    time.Duration
}

type bookEvent struct {
	at       time.Duration
	accepted bool
}

// Reject decides about a call.
func (b *Book) Reject(now time.Duration, _ int, chance float64) bool {
	b.now = now
	for len(b.events) > 0 && b.events[0].at <= now-b.Window {
		b.counts.requests--
		if b.events[0].accepted {
			b.counts.accepts--
		}
		b.events = b.events[1:]
	}
	p := (float64(b.counts.requests) - b.K*float64(b.counts.accepts)) / float64(b.counts.requests+1)
	if chance >= min(p, b.Most) {
		return false
	}
	b.count(false)
	return true
}

// Finish counts a call that was sent.
func (b *Book) Finish(accepted bool) { b.count(accepted) }

func (b *Book) count(accepted bool) {
	b.events = append(b.events, bookEvent{b.now, accepted})
	b.counts.requests++
	if accepted {
		b.counts.accepts++
	}
}
