package pacing

// careful is a budget of refusals by construction, for servers that ban: a request is sent only if
// refusals would stay within it should it be refused, and all that are on their way too.
//
// Why it holds: of the refusals of any carefulIn seconds take the one whose request was sent last.
// When it was sent, the refusals heard by then and the requests on their way, itself included, were
// no more than the budget, and all the other refusals are among them.
//
// Two things come on top. While nothing was refused a few more may be on their way: without them
// the start at an open server would be slow. And requests that are part of another one do not wait
// for an outcome.
type careful struct {
	on bool
}

const (
	carefulIn = 61. // s; a minute, and what a refusal takes to be heard

	// s; after each of the start, with enough answers, one more may be at risk. With .75 one start
	// in twenty at a bucket of 60/s and a burst of 100 is jailed.
	carefulStep = .8

	// A park is so many times as long as the one before whose single request was refused. Each of
	// those costs a part of the budget, so there are fewer of them than without one.
	carefulPark = 4
)

// heard is how many of the last refusals, the newest first, count against the budget now.
func (c careful) heard(now float64, refusals *[hasty]float64) (n int) {
	for n < jail && refusals[n] > now-carefulIn {
		n++
	}
	return n
}

// next is when a request may go; infinite if an answer must come first. flying is how many others
// are on their way, open how many answers are open doubts, and more how many may be at risk beyond
// the budget while nothing was refused.
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
	case heard < jail && (room-open > flying || flying == 0): // one alone tells of the doubts
		return now
	case flying > 0:
		return inf
	}
	return refusals[jail-1] + carefulIn
}

// proven is how many may be at risk beyond the budget when the start has lasted for that many
// seconds and got that many answers: by then a bucket's burst would be used up.
func (c careful) proven(seconds float64, answers int) int {
	return min(browserSlot-jail, answers/enough, int(seconds/carefulStep))
}

// longer is the length of the park after one of that length whose single request was refused.
func (c careful) longer(length float64) float64 {
	if c.on {
		return min(maxPark, carefulPark*length)
	}
	return min(maxPark, 2*length)
}

// sated reports whether the budget has at most one refusal left: not the time to look for more.
func (c careful) sated(now float64, refusals *[hasty]float64) bool {
	return c.on && refusals[jail-2] > now-minute
}

// locked reports whether the budget, and not the server, held the single request until after gate.
func (c careful) locked(gate float64, refusals *[hasty]float64) bool {
	return c.on && refusals[jail-1]+carefulIn > gate
}
