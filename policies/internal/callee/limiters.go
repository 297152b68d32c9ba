package callee

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/policies/internal/load"
)

// Learned is the algorithm of policies.Adaptive.
type Learned struct{ load.Adaptive }

// NewLearned starts as policies.NewAdaptive does.
func NewLearned() *Learned { return &Learned{load.NewAdaptive(20, 1, 1000)} }

// Admit takes a slot.
func (l *Learned) Admit(now time.Duration, priority int) (any, bool) {
	return l.Arrive(now, priority)
}

// Finish gives it back.
func (l *Learned) Finish(now time.Duration, ticket any, timedOut bool) {
	o := load.Succeeded
	if timedOut {
		o = load.TimedOut
	}
	l.Adaptive.Finish(now, ticket.(load.Pass), o)
}

// slots is a limit that the types below set.
type slots struct{ limit, inFlight int }

type slot struct {
	start    time.Duration
	inFlight int
}

func (s *slots) Limit() int { return s.limit }

func (s *slots) Admit(now time.Duration, _ int) (any, bool) {
	if s.inFlight >= s.limit {
		return nil, false
	}
	s.inFlight++
	return slot{now, s.inFlight}, true
}

// Fixed is a bulkhead.
type Fixed struct{ slots }

// NewFixed makes a bulkhead of n slots.
func NewFixed(n int) *Fixed { return &Fixed{slots{limit: n}} }

// Finish gives the slot back.
func (f *Fixed) Finish(time.Duration, any, bool) { f.inFlight-- }

// AIMD is Netflix concurrency-limits' AIMDLimit with its defaults: one more after each call that
// ends in time while half of the limit is in use, a tenth less after one that is dropped or takes 5
// s.
type AIMD struct{ slots }

// NewAIMD starts at 20.
func NewAIMD() *AIMD { return &AIMD{slots{limit: 20}} }

// Finish gives the slot back and moves the limit.
func (a *AIMD) Finish(now time.Duration, ticket any, timedOut bool) {
	s := ticket.(slot)
	a.inFlight--
	switch {
	case timedOut || now-s.start > 5*time.Second:
		a.limit = max(1, min(a.limit-1, int(float64(a.limit)*0.9)))
	case s.inFlight*2 >= a.limit:
		a.limit++
	}
}

// Vegas is Netflix concurrency-limits' VegasLimit with its defaults, call by call.
type Vegas struct {
	slots
	estimate float64
	unloaded time.Duration
	count    int
	jitter   float64
	random   *rand.Rand
}

// NewVegas starts at 20.
func NewVegas() *Vegas {
	v := &Vegas{slots: slots{limit: 20}, estimate: 20, random: rand.New(rand.NewPCG(7, 7))}
	v.jitter = 0.5 + v.random.Float64()/2
	return v
}

// Finish gives the slot back and moves the limit.
func (v *Vegas) Finish(now time.Duration, ticket any, timedOut bool) {
	s := ticket.(slot)
	v.inFlight--
	took := max(1, now-s.start)
	v.count++
	if v.jitter*30*v.estimate <= float64(v.count) {
		v.jitter, v.count, v.unloaded = 0.5+v.random.Float64()/2, 0, took
		return
	}
	if v.unloaded == 0 || took < v.unloaded {
		v.unloaded = took
		return
	}
	v.estimate = max(1, min(1000, v.step(took, s.inFlight, timedOut)))
	v.limit = int(v.estimate)
}

func (v *Vegas) step(took time.Duration, inFlight int, dropped bool) float64 {
	log := math.Max(1, math.Floor(math.Log10(math.Floor(v.estimate))))
	queue := math.Ceil(v.estimate * (1 - float64(v.unloaded)/float64(took)))
	switch {
	case dropped:
		return v.estimate - log
	case inFlight*2 < int(v.estimate):
		return v.estimate
	case queue <= log:
		return v.estimate + 6*log
	case queue < 3*log:
		return v.estimate + log
	case queue > 6*log:
		return v.estimate - log
	}
	return v.estimate
}

// Gradient2 is Netflix concurrency-limits' Gradient2Limit with its defaults and a minimum of 1, in
// windows of a second as its WindowedLimit makes them.
type Gradient2 struct {
	slots
	estimate   float64
	long       float64
	count      int
	sum        float64
	n, peak    int
	nextUpdate time.Duration
}

// NewGradient2 starts at 20.
func NewGradient2() *Gradient2 { return &Gradient2{slots: slots{limit: 20}, estimate: 20} }

// Finish gives the slot back and moves the limit once a second.
func (g *Gradient2) Finish(now time.Duration, ticket any, _ bool) {
	s := ticket.(slot)
	g.inFlight--
	g.sum += (now - s.start).Seconds()
	g.n++
	g.peak = max(g.peak, s.inFlight)
	if now < g.nextUpdate || g.n < 10 {
		return
	}
	short := g.sum / float64(g.n)
	peak := g.peak
	g.sum, g.n, g.peak, g.nextUpdate = 0, 0, 0, now+time.Second
	if g.count < 10 { // warm-up: the plain average
		g.count++
		g.long += (short - g.long) / float64(g.count)
	} else {
		g.long += (short - g.long) * 2 / 601
	}
	if g.long/short > 2 {
		g.long *= 0.9
	}
	if float64(peak) < g.estimate/2 {
		return
	}
	gradient := max(0.5, min(1, g.long/short))
	g.estimate = max(1, min(200, g.estimate*0.8+(g.estimate*gradient+4)*0.2))
	g.limit = int(g.estimate)
}
