package ratelimit

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/retry"
)

const (
	// A callee that refuses and names no time is left alone for firstRest, and for twice as long
	// each time the probe is refused again, up to maxRest.
	firstRest = 500 * time.Millisecond
	maxRest   = 30 * time.Second

	// probeLimit is how long the others wait for the answer to the probe.
	probeLimit = time.Second

	// ramp spreads out the line that a pause has gathered: the first call goes when the probe is
	// answered, and with each ramp the number that has gone doubles. All at once would bring the
	// refusal back; at a fixed distance ten thousand calls would take far too long.
	ramp = 100 * time.Millisecond
)

// pause holds callers back, however many tokens the sources have. It opens in three steps: until
// the pause has passed no call goes; then one call goes, the probe; when that has been answered,
// the line follows along the ramp.
type pause struct {
	phase phase
	// shut: nobody goes before; probing: the others then go without the probe's answer; ramping:
	// when the ramp began
	until    time.Time
	begun    int32 // pauses so far
	probes   int32 // probes so far: the number of the last one
	released int   // in this ramp
	rests    int   // refusals in a row that named no time
}

type phase uint8

const (
	open phase = iota
	shut
	probing
	ramping
)

// next is when a call with k others before it may go, as far as the pause is concerned, if the
// probe is answered at once.
func (p *pause) next(now time.Time, k int) time.Time {
	begin, k0 := now, k
	switch p.phase {
	case open:
		return now
	case shut:
		k0-- // the first is the probe
		begin = later(now, p.until)
	case ramping:
		k0 += p.released
		begin = p.until
	}
	return later(now, begin.Add(rampAt(k0)))
}

// rampAt is when, in a ramp, the call goes that has k before it.
func rampAt(k int) time.Duration {
	return time.Duration(float64(ramp) * math.Log2(float64(max(k, 0)+1)))
}

// opens returns the earliest moment at which the pause lets the next call go. If the probe is late,
// it first begins the ramp.
func (p *pause) opens(now time.Time) time.Time {
	if p.phase == probing && !now.Before(p.until) {
		p.phase, p.released = ramping, 0
	}
	switch p.phase {
	case shut, probing:
		return p.until
	case ramping:
		return p.until.Add(rampAt(p.released))
	}
	return now
}

// pass lets a call go once opens permits it. It returns the call's number if it is a probe, else 0.
func (p *pause) pass(now time.Time) int32 {
	switch p.phase {
	case shut:
		p.phase, p.until = probing, now.Add(probeLimit)
		p.probes++
		return p.probes
	case ramping:
		p.released++
	}
	return 0
}

// shut holds everybody until the given time, or longer if a pause that ends later has begun
// already, and reports whether it is a new pause.
func (p *pause) shut(now, until time.Time) (began bool) {
	if p.phase == shut && now.Before(p.until) {
		p.until = later(p.until, until)
		return false
	}
	p.phase, p.until = shut, until
	p.begun++
	return true
}

// pending reports whether forgetting the pause would change a decision while no call waits. Calls
// that it has rejected may come back shortly after its end, and one of them is to be the probe.
func (p *pause) pending(now time.Time) bool {
	switch p.phase {
	case shut:
		return now.Before(p.until.Add(probeLimit))
	case probing:
		return true
	}
	return false
}

// Pause holds every caller for d, counted from now; of two pauses the one that ends later counts.
// When it has passed, one call goes first: the probe. When the probe was answered, and after a
// second at the latest, the others follow: the first at once and then spread out, twice as many in
// each further tenth of a second, as far as the limit permits. A probe that is refused begins the
// next pause; one that is abandoned gives its place to the next in line. A pause that has passed
// while no call waits is forgotten after one more second.
//
// A hint of the callee does the same: a mark by [retry.After] on the error that comes out of the
// call, or a [retry.Quota] with nothing remaining until its reset, both no longer than [HintCap].
// If many calls bring a hint it is still one pause, until the latest time that any of them named.
// After(err, 0), a refusal that names no time, pauses for half a second, and for twice as long each
// time the probe is refused in the same way, up to 30 s. Such refusals of calls that went before
// the pause began do not count again.
func (l *Limiter) Pause(d time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	if d > 0 {
		l.shut(now, now.Add(d))
	}
}

// A source calls held when others have told it that nobody may go before the given time. It must
// not be called with l.mu held.
func (l *Limiter) held(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	if until.After(now) {
		l.pauseUntil(now, until)
	}
}

func (l *Limiter) mostHeld() time.Duration { return l.hintCap }

// hint pauses because the callee asked for it in its answer to the call of t.
func (l *Limiter) hint(ctx context.Context, t *ticket, wait time.Duration, err error) {
	l.mu.Lock()
	now := l.tick()
	probe := l.pause.phase == probing && t.probe == l.pause.probes
	if wait == 0 {
		if t.pauses != l.pause.begun { // it answers a call from before this pause
			l.mu.Unlock()
			return
		}
		wait = min(maxRest, firstRest<<min(l.pause.rests, 10))
		l.pause.rests++
	}
	wait = min(wait, l.hintCap)
	began := wait > 0 && l.shut(now, now.Add(wait))
	if probe && !began && l.pause.phase == probing { // HintCap(0): the refusal begins no pause
		l.follows(now)
	}
	l.mu.Unlock()
	if began && !l.shadow {
		to := fmt.Sprintf("paused for %v", wait)
		retry.Emit(ctx, retry.Event{
			Kind: retry.KindChange, Policy: l.label, Wait: wait, Err: err, To: to,
		})
	}
}

// shut is pauseUntil for this process, and makes sources that other processes share hold those too.
// It requires that l.mu is held.
func (l *Limiter) shut(now, until time.Time) (began bool) {
	if l.members == nil {
		for _, s := range l.sources {
			s.hold(until)
		}
	}
	return l.pauseUntil(now, until)
}

// pauseUntil holds everybody until the given time and reports whether that is a new pause.
// Thousands of answers may each make it a little longer, so the line is looked through only if
// somebody could no longer fit. It requires that l.mu is held.
func (l *Limiter) pauseUntil(now, until time.Time) (began bool) {
	before := l.pause.until
	began = l.pause.shut(now, until)
	if began || l.pause.until.After(later(before, l.latest)) {
		l.replan()
	}
	l.line.forgetIndex()
	return began
}

// settle gives back the tokens of a call that was not made, and moves the pause on if the call was
// its probe.
func (l *Limiter) settle(t *ticket, o outcome) {
	if o != unmade && t.probe == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.seen(retry.Next{}.Now())
	if o == unmade {
		l.refund(now, l.sources, t.n, t.free)
		l.spent -= min(t.n, l.spent)
		l.line.forgetIndex()
	}
	if l.pause.phase == probing && t.probe == l.pause.probes {
		if o == answered {
			l.follows(now)
		} else {
			l.pause.phase, l.pause.until = shut, now
		}
	}
	l.dispatch(now)
}

// follows lets the line follow the probe. It requires that l.mu is held.
func (l *Limiter) follows(now time.Time) {
	p := &l.pause
	p.phase, p.until, p.released, p.rests = ramping, now, 0, 0
	l.line.forgetIndex()
	l.dispatch(now)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
