package pacing

// What several parts take for proof.
const (
	enough = 8   // answers that show more than chance
	thrice = 3   // times: what happens so often is not chance
	jail   = 4   // refusals within a minute that manuals' jails forgive: the fifth is banned
	mostOf = .5  // a share that is most of it
	minute = 60. // s; the time that jails and holds are counted in
)

// tally counts what was sent and answered.
type tally struct {
	begun    bool
	t0       float64        // when the first request was sent
	last     float64        // when the last one was
	jitter   float64        // its distance to the next, in parts of 1/rate
	seq      int            // requests sent
	flying   int            // of them on their way, nested ones too
	accepted int            // answers that were no refusal
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

// over is n in so many seconds, as a rate. No time is shorter than a thousandth of a second:
// answers in no time prove no rate.
func over(n, seconds float64) float64 { return n / max(seconds, .001) }
