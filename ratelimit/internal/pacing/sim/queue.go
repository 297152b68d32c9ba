package sim

import (
	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

// event is a request that arrives at the server, or its answer at the client.
type event struct {
	at      float64
	seq     int // breaks ties
	arrives bool
	ticket  pacing.Ticket
	client  int
	job
	answer limitertest.Answer
}

// queue is a heap of events, the earliest first. It does not use container/heap, which boxes every
// event: that would be half of the time of a crawl.
type queue struct {
	heap   []event
	pushed int
}

func before(a, b *event) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (q *queue) push(e event) {
	q.pushed++
	e.seq = q.pushed
	h := append(q.heap, e)
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !before(&h[i], &h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	q.heap = h
}

func (q *queue) pop() event {
	h := q.heap
	first := h[0]
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for i := 0; ; {
		next := 2*i + 1
		if next+1 < n && before(&h[next+1], &h[next]) {
			next++
		}
		if next >= n || !before(&h[next], &h[i]) {
			break
		}
		h[i], h[next] = h[next], h[i]
		i = next
	}
	q.heap = h
	return first
}
