package policies

import "slices"

// ranked is a queue: the higher priority first, first in first out within one.
type ranked []*ranker

// ranker is a call in a ranked queue.
type ranker struct {
	priority int
	turn     chan struct{} // closed when the wait is over: a seat, or evicted
	seat     seat
	evicted  bool
}

func (q *ranked) push(w *ranker) {
	i := len(*q)
	for i > 0 && (*q)[i-1].priority < w.priority {
		i--
	}
	*q = slices.Insert(*q, i, w)
}

// pop takes the first.
func (q *ranked) pop() *ranker {
	w := (*q)[0]
	*q = slices.Delete(*q, 0, 1)
	return w
}

func (q ranked) last() *ranker { return q[len(q)-1] }

// drop takes the last of the lowest priority.
func (q *ranked) drop() *ranker {
	w := q.last()
	q.remove(w)
	return w
}

func (q *ranked) remove(w *ranker) {
	if i := slices.Index(*q, w); i >= 0 {
		*q = slices.Delete(*q, i, i+1)
	}
}
