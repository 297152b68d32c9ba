package load

import (
	"math"
	"time"
)

// Gradient learns how many calls a callee can take at once from how long they last. It is pure:
// time is an argument, and it has neither a lock nor a queue.
//
// It measures in rounds. A round begins once no more calls run than the limit in force admits, or
// no call from before the round runs. Its members are all calls admitted from then on until there
// are enough; it ends when the last of them ends. So its latency belongs to its limit, long calls
// count as often as short ones, and calls from before a change do not count. The latency of a round
// is the geometric mean of its calls: outliers and a mix of short and long calls move it less than
// a mean or a high quantile, and its standard error is known.
//
// At the end of a round
//
//	gradient = between(1/2, 1.2·baseline/latency, 1.2)
//	limit    = half way to gradient·limit + √limit/2
//
// (a quarter of the way, if the limit is to fall and the difference may be noise). This is
// Netflix's Gradient2 (concurrency-limits, Gradient2Limit.java) with a headroom that follows
// √limit, as in Envoy's gradient controller, and without the clamp of the gradient at 1: once calls
// queue, latency/baseline is limit/capacity (Little's law), so one step leads to the limit at which
// latency is a fifth above the baseline, upwards too. Until latency first exceeds that, the limit
// doubles.
//
// Gradient2 takes the long-term average as the baseline, which under lasting overload becomes the
// latency of the overload. Here the baseline is measured as Envoy measures its minRTT: while one
// call in ten or more is refused, every ten seconds and as soon as the limit has fallen by half, a
// round runs at half the limit. If latency falls with the limit, our own calls make the queue, and
// the limit is halved again. If it does not, this is the latency without our queue. So a callee
// that became slower keeps its limit, and one that can work on fewer calls at once does not.
//
// A callee that throttles has its own limit, which latency does not show. If a tenth of the calls
// or more are throttled the limit falls by a tenth, and then grows slowly near the limit at which
// that was (the additive increase and multiplicative decrease of Netflix's AIMDLimit).
type Gradient struct {
	min, max float64

	limit     float64
	inFlight  int
	baseline  float64 // log of ns; meaningful once known
	known     bool
	measured  bool    // by a probe, or while few calls ran
	ceiling   float64 // the limit at which the callee last throttled; 0: none
	searching bool    // latency has never exceeded what is tolerated
	lower     int     // rounds in a row that were faster than the baseline
	probe     probe
	round     round
	number    uint32  // of the round; a Ticket carries it
	earlier   int     // calls that run since before the round
	spread    float64 // variance of the log latencies of a round, on average
}

// probe is the measurement of the baseline.
type probe struct {
	level  float64       // the limit in force while measuring, 0 while not
	full   mean          // latency at the limit
	before mean          // latency at the level before
	next   time.Duration // when to measure again
	limit  float64       // at the last measurement
}

// round is the present round.
type round struct {
	phase     phase
	opened    time.Duration
	closed    time.Duration
	members   int
	pending   int
	logs      float64 // sum of the logs of latencies
	squares   float64 // and of their squares
	counted   int
	throttled int
	timedOut  int // of those counted
	spared    int // calls that came when there were enough members
	peak      int
	pressed   bool // the limit was reached
	refused   int
	before    int // members before the first refusal
}

type phase uint8

const (
	settling phase = iota // more calls run than the limit admits, some from before the round
	open                  // calls that are admitted become members
	closed                // waiting for the members
)

// mean is a log latency and its standard error.
type mean struct{ log, error float64 }

// Outcome is what the end of a call says about the callee's load.
type Outcome uint8

// The outcomes.
const (
	Ignored   Outcome = iota // nothing: cancelled, refused further in, panicked
	Succeeded                // its latency counts
	Failed                   // its latency counts if above the baseline: calls may fail fast
	TimedOut                 // counts as at least four times the baseline
	Throttled                // the callee says that it has too much to do
)

// Ticket is what a call carries while it runs.
type Ticket struct {
	Start  time.Duration
	round  uint32 // in which the call was admitted
	member bool   // of that round
}

// Measured reports whether the time of the call's end matters.
func (t Ticket) Measured() bool { return t.member }

const (
	tolerance  = 1.2                    // latency over baseline that is tolerated
	growth     = 1.2                    // the most a limit grows in a round, without the headroom
	minMembers = 20                     // of a round, half of it once minRound is over tenfold
	minRound   = 100 * time.Millisecond // so that a pause of a few ms is not a round of its own
	probeEvery = 10 * time.Second       // or 50 latencies, if that is longer
	sure       = 2.5                    // a difference of more standard errors is not noise

	manyThrottled = 0.05 // share of a round above which the limit does not grow
	late          = 10   // how many latencies a round waits for its last members
)

// NewGradient starts at limit start and stays within min and max.
func NewGradient(start, min, max int) Gradient {
	return Gradient{
		min: float64(min), max: float64(max), limit: float64(start),
		number: 1, searching: true, spread: 1,
	}
}

// Limit is the learned limit.
func (g *Gradient) Limit() int { return int(g.limit) }

// Room is the limit in force: lower than Limit while the baseline is measured.
func (g *Gradient) Room() int {
	if g.probe.level > 0 {
		return int(g.probe.level)
	}
	return int(g.limit)
}

// InFlight is how many calls run.
func (g *Gradient) InFlight() int { return g.inFlight }

// Baseline is what a call takes without a queue, 0 while that is not known.
func (g *Gradient) Baseline() time.Duration {
	if !g.known {
		return 0
	}
	return time.Duration(math.Exp(g.baseline))
}

// Full reports whether there is no room, and notes that a call asked for it.
func (g *Gradient) Full(now time.Duration) bool {
	if g.inFlight < g.Room() {
		return false
	}
	g.refuse()
	g.overdue(now)
	return g.inFlight >= g.Room()
}

// refuse notes a call that found no room.
func (g *Gradient) refuse() {
	r := &g.round
	r.pressed = true
	if r.refused == 0 {
		r.before = r.members
	}
	r.refused++
}

// overloaded reports whether one call in ten or more was refused: more than a burst.
func (r *round) overloaded() bool { return 10*r.refused >= r.members }

// whole reports whether calls were refused from early on: then the load did not change during the
// round.
func (r *round) whole() bool { return 4*r.before <= r.members }

// Admit takes a slot.
func (g *Gradient) Admit(now time.Duration) Ticket {
	g.inFlight++
	r := &g.round
	if r.phase == settling && (g.inFlight <= g.Room() || g.earlier == 0) {
		r.phase, r.opened = open, now
	}
	if r.phase != open || g.spared() {
		return Ticket{Start: now, round: g.number}
	}
	r.members++
	r.pending++
	r.peak = max(r.peak, g.inFlight)
	r.pressed = r.pressed || g.inFlight >= g.Room()
	took := now - r.opened
	full := took >= minRound && r.members >= g.enough()
	if full || took >= 10*minRound && r.members >= minMembers/2 {
		r.phase, r.closed = closed, now
	}
	return Ticket{now, g.number, true}
}

// enough is how many members a round needs: as many as the limit, and enough for a standard error
// of a tenth.
func (g *Gradient) enough() int { return max(minMembers, int(g.limit), int(100*g.spread)) }

// spared reports whether a call need not be a member, because the round has enough members and only
// waits for its time. One in eight still becomes one.
func (g *Gradient) spared() bool {
	if g.round.members < g.enough() {
		return false
	}
	g.round.spared++
	return g.round.spared%8 != 0
}

// Finish gives the slot back and learns from the call.
func (g *Gradient) Finish(now time.Duration, t Ticket, o Outcome) {
	g.inFlight--
	if t.round != g.number {
		g.earlier--
	}
	if !t.member {
		return
	}
	r := &g.round
	g.count(now-t.Start, o)
	if t.round == g.number {
		r.pending--
	}
	if r.phase == closed && r.pending == 0 {
		g.conclude(now)
		return
	}
	g.overdue(now)
}

// count adds a member that has ended.
func (g *Gradient) count(took time.Duration, o Outcome) {
	log := ln(took)
	switch {
	case o == Ignored, o == Failed && (!g.known || log < g.baseline):
		return
	case o == Throttled:
		g.round.throttled++
		return
	case o == TimedOut:
		g.round.timedOut++
		if g.known {
			log = max(log, g.baseline+math.Log(4))
		}
	}
	g.round.add(log)
}

func (r *round) add(log float64) {
	r.logs += log
	r.squares += log * log
	r.counted++
}

// ln is the logarithm of a latency of at least a microsecond, to 5 digits and in a tenth of the
// time of math.Log.
func ln(d time.Duration) float64 {
	bits := math.Float64bits(float64(max(d, time.Microsecond)))
	exponent := float64(int(bits>>52) - 1023)
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52) // in [1, 2)
	t := (m - 1.5) / (m + 1.5)                           // ln m = ln 1.5 + 2 artanh t
	return exponent*math.Ln2 + 0.405465108108164 + 2*t*(1+t*t*(1.0/3+t*t/5))
}

// latency is the mean of the round and its standard error.
func (r *round) latency() mean {
	n := float64(r.counted)
	if n < 2 {
		return mean{r.logs, math.Inf(1)}
	}
	return mean{r.logs / n, math.Sqrt(r.variance() / n)}
}

// variance of the logs of at least two latencies.
func (r *round) variance() float64 {
	n := float64(r.counted)
	return max(0, r.squares-r.logs*r.logs/n) / (n - 1)
}

// overdue ends a round whose last members take much longer than the rest. They count in the round
// in which they end.
func (g *Gradient) overdue(now time.Duration) {
	r := &g.round
	if r.phase != closed || r.pending == 0 || r.counted < minMembers/4 {
		return
	}
	usual := max(g.baseline, r.logs/float64(r.counted))
	if float64(now-r.closed) >= late*math.Exp(usual) {
		g.conclude(now)
	}
}

// conclude evaluates the round that is over and begins the next.
func (g *Gradient) conclude(now time.Duration) {
	r := g.round
	g.number++
	g.round, g.earlier = round{}, g.inFlight
	enough := r.counted >= minMembers/4
	if enough {
		g.spread += (min(r.variance(), 4) - g.spread) / 4
	}
	switch {
	case !enough && r.throttled < minMembers/4: // too little to judge by
		g.round.pressed, g.round.refused = r.pressed, r.refused // before: 0
	case g.probe.level > 0 && enough && r.counted >= 5*r.timedOut:
		g.probed(now, r.latency())
	case g.probe.level > 0: // too many timed out to know what a call takes
		g.endProbe(now)
	case enough:
		latency := r.latency()
		g.learn(latency, 2*r.peak >= g.Room())
		overloaded := r.overloaded()
		if !overloaded || g.measured && r.whole() {
			g.steer(latency, r)
		}
		if overloaded && r.whole() {
			g.startProbe(now, latency)
		}
	default: // nearly all were throttled
		g.steer(mean{log: g.baseline}, r)
	}
}

// learn corrects the baseline by the latency of a round at the usual limit. While few calls run the
// baseline slowly follows the latency. Under load the latency is an upper bound for it; two rounds
// in a row must be lower.
func (g *Gradient) learn(latency mean, loaded bool) {
	diff := latency.log - g.baseline
	switch {
	case !g.known:
		g.baseline, g.known = latency.log, true
		return
	case !loaded:
		g.baseline += diff / 10
		g.measured = true
	}
	if diff > -max(0.1, sure*latency.error) {
		g.lower = 0
		return
	}
	if g.lower++; g.lower == 2 {
		g.baseline, g.lower = latency.log, 0
	}
}

// steer moves the limit.
func (g *Gradient) steer(latency mean, r round) {
	excess := latency.log - g.baseline - math.Log(tolerance)
	throttled := float64(r.throttled) / float64(r.counted+r.throttled)
	gradient, headroom, step := math.Exp(-excess), math.Sqrt(g.limit)/2, 0.5
	noise := math.Abs(excess) < sure*latency.error
	if noise && excess > 0 {
		step = 0.25
	}
	if throttled > 0 {
		gradient = min(gradient, 1-min(0.2, 2*throttled))
	}
	if throttled > manyThrottled {
		headroom, g.ceiling = 0, g.limit
	}
	if throttled > manyThrottled || excess > 0 && !noise {
		g.searching = false
	}
	next := max(0.5, min(gradient, growth))*g.limit + headroom
	if g.searching && gradient > 1 {
		next, step = 2*g.limit, 1
	}
	next = g.below(next)
	switch {
	case next > g.limit && !r.pressed:
	case next < g.limit && 2*r.peak < g.Room() && throttled <= manyThrottled:
	default:
		g.limit = g.within(g.limit + step*(next-g.limit))
	}
}

// below makes the limit grow slowly near the limit at which the callee throttled, until it is well
// beyond it, because calls that the callee refuses take up slots too.
func (g *Gradient) below(next float64) float64 {
	switch near := 0.9 * g.ceiling; {
	case g.limit > 1.1*g.ceiling:
		g.ceiling = 0
	case next > g.limit && next > near:
		return max(g.limit+g.ceiling/50, min(next, near))
	}
	return next
}

func (g *Gradient) within(limit float64) float64 { return max(g.min, min(limit, g.max)) }

// startProbe begins to measure the baseline if that is due.
func (g *Gradient) startProbe(now time.Duration, latency mean) {
	if now < g.probe.next && g.limit > g.probe.limit/2 {
		return
	}
	g.probe.full = latency
	if !g.descend(g.limit/2, latency) { // the limit cannot be lower
		g.baseline += (latency.log - g.baseline) / 2
		g.endProbe(now)
	}
}

// descend goes on measuring at a lower level; false if there is none.
func (g *Gradient) descend(level float64, before mean) bool {
	level = math.Ceil(g.within(level))
	if level >= float64(g.Room()) {
		return false
	}
	g.probe.level, g.probe.before = level, before
	return true
}

// probed judges a round at a lowered limit.
func (g *Gradient) probed(now time.Duration, latency mean) {
	diff := latency.log - g.baseline
	news := math.Abs(diff) > max(0.1, sure*latency.error)
	before := g.probe.before
	better := before.log-latency.log > max(0.1, 2*math.Hypot(latency.error, before.error))
	if better && (news || g.probe.limit == 0) && g.descend(g.probe.level/2, latency) {
		return
	}
	if news {
		g.baseline = latency.log
	} else {
		g.baseline += diff / 2
	}
	g.measured = true
	switch least := g.probe.level; {
	case better && least < g.limit:
		target := tolerance*math.Exp(g.baseline-g.probe.full.log)*g.limit + math.Sqrt(g.limit)/2
		g.limit = g.within(max(least, min(g.limit, target)))
	case !better && diff > 0.1: // slower even without our queue, so the queue was not the cause
		g.limit = max(g.limit, g.probe.limit)
	}
	g.endProbe(now)
}

func (g *Gradient) endProbe(now time.Duration) {
	every := max(probeEvery, 50*g.Baseline())
	g.probe = probe{next: now + every, limit: g.limit}
}
