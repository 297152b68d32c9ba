package sim

import (
	"math"
	"math/rand/v2"
	"time"

	lt "github.com/reprise-go/reprise/ratelimit/limitertest"
)

// A Family is a server of the short crawls.
type Family struct {
	Name string
	Rule func(phase float64) lt.Rule
	Make func(rule lt.Rule) *lt.Server
	Net  float64
	// Err and Cap are what a perfect client has to know besides the rule.
	Err  float64
	Cap  int
	Mean float64
}

func dur(s float64) time.Duration { return time.Duration(s * 1e9) }

// Families are the nominal servers, or, with a source, the same servers with
// every figure drawn anew around the nominal one.
func Families(x *rand.Rand) []Family {
	u := func(a, b float64) float64 {
		return math.Exp(math.Log(a) + x.Float64()*(math.Log(b)-math.Log(a)))
	}
	scale := func(v, a, b float64) float64 {
		if x == nil {
			return v
		}
		return v * u(a, b)
	}
	R := func(v float64) float64 { return scale(v, .3, 2.5) }
	W := func(v float64) float64 { return scale(v, .5, 2) }
	I := func(v float64) int { return int(max(2, math.Round(R(v)))) }
	V := func(v int) int {
		if x == nil {
			return v
		}
		return max(v/2, int(math.Round(float64(v)*u(.6, 2))))
	}
	L := func(v float64) float64 { return scale(v, .6, 4) }
	bucket := func(rate, burst float64) func(float64) lt.Rule {
		a, b := R(rate), int(burst)
		if x != nil {
			b = max(1, int(math.Round(burst*u(.4, 3))))
		}
		return func(float64) lt.Rule { return lt.Bucket(a, b) }
	}
	sliding := func(n, w float64, deny bool) func(float64) lt.Rule {
		a, b := I(n), dur(W(w))
		return func(float64) lt.Rule { return lt.Sliding(a, b, deny) }
	}
	open := func(float64) lt.Rule { return lt.Open{} }
	var fs []Family
	add := func(name string, rule func(float64) lt.Rule, lat float64, with func(*lt.Server)) {
		f := Family{Name: name, Rule: rule, Net: .002}
		sigma := .18
		if name == "slow net" {
			f.Net, sigma = .06, .3
		}
		f.Make = func(r lt.Rule) *lt.Server {
			s := &lt.Server{Rule: r, Latency: dur(lat), Spread: sigma}
			with(s)
			return s
		}
		p := f.Make(rule(0))
		f.Err = 1 - (1-p.ErrorRate)*(1-p.CutRate)
		f.Cap = p.InFlight
		f.Mean = lat + 2*f.Net + p.StallRate*p.Stall.Seconds()
		fs = append(fs, f)
	}
	ban := func(after int, within, d float64, extend bool, v lt.Verdict) *lt.Ban {
		return &lt.Ban{After: after, Within: dur(within), For: dur(d), Extend: extend, Answer: v}
	}
	plain := func(*lt.Server) {}
	add("open", open, L(.03), plain)
	add("bucket 503", bucket(20, 11), L(.03), func(s *lt.Server) { s.Refuse = lt.Unavailable })
	n, w := I(120), dur(W(10))
	add("haproxy-ban", func(ph float64) lt.Rule { return lt.StickTable(n, w, dur(ph*w.Seconds())) }, L(.03), func(s *lt.Server) {
		s.Ban = &lt.Ban{Over: float64(n) * 1.25, For: time.Minute, Extend: true,
			Answer: lt.Forbidden}
	})
	add("bucket 429", bucket(20, 10), L(.03), plain)
	v, bw := V(30), W(30)
	add("bucket hints", bucket(20, 10), L(.03), func(s *lt.Server) {
		s.RetryAfter, s.Headers, s.Ban = true, true, ban(v, 10, bw, false, lt.Forbidden)
	})
	v2, bw2 := V(20), W(30)
	add("sliding RA", sliding(100, 5, false), L(.03), func(s *lt.Server) {
		s.RetryAfter, s.Ban = true, ban(v2, 10, bw2, false, lt.Forbidden)
	})
	n2, w2, v3, bw3 := I(60), dur(W(3)), V(30), W(30)
	add("fixed X-", func(ph float64) lt.Rule { return lt.Fixed(n2, w2, dur(ph*w2.Seconds())) },
		L(.03), func(s *lt.Server) {
			s.Headers, s.Ban = true, ban(v3, 10, bw3, false, lt.Forbidden)
		})
	c := 3
	if x != nil {
		c = 1 + x.IntN(6)
	}
	v4, bw4 := V(50), W(20)
	add("in-flight 3", open, L(.1), func(s *lt.Server) {
		s.Refuse, s.InFlight, s.Ban = lt.Unavailable, c, ban(v4, 10, bw4, false, lt.Forbidden)
	})
	v5, bw5 := V(40), W(20)
	add("captcha", bucket(20, 10), L(.03), func(s *lt.Server) {
		s.Refuse, s.Ban = lt.Captcha, ban(v5, 10, bw5, false, lt.Captcha)
	})
	v6, bw6 := V(40), W(20)
	add("reset", bucket(20, 10), L(.03), func(s *lt.Server) {
		s.Refuse, s.Ban = lt.Reset, ban(v6, 10, bw6, false, lt.Reset)
	})
	add("flaky", bucket(20, 10), L(.03), func(s *lt.Server) {
		s.ErrorRate, s.StallRate, s.Stall = .1, .05, dur(.5)
	})
	ra, ch, v7, bw7 := R(15), 20., V(30), W(30)
	if x != nil {
		ch = 8 + 22*x.Float64()
	}
	add("halve", func(float64) lt.Rule { return &changing{lt.Bucket(ra, 10), dur(ch), .5} }, L(.03),
		func(s *lt.Server) { s.RetryAfter, s.Ban = true, ban(v7, 10, bw7, false, lt.Forbidden) })
	v8, bw8 := V(10), W(60)
	add("strict", sliding(60, 3, true), L(.03), func(s *lt.Server) {
		s.Refuse, s.Ban = lt.Forbidden, ban(v8, 10, bw8, true, lt.Forbidden)
	})
	add("slow net", bucket(20, 10), L(.03), plain)
	add("cut bodies", bucket(20, 10), L(.03), func(s *lt.Server) { s.CutRate = .06 })
	add("stalls", bucket(20, 10), L(.03), func(s *lt.Server) {
		s.StallRate, s.Stall = .03, 5*time.Second
	})
	add("bucket, no burst", bucket(20, 1), L(.03), plain)
	return fs
}

// Noisy is the open server whose connections break at random.
func Noisy() []Family {
	return []Family{{
		Name: "open, 5 % resets", Rule: func(float64) lt.Rule { return lt.Open{} }, Net: .002,
		Err: .05, Mean: .034,
		Make: func(r lt.Rule) *lt.Server {
			return &lt.Server{Rule: r, Latency: dur(.03), Spread: .18, CutRate: .05}
		},
	}}
}

// Perfect is how long a client needs for n pages that knows the rule.
func (f Family) Perfect(rule lt.Rule, n, workers int) float64 {
	lanes := workers
	if f.Cap > 0 {
		lanes = min(lanes, f.Cap)
	}
	return best(rule, n, lanes, f.Mean, f.Err)
}

// best is how many seconds n pages take to one who knows the rule, has so many requests in flight,
// an answer after mean seconds, and loses a share of the answers to noise.
func best(rule lt.Rule, n, lanes int, mean, noise float64) float64 {
	t := time.Duration(0)
	var out []time.Duration
	for i := range int(math.Ceil(float64(n) / (1 - noise))) {
		if i >= lanes {
			t = max(t, out[i-lanes]+dur(mean))
		}
		for u := rule.Next(t); u > t; u = rule.Next(t) {
			t = u
		}
		rule.Count(t, true)
		out = append(out, t)
	}
	return out[len(out)-1].Seconds() + mean
}

// A Score is what a crawl of 400 pages came to, or the mean of several.
type Score struct {
	Score, Clean, Bans, Refused, Seconds, Perfect float64
}

func (s *Score) Add(o Score) {
	s.Score += o.Score
	s.Clean += o.Clean
	s.Bans += o.Bans
	s.Refused += o.Refused
	s.Seconds += o.Seconds
	s.Perfect += o.Perfect
}
func (s Score) Over(n int) Score {
	f := float64(n)
	return Score{s.Score / f, s.Clean / f, s.Bans / f, s.Refused / f, s.Seconds / f, s.Perfect / f}
}

// Maker makes a fresh client.
type Maker func(rng *rand.Rand) Client

// One runs one short crawl.
func (f Family) One(mk Maker, seed uint64, workers int) Score {
	ph := phase(seed)
	srv := f.Make(f.Rule(ph))
	srv.Seed = seed
	best := f.Perfect(f.Rule(ph), 400, workers)
	r := Crawl{Server: srv, Clients: []Client{mk(rand.New(rand.NewPCG(seed, 9)))}, Pages: 400,
		Workers: workers, Deadline: 120, Net: f.Net, Seed: seed, Tries: 8}.Run()
	ok := float64(r.OK)
	s := Score{Bans: float64(srv.Stats().Bans), Refused: float64(r.Refused), Seconds: r.Seconds,
		Perfect: best}
	s.Score = ok / 400 * min(1, ok/r.Seconds/(400/best))
	if r.OK == 400 && s.Bans == 0 {
		s.Clean = 1
	}
	return s
}

// Short is the mean per family over the seeds.
func Short(mk Maker, fs []Family, seeds []uint64, workers int) map[string]Score {
	out := map[string]Score{}
	for _, f := range fs {
		var t Score
		for _, sd := range seeds {
			t.Add(f.One(mk, sd, workers))
		}
		out[f.Name] = t.Over(len(seeds))
	}
	return out
}

// Possible is how many of the drawn families, on average, a perfect client
// crawls before the deadline.
func Possible(first, draws uint64, deadline float64) (mean float64) {
	for d := range draws {
		drawnAnew(first+d, func(f Family, workers int) {
			if f.Perfect(f.Rule(phase(first+d)), 400, workers) <= deadline {
				mean += 1 / float64(draws)
			}
		})
	}
	return mean
}

// Drawn is the mean per family over draws of all figures.
func Drawn(mk Maker, first, draws uint64) map[string]Score {
	out := map[string]Score{}
	for d := range draws {
		drawnAnew(first+d, func(f Family, workers int) {
			t := out[f.Name]
			t.Add(f.One(mk, first+d, workers))
			out[f.Name] = t
		})
	}
	for n, s := range out {
		out[n] = s.Over(int(draws))
	}
	return out
}

// drawnAnew draws all figures of the families, and the number of workers.
func drawnAnew(seed uint64, each func(f Family, workers int)) {
	x := rand.New(rand.NewPCG(seed, 3))
	fs := Families(x)
	workers := []int{4, 8, 8, 16}[x.IntN(4)]
	for _, f := range fs {
		each(f, workers)
	}
}

// phase is where in its window a server stands when a crawl begins.
func phase(seed uint64) float64 { return rand.New(rand.NewPCG(seed*7+1, 5)).Float64() }

// Mean is the mean over families.
func Mean(m map[string]Score) Score {
	var t Score
	for _, s := range m {
		t.Add(s)
	}
	return t.Over(len(m))
}

// A Long is what an hour came to.
type Long struct {
	Goodput, Refused, Bans float64
	Log                    []float64
}

// Servers of the long runs.
type Server struct {
	Name string
	Make func() *lt.Server
}

// LongServers are limited to 10 requests a second.
func LongServers() []Server {
	return []Server{
		{"nginx burst 0", func() *lt.Server { return lt.Nginx(10, 0, true) }},
		{"nginx burst 20 nodelay", func() *lt.Server { return lt.Nginx(10, 20, true) }},
		{"nginx burst 20 delay", func() *lt.Server { return lt.Nginx(10, 20, false) }},
		{"haproxy 100/10s", func() *lt.Server { return lt.HAProxy(100, 10*time.Second) }},
		{"envoy 100/10s", func() *lt.Server { return lt.Envoy(100, 10*time.Second) }},
		{"cf 100/10s ban 60 RA", func() *lt.Server {
			return lt.Cloudflare(100, 10*time.Second, time.Minute, true)
		}},
		{"cf 600/60s ban 600", func() *lt.Server {
			return lt.Cloudflare(600, time.Minute, 10*time.Minute, false)
		}},
		{"ladder", func() *lt.Server { return lt.Fail2ban(10) }},
	}
}

// Hour is a crawl without end.
func Hour(mk Maker, srv *lt.Server, seed uint64, rtt, seconds float64) Long {
	srv.Seed = seed
	r := Crawl{Server: srv, Clients: []Client{mk(rand.New(rand.NewPCG(seed, 9)))}, Workers: 64,
		Deadline: seconds, Net: rtt / 2, Seed: seed}.Run()
	return Long{Goodput: float64(r.OK) / (seconds * 10), Refused: float64(r.Refused),
		Bans: float64(srv.Stats().Bans), Log: r.Log[0]}
}

// Changed runs an hour at 10/s and one at another rate: seconds to 80 % of
// it, and the goodput of the second hour.
func Changed(mk Maker, seed uint64, factor float64) (back, good float64) {
	srv := lt.Nginx(10, 20, true)
	at := 3600 + 28.5*float64(seed%10) // anywhere between two probes
	srv.Change.At, srv.Change.Factor = dur(at), factor
	l := Hour(mk, srv, seed, .03, 7200)
	back = math.Inf(1)
	n, j := 0, 0
	for i, x := range l.Log {
		if x < at {
			j = i + 1
			continue
		}
		n++
		for l.Log[j] < x-10 {
			j++
		}
		if float64(i-j+1) >= 80*factor && math.IsInf(back, 1) {
			back = x - at
		}
	}
	return back, float64(n) / (7200 - at) / (10 * factor)
}
