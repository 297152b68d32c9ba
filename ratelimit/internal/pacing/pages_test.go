package pacing

import "testing"

// A refusal of a page, after so many were admitted in all.
type refusedPage struct {
	page     uint64
	admitted int
	pardoned bool
}

func TestWhichPagesArePardoned(t *testing.T) {
	for _, c := range []struct {
		name     string
		refusals []refusedPage
	}{
		{"refused once", []refusedPage{{1, 100, false}}},
		{"again, with eight others between", []refusedPage{{1, 100, false}, {1, 108, true}}},
		{"again, with seven", []refusedPage{{1, 100, false}, {1, 107, false}, {1, 108, true}}},
		{"for ever then",
			[]refusedPage{{1, 100, false}, {1, 108, true}, {1, 108, true}, {1, 108, true}}},
		{"no page is told", []refusedPage{{0, 100, false}, {0, 108, false}, {0, 200, false}}},
		{"two in a row, and then it alone",
			[]refusedPage{{1, 100, false}, {2, 108, false}, {1, 108, false},
				{1, 115, false}, {1, 116, true}}},
		{"its own although another was refused just before",
			[]refusedPage{{1, 100, false}, {1, 108, true}, {2, 110, false}, {1, 110, true}}},
		{"two of their own pardon the first refusal of a third", []refusedPage{
			{1, 100, false}, {2, 101, false}, {1, 110, true}, {1, 111, true}, {2, 120, true},
			{2, 121, true}, {3, 130, true},
		}},
		{"but not of another, less than eight pages later", []refusedPage{
			{1, 100, false}, {2, 101, false}, {1, 110, true}, {1, 111, true}, {2, 120, true},
			{2, 121, true}, {3, 130, true}, {4, 137, false}, {5, 138, true},
		}},
		{"those that were refused again at once, too", []refusedPage{
			{1, 100, false}, {1, 100, false}, {1, 108, true}, {2, 110, false}, {2, 110, false},
			{2, 118, true}, {3, 130, true},
		}},
		{"those that are not their own pardon none", []refusedPage{
			{1, 100, false}, {1, 101, false}, {1, 102, false}, {2, 103, false}, {2, 104, false},
			{2, 105, false}, {3, 130, false},
		}},
		{"one of its own pardons none",
			[]refusedPage{{1, 100, false}, {1, 110, true}, {1, 111, true}, {3, 130, false}}},
		{"nor do two that were refused once each in all",
			[]refusedPage{{1, 100, false}, {2, 101, false}, {1, 110, true},
				{2, 120, true}, {3, 130, false}}},
	} {
		var p pages
		for i, r := range c.refusals {
			if got := p.pardons(r.page, r.admitted); got != r.pardoned {
				t.Errorf("%s: refusal %d, of page %d: pardoned is %v", c.name, i+1, r.page, got)
			}
		}
	}
}

// A refused page lets the requests for twelve others go first.
func TestARefusedPageIsAskedForLater(t *testing.T) {
	m := New(Config{}, newRand())
	refuse := func(page uint64, wait float64) {
		m.OnDone(1, m.OnSend(1), Answer{Kind: Refusal, RetryAfter: wait, Remaining: -1, Page: page})
	}
	admit := func(n int, page uint64) {
		for range n {
			m.OnDone(2, m.OnSend(2), Answer{RetryAfter: -1, Remaining: -1, Page: page})
		}
	}
	for i, c := range []struct {
		what  string
		do    func()
		later map[uint64]bool
	}{
		{"nothing was refused", func() { admit(1, 9) },
			map[uint64]bool{0: false, 1: false, 9: false}},
		{"one was", func() { refuse(1, -1) }, map[uint64]bool{1: true, 2: false, 9: false}},
		{"eleven others came", func() { admit(11, 9) }, map[uint64]bool{1: true}},
		{"a twelfth", func() { admit(1, 9) }, map[uint64]bool{1: false}},
		{"it is refused again", func() { refuse(1, -1) }, map[uint64]bool{1: true}},
		{"it comes", func() { admit(1, 1) }, map[uint64]bool{1: false}},
		{"the server said when to come", func() { refuse(3, 1) }, map[uint64]bool{3: false}},
		{"no page is known", func() { refuse(0, -1) }, map[uint64]bool{0: false}},
	} {
		c.do()
		for page, want := range c.later {
			if m.Later(page) != want {
				t.Errorf("step %d, %s: page %d later: %v", i+1, c.what, page, !want)
			}
		}
	}
}

// A page that came after all is not refused for itself.
func TestAPageThatComesIsForgotten(t *testing.T) {
	var p pages
	for _, page := range []uint64{1, 2} {
		for i := range 3 {
			p.pardons(page, 100+int(page)*10+i*9)
		}
	}
	if p.own != 2 {
		t.Fatalf("%d pages of their own", p.own)
	}
	p.admit(3)
	if p.admit(0); p.own != 2 {
		t.Error("another page makes them forgotten")
	}
	if p.admit(1); p.own != 1 || p.find(1) != nil {
		t.Errorf("%d pages of their own after one of them came", p.own)
	}
	if p.pardons(1, 200) {
		t.Error("what came is refused for itself")
	}
	if p.admit(1); p.own != 1 {
		t.Errorf("%d pages of their own after one came that was refused once", p.own)
	}
	p = pages{}
	for _, admitted := range []int{100, 101, 102, 108} {
		p.pardons(1, admitted)
	}
	if p.own != 1 {
		t.Errorf("%d of its own that was refused twice before it was known", p.own)
	}
	if p.admit(1); p.own != 0 {
		t.Errorf("%d of their own after it came", p.own)
	}
	p = pages{}
	p.pardons(1, 100)
	p.pardons(1, 110) // its own, but the habit of none so far
	if p.admit(1); p.own != 0 {
		t.Errorf("%d pages of their own", p.own)
	}
}

// The last 64 pages are remembered, the oldest gives its place.
func TestPagesAreForgotten(t *testing.T) {
	var p pages
	for i := range uint64(pageMemory + 2) {
		p.pardons(i+1, 0)
	}
	if len(p.seen) != pageMemory {
		t.Errorf("%d are remembered", len(p.seen))
	}
	for page, known := range map[uint64]bool{
		1:              false,
		2:              false,
		3:              true,
		pageMemory:     true,
		pageMemory + 2: true,
	} {
		if (p.find(page) != nil) != known {
			t.Errorf("page %d is remembered: %v", page, !known)
		}
	}
}

// What is taken back is what was known before the first of several refusals of one page, and only
// if all since then were its own.
func TestWhatAPageDidIsKept(t *testing.T) {
	s := newSearch()
	var q probing
	var p pages
	blame := func(page uint64, rate float64) {
		s.rate, q.spent = rate, int(rate)
		p.blame(page, &s, &q)
	}
	blame(1, 10)
	blame(1, 8)
	u := p.undo
	if u.page != 1 || u.rate != 10 || u.probing.spent != 10 || u.count != 2 || u.all != 2 {
		t.Errorf("after two of one page: %+v", u)
	}
	if blame(2, 6); p.undo.rate != 10 || p.undo.count >= p.undo.all {
		t.Errorf("after one of another page: %+v", p.undo)
	}
	if blame(2, 5); p.undo.page != 2 || p.undo.rate != 5 || p.undo.count != 1 || p.undo.all != 1 {
		t.Errorf("it does not begin anew: %+v", p.undo)
	}
	p = pages{}
	if blame(0, 10); p.undo.count != 0 || p.undo.all != 1 {
		t.Errorf("no page is one: %+v", p.undo)
	}
}

func TestUntoldPages(t *testing.T) {
	type step struct {
		page     uint64
		half     bool // the single request brought it
		comes    bool // the page
		admitted int  // before it
		refusal  bool
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"three in a row", []step{{page: 1, admitted: 8}, {page: 2, admitted: 8},
			{page: 3, admitted: 8, refusal: true}}},
		{"too early to tell", []step{{page: 1, admitted: 7}, {page: 2, admitted: 7},
			{page: 3, admitted: 7}, {page: 4, admitted: 8, refusal: true}}},
		{"one page counts once",
			[]step{{page: 1, admitted: 8}, {page: 1, admitted: 8},
				{page: 1, admitted: 8}, {page: 2, admitted: 8}}},
		{"another page between",
			[]step{{page: 1, admitted: 8}, {page: 2, admitted: 8},
				{page: 9, comes: true}, {page: 3, admitted: 9}}},
		{"a page that is not known",
			[]step{{admitted: 8}, {admitted: 8}, {admitted: 8}, {admitted: 8}}},
		{"one that is not known comes",
			[]step{{page: 1, admitted: 8}, {page: 2, admitted: 8},
				{comes: true}, {page: 3, admitted: 9}}},
		{"the single request", []step{{page: 1, half: true, admitted: 8, refusal: true}}},
		{"three parks and no more", []step{
			{page: 1, half: true, admitted: 8, refusal: true},
			{page: 2, half: true, admitted: 8, refusal: true},
			{page: 3, half: true, admitted: 8, refusal: true}, {page: 4, half: true, admitted: 8},
		}},
		{"proved by one that comes after a park", []step{
			{page: 1, admitted: 8}, {page: 2, admitted: 8},
			{page: 3, admitted: 8, refusal: true}, {page: 2, comes: true},
			{page: 7, admitted: 9, refusal: true}, {admitted: 9, refusal: true},
		}},
		{"not by one that comes before any park",
			[]step{{page: 1, admitted: 8}, {page: 1, comes: true}, {page: 7, admitted: 9}}},
		{"nor by one of long ago", []step{
			{page: 1, admitted: 8}, {page: 2, admitted: 8}, {page: 3, admitted: 8, refusal: true},
			{page: 4, admitted: 8, refusal: true}, {page: 5, admitted: 8, refusal: true},
			{page: 6, admitted: 8}, {page: 7, admitted: 8}, {page: 8, admitted: 8},
			{page: 9, admitted: 8}, {page: 1, comes: true}, {page: 11, admitted: 9},
		}},
		{"nor twice by the same", []step{
			{page: 1, admitted: 8}, {page: 1, comes: true}, {page: 2, admitted: 8},
			{page: 3, admitted: 8}, {page: 4, admitted: 8, refusal: true},
			{page: 1, comes: true}, {page: 5, admitted: 8},
		}},
	} {
		var u untold
		for i, s := range c.steps {
			if s.comes {
				u.admit(s.page)
				continue
			}
			want := Fine
			if s.refusal {
				want = Refusal
			}
			row := thrice
			if s.half {
				row = 0
			}
			if got := u.judge(s.page, s.admitted, row); got != want {
				t.Errorf("%s: step %d is taken for %v, want %v", c.name, i+1, got, want)
			}
		}
	}
}
