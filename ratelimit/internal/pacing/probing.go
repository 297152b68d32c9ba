package pacing

import "math"

// When to look for more, and for how many refusals.
const (
	// s from the start's last push-back to the first probe, which mends a rate measured too low.
	firstProbe = 8.

	// s; the longest interval. A raised limit is noticed within five minutes, unless refusals must
	// be saved up first.
	lastProbe = 240.

	// A release is real after this many accepted answers, or after this time and the park's length
	// without a refusal: a slow client among several has few answers.
	trust    = 4
	falseFor = 2. // s

	refusalEvery = 150. // s; after each, one more refusal may be spent besides the first ones
)

// probing decides when to look for more, and how much refusals may cost it.
type probing struct {
	every   float64 // s from a push-back to the next probe
	probeAt float64
	probes  int
	spent   int     // refusals in all, those of a change of the limit forgiven
	hit     float64 // the last refusal in a cruise
	hits    int     // such in a row
}

// affords reports whether there is a refusal to spend on a probe. The first few
// mend what the start measured; after them refusals are saved up.
func (m *Machine) affords(now float64) bool {
	spent := float64(m.spent)
	return m.refusals[jail-1] <= now-minute &&
		(m.probes < thrice || spent <= m.allowance(now))
}

func (m *Machine) allowance(now float64) float64 {
	return math.Floor(thrice + (now-m.t0)/refusalEvery)
}
