package load

import (
	"math"
	"time"
)

// Adaptive is a Gradient that knows priorities. While it must refuse calls it keeps room for the
// higher ones: a call is admitted if the calls up to its priority leave as many slots as the calls
// above it have needed lately. That need is by Little's law (arrivals a second times the time that
// one takes), plus one standard deviation of a Poisson process. So a higher call finds a slot
// although no call waits.
//
// Like Gradient it is pure.
type Adaptive struct {
	Gradient
	demand table[demand]
	ticked time.Duration
}

// demand is how many slots the calls of one priority need.
type demand struct {
	running int
	arrived int           // since the last tick
	ended   int           // since the last tick, of those measured
	busy    time.Duration // by those that ended
	lasts   float64       // seconds that one takes, on average
	slots   float64       // needed at once
	usual   float64       // the same, on average
}

const demandTick = 250 * time.Millisecond

// NewAdaptive starts at limit start and stays within min and max.
func NewAdaptive(start, min, max int) Adaptive {
	return Adaptive{Gradient: NewGradient(start, min, max)}
}

// Pass is what a call carries while it runs.
type Pass struct {
	Ticket
	priority int
}

// Arrive admits a call or refuses it.
func (a *Adaptive) Arrive(now time.Duration, priority int) (Pass, bool) {
	i := a.note(now, priority)
	switch {
	case !a.Full(now):
		if !a.leavesRoom(i) {
			a.refuse()
			return Pass{}, false
		}
	case i == 0 || float64(a.inFlight) >= a.max || !a.overdraws(i):
		return Pass{}, false
	}
	return a.enter(now, i), true
}

// overdraws reports whether one more call of this priority may go beyond the limit. Calls of lower
// priorities do not count, because their slots come free for it when they end. Calls of its own
// priority and above may exceed the limit by five standard deviations, for those that arrive
// together by chance, unless they alone are an overload.
func (a *Adaptive) overdraws(i int) bool {
	running, need, usual := 0.0, 1.0, 0.0
	for _, e := range a.demand[i:] {
		running += float64(e.value.running)
		need += e.value.slots
		usual += e.value.usual
	}
	if usual > 1.25*a.limit {
		return running < float64(a.Room())
	}
	return running < a.limit+5*math.Sqrt(min(need, a.limit))
}

// Take admits a call if a slot is free, whatever the higher ones need. It is for a queue, in which
// the higher ones wait in front.
func (a *Adaptive) Take(now time.Duration, priority int) (Pass, bool) {
	if a.Full(now) {
		return Pass{}, false
	}
	return a.enter(now, a.note(now, priority)), true
}

// Finish gives the slot back and learns from the call.
func (a *Adaptive) Finish(now time.Duration, p Pass, o Outcome) {
	d := &a.demand[a.demand.at(p.priority)].value
	d.running--
	if p.Measured() {
		d.ended++
		d.busy += now - p.Start
	}
	a.Gradient.Finish(now, p.Ticket, o)
}

// note counts an arrival and returns the index of its priority.
func (a *Adaptive) note(now time.Duration, priority int) int {
	if now-a.ticked >= demandTick {
		a.tick(now)
	}
	i := a.demand.at(priority)
	a.demand[i].value.arrived++
	return i
}

func (a *Adaptive) enter(now time.Duration, i int) Pass {
	a.demand[i].value.running++
	return Pass{a.Gradient.Admit(now), a.demand[i].priority}
}

// leavesRoom reports whether one more call of this priority leaves enough slots for those above it.
func (a *Adaptive) leavesRoom(i int) bool {
	above := 0.0
	for _, e := range a.demand[i+1:] {
		above += e.value.slots
	}
	if above == 0 {
		return true
	}
	running := 0
	for _, e := range a.demand[:i+1] {
		running += e.value.running
	}
	return float64(running+1)+above+math.Sqrt(above) <= float64(a.Room())
}

// tick updates the demand of each priority by its calls since the last tick. Demand rises at once
// and halves in half a second.
func (a *Adaptive) tick(now time.Duration) {
	since := (now - a.ticked).Seconds()
	a.ticked = now
	a.demand.forget(func(d *demand) bool {
		return d.running == 0 && d.arrived == 0 && d.slots < 0.01
	})
	for i := range a.demand {
		d := &a.demand[i].value
		if d.ended > 0 {
			n := float64(d.ended)
			weight := n / (n + 50)
			if d.lasts == 0 {
				weight = 1
			}
			d.lasts += (d.busy.Seconds()/n - d.lasts) * weight
		}
		lasts := d.lasts
		if lasts == 0 {
			lasts = a.Baseline().Seconds()
		}
		slots := float64(d.arrived) / since * lasts
		if d.usual == 0 {
			d.usual = slots
		}
		d.usual += (slots - d.usual) * (1 - math.Pow(0.5, since/2))
		d.slots = max(slots, d.slots+(slots-d.slots)*(1-math.Pow(0.5, 2*since)))
		if d.slots < 0.01 {
			d.slots = 0
		}
		d.arrived, d.ended, d.busy = 0, 0, 0
	}
}
