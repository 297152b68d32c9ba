package pacing_test

import (
	"math/rand/v2"
	"testing"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
)

// client sends one request after the other.
type client struct {
	*pacing.Machine
	now float64
}

func resumed(s pacing.Saved) *client {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 1)))
	m.Load(0, s)
	return &client{m, 0}
}

func (c *client) send(n int, a pacing.Answer) {
	for range n {
		c.now = c.NextSend(c.now)
		t := c.OnSend(c.now)
		c.now += .01
		c.OnDone(c.now, t, a)
	}
}

// row has a request refused after each n others, so often.
func (c *client) row(times, n int, refused pacing.Answer) {
	for range times {
		c.send(n, page)
		for _, parked := c.Parked(); !parked; _, parked = c.Parked() {
			c.send(1, refused)
		}
		c.send(1, page)
	}
}

var (
	page    = pacing.Answer{RetryAfter: -1, Remaining: -1}
	doubt   = pacing.Answer{Kind: pacing.Doubt, RetryAfter: -1, Remaining: -1}
	refusal = pacing.Answer{Kind: pacing.Refusal, RetryAfter: -1, Remaining: -1}
)

// Five doubts in a row that were taken for refusals, each soon after the last, are looked into at
// half the rate: noise comes as often there, a limit does not.
func TestARowOfDoubtsIsLookedIntoAtHalfTheRate(t *testing.T) {
	for _, c := range []struct {
		name  string
		then  int // pages until the next doubt
		noise bool
	}{
		{"noise", 30, true},
		{"a limit", 200, false},
	} {
		m := resumed(pacing.Saved{Rate: 10, Slots: 8, Probe: 1e6})
		m.row(4, 30, doubt)
		before := m.Rate()
		m.row(1, 30, doubt)
		if r := m.Rate() / before; r < .4 || r > .52 {
			t.Errorf("%s: the fifth lowers %v to %v", c.name, before, m.Rate())
		}
		// begins anew, without a limit
		if m.row(1, c.then, doubt); (m.Mode() == pacing.Start) != c.noise {
			t.Errorf("%s: it is in %v", c.name, m.Mode())
		}
	}
}

// A refusal in plain words is not noise, and refusals that come seldom are not a row: neither needs
// such a look.
func TestOtherRefusalsAreNotLookedInto(t *testing.T) {
	for _, c := range []struct {
		name  string
		apart int
		by    pacing.Answer
	}{
		{"in plain words", 60, refusal},
		{"seldom", 60, doubt},
	} {
		m := resumed(pacing.Saved{Rate: 10, Slots: 8, Probe: 1e6})
		for range 8 {
			before := m.Rate()
			if m.row(1, c.apart, c.by); m.Rate() < .85*before || m.Mode() != pacing.Cruise {
				t.Errorf("%s: from %v/s to %v at %v/s", c.name, before, m.Mode(), m.Rate())
			}
		}
	}
}

// A ban makes the pacer careful, and what costs next to nothing after it lets it look as often as
// before.
func TestABanOfOldIsForgotten(t *testing.T) {
	m := resumed(pacing.Saved{Rate: 10, Slots: 8, Probe: 240, Hold: 5})
	ban := refusal
	ban.RetryAfter = 100
	m.row(1, 60, ban)
	if s := m.Save(m.now); s.Probe < 1000 || s.Hold < 60 {
		t.Errorf("a ban of 100 s leaves it at %+v", s)
	}
	m.row(6, 300, refusal)
	if s := m.Save(m.now); s.Probe > 400 || s.Hold > 20 {
		t.Errorf("after six cheap refusals it is still at %+v", s)
	}
}

// A server whose Retry-After is wrong again and again is given more time than it asks for, as one
// is that names none: some count what they refuse, so that a client that comes back each second
// stays out.
func TestAWaitThatIsWrongAgainAndAgainGrows(t *testing.T) {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 2)))
	soon := refusal
	soon.RetryAfter = 1
	now, gap := 0., 0.
	for i := range 8 {
		at := m.NextSend(now)
		if gap = at - now; i > 0 && gap < 1 {
			t.Errorf("the wait that was named is not kept: %v", gap)
		}
		now = at + .01
		m.OnDone(now, m.OnSend(at), soon)
	}
	if gap < 10 {
		t.Errorf("refused seven times, it comes back after %v s", gap)
	}
}
