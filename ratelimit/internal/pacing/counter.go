package pacing

import "math"

// A counter counts events of the last minute, by the second.
type counter struct {
	n   [64]int32
	at  int64   // the second that n[at%64] counts
	end float64 // of that second
}

// turn clears the seconds that have passed since the counter was last used.
func (c *counter) turn(now float64) {
	if now < c.end {
		return
	}
	s := int64(math.Floor(now))
	if s-c.at > 64 {
		c.at = s - 65
	}
	for c.at < s {
		c.at++
		c.n[c.at&63] = 0
	}
	c.end = float64(c.at + 1)
}

func (c *counter) add(now float64) {
	if now >= c.end { // or the call would be there for every answer
		c.turn(now)
	}
	c.n[c.at&63]++
}

func (c *counter) addAll(now float64, n int) {
	c.turn(now)
	c.n[c.at&63] += int32(n)
}

// rate is events a second in the last w seconds, w at most 63.
func (c *counter) rate(now float64, w int64) float64 {
	c.turn(now)
	var n int32
	for i := range w {
		n += c.n[(c.at-i)&63]
	}
	return float64(n) / float64(w)
}
