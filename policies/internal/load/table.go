package load

import "slices"

// table keeps something for each priority that is in use, ordered, the lowest first. It is bounded:
// beyond that a new priority is counted with the next one below it, or above if there is none.
type table[T any] []entry[T]

type entry[T any] struct {
	priority int
	value    T
}

const maxPriorities = 32

// at returns the place of a priority, made if need be.
func (t *table[T]) at(priority int) int {
	for i := range *t {
		if (*t)[i].priority == priority {
			return i
		}
	}
	i, _ := slices.BinarySearchFunc(*t, priority, func(e entry[T], p int) int {
		switch {
		case e.priority < p:
			return -1
		case e.priority > p:
			return 1
		}
		return 0
	})
	if len(*t) == maxPriorities {
		return max(0, i-1)
	}
	*t = slices.Insert(*t, i, entry[T]{priority: priority})
	return i
}

// forget drops what idle says is of no more use.
func (t *table[T]) forget(idle func(*T) bool) {
	*t = slices.DeleteFunc(*t, func(e entry[T]) bool { return idle(&e.value) })
}
