package pacing

// overdue finds the requests that are out far longer than the others took: some servers refuse by
// silence. Such a request is a doubt at that moment, and not when the client's own timeout ends it,
// which is often half a minute later.
type overdue struct {
	out   []pending // on their way and not answered, in the order they were sent
	mean  float64   // s; how long answers have taken of late
	last  float64   // the same, of the last few
	known bool      // there was an answer
}

type pending struct {
	t      Ticket
	judged bool // it was a doubt already
}

const (
	overdueFirst = 10. // s; while nothing was answered
	lastFew      = 6.

	// A request is overdue after overdueAfter and so many times the mean time of an answer. With
	// less, stalls that are common would be doubts.
	overdueAfter = 1. // s
	overdueTimes = 6.
)

// limit is how long a request may be out.
func (o *overdue) limit() float64 {
	if !o.known {
		return overdueFirst
	}
	return overdueAfter + overdueTimes*o.mean
}

func (o *overdue) sent(t Ticket) { o.out = append(o.out, pending{t: t}) }

// next is when the next one is overdue; infinite if none is out that was not judged.
func (o *overdue) next() float64 {
	for i := range o.out {
		if !o.out[i].judged {
			return o.out[i].t.Sent + o.limit()
		}
	}
	return inf
}

// any reports whether there may be one that is overdue at now.
func (o *overdue) any(now float64) bool {
	return len(o.out) > 0 && (o.out[0].judged || now >= o.out[0].t.Sent+o.limit()-tick)
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

// back notes that a request is answered, or that nobody waits for its answer any more, and reports
// whether it was a doubt already.
func (o *overdue) back(t Ticket) (judged bool) {
	for i := range o.out {
		if p := &o.out[i]; p.t.seq == t.seq {
			judged = p.judged
			if i+1 < len(o.out) {
				copy(o.out[i:], o.out[i+1:])
			}
			o.out = o.out[:len(o.out)-1] // without the clearing that slices.Delete does
			return judged
		}
	}
	return false
}

// took notes the time of an answer that was not overdue.
func (o *overdue) took(s float64) {
	if !o.known {
		o.mean, o.last, o.known = s, s, true
	}
	o.last += (s - o.last) / lastFew
	o.mean += (s - o.mean) / shareOf
}

// came notes that an overdue page came after s seconds: the server is slow, not silent. From then
// on others may take as long.
func (o *overdue) came(s float64) { o.mean = max(o.mean, s/overdueTimes) }
