package policies

import (
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Sweep forgets what has not been used since the last sweep, as the timer does.
func Sweep[K comparable](k *Keys[K]) { k.keys.Sweep() }

// Spread draws a wait for d, the first one of its schedule, after previous.
func Spread(j Jitter, d, previous, limit time.Duration) time.Duration {
	return j.spread(d, d, previous, limit)
}

// Waits is the schedule of a loop as one call meets it, bounded by the loop's attempts; nil if the
// loop is misconfigured.
func Waits(p retry.Policy) func() (time.Duration, bool) {
	l := p.(*loop)
	if l.err != nil {
		return nil
	}
	var w waits
	made := 0
	return func() (time.Duration, bool) {
		if made++; l.attempts > 0 && made >= l.attempts {
			return 0, false
		}
		return w.next(l)
	}
}
