package pacing

// pages tells a page that is always refused (a captcha on one product, a 403 behind a login) from a
// server that refuses because of the rate: a page that is refused twice, while others were admitted
// in between, is refused for itself.
type pages struct {
	seen  []pageNote // pages that were refused lately, a ring once it is full
	next  int        // the place of the next one in it
	own   int        // pages that were found to be refused for themselves
	spare int        // answers admitted when a first refusal was last pardoned
	last  pageNote   // of the last refusal: its page, and the answers admitted by then
	undo  undo       // what was known before the first refusal of one of them
}

// undo is what was known before the first refusal of a page. It is known again if the page turns
// out to be refused for itself, and all refusals since were of that page.
type undo struct {
	page  uint64
	count int // push-backs by the page
	all   int // push-backs by any page
	search
	probing
}

// blame notes a push-back by a page, before the push-back changes anything.
func (p *pages) blame(page uint64, s *search, q *probing) {
	u := &p.undo
	if u.page == 0 || u.count < u.all { // nothing to undo, or it cannot be undone any more
		*u = undo{page: page, search: *s, probing: *q}
	}
	u.all++
	if page == u.page && page != 0 {
		u.count++
	}
}

type pageNote struct {
	page     uint64
	admitted int // answers when it was refused first
	after    int // answers before which other pages go first
	refused  int
	own      bool
}

const (
	pageMemory = 64 // pages: two refusals of one page are seldom further apart

	// After so many pages refused for themselves the first refusal of another is pardoned.
	pageHabit = 2

	// A refused page lets so many others go first: more than enough, since some of the others are
	// noted as refused too.
	pageLater = 12
)

// pardons reports whether the refusal of a page says nothing about the rate.
func (p *pages) pardons(page uint64, admitted int) bool {
	if page == 0 {
		return false
	}
	last := p.last
	p.last = pageNote{page: page, admitted: admitted}
	n := p.find(page)
	if n == nil {
		n = p.note(page)
		n.admitted = admitted
		n.after = admitted + pageLater
		if p.own < pageHabit || admitted-p.spare < enough {
			return false
		}
		p.spare = admitted
		return true
	}
	n.after = admitted + pageLater
	if !n.own && last.page != page && last.admitted == admitted { // two pages in a row
		n.admitted = admitted
		return false
	}
	was := n.habitual()
	n.refused++
	n.own = admitted-n.admitted >= enough
	if n.habitual() && !was {
		p.own++
	}
	return n.own
}

// later reports whether a page was refused so lately that others should go first.
func (p *pages) later(page uint64, admitted int) bool {
	n := p.find(page)
	return n != nil && admitted < n.after
}

// habitual reports whether a page was refused for itself, and more than once.
func (n *pageNote) habitual() bool { return n.own && n.refused >= pageHabit }

// admit is told of a page that was admitted: it is not refused for itself.
func (p *pages) admit(page uint64) {
	if n := p.find(page); n != nil {
		if n.habitual() {
			p.own--
		}
		*n = pageNote{}
	}
}

func (p *pages) find(page uint64) *pageNote {
	if page == 0 {
		return nil
	}
	for i := range p.seen {
		if p.seen[i].page == page {
			return &p.seen[i]
		}
	}
	return nil
}

func (p *pages) note(page uint64) *pageNote {
	if len(p.seen) < pageMemory {
		p.seen = append(p.seen, pageNote{})
	}
	n := &p.seen[p.next]
	p.next = (p.next + 1) % pageMemory
	*n = pageNote{page: page}
	return n
}
