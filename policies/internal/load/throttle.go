package load

import "time"

// Throttle is the client-side throttling of the SRE book (Beyer et al., Site Reliability
// Engineering, O'Reilly 2016, chapter 21, "Handling Overload"). Over a window it counts accepts and
// requests, including those that it has rejected itself, and rejects the next request with
// probability
//
//	max(0, (requests − K·accepts) / (requests + 1))
//
// There are three changes. The probability is never above 95 %: by the book's formula a long outage
// leaves too few calls to see that the callee is well again, so the client hardly ever recovers. It
// is the smaller of two, over the window and over its last sixth: an outage is recognised as
// carefully as before and forgotten six times as fast. And a request counts when its outcome is
// known, because otherwise a client's first calls, still under way, would count against a healthy
// callee.
//
// Lower priorities are rejected first: the share of calls to be rejected is taken from the lowest
// priority, and only the rest of it from the next one above.
//
// It is pure: time and chance are arguments.
type Throttle struct {
	k      float64
	slot   time.Duration
	latest int64 // the slot written last
	ring   [throttleSlots]tally
	all    tally // of the whole ring
	recent tally // of the last recentSlots

	shares  table[float64] // arrivals by priority, fading
	arrived float64        // their sum
}

type tally struct{ requests, accepts int }

func (t *tally) add(o tally) { t.requests += o.requests; t.accepts += o.accepts }
func (t *tally) sub(o tally) { t.requests -= o.requests; t.accepts -= o.accepts }

const (
	throttleSlots = 60
	recentSlots   = 10
	mostRejected  = 0.95
)

// NewThrottle makes one with the book's K over a window.
func NewThrottle(k float64, over time.Duration) Throttle {
	return Throttle{k: k, slot: max(1, over/throttleSlots)}
}

// Reject decides whether to reject a call that has arrived. chance is a random number in [0, 1). A
// call that is not rejected must be followed by Finish if its outcome counts.
func (t *Throttle) Reject(now time.Duration, priority int, chance float64) bool {
	t.roll(now)
	i := t.arrive(priority)
	p := t.probability()
	if p > 0 && len(t.shares) > 1 {
		p = t.share(i, p)
	}
	if chance >= p {
		return false
	}
	t.count(tally{requests: 1})
	return true
}

// Finish counts a call that was not rejected.
func (t *Throttle) Finish(accepted bool) {
	one := tally{requests: 1}
	if accepted {
		one.accepts = 1
	}
	t.count(one)
}

// Probability is the share of the calls that is rejected now.
func (t *Throttle) Probability(now time.Duration) float64 {
	t.roll(now)
	return t.probability()
}

// Counts are the requests and accepts of the window.
func (t *Throttle) Counts(now time.Duration) (requests, accepts int) {
	t.roll(now)
	return t.all.requests, t.all.accepts
}

func (t *Throttle) count(one tally) {
	t.ring[ring(t.latest)].add(one)
	t.all.add(one)
	t.recent.add(one)
}

func (t *Throttle) probability() float64 {
	return min(mostRejected, t.of(t.all), t.of(t.recent))
}

func (t *Throttle) of(c tally) float64 {
	return max(0, (float64(c.requests)-t.k*float64(c.accepts))/float64(c.requests+1))
}

// share is the probability for one priority if p of all calls are to be rejected.
func (t *Throttle) share(i int, p float64) float64 {
	below := 0.0
	for _, e := range t.shares[:i] {
		below += e.value
	}
	return max(0, min(mostRejected, (p*t.arrived-below)/t.shares[i].value))
}

// arrive counts an arrival of a priority.
func (t *Throttle) arrive(priority int) int {
	i := t.shares.at(priority)
	t.shares[i].value++
	t.arrived++
	return i
}

// roll makes the slot of now the latest and wipes those that have left the window.
func (t *Throttle) roll(now time.Duration) {
	at := int64(now / t.slot)
	if at <= t.latest {
		return
	}
	if at-t.latest >= throttleSlots {
		*t = Throttle{k: t.k, slot: t.slot, latest: at}
		return
	}
	for s := t.latest + 1; s <= at; s++ {
		t.recent.sub(t.ring[ring(s-recentSlots)])
		t.all.sub(t.ring[ring(s)])
		t.ring[ring(s)] = tally{}
		t.fade()
	}
	t.latest = at
}

// fade lets the arrivals by priority halve in a twelfth of the window.
func (t *Throttle) fade() {
	const kept = 0.87
	t.arrived = 0
	for i := range t.shares {
		t.shares[i].value *= kept
		t.arrived += t.shares[i].value
	}
	t.shares.forget(func(arrivals *float64) bool { return *arrivals < 0.01 })
}

// ring is the place of a slot. The slots before the first are empty.
func ring(slot int64) int64 { return (slot%throttleSlots + throttleSlots) % throttleSlots }
