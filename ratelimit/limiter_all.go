package ratelimit

import (
	"slices"
	"strings"

	"github.com/reprise-go/reprise/retry"
)

// All makes one limiter of several limits that all apply, such as "10 a second, and 300 in any
// minute":
//
//	ratelimit.All(ratelimit.New(10, 10), ratelimit.New(rate.Every(time.Minute/270), 30))
//
// 30 may go at once and 270 more within a minute. With a burst of 300, 600 could go in the first
// minute.
//
// A call takes a token from each, or waits and takes from none. A member may also be used alone or
// in another All (a limit of the host in one of the whole crawl). All has its own line: its
// members' own callers are not in it. A pause of a member also holds All, and after it one call of
// All goes first. A hint that All receives pauses only All, because it concerns this callee. The
// smallest MaxWait and HintCap of the members apply; either all of them are Shadow limiters or
// none. SetLimit and SetBurst are for the members: waiting calls notice within a second, and are
// rejected if they can no longer be served in time. Charge takes from every member. A call made
// through All is counted in All and not in the members. The name of All is its members' names,
// joined by "+".
func All(limiters ...*Limiter) *Limiter {
	l := &Limiter{shared: true}
	if len(limiters) == 0 {
		l.spoil(retry.ConfigErrorf("ratelimit.All", "no limiters: must be at least one"))
		return l
	}
	for i, m := range limiters {
		if m == nil {
			l.spoil(retry.ConfigErrorf("ratelimit.All",
				"nil limiter: must be made by New, From or All"))
			return l
		}
		if i == 0 {
			l.config = m.config
		} else if m.name != "" {
			l.name = strings.TrimPrefix(l.name+"+"+m.name, "+")
		}
		if m.shadow != l.shadow {
			l.spoil(retry.ConfigErrorf("ratelimit.All",
				"Shadow(): must be given to all limiters or to none"))
			return l
		}
		if m.maxWait >= 0 && (l.maxWait < 0 || m.maxWait < l.maxWait) {
			l.maxWait = m.maxWait
		}
		l.hintCap = min(l.hintCap, m.hintCap)
		l.members = append(append(l.members, m), m.members...)
		for _, s := range m.sources {
			if slices.Contains(l.sources, s) {
				l.spoil(retry.ConfigErrorf("ratelimit.All",
					"%s twice: must be different limiters", m.label))
				return l
			}
			l.sources = append(l.sources, s)
		}
	}
	for _, m := range l.members {
		m.lend()
	}
	l.label = label(policyName, l.name)
	return l
}

// lend notes that an All takes from l's source too.
func (l *Limiter) lend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent = true
}
