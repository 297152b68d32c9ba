package pacing

// careful is a budget of refusals by construction, for servers that ban: a request is sent only if
// refusals would stay within it should it be refused, and all that are on their way too.
//
// Why it holds: of the refusals of any carefulIn seconds take the one whose request was sent last.
// When it was sent, those heard by then and those on their way, itself included, were no more than
// the budget; and the others are among them. While nothing was refused a few more may be on their
// way, which come on top: the start of an open server would be slow without them. So do requests
// that are part of another one, which do not wait for an outcome.
type careful struct {
	on bool
}

const carefulIn = 61. // s; a minute, and what a refusal takes to be heard

// heard is how many refusals, the newest first, the budget has to bear at now.
func (c careful) heard(now float64, refusals *[hasty]float64) (n int) {
	for n < jail && refusals[n] > now-carefulIn {
		n++
	}
	return n
}

// next is when a request may go beside so many others on their way, of which so many are open
// doubts; infinite if an answer must come first. more is how many may be at risk beyond the budget
// while nothing was refused.
func (c careful) next(now float64, flying, open, more int, refusals *[hasty]float64) float64 {
	if !c.on {
		return now
	}
	heard := c.heard(now, refusals)
	room := jail - heard
	if heard == 0 {
		room += more
	}
	switch {
	case heard < jail && (room-open > flying || flying == 0): // one alone can tell what the doubts were
		return now
	case flying > 0:
		return inf
	}
	return refusals[jail-1] + carefulIn
}

// proven is how many may be at risk beyond the budget when the start has gone on for so long with
// so many answers: a bucket's burst is over within seconds.
func (c careful) proven(seconds float64, answers int) int {
	return min(browserSlot-jail, answers/enough, int(seconds))
}

// sated reports whether the budget has one refusal left, or none: no time to look for more.
func (c careful) sated(now float64, refusals *[hasty]float64) bool {
	return c.on && refusals[jail-2] > now-minute
}

// locked reports whether the budget, and not the server, held the single request until after gate.
func (c careful) locked(gate float64, refusals *[hasty]float64) bool {
	return c.on && refusals[jail-1]+carefulIn > gate
}
