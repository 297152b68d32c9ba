package sim

import (
	"math"
	"math/rand/v2"
	"time"

	lt "github.com/reprise-go/reprise/ratelimit/limitertest"
)

// A Draw is a crawl of a server with all figures drawn from wide ranges: the judge of the machine.
// The servers of [Families] are near to those that the machine was first made for; here shows what
// it does elsewhere.
type Draw struct {
	Traits  []string // the families that it counts to
	Clients int
	Perfect float64 // s; what a client that knows the rule takes

	crawl  Crawl
	change struct{ at, by float64 } // by 0: none; at: in s
}

// draw is the source of one Draw.
type draw struct{ *rand.Rand }

// between is drawn log-uniformly from a to b.
func (d draw) between(a, b float64) float64 { return a * math.Exp(d.Float64()*math.Log(b/a)) }

// share is true in that share of the draws.
func (d draw) share(p float64) bool { return d.Float64() < p }

// pick is one of the names, each with its share.
func (d draw) pick(weights []weight) string {
	x := d.Float64()
	for _, w := range weights {
		if x -= w.share; x < 0 {
			return w.name
		}
	}
	return weights[0].name
}

type weight struct {
	name  string
	share float64
}

var (
	rules = []weight{
		{"bucket", .33}, {"sliding", .13}, {"sliding, refused count", .07}, {"fixed", .13},
		{"nginx nodelay", .05},
		{"nginx delay", .03}, {"haproxy", .05}, {"in flight", .11}, {"open", .10},
	}
	refusals = []weight{
		{"429", .35}, {"429 with Retry-After", .15}, {"503", .12}, {"403", .10}, {"captcha", .10},
		{"reset", .10}, {"silence", .08},
	}
	verdicts = map[string]lt.Verdict{
		"429": lt.TooMany, "429 with Retry-After": lt.TooMany, "503": lt.Unavailable,
		"403": lt.Forbidden, "captcha": lt.Captcha,
		"reset": lt.Reset, "silence": lt.Silence,
	}
)

// Wide draws a crawl.
func Wide(seed uint64) Draw {
	d, s := drawn(seed)
	d.change.at *= d.best(s, math.Inf(1))
	_, s = drawn(seed)
	d.Perfect = d.best(s, d.change.at)
	d.crawl.Deadline = 3*d.Perfect + 240
	return d
}

// drawn is a crawl and its server, except for what depends on how long the crawl takes at best.
func drawn(seed uint64) (Draw, *lt.Server) {
	x := draw{rand.New(rand.NewPCG(seed, 31))}
	d := Draw{Clients: 1, crawl: Crawl{Seed: seed, Tries: 8}}
	name, how := x.pick(rules), x.pick(refusals)
	d.Traits = append(d.Traits, "rule "+name, "refused by "+how)
	s := &lt.Server{Seed: seed, Refuse: verdicts[how], RetryAfter: how == "429 with Retry-After",
		Slow: x.share(.5)}
	rtt, far := x.between(.003, 1), .2+.6*x.Float64()
	c := &d.crawl
	c.Net, s.Latency, s.Spread = rtt*far/2, dur(rtt*(1-far)), .18+.3*x.Float64()
	c.Workers, c.Pages = []int{4, 8, 16}[x.IntN(3)], []int{100, 400}[x.IntN(2)]
	rate, burst, window := x.between(.2, 100), int(x.between(1, 100)), x.between(1, 600)
	s.Rule = drawnRule(name, rate, burst, window, x.Float64())
	if name == "in flight" {
		s.InFlight = 1 + x.IntN(16)
	}
	s.Headers, c.Silent = x.share(.25), Fields{x.share(.67), x.share(.25)}
	if s.Headers {
		d.Traits = append(d.Traits, "fields")
	}
	d.jail(x, s)
	d.noise(x, s)
	changes := x.share(.15)
	at, by := .1+.7*x.Float64(), []float64{.5, 2, 4}[x.IntN(3)]
	if _, can := s.Rule.(lt.Resizer); can && changes {
		d.change.at, d.change.by = at, by
		d.Traits = append(d.Traits, "changes")
	}
	if x.share(.2) {
		d.Clients = 2 + x.IntN(3)
		d.Traits = append(d.Traits, "several clients")
	} else {
		d.Traits = append(d.Traits, "one client")
	}
	return d, s
}

// best is how many seconds a client that knows the rule of s takes.
func (d *Draw) best(s *lt.Server, changeAt float64) float64 {
	d.turn(s, changeAt)
	lanes := d.crawl.Workers * d.Clients
	if s.InFlight > 0 {
		lanes = min(lanes, s.InFlight)
	}
	mean := s.Latency.Seconds() + 2*d.crawl.Net + s.StallRate*s.Stall.Seconds()
	return best(s.Rule, d.crawl.Pages*d.Clients, lanes, mean, 1-(1-s.ErrorRate)*(1-s.CutRate))
}

// turn changes the rate of s, if it does change.
func (d *Draw) turn(s *lt.Server, at float64) {
	if d.change.by > 0 && !math.IsInf(at, 1) {
		s.Rule = &changing{s.Rule, dur(at), d.change.by}
	}
}

func drawnRule(name string, rate float64, burst int, window, phase float64) lt.Rule {
	n, w := max(1, int(math.Round(rate*window))), dur(window)
	ph := time.Duration(phase * float64(w))
	switch name {
	case "bucket":
		return lt.Bucket(rate, burst)
	case "sliding":
		return lt.Sliding(n, w, false)
	case "sliding, refused count":
		return lt.Sliding(n, w, true)
	case "fixed":
		return lt.Fixed(n, w, ph)
	case "nginx nodelay":
		return lt.LimitReq(rate, burst, true)
	case "nginx delay":
		return lt.LimitReq(rate, burst, false)
	case "haproxy":
		return lt.StickTable(n+1, w, ph)
	}
	return lt.Open{}
}

// jail draws what refusals earn.
func (d *Draw) jail(x draw, s *lt.Server) {
	after, within, lasts := int(x.between(3, 31)), x.between(10, 120), x.between(20, 300)
	extends, as, jails := x.share(.2), x.share(.5), x.share(.4)
	if !jails {
		d.Traits = append(d.Traits, "no jail")
		return
	}
	s.Ban = &lt.Ban{After: after, Within: dur(within), For: dur(lasts), Extend: extends,
		Answer: lt.Forbidden}
	if as {
		s.Ban.Answer = s.Refuse
	}
	if after >= 5 && within <= 60 {
		d.Traits = append(d.Traits, "jail of 5 or more in 60 s")
		if d.Plain() {
			d.Traits = append(d.Traits, "the same, plain refusals")
		}
	} else {
		d.Traits = append(d.Traits, "stricter jail")
	}
}

// Plain reports whether the server refuses in words that a client understands.
func (d Draw) Plain() bool {
	switch d.Traits[1] {
	case "refused by 503", "refused by reset", "refused by silence":
		return false
	}
	return true
}

func (d *Draw) noise(x draw, s *lt.Server) {
	share, errors, stalls, noisy := .2*x.Float64(), x.Float64(), x.share(.25), x.share(.4)
	if !noisy {
		return
	}
	d.Traits = append(d.Traits, "noise")
	s.ErrorRate, s.CutRate = share*errors, share*(1-errors)
	if stalls {
		s.StallRate, s.Stall = .01+.04*x.Float64(), 5*time.Second
	}
}

// Crawl is the crawl by clients of mk.
func (d Draw) Crawl(mk Maker) Crawl {
	c := d.crawl
	_, c.Server = drawn(c.Seed)
	d.turn(c.Server, d.change.at)
	for i := range d.Clients {
		c.Clients = append(c.Clients, mk(rand.New(rand.NewPCG(c.Seed, uint64(9+i)))))
	}
	return c
}

// Run is the outcome of the crawl.
func (d Draw) Run(mk Maker) Score {
	c := d.Crawl(mk)
	r := c.Run()
	s := Score{Bans: float64(c.Server.Stats().Bans), Refused: float64(r.Refused),
		Seconds: r.Seconds, Perfect: d.Perfect}
	ok, all := float64(r.OK), float64(c.Pages*d.Clients)
	if r.OK > 0 {
		s.Score = ok / all * min(1, ok/r.Seconds/(all/d.Perfect))
	}
	if ok == all && s.Bans == 0 {
		s.Clean = 1
	}
	return s
}

// changing is a rule whose rate changes once.
type changing struct {
	lt.Rule
	at time.Duration
	by float64
}

func (c *changing) turn(now time.Duration) {
	if c.at > 0 && now >= c.at {
		c.Rule.(lt.Resizer).Resize(c.at, c.by)
		c.at = 0
	}
}
func (c *changing) Next(now time.Duration) time.Duration { c.turn(now); return c.Rule.Next(now) }
func (c *changing) Count(now time.Duration, ok bool) time.Duration {
	c.turn(now)
	return c.Rule.Count(now, ok)
}

// Quota is the rule's, if it has one.
func (c *changing) Quota(now time.Duration) lt.Quota {
	c.turn(now)
	if q, ok := c.Rule.(lt.Quoter); ok {
		return q.Quota(now)
	}
	return lt.Quota{}
}
