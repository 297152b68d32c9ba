package pacing

// gauge is what the server says of its quota: how many requests remain, and when there are more.
// That is known before any refusal. What was sent since is taken off. How fast more comes in is
// learned from how the number moves: in a bucket it rises all the time, in a window at its end.
type gauge struct {
	heard bool
	seq   int     // the request whose answer told
	at    float64 // when it told
	told  int     // what remained then, as it said
	left  int     // what remained then, as far as one can rely on it
	most  int     // the limit, as far as was said or seen
	reset float64 // when there are more; 0: not said
	far   float64 // s; the farthest reset that was told

	pace, paceTo float64 // the limit over its window, if that is long, and until when that holds
	inflow, over float64 // what came in, and in how many seconds
	flows        bool    // what remains rose before a reset
	full         int     // answers in a row that found it full

	reserve int // what is left unused, since a refusal came against its word
	wrong   int // such refusals
}

const (
	// A quota that is renewed within this time is used at once; one for longer is spread over it.
	gaugeNear = 600. // s

	gaugeKeeps = 4 // at most the limit divided by this is left unused
)

// hear takes what the answer to t says.
func (g *gauge) hear(now float64, t Ticket, a Answer, flying int) {
	if a.Remaining < 0 || g.wrong >= thrice {
		return
	}
	alone := t.Beside == 1 && flying == 0 // no other was on its way
	early := g.reset == 0 || now < g.reset
	falls := g.heard && early && !g.flows // within a window it only falls
	if t.seq < g.seq {
		g.left = min(g.left, a.Remaining)
		return
	}
	if g.heard && a.Kind != Refusal {
		in := float64(a.Remaining - g.told + t.seq - g.seq)
		switch {
		case !early && !g.flows: // a window's end
		case a.Remaining+1 >= g.most: // it was full, so it does not tell how much came in
		default:
			g.inflow += in
			g.over += now - g.at
			// they may have been served in any order
			disorder := float64(max(flying, int(t.Beside)))
			g.flows = g.flows || early && g.inflow >= thrice+disorder
		}
	}
	if g.full++; a.Remaining+1 < g.most || g.most == 1 {
		g.full = 0
	}
	left := a.Remaining
	switch {
	case alone: // the number is exact
	case falls:
		left = min(left, g.left)
	case g.flows: // it cannot have risen faster than it comes in
		left = min(left, g.left+int(1+g.rate()*(now-g.at)))
	}
	g.most = max(g.most, a.Limit, a.Remaining)
	g.heard, g.seq, g.at, g.told, g.left = true, t.seq, now, a.Remaining, left
	g.far = max(g.far, a.Reset)
	ends := 0.
	if a.Reset > 0 {
		ends = now + a.Reset
		// Whole seconds are rounded up, so of the ends that answers name the first is the nearest.
		if g.reset > now && ends >= g.reset && ends <= g.reset+1 {
			ends = g.reset
		}
	}
	g.reset = ends
	if a.Limit > 0 && a.Window > gaugeNear {
		g.pace, g.paceTo = float64(a.Limit)/a.Window, now+a.Window
	}
}

// permits is how many may go now by what was said. The latest request was sent at last, and flying
// of them are on their way. The server may have counted those already or not, so all are taken off.
func (g *gauge) permits(now, last float64, flying int) int {
	if !g.flows && g.reset > 0 && now >= g.reset && last < g.reset {
		return 1 // the quota is renewed, and the answer to this one says how much it is
	}
	return g.left - flying - g.reserve
}

// invites reports whether one may go although so many in flight are not proved yet: while nothing
// was refused, what remains tells what a start with few in flight would have to find out.
func (g *gauge) invites(now, last float64, flying int) bool {
	return !g.deaf() && g.wrong == 0 && flying < browserSlot && g.permits(now, last, flying) >= 1
}

// spread is the rate at which what remains lasts until there is more, if that is far; infinite if
// it is near, or if more flows in all the time.
func (g *gauge) spread(now float64, flying int) float64 {
	r := inf
	if g.deaf() || g.flows {
		return r
	}
	if n := g.left - flying; n > 0 && g.reset > now+gaugeNear {
		r = float64(n) / (g.reset - now)
	}
	if now < g.paceTo {
		r = min(r, g.pace)
	}
	return r
}

// abounds reports whether two answers in a row found it full: more comes in than is used.
func (g *gauge) abounds() bool { return !g.deaf() && g.full > 1 }

// stated reports whether what was said still holds.
func (g *gauge) stated(now float64) bool { return !g.deaf() && now < max(g.reset, g.paceTo) }

// deaf reports whether there is nothing to go by.
func (g *gauge) deaf() bool {
	return !g.heard || g.wrong >= thrice || g.coarse()
}

// coarse reports whether as many may be on their way as remain, and a second that is told may be
// any part of one.
func (g *gauge) coarse() bool { return g.most <= browserSlot && g.far <= 1 }

func (g *gauge) rate() float64 {
	if !g.flows || g.over <= 0 {
		return 0
	}
	return max(0, g.inflow-1) / g.over
}

// next is when the next request may go; last and flying are as in permits. If nothing is left and
// the server does not say for how long, an answer must come first; if a rate is learned that one
// holds.
func (g *gauge) next(now, last float64, flying int, learned bool) float64 {
	if g.deaf() {
		return now
	}
	n := g.permits(now, last, flying)
	if n >= 1 {
		return now
	}
	at := inf
	if g.reset > now && g.far > 1 { // a reset of a second may be any part of one
		at = g.reset
	}
	if r := g.rate(); r > 0 {
		at = g.at + (1-float64(n))/r // more exact than a reset that is told in whole seconds
	}
	if at == inf && (learned || flying == 0) {
		at = now
	}
	return max(now, at)
}

// refused is told of a refusal. If the request was sent because of what the server said, that was
// wrong.
func (g *gauge) refused(t Ticket) {
	if g.deaf() || !t.granted {
		return
	}
	g.wrong++
	g.reserve = min(max(1, 2*g.reserve), g.most/gaugeKeeps)
}
