package pacing

// What several parts take for proof.
const (
	enough = 8   // answers: more than chance
	thrice = 3   // times: what happens so often is not chance
	jail   = 4   // refusals within a minute that jails in manuals forgive: the fifth is banned
	mostOf = .5  // more than this share is most of something
	minute = 60. // s; the time that jails and holds are counted in
)

// tally counts what was sent and answered.
type tally struct {
	begun    bool
	t0       float64        // when the first request was sent
	last     float64        // when the last one was
	before   float64        // when the one before that was
	jitter   float64        // the distance from it to the next, in parts of 1/rate
	seq      int            // requests sent
	flying   int            // requests on their way, nested ones too
	accepted int            // answers that were not refusals
	recent   counter        // the same, of the last minute
	refusals [hasty]float64 // the last ones, the newest first
}

// A mark is a moment, and what had been accepted by then.
type mark struct {
	at float64
	n  int
}

func (t *tally) mark(now float64) mark { return mark{now, t.accepted} }

func (t *tally) noteRefusal(now float64) {
	copy(t.refusals[1:], t.refusals[:])
	t.refusals[0] = now
}

// over is n in that many seconds, as a rate. A shorter time counts as a thousandth of a second:
// answers in no time do not prove an endless rate.
func over(n, seconds float64) float64 { return n / max(seconds, .001) }
