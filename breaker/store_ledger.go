package breaker

import (
	"maps"
	"math"
	"time"
)

// ledger is what a Store keeps of one name. Times are µs of the store's clock.
type ledger struct {
	era     uint64
	state   State // Closed, Open or Isolated
	end     int64 // Open: when the fleet is half-open
	openFor int64 // Open: how long it was at the beginning
	cause   string
	votes   map[string]int64 // member: until when its vote lives
	seen    map[string]int64 // member: when it last called
	holder  string           // of the probe, "" if nobody
	held    int64            // until when
	last    int64            // when the ledger was last used
}

// goOn brings the ledger to now. If the clock was set back the end of an opening is set back too,
// and the members report and vote anew.
func (l *ledger) goOn(now int64) {
	if now < l.last {
		l.end -= l.last - now
		clear(l.votes)
		clear(l.seen)
		l.holder = ""
	}
	l.last = now
}

// exchange enters a report, which is Bounded, and returns what holds now.
func (l *ledger) exchange(now int64, r Report) Fleet {
	if r.Era > l.era { // the store has forgotten what the member saw
		l.enter(Closed)
		l.era = r.Era
	}
	if r.Calls > 0 || r.Vote == Open {
		l.seen[r.Member] = now
	}
	if r.Isolate && l.state != Isolated {
		l.enter(Isolated)
		l.cause = r.Cause
	} else if r.Release && !r.Isolate && l.state == Isolated {
		l.enter(Closed)
	}
	openFor := r.OpenFor.Microseconds()
	if r.Era == l.era {
		l.vote(now, r, openFor)
	}

	window := max(openFor, leastWindow.Microseconds())
	maps.DeleteFunc(l.seen, func(_ string, at int64) bool { return at <= now-window })
	maps.DeleteFunc(l.votes, func(_ string, until int64) bool { return until <= now })
	members, votes := max(len(l.seen), len(l.votes)), len(l.votes)
	needed := int(math.Ceil(r.Quorum*float64(members) - 1e-9))
	if l.state == Closed && votes >= max(leastVotes, needed) {
		l.open(now)
	}
	f := Fleet{Name: r.Name, Era: l.era, State: l.state, Members: members, Votes: votes}
	if l.state != Closed {
		f.Cause = l.cause
	}
	if l.state == Open {
		if f.Left = time.Duration(max(0, l.end-now)) * time.Microsecond; f.Left == 0 {
			f.State = HalfOpen
		}
	}
	return f
}

// vote enters what the member's own breaker says. A vote lives for one open time, however often it
// is told. An open fleet stays open until its last vote ends.
func (l *ledger) vote(now int64, r Report, openFor int64) {
	if r.Vote != Open || l.state == Isolated {
		delete(l.votes, r.Member)
		return
	}
	until := now + openFor
	if before, ok := l.votes[r.Member]; ok && before > now {
		until = min(until, before)
	}
	l.votes[r.Member] = until
	l.cause = r.Cause
	if l.state == Open && until > l.end {
		l.end, l.openFor = until, max(l.openFor, until-now)
	}
}

func (l *ledger) open(now int64) {
	l.enter(Open)
	for _, until := range l.votes {
		l.end = max(l.end, until)
	}
	l.openFor = l.end - now
}

// enter begins a new era.
func (l *ledger) enter(s State) {
	l.era++
	l.state, l.end, l.openFor, l.holder = s, 0, 0, ""
	if s != Open {
		clear(l.votes)
	}
}

func (l *ledger) mayProbe(now int64, member string, era uint64, d time.Duration) bool {
	switch {
	case d <= 0 || era != l.era:
		if l.holder == member && era == l.era {
			l.holder = ""
		}
		return false
	case l.state != Open || now < l.end || l.holder != "" && l.holder != member && now < l.held:
		return false
	}
	l.holder, l.held = member, now+max(1, min(d, maxOpenFor).Microseconds())
	return true
}

func (l *ledger) done(now int64, era uint64, healthy bool) {
	if era != l.era || l.state != Open {
		return
	}
	if healthy {
		l.enter(Closed)
		return
	}
	openFor := l.openFor
	l.enter(Open)
	clear(l.votes)
	l.end, l.openFor = now+openFor, openFor
}
