package ratelimit

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// crew is a [Pacer]'s place in a fleet of pacers that share one limit: see [Shared].
//
// One of them leads: the store says which. Its machine sets the rate for all, and while it knows of
// none only the leader's calls go. The others go by that rate: each call takes a token of the one
// bucket. They tell the store their answers and refusals, so that the leader's machine hears of
// all. A refusal pauses all of them, and while the leader is parked and then sends its single call
// the others wait.
//
// While the store cannot be asked each machine leads itself.
//
// Its methods require that the pacer's mu is held, unless they say otherwise. Those of a nil crew
// do nothing.
type crew struct {
	p *Pacer
	m *member
	learning
	role role
	term int // which of its times as the leader this is

	answers, refused, fresh int        // outcomes of the machine that the store was told
	said                    rate.Limit // the rate that the others were last told, if it leads
	saidAt                  time.Duration
	solo                    time.Duration // until then the others wait for its single call
}

// role is what a machine does for the fleet.
type role uint8

const (
	unasked role = iota // the store has not answered yet
	leads
	follows
	alone // the store is away
)

func (r role) String() string { return [...]string{"asking", "leading", "following", "alone"}[r] }

func newCrew(p *Pacer, f fleet) *crew {
	c := &crew{p: p, m: newLearner(f, p.startRate)}
	c.m.owner = c
	return c
}

// look, changed and held are what the member calls when it has heard something. They must be called
// with neither mutex held.
func (c *crew) look() { c.changed() }

func (c *crew) changed() {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	now := c.p.now()
	before := c.role
	c.sync(now)
	c.publish(now)
	c.p.line.forgetIndex()
	c.p.replan(now, c.role != before)
	c.demand()
}

func (c *crew) held(until time.Time) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	now := c.p.now()
	c.p.machine.Hold((now + until.Sub(c.p.clock(now))).Seconds())
	c.p.replan(now, true)
}

func (c *crew) mostHeld() time.Duration { return c.p.hintCap }

// sync takes on the role that the member has heard.
func (c *crew) sync(now time.Duration) {
	if c == nil {
		return
	}
	c.learning = c.m.learning(c.p.clock(now))
	limit, s, machine := float64(c.limit), now.Seconds(), c.p.machine
	if c.limit >= unlearned {
		limit = math.Inf(1)
	}
	before := c.role
	switch {
	case c.away:
		if c.role = alone; before != alone && before != leads {
			machine.Lead(s, limit*c.part)
		} else if before == leads && !math.IsInf(machine.Rate(), 1) {
			machine.Lead(s, machine.Rate()*c.part)
		}
	case !c.known:
		c.role = unasked
	case c.leads:
		if c.role = leads; before != leads || c.term != c.terms {
			c.term = c.terms
			machine.Lead(s, limit)
		}
		if c.learning.answers+c.learning.refusals > 0 {
			machine.Others(s, c.learning.answers, c.learning.refusals)
		}
	default:
		c.role = follows
		if c.limit < unlearned {
			machine.Follow(s, limit)
		}
	}
}

// lapse ends a lead that was not renewed in time.
func (c *crew) lapse(now time.Duration) {
	if c.role == leads && !c.m.leading(c.p.clock(now)) {
		c.sync(now)
	}
}

// tokens reports whether calls take tokens of the fleet's bucket now. Those of a leader do not
// while the others still wait for the outcome of its single call: it has all of the rate to itself.
func (c *crew) tokens(now time.Duration) bool {
	switch c.role {
	case leads:
		_, parked := c.p.machine.Parked()
		r := c.p.machine.FleetRate(now.Seconds())
		return !parked && !math.IsInf(r, 1) && now+duration(1/r) > c.solo
	case follows:
		return c.limit < unlearned
	}
	return false
}

// wait is how long the fleet holds the next call, as an estimate.
func (c *crew) wait(now time.Duration) time.Duration {
	if c == nil {
		return 0
	}
	c.lapse(now)
	switch {
	case c.role == alone && !c.closed, c.role == leads && !c.tokens(now):
		return 0
	case c.role == alone:
		return max(c.next, leastWait)
	case !c.tokens(now):
		return unlearnedBeat
	}
	here := c.p.clock(now)
	at, ok := c.m.when(here, 1)
	if !ok {
		return unlearnedBeat
	}
	return max(0, at.Sub(here))
}

// spend takes a token for a call that goes, and reports whether there was one.
func (c *crew) spend(now time.Duration) bool {
	if c == nil || !c.tokens(now) {
		return false
	}
	if here := c.p.clock(now); !c.m.take(here, 1) {
		c.m.add(here, -1)
	}
	return true
}

// refund gives back the token of a call that was not made.
func (c *crew) refund(now time.Duration, in pass) {
	if in.Token {
		c.m.add(c.p.clock(now), 1)
	}
}

// demand tells the member how many calls wait for a token.
func (c *crew) demand() {
	if c != nil {
		c.m.wants(c, c.p.line.len+c.p.nested)
	}
}

// misses tells the member of a call that found no token and does not wait.
func (c *crew) misses(now time.Duration) {
	if c != nil {
		c.m.misses(c.p.clock(now))
	}
}

const (
	// restOfAll is how long a refusal holds all until the leader has heard of it.
	restOfAll = 500 * time.Millisecond

	// leadHolds is how long the leader's single call holds the others at a time, or two beats.
	leadHolds = 250 * time.Millisecond
)

// publish tells the member the outcomes of calls, and what the machine has learned from them.
func (c *crew) publish(now time.Duration) {
	if c == nil {
		return
	}
	machine, s := c.p.machine, now.Seconds()
	answers, refused, fresh := machine.Met()
	t := told{}
	if c.role == follows {
		t.answers, t.refusals, t.fresh = answers-c.answers, refused-c.refused, fresh > c.fresh
	}
	c.answers, c.refused, c.fresh = answers, refused, fresh
	until := machine.Held(s)
	switch c.role {
	case leads:
		if r := machine.FleetRate(s); !math.IsInf(r, 1) {
			t.learned = c.says(now, rate.Limit(min(max(r, minShared), float64(mostLearned))))
		} else if c.limit < unlearned {
			t.learned = unlearned // the refusals were noise
		}
		flying, _ := machine.InFlight()
		t.flying = flying > 0
		if gate, parked := machine.Parked(); parked && (flying > 0 || c.p.line.len > 0) {
			t.holds = true
			until = max(until, max(gate, s)+max(leadHolds, 2*c.m.beat()).Seconds())
		}
	case follows:
		if t.fresh {
			until = max(until, s+restOfAll.Seconds())
		}
	}
	if until > s+restOfAll.Seconds()/4 && until < s+maxDebt/second {
		t.until = c.p.clock(now).Add(duration(until - s))
	}
	if held := c.m.teach(c.p.clock(now), t); t.holds {
		c.solo = now + held.Sub(c.p.clock(now))
	}
}

// says is the rate that the leader tells the others. A rate that is about the same as before is
// told once a second.
func (c *crew) says(now time.Duration, r rate.Limit) rate.Limit {
	const same, often = .02, time.Second
	if d := float64(r/c.said) - 1; d < -same || d > same || now-c.saidAt > often {
		c.said, c.saidAt = r, now
	}
	return c.said
}

// turnsAway is why no call may go while the store is away, and the time until the next question;
// nil if calls may go.
func (c *crew) turnsAway() (wait time.Duration, cause error) {
	if c == nil || c.role != alone || !c.closed {
		return 0, nil
	}
	return c.next, c.err
}

// share is this member's part of a pace.
func (c *crew) share(pace float64) float64 {
	if c == nil || c.role == alone || c.role == leads && math.IsInf(pace, 1) {
		return pace
	}
	return pace / float64(max(1, c.members))
}

// follow tells that the clock went back.
func (c *crew) follow() {
	if c != nil {
		c.m.follow(time.Now())
	}
}

// tellNews tells observers whether the store was lost or found. It must not be called with p.mu
// held.
func (c *crew) tellNews(ctx context.Context) {
	if c == nil || !retry.Wanted(ctx, retry.KindChange) {
		return
	}
	for _, e := range c.m.told() {
		e.Policy = c.p.who()
		retry.Emit(ctx, e)
	}
}

func (c *crew) String() string {
	if c == nil {
		return ""
	}
	s := fmt.Sprintf(", %v, shared by %d", c.role, max(1, c.members))
	if c.away {
		s += fmt.Sprintf(", store away (%v): %v", c.m.onLoss, c.err)
	}
	return s
}

// describe is String. It must not be called with p.mu held, nor must stats.
func (c *crew) describe() string {
	if c == nil {
		return ""
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.lapse(c.p.now())
	return c.String()
}

func (c *crew) stats() []retry.Stat {
	if c == nil {
		return nil
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.lapse(c.p.now())
	lead := retry.Stat{Name: "leads", Text: c.role.String()}
	if c.role == leads {
		lead.Value = 1
	}
	return append(c.m.stats(), lead)
}
