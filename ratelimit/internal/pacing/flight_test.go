package pacing

import "testing"

// answers admits n requests that had k in flight beside them, the faster the more may be, and
// returns the time.
func (f *flight) answers(now float64, n, k int) float64 {
	for range n {
		now += 1 / float64(f.limit)
		f.admitted(now, k)
	}
	return now
}

func TestTheStartOpensBetweenTheUsualBursts(t *testing.T) {
	for _, c := range []struct {
		name string
		most int
		want map[int]int // by the answers
	}{
		{"without a bound", 0,
			map[int]int{0: 3, 12: 3, 13: 4, 14: 8, 15: 3, 23: 3, 24: 6, 25: 8, 26: 8}},
		{"bounded", 5, map[int]int{0: 3, 13: 4, 14: 5, 15: 3, 24: 5, 25: 5, 100: 5}},
	} {
		f := flight{opening: true, limit: firstSlots, dear: 1, drag: 1, most: c.most}
		for n := range 101 {
			if want := c.want[n]; want != 0 && f.limit != want {
				t.Errorf("%s: %d in flight after %d answers, want %d", c.name, f.limit, n, want)
			}
			if f.opening != (n < 25) {
				t.Errorf("%s: opening is %v after %d answers", c.name, f.opening, n)
			}
			f.admitted(float64(n+1), 1)
		}
	}
}

// A refusal ends the opening. What follows goes up by batches of answers.
func TestSlotsAfterARefusal(t *testing.T) {
	f := flight{opening: true, limit: firstSlots, dear: 1, drag: 1}
	now := f.answers(0, 14, 1)
	f.blame(1, 14)
	for _, s := range []struct {
		name       string
		answers, k int
		limit      int
	}{
		{"as few as at first", 0, 0, 3},
		{"answers of the opening count", 7, 3, 3},
		{"22 in all", 1, 3, 4},
		{"one", 1, 1, 4},
		{"two, with any number in flight", 1, 1, 5},
		{"two more", 2, 1, 6},
		{"and so on", 4, 1, 8},
		{"as many as a browser has, until windows are over", 600 - 30 - 1, 8, 8},
		{"now each takes eight for each in flight", 64 - 1, 8, 8},
		{"those with fewer in flight do not count", 10, 7, 8},
		{"the last of 64", 1, 8, 9},
	} {
		now = f.answers(now, s.answers, s.k)
		if f.limit != s.limit {
			t.Errorf("%s: %d in flight, want %d", s.name, f.limit, s.limit)
		}
	}
	first := flight{opening: true, limit: 1, most: 1, dear: 1, drag: 1}
	if first.blame(1, 0); first.limit != 1 {
		t.Errorf("a refusal raises the limit to %d", first.limit)
	}
}

// A slot that brings no more answers a second than half as many did makes the next one dearer.
func TestASlotThatBringsNothingIsDear(t *testing.T) {
	f := flight{limit: 4, dear: 1, drag: 1, good: []int{0, patience}}
	at := func(limit int, every float64) { // each answer so long after the one before
		t.Helper()
		now := f.slotAt
		for f.limit == limit {
			now += every
			f.admitted(now, limit)
		}
	}
	for limit := 4; limit < 8; limit++ {
		at(limit, 1)
	}
	if at(8, .9); f.drag != dearer { // 1.1 times as many as with four
		t.Errorf("drag %v after a slot that brought nothing", f.drag)
	}
	if p := f.price(); p != enough*9*dearer {
		t.Errorf("the next takes %v answers", p)
	}
	if at(9, .5); f.drag != 1 {
		t.Errorf("drag %v after a slot that brought twice as many", f.drag)
	}
	f.most = 10
	if f.answers(f.slotAt, 10_000, 10); f.limit != 10 {
		t.Errorf("%d in flight, beyond the bound of 10", f.limit)
	}
}

func TestWhenTheNumberInFlightIsToBlame(t *testing.T) {
	for _, c := range []struct {
		name        string
		good, bad   []int // by the number in flight
		k, accepted int
		limit       int // 0: it is not
	}{
		{"as many refused as passed", []int{0, 50, 9, 1, 1}, []int{0, 0, 0, 1}, 3, 61, 2},
		{"most passed", []int{0, 50, 9, 2, 1}, []int{0, 0, 0, 1}, 3, 62, 0},
		{"none was sent with as many", []int{0, 50}, nil, 4, 50, 3},
		{"too few accepted", []int{0, 3}, nil, 3, 3, 0},
		{"one alone", []int{0, 50}, []int{0, 60}, 1, 50, 0},
	} {
		f := flight{limit: 8, dear: 1, drag: 1, atLimit: 5, good: c.good, bad: c.bad}
		blamed := f.blame(c.k, c.accepted)
		if blamed != (c.limit > 0) {
			t.Errorf("%s: blamed is %v", c.name, blamed)
		}
		if blamed && (f.limit != c.limit || f.atLimit != 0 || f.dear != dearer) {
			t.Errorf("%s: %d in flight, %d towards the next, %v times as dear",
				c.name, f.limit, f.atLimit, f.dear)
		}
		if !blamed && (f.limit != 8 || f.atLimit != 5 || f.dear != 1) {
			t.Errorf("%s: it changed %+v", c.name, f)
		}
	}
	dear := flight{limit: 5, dear: dearer, drag: 1, good: []int{0, patience}}
	if dear.answers(0, 100, 4); dear.limit != 5 {
		t.Error("after a slot was refused, answers to fewer in flight raise the limit")
	}
	if dear.answers(0, quickSlots*dearer, 5); dear.limit != 6 {
		t.Errorf("%d in flight after the dearer price was paid", dear.limit)
	}
}

// A single request that was given up takes no place, and comes back late.
func TestGivenUpRequestsTakeNoPlace(t *testing.T) {
	f := flight{limit: 2, now: 2}
	if !f.full() {
		t.Error("two of two are not full")
	}
	if f.giveUp(7); f.full() || f.taken() != 1 {
		t.Error("one that was given up takes a place")
	}
	if f.narrow = true; !f.full() {
		t.Error("two at once while one at a time goes")
	}
	if late := f.back(Ticket{seq: 8}); late || f.now != 1 || f.full() {
		t.Errorf("late %v, %d in flight", late, f.now)
	}
	if late := f.back(Ticket{seq: 7}); !late || f.now != 0 || len(f.lost) != 0 {
		t.Errorf("late %v, %d in flight, %v lost", late, f.now, f.lost)
	}
	if f.back(Ticket{seq: 9, marks: marks{nested: true}}); f.now != 0 {
		t.Error("a nested one frees a place")
	}
}
