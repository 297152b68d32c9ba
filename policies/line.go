package policies

import (
	"container/heap"
	"errors"

	"github.com/reprise-go/reprise/retry"
)

// line is the queue of a Bulkhead and an Adaptive: higher priorities first, first in, first out
// within one. All of it is guarded by the policy's lock.
type line[T any] struct {
	waiters byTurn[T]
	came    uint64
}

// waiter is a call in line.
type waiter[T any] struct {
	has      T // what it runs with, once it is its turn
	priority retry.Priority
	came     uint64
	at       int           // in the heap; -1: not any more
	turn     chan struct{} // closed once it may run, or is rejected
	rejected error
}

var errDisplaced = errors.New("a call of higher priority took its place in the queue")

// before reports whether a waiter goes before a call of that priority that comes now.
func (l *line[T]) before(p retry.Priority) bool {
	return len(l.waiters) > 0 && l.waiters[0].priority >= p
}

func (l *line[T]) push(has T, priority retry.Priority) *waiter[T] {
	l.came++
	w := &waiter[T]{has: has, priority: priority, came: l.came, turn: make(chan struct{})}
	heap.Push(&l.waiters, w)
	return w
}

// below is the last in line if its priority is below p, and otherwise nil: in a full queue a call
// of priority p takes its place.
func (l *line[T]) below(p retry.Priority) *waiter[T] {
	var last *waiter[T]
	for i, w := range l.waiters {
		if last == nil || l.waiters.Less(last.at, i) {
			last = w
		}
	}
	if last == nil || last.priority >= p {
		return nil
	}
	return last
}

// dismiss ends the wait of w: with a rejection or, if that is nil, with what it has.
func (l *line[T]) dismiss(w *waiter[T], rejected error) {
	l.remove(w)
	w.rejected = rejected
	close(w.turn)
}

// remove takes w out, if it is still in line.
func (l *line[T]) remove(w *waiter[T]) {
	if w.at >= 0 {
		heap.Remove(&l.waiters, w.at)
	}
}

type byTurn[T any] []*waiter[T]

func (t byTurn[T]) Len() int { return len(t) }

func (t byTurn[T]) Less(i, j int) bool {
	if t[i].priority != t[j].priority {
		return t[i].priority > t[j].priority
	}
	return t[i].came < t[j].came
}

func (t byTurn[T]) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].at, t[j].at = i, j
}

func (t *byTurn[T]) Push(w any) {
	w.(*waiter[T]).at = len(*t)
	*t = append(*t, w.(*waiter[T]))
}

func (t *byTurn[T]) Pop() any {
	old := *t
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	w.at = -1
	return w
}
