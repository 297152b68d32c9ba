package load

import "slices"

// table has an entry for each priority in use, the lowest first. It is bounded: when it is full a
// new priority counts with the next one below it, or above it if there is none.
type table[T any] []entry[T]

type entry[T any] struct {
	priority int
	value    T
}

const maxPriorities = 32

// at returns the index of a priority, and adds it if it is new.
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

// forget drops the entries for which idle returns true.
func (t *table[T]) forget(idle func(*T) bool) {
	*t = slices.DeleteFunc(*t, func(e entry[T]) bool { return idle(&e.value) })
}
