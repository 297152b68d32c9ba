package pacing

// How much suspicion convicts.
const doubtWeighs = 2 // a doubtful answer counts as much as so many others; two in a row convict

// doubt tells refusals from noise where the server's answers can be either: a
// bare 503, a reset, a cut body.
type doubt struct {
	definite  bool // the server refuses in plain words, so doubtful answers are noise
	convicted bool // doubtful answers are its refusals
	noise     bool // doubtful answers are noise, as far as one can see

	suspicion int  // of late: each doubtful answer adds doubtWeighs, each other takes one
	crowd     bool // the number in flight explained the last one, and is now below firstSlots
	passed    int  // times that a suspicion passed
	run       int  // doubtful answers in a row
	open      int  // doubts that may still turn out to be refusals
	asking    bool // one request at a time, until one sent after since is admitted
	since     int

	noisy
}

// judge decides what an answer is taken for. A doubt stays one only until the next answers tell: a
// server that refuses also refuses the requests behind it, noise does not.
func (m *Machine) judge(now float64, kind Kind, t Ticket) Kind {
	d := &m.doubt
	d.late.add(kind == Doubt)
	told := !d.asking || t.seq > d.since // what was sent before the doubt tells nothing about it
	if kind != Doubt {
		d.definite = d.definite || kind == Refusal
		if told {
			d.calm()
		}
	}
	if d.asking && told {
		d.asking = d.suspicion > 0 && d.passed == 0
	}
	if kind != Doubt {
		return kind
	}
	d.run++
	if d.noise && d.refuted() {
		d.noise, d.convicted, d.final = false, true, true
	}
	switch {
	case d.definite || d.noise:
		return Trouble
	case d.convicted || m.half:
		return Refusal
	}
	// Each suspicion that passed shows that there is some noise, so it takes more to convict.
	if d.suspicion += doubtWeighs; d.suspicion >= doubtWeighs*(2+d.passed) {
		d.convicted = true
		return Refusal
	}
	if m.flight.blame(int(t.Beside), m.accepted) {
		d.crowd = m.flight.limit < firstSlots
	} else {
		m.ask(now, t, t.seq)
	}
	return Doubt
}

// quiet reports whether an answer that is Fine changes nothing but what pass notes.
func (d *doubt) quiet() bool { return !d.asking && d.suspicion == 0 }

// pass is judge and calm for such an answer.
func (d *doubt) pass() {
	d.late.add(false)
	d.run = 0
}

// ask lets one request at a time go, until one sent after since has told what to think of the
// answer to t. What else is in flight should be answered first.
func (m *Machine) ask(now float64, t Ticket, since int) {
	m.doubt.asking, m.doubt.since, m.out = true, since, false
	m.gate = max(m.gate, now+(now-t.Sent)) // what is in flight is answered by then
}

// calm lowers the suspicion after an answer that was not a doubt.
func (d *doubt) calm() {
	d.run = 0
	if d.suspicion == 0 {
		return
	}
	if d.suspicion = max(0, d.suspicion-1); d.suspicion == 0 {
		d.open = 0
	}
	// In a crowd it proves nothing: a server without a burst refuses one of two that come at once
	// and takes the next.
	if d.suspicion == 0 && !d.convicted && !d.crowd {
		if d.passed++; d.passed >= thrice {
			d.acquit()
		}
	}
}
