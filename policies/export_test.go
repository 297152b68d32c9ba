package policies

import "time"

// Sweep forgets what has not been used since the last sweep, as the timer does.
func Sweep[K comparable](k *Keys[K]) { k.sweep(false) }

// Spread draws a wait for d, the first one of its schedule, after previous.
func Spread(j Jitter, d, previous, limit time.Duration) time.Duration {
	return j.spread(d, d, previous, limit)
}
