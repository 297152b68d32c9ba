package policies

import (
	"container/heap"

	"github.com/reprise-go/reprise/retry"
)

// line is the queue of a Bulkhead: higher priorities first, first in, first out within one. All of
// it is guarded by the bulkhead's lock.
type line struct {
	waiters byTurn
	came    uint64
}

// waiter is a call in line.
type waiter struct {
	place    *place
	priority retry.Priority
	came     uint64
	at       int           // in the heap; -1: not any more
	turn     chan struct{} // closed once it has its slots, or is rejected
	rejected error
}

// before reports whether somebody in line goes before a call of that priority that comes now.
func (l *line) before(p retry.Priority) bool {
	return len(l.waiters) > 0 && l.waiters[0].priority >= p
}

func (l *line) push(p *place, priority retry.Priority) *waiter {
	l.came++
	w := &waiter{place: p, priority: priority, came: l.came, turn: make(chan struct{})}
	heap.Push(&l.waiters, w)
	return w
}

// lowest is the waiter that goes last, nil if nobody waits.
func (l *line) lowest() (last *waiter) {
	for i, w := range l.waiters {
		if last == nil || l.waiters.Less(last.at, i) {
			last = w
		}
	}
	return last
}

// remove takes w out, if it is still in line.
func (l *line) remove(w *waiter) {
	if w.at >= 0 {
		heap.Remove(&l.waiters, w.at)
	}
}

// cut takes those out that f picks.
func (l *line) cut(f func(*waiter) bool) (out []*waiter) {
	for _, w := range l.waiters {
		if f(w) {
			out = append(out, w)
		}
	}
	for _, w := range out {
		l.remove(w)
	}
	return out
}

type byTurn []*waiter

func (t byTurn) Len() int { return len(t) }

func (t byTurn) Less(i, j int) bool {
	if t[i].priority != t[j].priority {
		return t[i].priority > t[j].priority
	}
	return t[i].came < t[j].came
}

func (t byTurn) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].at, t[j].at = i, j
}

func (t *byTurn) Push(w any) {
	w.(*waiter).at = len(*t)
	*t = append(*t, w.(*waiter))
}

func (t *byTurn) Pop() any {
	old := *t
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	w.at = -1
	return w
}
