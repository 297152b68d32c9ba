package ratelimit

import (
	"math"
	"time"
)

// ledger is the state of one shared limit, and take what a Store does with it: the generic cell
// rate algorithm (ITU-T I.371), which hands out blocks of dated tokens instead of single ones. The
// script of ratelimit/redislimit is the same in Lua, and both give the same answers to the µs. So
// all numbers are float64 as Lua's are, times are whole µs, and each product is rounded before it
// is added (a compiler may fuse the two otherwise).
//
// Of n members, each may take at most a quantum of tokens that lie in the future before another has
// had its turn; a quantum is the n-th part of what a lease brings. This is deficit round robin
// (Shreedhar and Varghese, 1995): it gives members equal parts, however many callers each of them
// has.
type ledger struct {
	tat   float64 // the time from which tokens are counted; NaN: unknown
	last  float64 // the latest time seen
	pause float64 // nobody goes before

	members map[string]float64 // when each was last seen

	rate, burst   float64 // what holds for all; rate 0: unknown
	set           float64 // when it was set
	by            string  // the member that did; empty: two at once
	rate0, burst0 float64 // what held before

	lead              string  // the member whose machine moves the rate
	until             float64 // until when it does
	answers, refusals float64 // of the others, which it has not yet been told
}

const (
	second   = 1e6              // µs
	maxDebt  = 3600 * second    // no debt reaches further
	leadTime = 2 * second       // a leader that has not asked for so long is replaced
	alive    = 10               // leases after which a silent member no longer counts
	micro    = time.Microsecond // the unit

	// maxAhead is the most that a bucket is ahead; pauses and the first slot come on top.
	maxAhead = maxDebt*micro + 2*maxLease
)

// micros is d in whole µs.
func micros(d time.Duration) float64 { return float64(d.Microseconds()) }

func span(us float64) time.Duration { return time.Duration(math.Min(us, 9*maxSpan)) * micro }

func (l *ledger) take(now float64, a Ask) Grant {
	l.turnBack(now)
	l.last = now
	lease := micros(a.Lease)
	leads, answers, refusals := l.figures(now, lease, a)
	members := l.meet(now, lease, a.Member)

	t := second / l.rate
	l.correct(now, t, lease, a)

	avail := math.Max(0, math.Floor((now-l.tat)/t))
	quantum := math.Max(1, math.Floor(l.rate*lease/second/members))
	need, want, k := float64(a.Need), float64(a.Want), 0.0
	ahead := 2*lease + float64(members*t)
	if a.Learn { // a rate that changes should hold at once, and not only after what is handed out
		ahead = lease / 2
	}
	if need > 0 && l.tat < now+ahead {
		k = math.Min(math.Max(need, math.Min(want, quantum)), math.Max(avail, quantum))
	}
	k = math.Max(k, math.Min(math.Min(want, quantum), avail))
	first := math.Max(0, math.Ceil(l.tat-now+float64((avail+1)*t)))
	l.tat += math.Ceil(k * t)

	g := Grant{
		Tokens: int(k), Now: int(math.Min(k, avail)), First: span(first), Members: int(members),
		Floor: span(l.tat - now), Pause: span(math.Max(0, l.pause-now)),
		Lead: leads, Answers: int(answers), Refusals: int(refusals),
	}
	if l.rate != a.Limit {
		g.Limit = l.rate
	}
	if l.burst != float64(a.Burst) {
		g.Burst = int(l.burst)
	}
	return g
}

// turnBack moves all times along with a clock that was set back: for the bucket no time has passed.
// (Clamping tat instead would give tokens away: 292 % of the rate, with a clock that jumps.)
func (l *ledger) turnBack(now float64) {
	d := l.last - now
	if d <= 0 {
		return
	}
	l.tat -= d
	l.pause -= d
	l.set -= d
	l.until -= d
	for m := range l.members {
		l.members[m] -= d
	}
}

// meet notes that the member has asked, and counts those that have lately.
func (l *ledger) meet(now, lease float64, member string) (count float64) {
	if l.members == nil {
		l.members = map[string]float64{}
	}
	for m, seen := range l.members {
		if seen <= now-alive*lease {
			delete(l.members, m)
		}
	}
	l.members[member] = now
	return float64(len(l.members))
}

// correct changes the bucket as the member says, before tokens are taken from it.
func (l *ledger) correct(now, t, lease float64, a Ask) {
	if math.IsNaN(l.tat) { // new or forgotten: empty, less all that may still be out
		l.tat = now + 2*lease
	}
	if floor := micros(a.Floor); floor != 0 {
		l.tat = math.Max(l.tat, now+floor) // repairs what a replica has missed
	}
	back := float64(a.Back)
	if back > 0 {
		l.tat -= math.Min(maxSpan, math.Floor(back*t))
	}
	if back < 0 {
		l.tat = math.Max(l.tat, math.Min(l.tat+math.Ceil(-back*t), now+maxDebt))
	}
	l.tat = math.Max(l.tat, now-math.Min(maxSpan, math.Floor(l.burst*t)))
	l.pause = math.Max(l.pause, now+micros(a.Pause))
	if l.pause > now {
		l.tat = math.Max(l.tat, l.pause-math.Floor(math.Min(maxSpan, t)))
	}
}

// figures decides which limit and burst hold: those set last, or the smaller ones if two members
// set them within a lease. If the limit is learned the leader's holds.
func (l *ledger) figures(now, lease float64, a Ask) (leads bool, answers, refusals float64) {
	rate, full := l.rate, l.burst // so far
	burst, set := float64(a.Burst), now-micros(a.Since)
	switch {
	case l.rate == 0:
		l.change(a.Limit, burst, set, a.Member)
	case a.Learn:
		l.burst = burst
	case a.Limit == l.rate && burst == l.burst:
	case a.Since == 0 && a.Limit == l.rate0 && burst == l.burst0:
		// It has not heard of the change yet.
	case set > l.set+lease, a.Member == l.by && set >= l.set-lease:
		l.change(a.Limit, burst, set, a.Member)
	case set >= l.set-lease:
		l.change(math.Min(l.rate, a.Limit), math.Min(l.burst, burst), math.Max(l.set, set), "")
	}
	if a.Learn {
		leads, answers, refusals = l.learn(now, a)
	}
	if rate > 0 && (rate != l.rate || full != l.burst) && l.tat < now {
		// The number of tokens that are there stays.
		l.tat = math.Max(l.tat, now-math.Min(maxSpan, math.Floor(full*(second/rate))))
		l.tat = now - math.Min(maxSpan, math.Floor((now-l.tat)*rate/l.rate))
	}
	return leads, answers, refusals
}

func (l *ledger) change(rate, burst, set float64, by string) {
	l.rate0, l.burst0 = l.rate, l.burst
	l.rate, l.burst, l.set, l.by = rate, burst, set, by
}

// learn lets one member lead: its rate holds, and it is told how the others were answered.
func (l *ledger) learn(now float64, a Ask) (leads bool, answers, refusals float64) {
	if l.lead != a.Member && l.lead != "" && now < l.until {
		l.answers += float64(a.Answers)
		l.refusals += float64(a.Refusals)
		return false, 0, 0
	}
	l.lead, l.until = a.Member, now+leadTime
	answers, refusals = l.answers, l.refusals
	l.answers, l.refusals = 0, 0
	if a.Learned > 0 {
		l.rate = a.Learned
	}
	return true, answers, refusals
}
