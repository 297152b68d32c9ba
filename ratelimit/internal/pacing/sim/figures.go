package sim

import (
	"math"
	"math/rand/v2"
	"time"

	lt "github.com/reprise-go/reprise/ratelimit/limitertest"
)

// ruleAt makes the rule of a server whose window is at that part of its length, 0 to 1.
type ruleAt = func(phase float64) lt.Rule

func open(float64) lt.Rule { return lt.Open{} }

// dur is s seconds.
func dur(s float64) time.Duration { return time.Duration(s * 1e9) }

// figures gives a server's figures: the nominal ones, or, with a source, ones drawn around them.
type figures struct{ x *rand.Rand }

// between is drawn log-uniformly from a to b.
func (f figures) between(a, b float64) float64 {
	return math.Exp(math.Log(a) + f.x.Float64()*(math.Log(b)-math.Log(a)))
}

// scale is v, or v times a number from a to b.
func (f figures) scale(v, a, b float64) float64 {
	if f.x == nil {
		return v
	}
	return v * f.between(a, b)
}

func (f figures) rate(v float64) float64    { return f.scale(v, .3, 2.5) }
func (f figures) window(v float64) float64  { return f.scale(v, .5, 2) }
func (f figures) latency(v float64) float64 { return f.scale(v, .6, 4) }

// count is how many requests a window admits.
func (f figures) count(v float64) int { return int(max(2, math.Round(f.rate(v)))) }

func (f figures) bucket(rate, burst float64) ruleAt {
	r, b := f.rate(rate), int(burst)
	if f.x != nil {
		b = max(1, int(math.Round(burst*f.between(.4, 3))))
	}
	return func(float64) lt.Rule { return lt.Bucket(r, b) }
}

// sliding admits n in a window of that many seconds. refused: refused requests count too.
func (f figures) sliding(n, window float64, refused bool) ruleAt {
	k, w := f.count(n), dur(f.window(window))
	return func(float64) lt.Rule { return lt.Sliding(k, w, refused) }
}

// ban is earned by so many refusals within 10 s, lasts for so many seconds, and is told by as.
func (f figures) ban(after int, lasts float64, as lt.Verdict) func() *lt.Ban {
	n := after
	if f.x != nil {
		n = max(after/2, int(math.Round(float64(after)*f.between(.6, 2))))
	}
	d := dur(f.window(lasts))
	return func() *lt.Ban {
		return &lt.Ban{After: n, Within: 10 * time.Second, For: d, Answer: as}
	}
}
