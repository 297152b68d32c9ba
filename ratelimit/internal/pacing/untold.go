package pacing

import "slices"

// untold judges answers, such as 403, that many servers give because of the page and some because
// the client goes too fast, if no option says which. Several different pages in a row are taken for
// a refusal, until that is proved or was wrong too often.
type untold struct {
	proved bool      // after a park a page that had been forbidden came
	parks  int       // made because of such answers
	run    int       // different pages in a row
	pages  [8]uint64 // the last forbidden ones, the newest first; 0: none
}

// judge decides what the answer for a forbidden page is taken for: the last of so many different
// ones in a row is a refusal.
func (u *untold) judge(page uint64, admitted, row int) Kind {
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
	if u.parks >= thrice || u.run < row || admitted < enough {
		return Fine
	}
	u.parks++
	return Refusal
}

// admit is told of a page that came.
func (u *untold) admit(page uint64) {
	u.run = 0
	if page == 0 {
		return
	}
	if i := slices.Index(u.pages[:], page); i >= 0 {
		u.proved = u.proved || u.parks > 0
		u.pages[i] = 0
	}
}
