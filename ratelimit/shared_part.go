package ratelimit

import "time"

// part measures which part of all that the store grants goes to this member, over the last ten
// leases. The parts of all members add up to at most 1: what the fleet got is taken from how far
// the bucket moved on, which is as much or more.
type part struct {
	answers int           // so far
	first   time.Duration // when the first of them came
	begin   time.Duration // of the newest slot
	slots   [alive]slot
	newest  int
	tat     time.Duration // of the bucket, by the last answer: it has no token before
	last    time.Duration // when the last answer came
	members float64       // by the last answer
}

// slot is what the answers in the time of a lease told, in tokens.
type slot struct {
	mine    float64 // granted to this member
	moved   float64 // how far the bucket moved on
	limit   float64 // what the limit gives in the time
	members float64 // the most there were
}

func (p *part) roll(now, lease time.Duration) {
	if gone := now - p.begin; gone >= alive*lease {
		clear(p.slots[:])
		p.begin = now
	}
	for now-p.begin >= lease {
		p.begin += lease
		p.newest = (p.newest + 1) % alive
		p.slots[p.newest] = slot{}
	}
}

// heard counts a grant of n tokens, with those that the question paid and less those that it gave
// back. tat and members are the bucket's and the fleet's after it.
func (p *part) heard(now, tat time.Duration, n, members int, f figures) {
	p.roll(now, f.lease)
	s := &p.slots[p.newest]
	s.mine += float64(n)
	s.members = max(s.members, float64(members))
	if p.answers++; p.answers == 1 {
		p.first = now
	} else {
		s.moved += float64(max(0, tat-p.tat)) / f.step // one that was set back has given no less
		s.limit += float64(now-p.last) / f.step
	}
	p.tat, p.last, p.members = tat, now, float64(members)
}

// skip leaves out a time in which the store was away.
func (p *part) skip(d time.Duration) {
	p.first += d
	p.begin += d
	p.tat += d
	p.last += d
}

// of is the member's part now. What the bucket has gained since the last answer counts as used by
// others.
//
// A young or idle member has 1/n, n being the most members that were there at once: a store that
// has just forgotten everything knows of few. The older members leave the young ones their parts.
// When a fleet starts, the first member to ask hears of 1 member, the next of 2 and so on. So in
// the first lease of its life a member that hears of n takes 1/(n*(n+1)), which adds up to less
// than 1.
func (p *part) of(now time.Duration, f figures) float64 {
	young := p.answers == 0 || now-p.first < alive*f.lease
	p.roll(now, f.lease)
	mine, moved, fewest, most := 0.0, 0.0, 0.0, 1.0
	limit := float64(max(0, now-max(p.last, p.tat))) / f.step
	for _, s := range p.slots {
		mine += s.mine
		moved += s.moved
		limit += s.limit
		most = max(most, s.members)
		if s.members > 0 && (fewest == 0 || s.members < fewest) {
			fewest = s.members
		}
	}
	switch n := max(most, p.members); {
	case p.last-p.first < f.lease:
		return 1 / (n * (n + 1))
	case mine <= 0 || young:
		return 1 / n
	}
	return mine / max(mine, moved, limit) * fewest / most
}
