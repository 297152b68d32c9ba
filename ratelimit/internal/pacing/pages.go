package pacing

// pages tells a page that is always refused (a captcha on one product, a 403 behind a login) from a
// server that refuses because of the rate: what is refused twice, while others were admitted in
// between, is that page's own affair.
type pages struct {
	seen  []pageNote // the last refused ones
	next  int        // the place of the next
	own   int        // pages that were found to be refused for themselves
	spare int        // admitted when a first refusal was last pardoned
	last  pageNote   // of the last refusal: its page, and what had been admitted
	undo  undo       // what the first refusal of one of them changed
}

// undo is what was known before the first refusal of a page, to be known again if the page turns
// out to be refused for itself, and all refusals since were its own.
type undo struct {
	page  uint64
	count int // push-backs by it
	all   int // and by any
	search
	probing
}

// blame notes a push-back by a page, before it changes anything.
func (p *pages) blame(page uint64, s *search, q *probing) {
	u := &p.undo
	if u.page == 0 || u.count < u.all { // the first, or the last one's cannot be undone any more
		*u = undo{page: page, search: *s, probing: *q}
	}
	u.all++
	if page == u.page && page != 0 {
		u.count++
	}
}

type pageNote struct {
	page     uint64
	admitted int // when it was refused first
	refused  int
	own      bool
}

const (
	pageMemory = 64 // pages: two refusals of one page are seldom further apart
	pageHabit  = 2  // pages refused for themselves that make the first refusal of another pardonable
)

// pardons reports whether a refusal is not news of the rate.
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
		if p.own < pageHabit || admitted-p.spare < enough {
			return false
		}
		p.spare = admitted
		return true
	}
	if !n.own && last.page != page && last.admitted == admitted { // two pages in a row: not its own affair
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

// habitual reports whether a page was refused for itself, and more than once.
func (n *pageNote) habitual() bool { return n.own && n.refused >= pageHabit }

// admit hears of a page that was admitted: it is not refused for itself.
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
		p.seen = append(p.seen, pageNote{page: page})
		return &p.seen[len(p.seen)-1]
	}
	n := &p.seen[p.next]
	p.next = (p.next + 1) % pageMemory
	*n = pageNote{page: page}
	return n
}
