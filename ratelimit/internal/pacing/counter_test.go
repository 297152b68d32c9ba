package pacing

import "testing"

func TestCounterCountsTheLastSeconds(t *testing.T) {
	var c counter
	for _, s := range []struct {
		at     float64
		events int
		of10   float64 // in the last ten seconds then
		of60   float64
	}{
		{0, 3, 3, 3},
		{5, 2, 5, 5},
		{9.9, 1, 6, 6},
		{10, 0, 3, 6},   // the first second is over
		{20, 0, 0, 6},   // nothing was added since
		{63.5, 0, 0, 3}, // the first second is no longer of the last minute
		{70, 4, 4, 4},
		{73, 0, 4, 4}, // the place of second 9 is used again
		{1e12, 1, 1, 1},
	} {
		for range s.events {
			c.add(s.at)
		}
		a, b := 10*c.rate(s.at, 10), 60*c.rate(s.at, 60)
		if a < s.of10-1e-9 || a > s.of10+1e-9 || b < s.of60-1e-9 || b > s.of60+1e-9 {
			t.Errorf("at %v: %v and %v, want %v and %v", s.at, a, b, s.of10, s.of60)
		}
	}
	if c.rate(2e12, 60) != 0 {
		t.Error("what is long ago counts")
	}
	c.addAll(2e12, 5)
	if n := 10 * c.rate(2e12, 10); n < 4.99 || n > 5.01 {
		t.Errorf("five at once count as %v", n)
	}
}
