package pacing

import "slices"

// flight bounds the requests in flight, and learns how many the server takes.
type flight struct {
	now, limit int
	lost       []int // of those now, single requests that were given up: they take no place of the limit
	most       int   // the user's bound; 0: none
	narrow     bool  // one at a time for now: the start has used up most of what a jail forgives

	atLimit int     // answers at the limit since the last slot; all of them while quick
	slotAt  float64 // when that was
	dear    float64 // the next slot's price in answers grows by dearer whenever a slot was refused,
	drag    float64 // and whenever it brought a queue

	through   []float64 // answers a second, by the limit they came at
	good, bad []int     // answers by the number in flight when their request was sent
}

// taken is how many places of the limit are.
func (f *flight) taken() int { return f.now - len(f.lost) }

func (f *flight) full() bool { return f.taken() >= f.limit || f.narrow && f.taken() >= 1 }

func (f *flight) giveUp(seq int) { f.lost = append(f.lost, seq) }

// back notes that a request is no longer on its way, and reports whether it
// had been given up.
func (f *flight) back(seq int) (late bool) {
	f.now--
	i := slices.Index(f.lost, seq)
	if i >= 0 {
		f.lost = slices.Delete(f.lost, i, i+1)
	}
	return i >= 0
}

// quick reports whether the burst that a server may forgive is behind, and the
// number in flight still below a browser's: then any answer counts.
func (f *flight) quick() bool {
	return f.limit > firstSlots && f.limit < browserSlot && f.dear == 1
}

// price is how many answers the next slot takes.
func (f *flight) price() float64 {
	n := laterSlots * float64(f.limit)
	if f.limit <= firstSlots {
		n = quietSlots
	} else if f.limit < browserSlot {
		n = quickSlots
	}
	return n * f.dear * f.drag
}

// admitted notes an admitted request that had k in flight beside it.
func (f *flight) admitted(now float64, k int) {
	*at(&f.good, k)++
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
	f.through[f.limit] = float64(f.atLimit) / (now - f.slotAt)
	if half := f.through[f.limit/2]; half > 0 {
		if f.through[f.limit] < gain*half {
			f.drag *= dearer
		} else {
			f.drag = 1
		}
	}
	f.limit++
	f.atLimit, f.slotAt = 0, now
}

// blame decides whether a refusal of a request that had k in flight beside it
// is about their number: it was sent at the limit, and at least half of those
// sent so were refused, and not everything was. Then the limit is lowered, and
// the rate left alone.
func (f *flight) blame(k, accepted int) bool {
	*at(&f.bad, k)++
	if accepted < trust || k < max(2, f.limit) || sum(f.bad[k:]) < sum(f.good[min(k, len(f.good)):]) {
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

func sum(c []int) (n int) {
	for _, v := range c {
		n += v
	}
	return n
}
