// Package sim runs a client against server models in virtual time.
package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

// A Client paces requests.
type Client interface {
	NextSend(now float64) float64 // when one may be sent; infinite: an answer will tell
	Wake(now float64) float64     // when to ask again although no answer came
	Later(page uint64) bool       // whether requests for others go before one for page
	OnSend(now float64) pacing.Ticket
	OnDone(now float64, t pacing.Ticket, a pacing.Answer)
}

// Crawl is one run: Pages pages fetched by Workers workers.
type Crawl struct {
	Server   *limitertest.Server
	Clients  []Client // usually one; several share the server
	Pages    int      // of each client; 0: without end
	Workers  int
	Deadline float64
	Net      float64 // median one-way delay of the network, s
	Seed     uint64
	Tries    int // calls per page; 0: any number
	// Blocked tells the pages that are always a captcha, once the server admits the request; nil:
	// none.
	Blocked func(page int) bool
	Silent  Fields // what the server does not say of its quota
	Trace   func(now float64, client int, event string, a limitertest.Answer)
}

// Fields are parts of a quota.
type Fields struct{ Window, Reset bool }

// Result is the outcome of a Crawl.
type Result struct {
	OK, Lost, Sent, Refused int
	Seconds                 float64
	Log                     [][]float64 // per client: when its pages came
}

// timeout is when a client gives up a request that is never answered, s.
const timeout = 30

// job is a page to get, and how often it was tried.
type job struct{ page, try int }

// name is what the client knows the page by.
func (j job) name() uint64 { return uint64(j.page) + 1 }

// lane is the work of one client.
type lane struct {
	wait []job
	next int
}

// run is a crawl under way.
type run struct {
	Crawl
	rng   *rand.Rand
	ev    queue
	now   float64
	lanes []lane
	res   Result
}

// Run crawls until all pages are fetched or lost, or to the deadline.
func (c Crawl) Run() Result {
	r := &run{Crawl: c, rng: rand.New(rand.NewPCG(c.Seed, 77)), lanes: make([]lane, len(c.Clients))}
	r.res.Log = make([][]float64, len(c.Clients))
	for i := range r.lanes {
		l := &r.lanes[i]
		for l.next < c.Workers && r.more(l) {
			r.take(l)
		}
	}
	total := c.Pages * len(c.Clients)
	for c.Pages == 0 || r.res.OK+r.res.Lost < total {
		if !r.step() {
			break
		}
	}
	if c.Pages > 0 && r.res.OK+r.res.Lost < total {
		r.res.Seconds = c.Deadline
	}
	return r.res
}

func (r *run) more(l *lane) bool { return r.Pages == 0 || l.next < r.Pages }

func (r *run) take(l *lane) {
	l.wait = append(l.wait, job{l.next, 0})
	l.next++
}

// step does what comes next, and is false if nothing does before the deadline.
func (r *run) step() bool {
	at, who, send := r.due()
	if h := r.ev.heap; len(h) > 0 && h[0].at <= at {
		e := r.ev.pop()
		if r.now = e.at; r.now > r.Deadline {
			return false
		}
		if e.arrives {
			r.arrive(e)
		} else {
			r.answer(e)
		}
		return true
	}
	if r.now = max(r.now, at); math.IsInf(at, 1) || r.now > r.Deadline {
		return false
	}
	if send {
		r.send(who)
	}
	return true
}

// due is when a client next sends, or wants to be asked again, and which one it is.
func (r *run) due() (at float64, who int, send bool) {
	at = math.Inf(1)
	for i, cl := range r.Clients {
		if len(r.lanes[i].wait) == 0 {
			continue
		}
		t := cl.NextSend(r.now)
		sends := true
		if wake := cl.Wake(r.now); wake < t {
			t, sends = wake, false
		}
		if t < at {
			at, who, send = t, i, sends
		}
	}
	return at, who, send
}

func (r *run) trip() float64 { return r.Net * math.Exp(.18*r.rng.NormFloat64()) }

func (r *run) send(who int) {
	l := &r.lanes[who]
	k := max(0, slices.IndexFunc(l.wait, func(j job) bool {
		return j.try == 0 || !r.Clients[who].Later(j.name())
	}))
	j := l.wait[k]
	l.wait = slices.Delete(l.wait, k, k+1)
	t := r.Clients[who].OnSend(r.now)
	r.res.Sent++
	r.ev.push(event{at: r.now + r.trip(), arrives: true, ticket: t, client: who, job: j})
}

func (r *run) arrive(e event) {
	a := r.Server.Serve(time.Duration(r.now * 1e9))
	if a.Verdict == limitertest.OK && r.Blocked != nil && r.Blocked(e.page) {
		a.Verdict = limitertest.Captcha
	}
	e.answer, e.arrives = a, false
	switch back := r.trip(); a.Verdict {
	case limitertest.Silence:
		e.at = e.ticket.Sent + timeout
	case limitertest.Reset:
		e.at = r.now + a.Busy.Seconds() + .3*back
	default:
		e.at = r.now + a.Busy.Seconds() + back
	}
	r.ev.push(e)
}

func (r *run) answer(e event) {
	a := r.Silent.kindOf(e.answer)
	a.Page = e.name()
	l := &r.lanes[e.client]
	switch {
	case a.Kind == pacing.Fine:
		r.res.OK++
		r.res.Seconds = r.now
		r.res.Log[e.client] = append(r.res.Log[e.client], r.now)
	case a.Kind != pacing.Trouble || e.answer.Verdict == limitertest.Silence:
		r.res.Refused++
	}
	r.Clients[e.client].OnDone(r.now, e.ticket, a)
	if r.Trace != nil {
		r.Trace(r.now, e.client, "done", e.answer)
	}
	switch {
	case a.Kind != pacing.Fine && e.try+1 != r.Tries:
		l.wait = append(l.wait, job{e.page, e.try + 1})
		return
	case a.Kind != pacing.Fine:
		r.res.Lost++
	}
	if r.more(l) {
		r.take(l)
	}
}

// kindOf is the answer as the policy around the machine would tell it.
func (f Fields) kindOf(a limitertest.Answer) pacing.Answer {
	p := pacing.Answer{RetryAfter: -1, Remaining: -1}
	switch a.Verdict {
	case limitertest.TooMany, limitertest.Forbidden, limitertest.Captcha:
		p.Kind = pacing.Refusal
	case limitertest.Unavailable, limitertest.Reset, limitertest.Cut:
		p.Kind = pacing.Doubt
	case limitertest.Error, limitertest.Silence:
		p.Kind = pacing.Trouble
	}
	if a.RetryAfter > 0 {
		p.RetryAfter = a.RetryAfter.Seconds()
		if p.Kind == pacing.Doubt {
			p.Kind = pacing.Refusal
		}
	}
	if a.Quota != (limitertest.Quota{}) {
		p.Remaining, p.Limit = a.Quota.Remaining, a.Quota.Limit
		if !f.Reset {
			p.Reset = a.Quota.Reset.Seconds()
		}
		if !f.Window {
			p.Window = a.Quota.Window.Seconds()
		}
		// As the policy does: a refusal that says when the quota is renewed says when to come back.
		if p.Kind == pacing.Refusal && p.RetryAfter < 0 && p.Remaining == 0 && p.Reset > 0 {
			p.RetryAfter = p.Reset
		}
	}
	return p
}
