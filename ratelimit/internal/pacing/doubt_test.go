package pacing

import (
	"math"
	"testing"
)

func TestShareOfTheLastAnswers(t *testing.T) {
	var s share
	for range 1000 {
		s.add(true)
	}
	if float64(s) < .999 || float64(s) > 1 {
		t.Errorf("of a thousand hits %v", s)
	}
	for range 40 {
		s.add(false)
	}
	if want := math.Pow(1-1/shareOf, 40); math.Abs(float64(s)-want) > .001 {
		t.Errorf("after forty others %v, want %v", s, want)
	}
}

// A story is told to a machine that has sent what is judged: D a doubt, R a refusal, F a page, O a
// page of before the question. What each is taken for follows: d a doubt still, r a refusal, n
// noise, - an admission.
func TestWhatDoubtsAreTakenFor(t *testing.T) {
	for _, c := range []struct{ name, story, verdicts string }{
		{"one", "FFFFDF", "----d-"},
		{"two in a row", "FFFFDD", "----dr"},
		{"with one page between it takes another", "FFFFDFDD", "----d-dr"},
		{"with two", "FFFFDFFD", "----d--d"},
		{"after one passed, three", "FFFFDFFDDD", "----d--ddr"},
		{"after two passed, four", "FFFFDFFDFFDDDD", "----d--d--dddr"},
		{"three passed: noise", "FFFFDFFDFFDFFD", "----d--d--d--n"},
		{"pages of before tell nothing", "FFFFDOOD", "----d--r"},
		{"convicted for good", "FFFFDDFFFFFFFFFFFFFFFFFFFFD", "----dr--------------------r"},
		{"a plain refusal makes them noise", "FFFFRFD", "----r-n"},
		{"noise, until there are five in a row", "FFFFDFFDFFDFFDDDDD", "----d--d--d--nnnnr"},
		{"noise, with pages between", "FFFFDFFDFFDFFDFDFDFDFDFD", "----d--d--d--n-n-n-n-n-n"},
	} {
		m := New(Config{}, newRand())
		m.accepted = 100
		got := ""
		for i, k := range c.story {
			now := float64(i)
			tk := Ticket{Sent: now - .1, seq: i + 1, Beside: 1}
			kind := Fine
			switch k {
			case 'D':
				kind = Doubt
			case 'R':
				kind = Refusal
			case 'O':
				tk.seq = 1
			}
			m.seq = i + 1
			switch took := m.judge(now, kind, tk); {
			case took == Doubt:
				got += "d"
			case took == Refusal:
				got += "r"
			case kind == Doubt:
				got += "n"
			default:
				got += "-"
			}
		}
		if got != c.verdicts {
			t.Errorf("%s: %s is taken for %s, want %s", c.name, c.story, got, c.verdicts)
		}
	}
}

// Noise is believed until most of the last forty answers were doubts.
func TestNoiseIsRefutedByItsShare(t *testing.T) {
	m := New(Config{}, newRand())
	m.doubt.acquit()
	for i := range 100 {
		kind := Doubt
		if i%5 == 4 { // never five in a row
			kind = Fine
		}
		if m.judge(float64(i), kind, Ticket{seq: i + 1}) != Refusal {
			continue
		}
		if d := m.doubt; i < 30 || i > 50 || d.noise || !d.convicted || !d.final {
			t.Errorf("four of five are noise %d times, then %+v", i, d)
		}
		return
	}
	t.Error("four of five are noise for ever")
}

// After a doubt one at a time goes, not before an answer to what was sent with it should be there,
// until one passes; no more once a doubt has passed.
func TestADoubtIsAQuestion(t *testing.T) {
	m := New(Config{}, newRand())
	judge := func(now float64, kind Kind, seq int) {
		m.seq = max(m.seq, seq)
		m.judge(now, kind, Ticket{Sent: now - .4, seq: seq, Beside: 1})
	}
	m.accepted, m.out, m.gate = 100, true, 1
	judge(10, Doubt, 10)
	if d := m.doubt; !d.asking || m.out || d.since != 10 || math.Abs(m.gate-10.4) > 1e-9 {
		t.Errorf("after a doubt: %+v, out %v, the next goes at %v", d, m.out, m.gate)
	}
	if judge(10.5, Fine, 9); !m.doubt.asking {
		t.Error("one that was sent before ends the question")
	}
	m.doubt.open = 2
	if judge(11, Fine, 11); !m.doubt.asking || m.doubt.suspicion != 1 || m.doubt.open != 2 {
		t.Errorf("after one page: %+v", m.doubt)
	}
	if judge(12, Fine, 12); m.doubt.asking || m.doubt.suspicion != 0 ||
		m.doubt.open != 0 || m.doubt.passed != 1 {
		t.Errorf("after two: %+v", m.doubt)
	}
	if judge(13, Fine, 13); m.doubt.suspicion != 0 || m.doubt.passed != 1 {
		t.Errorf("after three: %+v", m.doubt)
	}
	m.gate = 100
	judge(14, Doubt, 14)
	if judge(14.1, Fine, 15); m.doubt.asking || m.gate != 100 {
		t.Errorf("once one has passed, the first page ends the question: %+v, %v", m.doubt, m.gate)
	}
	m = New(Config{}, newRand())
	m.half = true
	if m.judge(1, Doubt, Ticket{seq: 1}) != Refusal {
		t.Error("the single request's doubt is not a refusal")
	}
}

// What the number in flight explains, and has lowered it to less than at first, is no sign of noise
// when it passes.
func TestACrowdIsNotNoise(t *testing.T) {
	for _, c := range []struct {
		beside int
		noise  bool
	}{{2, false}, {8, true}} {
		m := New(Config{}, newRand())
		m.accepted, m.flight.opening, m.flight.limit = 100, false, c.beside
		for i := range 40 {
			kind := Fine
			if i%10 == 5 {
				kind, m.flight.good, m.flight.limit = Doubt, nil, c.beside
			}
			m.seq = i + 1
			m.judge(float64(i), kind, Ticket{Sent: float64(i), seq: i + 1, Beside: int32(c.beside)})
		}
		if m.doubt.noise != c.noise {
			t.Errorf("with %d in flight: noise is %v", c.beside, m.doubt.noise)
		}
	}
}

// A row of refusals while cruising, each soon after the one before, is looked into.
func TestARowIsStruck(t *testing.T) {
	for _, c := range []struct {
		name  string
		d     doubt
		at    []int // answers by the refusals
		rate  float64
		halve int // by which of them
		noise int
	}{
		{"five asks for half, the sixth says noise", doubt{convicted: true},
			[]int{30, 60, 90, 120, 150, 180}, 10, 5, 6},
		{"one too late begins anew", doubt{convicted: true},
			[]int{30, 60, 101, 130, 160, 190, 220, 250}, 10, 7, 8},
		{"not cruising", doubt{convicted: true}, []int{30, 60, 90, 120, 150, 180}, 0, 0, 0},
		{"in plain words", doubt{definite: true}, []int{30, 60, 90, 120, 150, 180}, 10, 0, 0},
		{"noise already", doubt{noise: true}, []int{30, 60, 90, 120, 150, 180}, 10, 0, 0},
		{"noise was refuted", doubt{noisy: noisy{final: true}},
			[]int{30, 60, 90, 120, 150, 180}, 10, 0, 0},
	} {
		d, halved, noise := c.d, 0, 0
		for i, n := range c.at {
			isNoise, halve := d.struck(n, c.rate)
			if halve {
				halved = i + 1
			}
			if isNoise {
				noise = i + 1
				break
			}
		}
		if halved != c.halve || noise != c.noise || noise > 0 && (!d.noise || d.convicted) {
			t.Errorf("%s: half the rate by the %dth, noise by the %dth: %+v",
				c.name, halved, noise, d)
		}
	}
	d := doubt{convicted: true}
	for n := range 4 {
		d.struck(30*n, 10)
	}
	d.struck(130, 0) // not cruising
	if _, halve := d.struck(140, 10); halve || d.strikes != 1 {
		t.Errorf("a row goes on over a climb: %+v", d.noisy)
	}
}
