package breaker

import (
	"math"
	"time"
)

// ramp lets a share of the calls through that grows from nothing to all between an era's beginning
// and its until. The share is spread evenly over the calls, not drawn: of ten calls at 30 %, three
// go.
type ramp struct {
	credit  float64 // a call goes when it has come to 1
	refused int
}

func (r *ramp) admits(e *era, now time.Duration) bool {
	r.credit += float64(now-e.since) / float64(e.until-e.since)
	if r.credit < 1 {
		r.refused++
		return false
	}
	r.credit--
	return true
}

// wait tells a refused call when to come back: somewhere in what is left of the ramp, each at
// another point of it (steps of the golden section fill an interval evenly). If all were told its
// end, they would come all at once and undo it.
func (r *ramp) wait(e *era, now time.Duration) time.Duration {
	_, at := math.Modf(float64(r.refused) * (math.Sqrt(5) - 1) / 2)
	return max(1, time.Duration(at*float64(e.until-now)))
}
