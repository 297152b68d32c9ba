// Package sim runs a client against server models in virtual time.
package sim

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

// A Client paces requests.
type Client interface {
	NextSend(now float64) float64
	OnSend(now float64) pacing.Ticket
	OnDone(now float64, t pacing.Ticket, a pacing.Answer)
}

// Crawl is one run: Pages pages fetched by Workers workers.
type Crawl struct {
	Server   *limitertest.Server
	Clients  []Client // usually one; several share the server
	Pages    int      // 0: without end
	Workers  int
	Deadline float64
	Net      float64 // median one-way delay of the network, s
	Seed     uint64
	Tries    int // calls per page; 0: any number
	Trace    func(now float64, client int, event string, a limitertest.Answer)
}

// Result is what came of it.
type Result struct {
	OK, Lost, Sent, Refused int
	Seconds                 float64
	Log                     [][]float64 // per client: when its pages came
}

type event struct {
	at        float64
	seq       int
	k         pacing.Ticket
	c         int
	page, try int
	a         limitertest.Answer
}
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	o := *e
	x := o[len(o)-1]
	*e = o[:len(o)-1]
	return x
}

type job struct{ page, try int }

// kindOf is how the policy around the pacer classes an answer.
func kindOf(a limitertest.Answer) pacing.Answer {
	p := pacing.Answer{RetryAfter: -1, Remaining: -1}
	switch a.Verdict {
	case limitertest.TooMany, limitertest.Forbidden, limitertest.Captcha:
		p.Kind = pacing.Refusal
	case limitertest.Unavailable, limitertest.Reset, limitertest.Cut:
		p.Kind = pacing.Doubt
	case limitertest.Error:
		p.Kind = pacing.Trouble
	}
	if a.RetryAfter > 0 {
		p.RetryAfter = a.RetryAfter.Seconds()
		if p.Kind == pacing.Doubt {
			p.Kind = pacing.Refusal
		}
	}
	if a.Quota != (limitertest.Quota{}) {
		p.Remaining, p.Reset = a.Quota.Remaining, a.Quota.Reset.Seconds()
		p.Limit, p.Window = a.Quota.Limit, a.Quota.Window.Seconds()
	}
	return p
}

// Run runs it.
func (c Crawl) Run() Result {
	rng := rand.New(rand.NewPCG(c.Seed, 77))
	var res Result
	res.Log = make([][]float64, len(c.Clients))
	var ev events
	seq, now := 0, 0.0
	endless := c.Pages == 0
	type lane struct {
		wait []job
		next int
	}
	lanes := make([]lane, len(c.Clients))
	for i := range lanes {
		for j := 0; j < c.Workers && (endless || j < c.Pages); j++ {
			lanes[i].wait = append(lanes[i].wait, job{j, 0})
		}
		lanes[i].next = len(lanes[i].wait)
	}
	total := c.Pages * len(c.Clients)
	for endless || res.OK+res.Lost < total {
		n, who := math.Inf(1), -1
		for i, cl := range c.Clients {
			if len(lanes[i].wait) > 0 {
				if t := cl.NextSend(now); t < n {
					n, who = t, i
				}
			}
		}
		if len(ev) > 0 && ev[0].at <= n {
			e := heap.Pop(&ev).(event)
			now = e.at
			if now > c.Deadline {
				break
			}
			a := kindOf(e.a)
			l := &lanes[e.c]
			switch {
			case a.Kind == pacing.Fine:
				res.OK++
				res.Seconds = now
				res.Log[e.c] = append(res.Log[e.c], now)
			case a.Kind != pacing.Trouble:
				res.Refused++
			}
			c.Clients[e.c].OnDone(now, e.k, a)
			if c.Trace != nil {
				c.Trace(now, e.c, "done", e.a)
			}
			if a.Kind == pacing.Fine || e.try+1 == c.Tries {
				if a.Kind != pacing.Fine {
					res.Lost++
				}
				if endless || l.next < c.Pages {
					l.wait = append(l.wait, job{l.next, 0})
					l.next++
				}
			} else {
				l.wait = append(l.wait, job{e.page, e.try + 1})
			}
			continue
		}
		if math.IsInf(n, 1) {
			break
		}
		now = max(now, n)
		if now > c.Deadline {
			break
		}
		l := &lanes[who]
		j := l.wait[0]
		l.wait = l.wait[1:]
		k := c.Clients[who].OnSend(now)
		res.Sent++
		d := c.Net * math.Exp(.18*rng.NormFloat64())
		a := c.Server.Serve(time.Duration((now + d) * 1e9))
		back := d
		if a.Verdict == limitertest.Reset {
			back *= .3
		}
		seq++
		heap.Push(&ev, event{at: now + d + a.Busy.Seconds() + back, seq: seq, k: k, c: who, page: j.page, try: j.try, a: a})
	}
	if !endless && res.OK+res.Lost < total {
		res.Seconds = c.Deadline
	}
	return res
}
