package pacing

const (
	shareOf = 40.   // answers that a share is taken over
	nothing = 1e-99 // a share that small is 0: processors are slow with the least floats
)

// noisy finds out in the long run what the next answers cannot tell: that doubts taken for refusals
// are noise after all, or the other way round. Noise comes at any rate; refusals by a limit stop
// below it.
type noisy struct {
	late share // of the doubts among the answers of late

	strikes  int  // refusals in a row while cruising, each soon after the last
	struckAt int  // answers until the last of them
	final    bool // noise was refuted once
}

// A share is that of some kind of answer among the last ones. The older ones count less.
type share float64

func (s *share) add(hit bool) {
	if *s *= 1 - 1/shareOf; *s < nothing {
		*s = 0
	}
	if hit {
		*s += 1 / shareOf
	}
}

// acquit takes the doubts for noise.
func (d *doubt) acquit() {
	d.noise, d.convicted = true, false
}

// refuted reports whether there are more doubts than noise would bring: too many in a row, or too
// large a share.
func (d *doubt) refuted() bool { return d.run >= hasty || float64(d.late) > mostOf }

// struck is told of a release: how many answers had been accepted by then, and which rate was
// refused while cruising, 0 if the machine was not. A row of such refusals is suspicious. Then
// struck asks for half the rate, and if the doubts come as soon as before they are noise.
func (d *doubt) struck(accepted int, rate float64) (noise, halve bool) {
	if d.definite || d.noise || d.final || rate == 0 {
		d.strikes = 0
		return false, false
	}
	if d.strikes == 0 || float64(accepted-d.struckAt) > shareOf {
		d.strikes = 0
	}
	d.struckAt = accepted
	d.strikes++
	if d.strikes > hasty {
		d.acquit()
		return true, false
	}
	return false, d.strikes == hasty
}
