package pacing

import "slices"

// How many requests are on their way.
const (
	firstSlots  = 3  // once something was refused: three more refusals do not earn a jail
	quietSlots  = 22 // answers before the next slot then
	quickSlots  = 2  // answers per slot from there to browserSlot: an open server is soon busy
	browserSlot = 8  // about what a browser opens to a host

	// Answers before there are more slots than browserSlot: most windows that sites count in are
	// over by then.
	patience = 600

	// The price of a slot in answers is multiplied by this after a slot was refused, or brought a
	// queue and not more answers.
	dearer = 4
)

// flight bounds the requests in flight, and learns how many the server takes.
type flight struct {
	now, limit int
	lost       []int // single requests that were given up and are still out: they take no place
	most       int   // the user's bound; 0: none
	opening    bool  // nothing was refused so far, and the answers are few
	narrow     bool  // one at a time for now: the start has used up most of what a jail forgives

	atLimit int     // answers at the limit since the last slot; all of them while quick
	slotAt  float64 // when that was
	dear    float64 // factor of the next slot's price, larger after each slot that was refused
	drag    float64 // the same, larger after each that brought a queue

	through   []float64 // answers a second, by the limit they came at
	good, bad []int     // answers by the number in flight when their request was sent
}

// taken is how many places of the limit are taken.
func (f *flight) taken() int { return f.now - len(f.lost) }

func (f *flight) full() bool { return f.taken() >= f.limit || f.narrow && f.taken() >= 1 }

func (f *flight) giveUp(seq int) { f.lost = append(f.lost, seq) }

// back notes that a request is no longer on its way, and reports whether it
// had been given up.
func (f *flight) back(t Ticket) (late bool) {
	if !t.nested {
		f.now--
	}
	return len(f.lost) > 0 && f.found(t)
}

// found takes a request that was given up out of those, and reports whether it is one.
func (f *flight) found(t Ticket) bool {
	i := slices.Index(f.lost, t.seq)
	if i >= 0 {
		f.lost = slices.Delete(f.lost, i, i+1)
	}
	return i >= 0
}

// quick reports whether the burst that a server may forgive is over, and the number in flight still
// below a browser's. Then any answer counts, not only those at the limit.
func (f *flight) quick() bool {
	return f.limit > firstSlots && f.limit < browserSlot && f.dear == 1
}

// price is how many answers the next slot takes.
func (f *flight) price() float64 {
	n := enough * float64(f.limit)
	if f.limit <= firstSlots {
		n = quietSlots
	} else if f.limit < browserSlot {
		n = quickSlots
	}
	return n * f.dear * f.drag
}

// opening is how many may be in flight after that many answers, while nothing was refused. When a
// burst of a usual size (those that manuals show) is used up, three requests at most should be on
// their way: five refusals in a minute earn a jail, and one more is needed to measure the rate.
// Between the usual sizes, and above them, an open server is not kept waiting.
var opening = [...]struct{ answers, slots int }{
	{0, firstSlots}, // bursts of 5 and 10
	{13, 4}, {14, browserSlot},
	{15, firstSlots}, // a burst of 20
	{24, 6}, {25, browserSlot},
}

// open sets the limit by the table opening.
func (f *flight) open(now float64) {
	n := sum(f.good)
	for _, o := range opening {
		if n >= o.answers {
			f.limit = o.slots
		}
	}
	if f.most > 0 {
		f.limit = min(f.limit, f.most)
	}
	if n >= opening[len(opening)-1].answers {
		f.opening, f.slotAt = false, now
	}
}

// admitted notes an admitted request that had k in flight beside it.
func (f *flight) admitted(now float64, k int) {
	if k < len(f.good) {
		f.good[k]++
	} else {
		*at(&f.good, k)++
	}
	if f.opening {
		f.open(now)
		return
	}
	if f.limit == browserSlot && !reach(f.good, patience) {
		f.atLimit, f.slotAt = 0, now
		return
	}
	if k < f.limit && !f.quick() {
		return
	}
	f.atLimit++
	if float64(f.atLimit) < f.price() || f.limit == f.most {
		return
	}
	for len(f.through) <= f.limit {
		f.through = append(f.through, 0)
	}
	f.through[f.limit] = over(float64(f.atLimit), now-f.slotAt)
	if half := f.through[f.limit/2]; half > 0 {
		if f.through[f.limit] < (1+firstStep)*half {
			f.drag *= dearer
		} else {
			f.drag = 1
		}
	}
	f.limit++
	f.atLimit, f.slotAt = 0, now
}

// blame decides whether the refusal of a request that had k in flight beside it is about their
// number: at least half of those sent beside k or more were refused, and enough others were
// accepted. Then the limit is lowered, and the rate left alone.
func (f *flight) blame(k, accepted int) bool {
	*at(&f.bad, k)++
	if f.opening {
		f.opening, f.limit, f.atLimit = false, min(f.limit, firstSlots), sum(f.good)
	}
	if accepted < trust || k < 2 || sum(f.bad[k:]) < sum(f.good[min(k, len(f.good)):]) {
		return false
	}
	f.limit, f.atLimit = k-1, 0
	f.dear *= dearer
	return true
}

func at(c *[]int, k int) *int {
	for len(*c) <= k {
		*c = append(*c, 0)
	}
	return &(*c)[k]
}

// reach is sum(c) >= n. It looks no further than it must.
func reach(c []int, n int) bool {
	for _, v := range c {
		if n -= v; n <= 0 {
			return true
		}
	}
	return false
}

func sum(c []int) (n int) {
	for _, v := range c {
		n += v
	}
	return n
}
