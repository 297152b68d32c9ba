package pacing

import (
	"math"
	"testing"
)

// told is an answer that a gauge hears.
type told struct {
	at     float64
	seq    int // of its request
	beside int
	flying int // when it came
	kind   Kind
	remain int
	reset  float64
	limit  int
	window float64
}

func (g *gauge) tell(all ...told) {
	for _, h := range all {
		t := Ticket{Sent: h.at, seq: h.seq, Beside: int32(max(1, h.beside))}
		g.hear(h.at, t, Answer{Kind: h.kind, RetryAfter: -1, Remaining: h.remain, Reset: h.reset,
			Limit: h.limit, Window: h.window}, h.flying)
	}
}

func TestWhatRemains(t *testing.T) {
	for _, c := range []struct {
		name    string
		hears   []told
		left    int
		permits int // a second after the last, with two on their way
	}{
		{"as it is told", []told{{at: 1, seq: 1, remain: 50, reset: 60}}, 50, 48},
		{"nothing told",
			[]told{{at: 1, seq: 1, remain: 50, reset: 60}, {at: 2, seq: 2, remain: -1}}, 50, 48},
		{"an older request is told more",
			[]told{{at: 1, seq: 2, remain: 50, reset: 60}, {at: 2, seq: 1, remain: 51, reset: 60}},
			50, 48},
		{"an older request is told less",
			[]told{{at: 1, seq: 2, remain: 50, reset: 60}, {at: 2, seq: 1, remain: 40, reset: 60}},
			40, 38},
		{"in one window it only falls",
			[]told{{at: 1, seq: 1, remain: 40, reset: 60},
				{at: 2, seq: 2, beside: 2, remain: 45, reset: 59}}, 40, 38},
		{"but what one alone is told is so",
			[]told{{at: 1, seq: 1, remain: 40, reset: 60}, {at: 2, seq: 2, remain: 45, reset: 59}},
			45, 43},
		{"alone when it was sent only",
			[]told{{at: 1, seq: 1, remain: 40, reset: 60},
				{at: 2, seq: 2, flying: 1, remain: 45, reset: 59}}, 40, 38},
		{"a window's end", []told{{at: 1, seq: 1, remain: 40, reset: 2},
			{at: 4, seq: 2, beside: 2, remain: 100, reset: 60}}, 100, 98},
		{"without a reset it may only fall too",
			[]told{{at: 1, seq: 1, remain: 40}, {at: 2, seq: 2, beside: 2, remain: 45}}, 40, 38},
	} {
		var g gauge
		g.tell(c.hears...)
		last := c.hears[len(c.hears)-1]
		if g.left != c.left || g.permits(last.at+1, last.at, 2) != c.permits {
			t.Errorf("%s: %d remain, %d may go", c.name, g.left, g.permits(last.at+1, last.at, 2))
		}
	}
}

// A bucket fills all the time: what comes in shows before anything is refused.
func TestAGaugeThatFlows(t *testing.T) {
	var g gauge
	bucket := func(from, to int, beside int) { // ten a second come in, five a second are sent
		for i := from; i < to; i++ {
			g.tell(told{at: float64(i) / 5, seq: i, beside: beside,
				remain: 40 + i, limit: 100, reset: 10})
		}
	}
	if bucket(1, 2, 4); g.inflow != 0 || g.over != 0 {
		t.Errorf("the first answer is a flow of %v", g.inflow)
	}
	bucket(2, 3, 4)
	if g.flows {
		t.Error("two more in all are taken for a flow, where four were on their way")
	}
	bucket(3, 8, 4)
	if !g.flows || g.rate() < 7 || g.rate() > 10 {
		t.Errorf("flows %v, at %v a second", g.flows, g.rate())
	}
	// What it says does not jump up by more than comes in.
	before := g.left
	g.tell(told{at: 1.6, seq: 8, beside: 4, remain: 90, limit: 100, reset: 10})
	if g.left > before+1+int(g.rate()*.2) {
		t.Errorf("from %d to %d in .2 s", before, g.left)
	}
	if g.tell(told{at: 1.8, seq: 70, beside: 4, remain: 30, limit: 100, reset: 10}); g.left != 30 {
		t.Errorf("%d remain where it says 30", g.left)
	}
	// Empty: the next goes when it has come in, whatever the reset says.
	g.tell(told{at: 2, seq: 102, beside: 4, remain: 0, limit: 100, reset: 10})
	if at := g.next(2, 2, 0, false); math.Abs(at-(2+1/g.rate())) > 1e-9 {
		t.Errorf("the next goes at %v, %v/s come in", at, g.rate())
	}
	if at := g.next(5, 2, 0, false); at != 5 {
		t.Errorf("what is due goes at %v, not now", at)
	}
	if r := g.spread(2, 0); r != inf {
		t.Errorf("what flows is spread to %v/s", r)
	}
	// A refusal's word is not counted to what comes in, nor is what a full one loses.
	in, over := g.inflow, g.over
	g.tell(told{at: 3, seq: 103, kind: Refusal, beside: 4, remain: 0, limit: 100, reset: 10})
	if g.inflow != in || g.over != over {
		t.Error("a refusal counts to what comes in")
	}
	g.tell(told{at: 4, seq: 104, beside: 4, remain: 99, limit: 100, reset: 10})
	if g.inflow != in || g.over != over {
		t.Error("a full bucket counts to what comes in")
	}
	if r := (&gauge{flows: true, inflow: 5}).rate(); r != 0 {
		t.Errorf("a flow in no time is a rate of %v", r)
	}
	far := gauge{heard: true, flows: true, left: 50, most: 100, reset: 7200}
	if r := far.spread(0, 0); r != inf {
		t.Errorf("what flows is spread over hours, at %v/s", r)
	}
	if g.inflow = .5; g.rate() != 0 {
		t.Errorf("a rate of %v", g.rate())
	}
}

// A window that begins anew is not a flow, and many that may be served in any order are none
// either.
func TestAWindowDoesNotFlow(t *testing.T) {
	var g gauge
	for i := range 10 {
		g.tell(told{at: float64(3 * i), seq: i + 1, beside: 1, flying: 1,
			remain: 50, limit: 100, reset: 2})
	}
	if g.flows || g.over != 0 {
		t.Errorf("ends of windows are a flow of %v in %v s", g.inflow, g.over)
	}
	g = gauge{}
	for i := range 8 {
		g.tell(told{at: float64(i) / 10, seq: i + 1, beside: 1, flying: 9,
			remain: 50 + i%2, limit: 100, reset: 10})
	}
	if g.flows {
		t.Errorf("disorder is a flow of %v", g.inflow)
	}
}

func TestWhenAGaugeLetsTheNextGo(t *testing.T) {
	for _, c := range []struct {
		name    string
		hears   told
		now     float64
		flying  int
		learned bool // a rate is known
		next    float64
	}{
		{"something remains", told{remain: 5, reset: 60, limit: 100}, 1, 4, false, 1},
		{"all of it is on its way", told{remain: 5, reset: 60, limit: 100}, 1, 5, false, 60},
		{"nothing remains", told{remain: 0, reset: 60, limit: 100}, 1, 0, false, 60},
		{"its reset has come", told{remain: 0, reset: 60, limit: 100}, 61, 0, false, 61},
		{"no reset is told, and an answer will come",
			told{remain: 0, limit: 100}, 1, 1, false, inf},
		{"no reset is told, and none is on its way", told{remain: 0, limit: 100}, 1, 0, false, 1},
		{"no reset is told, but a rate is known", told{remain: 0, limit: 100}, 1, 1, true, 1},
		{"a reset of a second may be any part of it",
			told{remain: 0, reset: 1, limit: 100}, .5, 0, false, .5},
		{"a small one by the second says nothing",
			told{remain: 0, reset: 1, limit: 8}, .5, 1, false, .5},
	} {
		var g gauge
		g.tell(
			told{at: 0, seq: 1, remain: c.hears.remain, reset: c.hears.reset, limit: c.hears.limit})
		if got := g.next(c.now, 0, c.flying, c.learned); got != c.next {
			t.Errorf("%s: at %v, want %v", c.name, got, c.next)
		}
	}
}

// When its reset has come one request goes, and its answer says how many more there are.
func TestOneGoesAtTheReset(t *testing.T) {
	var g gauge
	g.tell(told{at: 0, seq: 1, remain: 0, reset: 60, limit: 100})
	if g.permits(59, 0, 0) != 0 || g.permits(60, 0, 0) != 1 || g.permits(61, 60, 1) != -1 {
		t.Errorf("%d, %d and %d may go",
			g.permits(59, 0, 0), g.permits(60, 0, 0), g.permits(61, 60, 1))
	}
	none := gauge{heard: true}
	if none.permits(60, -1, 0) != 0 {
		t.Error("a reset that was not told has come")
	}
	bucket := gauge{heard: true, flows: true, reset: 50}
	if bucket.permits(60, 0, 0) != 0 {
		t.Error("a bucket has more at its reset")
	}
}

// Of resets told in whole seconds, rounded up, the first of a window is the nearest; one of the
// next window is another one.
func TestTheResetOfAWindow(t *testing.T) {
	for _, c := range []struct {
		name  string
		hears []told
		reset float64
	}{
		{"rounded up again", []told{{at: 0, reset: 10}, {at: .9, reset: 10}}, 10},
		{"nearer than it said", []told{{at: 0, reset: 10}, {at: .9, reset: 8}}, 8.9},
		{"another window", []told{{at: 0, reset: 10}, {at: 5, reset: 10}}, 15},
		{"the last one is over", []told{{at: 0, reset: 1}, {at: 1.5, reset: .4}}, 1.9},
		{"not told any more", []told{{at: 0, reset: 10}, {at: 1}}, 0},
	} {
		var g gauge
		for i, h := range c.hears {
			g.tell(told{at: h.at, seq: i + 1, remain: 5, limit: 50, reset: h.reset})
		}
		if math.Abs(g.reset-c.reset) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, g.reset, c.reset)
		}
	}
}

// What is there for a long time is spread over it; what is there anew soon is not.
func TestAQuotaForLongIsSpread(t *testing.T) {
	for _, c := range []struct {
		name   string
		hears  told
		now    float64
		flying int
		rate   float64
		stated bool
	}{
		{"for an hour", told{remain: 360, reset: 3600}, 0, 0, .1, true},
		{"those on their way are not spread", told{remain: 360, reset: 3600}, 0, 180, .05, true},
		{"for ten minutes", told{remain: 360, reset: 600}, 0, 0, inf, true},
		{"none left", told{remain: 2, reset: 3600}, 0, 2, inf, true},
		{"its window is an hour", told{remain: 360, limit: 720, window: 3600}, 0, 0, .2, true},
		{"the window is over", told{remain: 360, limit: 720, window: 3600}, 3600, 0, inf, false},
		{"its window is ten minutes", told{remain: 360, limit: 720, window: 600}, 0, 0, inf, false},
		{"a window and no limit", told{remain: 360, window: 3600}, 0, 0, inf, false},
		{"the slower of the two",
			told{remain: 360, reset: 3600, limit: 720, window: 3600}, 0, 0, .1, true},
		{"the other is slower", told{remain: 3600, reset: 3600, limit: 720, window: 3600},
			0, 0, .2, true},
		{"the reset has come", told{remain: 360, reset: 3600}, 3600, 0, inf, false},
	} {
		var g gauge
		h := c.hears
		h.seq = 1
		g.tell(h)
		if got := g.spread(c.now, c.flying); math.Abs(got-c.rate) > 1e-9 && got != c.rate {
			t.Errorf("%s: %v/s, want %v", c.name, got, c.rate)
		}
		if g.stated(c.now) != c.stated {
			t.Errorf("%s: it still holds: %v", c.name, g.stated(c.now))
		}
		if g.wrong = thrice; g.spread(c.now, c.flying) != inf || g.stated(c.now) || g.rate() != 0 {
			t.Errorf("%s: it is heard although it was wrong", c.name)
		}
	}
	if r := (&gauge{}).spread(0, 0); r != inf {
		t.Errorf("what was not told is spread to %v/s", r)
	}
}

// A refusal against its word makes it leave more and more unused, a quarter at most, and after
// three it is not heard any more.
func TestARefusalAgainstItsWord(t *testing.T) {
	var g gauge
	g.refused(Ticket{marks: marks{granted: true}})
	if g.wrong != 0 {
		t.Error("what was not heard was wrong")
	}
	g.tell(told{at: 0, seq: 1, remain: 50, reset: 60, limit: 100})
	if g.refused(Ticket{}); g.wrong != 0 || g.reserve != 0 {
		t.Error("a refusal of what it did not grant is against its word")
	}
	if !g.invites(1, 0, 7) || g.invites(1, 0, 8) {
		t.Error("it should invite eight")
	}
	if empty := (gauge{heard: true, left: 3, most: 50, far: 60}); empty.invites(1, 0, 3) {
		t.Error("it invites more than remain")
	}
	if coarse := (gauge{heard: true, left: 5, most: 8, far: 1}); coarse.invites(1, 0, 1) {
		t.Error("what says nothing invites")
	}
	for i, reserve := range []int{1, 2, 4} {
		if g.deaf() {
			t.Fatalf("deaf after %d", i)
		}
		if g.refused(Ticket{marks: marks{granted: true}}); g.reserve != reserve ||
			g.permits(1, 0, 10) != 40-reserve {
			t.Errorf("%d left unused after %d, %d may go", g.reserve, i+1, g.permits(1, 0, 10))
		}
		if g.invites(1, 0, 1) {
			t.Error("it invites although it was wrong")
		}
	}
	if !g.deaf() || g.next(1, 0, 60, false) != 1 {
		t.Error("it is heard after three")
	}
	if g.tell(told{at: 2, seq: 2, remain: 7, reset: 60, limit: 100}); g.left == 7 {
		t.Error("it listens after three")
	}
	few := gauge{heard: true, most: 4, far: 60, reserve: 1}
	if few.refused(Ticket{marks: marks{granted: true}}); few.reserve != 1 {
		t.Errorf("%d of 4 are left unused", few.reserve)
	}
}

// How many there are at most is the most that was told.
func TestTheMostOfAGauge(t *testing.T) {
	var g gauge
	for i, c := range []struct{ remain, limit, most int }{
		{5, 0, 5}, {3, 20, 20}, {2, 10, 20}, {30, 20, 30},
	} {
		g.tell(told{at: float64(i), seq: i + 1, remain: c.remain, limit: c.limit, reset: 1})
		if g.most != c.most {
			t.Errorf("the most is %d, want %d", g.most, c.most)
		}
	}
	far := g
	if far.tell(told{at: 9, seq: 9, remain: 1, reset: 5}); far.far != 5 {
		t.Errorf("the farthest reset is %v", far.far)
	}
	if far.tell(told{at: 10, seq: 10, remain: 1, reset: 2}); far.far != 5 {
		t.Errorf("the farthest reset falls to %v", far.far)
	}
}

// Two in a row that found it full say that more comes in than is used.
func TestAGaugeThatAbounds(t *testing.T) {
	for _, c := range []struct {
		name    string
		limit   int
		remain  []int
		abounds bool
	}{
		{"full twice", 10, []int{9, 9}, true},
		{"full once", 10, []int{9}, false},
		{"less between", 10, []int{9, 8, 9}, false},
		{"a limit of one", 1, []int{0, 0, 0}, false},
	} {
		var g gauge
		for i, n := range c.remain {
			g.tell(told{at: float64(i), seq: i + 1, remain: n, limit: c.limit, reset: 5})
		}
		if g.abounds() != c.abounds {
			t.Errorf("%s: %v", c.name, !c.abounds)
		}
	}
}
