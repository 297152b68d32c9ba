package pacing

import "slices"

// untold judges answers that many servers give to a page for its own sake and some to a client that
// goes too fast, as 403, where nobody has told which: several different pages in a row are taken
// for a refusal, until that is proved or was wrong.
type untold struct {
	proved bool      // a page that was forbidden came later
	parks  int       // by such answers, none of them proved
	run    int       // different pages in a row
	pages  [8]uint64 // the last forbidden ones, the newest first; 0: none
}

// judge decides what an answer of a forbidden page is taken for. half: a single request was sent to
// find out.
func (u *untold) judge(page uint64, admitted int, half bool) Kind {
	switch {
	case u.proved:
		return Refusal
	case page == 0:
		return Fine
	}
	if !slices.Contains(u.pages[:], page) {
		copy(u.pages[1:], u.pages[:])
		u.pages[0] = page
		u.run++
	}
	if u.parks >= thrice || u.run < thrice && !half || admitted < enough {
		return Fine
	}
	u.parks++
	return Refusal
}

// admit hears of a page that came.
func (u *untold) admit(page uint64) {
	u.run = 0
	if i := slices.Index(u.pages[:], page); i >= 0 && page != 0 {
		u.proved = u.proved || u.parks > 0
		u.pages[i] = 0
	}
}
