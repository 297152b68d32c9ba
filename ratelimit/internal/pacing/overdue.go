package pacing

import "slices"

// overdue finds the requests that are out far longer than the others took: to some servers silence
// is a refusal. Such a request is a doubt at that moment and not when the client's own timeout ends
// it, which is often half a minute later.
type overdue struct {
	out   []pending // on their way and not answered, in the order they were sent
	mean  float64   // s; of an answer, of late
	last  float64   // the same, of the last few
	known bool      // there was one
}

type pending struct {
	t      Ticket
	judged bool // it was a doubt already
}

const (
	overdueFirst = 10. // s; while nothing was answered
	overdueAfter = 1.  // s, and
	lastFew      = 6.
	overdueTimes = 6. // times the mean time of an answer: below, stalls that are common would be doubts
)

// limit is how long a request may be out.
func (o *overdue) limit() float64 {
	if !o.known {
		return overdueFirst
	}
	return overdueAfter + overdueTimes*o.mean
}

func (o *overdue) sent(t Ticket) { o.out = append(o.out, pending{t: t}) }

// next is when one is overdue; infinite if none is on its way that was not judged.
func (o *overdue) next() float64 {
	for i := range o.out {
		if !o.out[i].judged {
			return o.out[i].t.Sent + o.limit()
		}
	}
	return inf
}

// due takes one that is overdue at now.
func (o *overdue) due(now float64) (t Ticket, ok bool) {
	for i := range o.out {
		p := &o.out[i]
		if p.judged {
			continue
		}
		if now < p.t.Sent+o.limit()-tick {
			break
		}
		p.judged = true
		return p.t, true
	}
	return t, false
}

// back notes that a request is answered, or nobody waits for its answer, and reports whether it was
// a doubt already.
func (o *overdue) back(t Ticket) (judged bool) {
	i := slices.IndexFunc(o.out, func(p pending) bool { return p.t.seq == t.seq })
	if i < 0 {
		return false
	}
	judged = o.out[i].judged
	o.out = append(o.out[:i], o.out[i+1:]...) // slices.Delete would clear what is left over
	return judged
}

// took notes how long an answer took that was not overdue.
func (o *overdue) took(s float64) {
	if !o.known {
		o.mean, o.last, o.known = s, s, true
	}
	o.last += (s - o.last) / lastFew
	o.mean += (s - o.mean) / shareOf
}

// came notes that a page came that was overdue, after so long: the server is slow, not silent. It may
// take as long from then on.
func (o *overdue) came(s float64) { o.mean = max(o.mean, s/overdueTimes) }
