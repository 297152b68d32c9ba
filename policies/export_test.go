package policies

import "time"

// Sweep forgets what has not been used since the last sweep, as the timer does.
func Sweep[K comparable](k *Keys[K]) { k.store.sweep(false) }

// WhenFound has f called whenever a key is found, before it is used. Call it before there are keys.
func WhenFound(k *Keys[int], f func()) {
	s := k.store.(*store[int, int])
	same := s.same
	s.same = func(kept *int, key int) bool {
		found := same(kept, key)
		if found {
			f()
		}
		return found
	}
}

// SameText tells whether two strings would be the same key.
func SameText(a, b string) bool {
	kept := keepText(a)
	return kept.is(b)
}

// Spread draws a wait for d, the first one of its schedule, after previous.
func Spread(j Jitter, d, previous, limit time.Duration) time.Duration {
	return j.spread(d, d, previous, limit)
}
