package pacing

// careful is a budget of refusals by construction, for servers that ban: a request is sent only if
// refusals would stay within it should it be refused, and all that are on their way too.
//
// Why it holds: of the refusals of any carefulIn seconds take the one whose request was sent last.
// When it was sent, those heard by then and those on their way, itself included, were no more than
// the budget; and the others are among them. A request that is part of another one does not wait
// for an outcome, so such ones come on top.
type careful struct {
	on bool
}

const (
	carefulEach = 6   // answers without a refusal for each further one on its way
	carefulIn   = 61. // s; a minute, and what a refusal takes to be heard
)

// next is when a request may go beside so many others on their way, after the refusals heard, the
// newest first; infinite if an answer must come first.
func (c careful) next(now float64, flying, open int, start bool, accepted int, refusals *[hasty]float64) float64 {
	if !c.on {
		return now
	}
	heard := 0
	for heard < jail && refusals[heard] > now-carefulIn {
		heard++
	}
	room := jail - heard
	if start { // half of it is for measuring the rate
		room = min(room, max(1, room/2)+accepted/carefulEach)
	}
	switch {
	case heard < jail && (room-open > flying || flying == 0): // one alone can tell what the doubts were
		return now
	case flying > 0:
		return inf
	}
	return refusals[jail-1] + carefulIn
}

// locked reports whether the budget, and not the server, held the single request until after gate.
func (c careful) locked(gate float64, refusals *[hasty]float64) bool {
	return c.on && refusals[jail-1]+carefulIn > gate
}
