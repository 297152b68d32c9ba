package callee

import (
	"math"
	"math/rand/v2"
	"time"
)

// Works are distributions of how long calls take, 50 ms on average.
var Works = []struct {
	Name string
	Draw func(*rand.Rand) time.Duration
}{
	{"even", func(r *rand.Rand) time.Duration { return ms(40 + 20*r.Float64()) }},
	{"noisy", func(r *rand.Rand) time.Duration { return ms(50 * math.Exp(r.NormFloat64()-0.5)) }},
	{"mixed", func(r *rand.Rand) time.Duration {
		if r.Float64() < 0.2 {
			return ms(170)
		}
		return ms(20)
	}},
}

func ms(x float64) time.Duration { return time.Duration(x * float64(time.Millisecond)) }

// Trial is a callee under a constant load. Something changes after a minute.
type Trial struct {
	Hands   int
	Work    func(*rand.Rand) time.Duration
	Change  Change
	Demand  float64 // over the callee's peak
	For     time.Duration
	Share   float64 // of critical calls
	Timeout time.Duration
	Seed    uint64
}

// Change is what happens to a callee.
type Change uint8

// The changes.
const (
	Nothing  Change = iota
	Halved          // from 60 s to 120 s it has half of its hands
	Brownout        // from 60 s to 120 s every call takes twice as long
	Tripled         // from 60 s to 61 s every call takes three times as long
	Leak            // every call takes a little longer than the last, twice as long after 60 s
	Slow            // the calls of a tenth of a second take ten times as long
)

// Peak is how many calls a second the callee can do if nothing is wrong.
func (t Trial) Peak() float64 { return float64(t.Hands) / 0.05 }

// Run runs it.
func (t Trial) Run(l Limiter) *Result {
	c := Callee{Work: t.Work, Hands: t.hands, Slow: t.slow}
	rate := t.Peak() * t.Demand
	return Run(c, l, Load{
		Rate: func(time.Duration) float64 { return rate }, For: t.For, Timeout: t.Timeout,
		Share: t.Share, Seed: t.Seed,
	})
}

func (t Trial) hands(now time.Duration) int {
	if t.Change == Halved && now >= minute && now < 2*minute {
		return t.Hands / 2
	}
	return t.Hands
}

func (t Trial) slow(now time.Duration) float64 {
	switch t.Change {
	case Brownout:
		if now >= minute && now < 2*minute {
			return 2
		}
	case Tripled:
		if now >= minute && now < minute+time.Second {
			return 3
		}
	case Slow:
		if now >= minute && now < minute+100*time.Millisecond {
			return 10
		}
	case Leak:
		return 1 + now.Seconds()/60
	}
	return 1
}

// Unloaded is the latency quantile of the callee at a tenth of its peak.
func (t Trial) Unloaded(q float64) time.Duration {
	t.Change, t.Demand, t.For = Nothing, 0.1, minute
	return t.Run(NewFixed(math.MaxInt)).Quantile(q, 0, minute)
}

// Report is the outcome of a trial.
type Report struct {
	*Result
	peak float64
	p99  time.Duration
}

// Try runs t and reports, against the unloaded callee.
func (t Trial) Try(l Limiter) Report { return Report{t.Run(l), t.Peak(), t.Unloaded(0.99)} }

// Good is the goodput between two seconds as a share of the callee's peak.
func (r Report) Good(from, to int) float64 { return r.Goodput(seconds(from), seconds(to)) / r.peak }

// Slower is the 99th percentile of the latencies between two seconds, divided by the unloaded one.
func (r Report) Slower(from, to int) float64 {
	return float64(r.Quantile(0.99, seconds(from), seconds(to))) / float64(r.p99)
}

// Worst is the lowest goodput in any second of a part of the run.
func (r Report) Worst(from, to int) float64 {
	worst := math.Inf(1)
	for s := from; s < to; s++ {
		worst = min(worst, r.Good(s, s+1))
	}
	return worst
}

const minute = time.Minute

func seconds(s int) time.Duration { return time.Duration(s) * time.Second }
