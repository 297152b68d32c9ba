package pacing

import "testing"

func TestTheBudget(t *testing.T) {
	at := func(times ...float64) (r [hasty]float64) {
		for i := range r {
			r[i] = -inf
		}
		copy(r[:], times)
		return r
	}
	for _, c := range []struct {
		name               string
		refusals           [hasty]float64 // the newest first
		flying, open, more int
		next               float64 // at 100 s
	}{
		{"nothing refused, three on their way", at(), 3, 0, 0, 100},
		{"four", at(), 4, 0, 0, inf},
		{"four, and more may be at risk", at(), 4, 0, 1, 100},
		{"as many as that", at(), 5, 0, 1, inf},
		{"once something was refused no more may", at(50), 3, 0, 4, inf},
		{"one refused, two on their way", at(50), 2, 0, 0, 100},
		{"long ago", at(38), 3, 0, 0, 100},
		{"doubts count", at(), 2, 2, 0, inf},
		{"but one alone can tell what they were", at(), 0, 4, 0, 100},
		{"three refused, none on its way", at(60, 55, 50), 0, 0, 0, 100},
		{"three refused, one on its way", at(60, 55, 50), 1, 0, 0, inf},
		{"four refused: when the oldest is a minute old",
			at(60, 58, 55, 50), 0, 0, 0, 50 + carefulIn},
		{"four refused, one on its way", at(60, 58, 55, 50), 1, 0, 0, inf},
		{"four, the oldest long ago", at(60, 58, 55, 38), 0, 0, 0, 100},
	} {
		got := (careful{on: true}).next(100, c.flying, c.open, c.more, &c.refusals)
		if got != c.next {
			t.Errorf("%s: at %v, want %v", c.name, got, c.next)
		}
		if got := (careful{}).next(100, c.flying, c.open, c.more, &c.refusals); got != 100 {
			t.Errorf("%s, not careful: at %v", c.name, got)
		}
	}
}

// More than four are at risk only after seconds and answers.
func TestWhatAStartHasProved(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		answers int
		more    int
	}{
		{10, 7, 0}, {10, 8, 1}, {10, 23, 2}, {.79, 100, 0}, {.81, 100, 1},
		{2.3, 100, 2}, {100, 1000, 4},
	} {
		if got := (careful{}).proven(c.seconds, c.answers); got != c.more {
			t.Errorf("%v s and %d answers: %d more, want %d", c.seconds, c.answers, got, c.more)
		}
	}
	m := New(Config{Careful: true}, newRand())
	m.start(0)
	m.flying, m.accepted, m.flight.opening, m.flight.limit = 4, 16, false, browserSlot
	if at := m.NextSend(2); at != 2 {
		t.Errorf("a start that has gone on for two seconds lets a fifth go at %v", at)
	}
	m.mode = Climb
	if at := m.NextSend(2); at != inf {
		t.Errorf("a climb lets a fifth go at %v", at)
	}
}

func TestThePauseOfACarefulMachineGrowsFaster(t *testing.T) {
	for _, c := range []struct {
		careful bool
		parks   []float64 // s; after each refused single request
	}{{false, []float64{.5, 1, 2, 4}}, {true, []float64{.5, 2, 8}}} {
		m := New(Config{Careful: c.careful}, newRand())
		for i, want := range c.parks {
			now := max(1, m.gate)
			m.OnDone(now, m.OnSend(now), Answer{Kind: Refusal, RetryAfter: -1, Remaining: -1})
			if got := m.gate - now; !near(got, want) {
				t.Errorf("careful %v: park %d lasts for %v s, want %v", c.careful, i+1, got, want)
			}
		}
	}
	if got := (careful{on: true}).longer(200); got != maxPark {
		t.Errorf("longer than %v s: %v", maxPark, got)
	}
	if got := (careful{}).longer(200); got != maxPark {
		t.Errorf("longer than %v s: %v", maxPark, got)
	}
}

func TestHowTheBudgetIsUsedUp(t *testing.T) {
	for _, c := range []struct {
		refusals      [hasty]float64
		sated, locked bool // at 100 s; with a park until then
	}{
		{[hasty]float64{60, 58, 50, -inf, -inf}, true, false},
		{[hasty]float64{60, 58, 39, -inf, -inf}, false, false},
		{[hasty]float64{60, 58, 50, 45, -inf}, true, true},
		{[hasty]float64{60, 58, 50, 38, -inf}, true, false},
	} {
		on := careful{on: true}
		if on.sated(100, &c.refusals) != c.sated || on.locked(100, &c.refusals) != c.locked {
			t.Errorf("%v: sated %v, locked %v",
				c.refusals, on.sated(100, &c.refusals), on.locked(100, &c.refusals))
		}
		if off := (careful{}); off.sated(100, &c.refusals) || off.locked(100, &c.refusals) {
			t.Errorf("%v: a budget that is not kept is used up", c.refusals)
		}
	}
}
