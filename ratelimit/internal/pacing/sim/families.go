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
	Net  float64 // s; one way

	// What a perfect client has to know besides the rule.
	Err  float64 // the share of answers lost to noise
	Cap  int     // requests in flight; 0: any number
	Mean float64 // s; of an answer
}

// Families are the nominal servers, or, with a source, the same servers with every figure drawn
// anew around the nominal one. Keep the order of the draws: what a seed gives depends on it.
func Families(x *rand.Rand) []Family {
	var fs families
	fs.figures.x = x
	fs.counting()
	fs.unusual()
	fs.noisy()
	return fs.all
}

// families is the list while it is made.
type families struct {
	figures
	all []Family
}

// add appends a server of that rule and latency in seconds. with sets the rest of it.
func (fs *families) add(name string, rule ruleAt, latency float64, with func(*lt.Server)) {
	f := Family{Name: name, Rule: rule, Net: .002}
	sigma := .18
	if name == "slow net" {
		f.Net, sigma = .06, .3
	}
	f.Make = func(r lt.Rule) *lt.Server {
		s := &lt.Server{Rule: r, Latency: dur(latency), Spread: sigma}
		with(s)
		return s
	}
	p := f.Make(rule(0))
	f.Err = 1 - (1-p.ErrorRate)*(1-p.CutRate)
	f.Cap = p.InFlight
	f.Mean = latency + 2*f.Net + p.StallRate*p.Stall.Seconds()
	fs.all = append(fs.all, f)
}

func plain(*lt.Server) {}

// counting adds the open server, and those that count requests and say so in plain words.
func (fs *families) counting() {
	fs.add("open", open, fs.latency(.03), plain)
	fs.add("bucket 503", fs.bucket(20, 11), fs.latency(.03), func(s *lt.Server) {
		s.Refuse = lt.Unavailable
	})
	n, w := fs.count(120), dur(fs.window(10))
	table := func(phase float64) lt.Rule { return lt.StickTable(n, w, dur(phase*w.Seconds())) }
	fs.add("haproxy-ban", table, fs.latency(.03), func(s *lt.Server) {
		s.Ban = &lt.Ban{Over: float64(n) * 1.25, For: time.Minute, Extend: true,
			Answer: lt.Forbidden}
	})
	fs.add("bucket 429", fs.bucket(20, 10), fs.latency(.03), plain)
	hints := fs.ban(30, 30, lt.Forbidden)
	fs.add("bucket hints", fs.bucket(20, 10), fs.latency(.03), func(s *lt.Server) {
		s.RetryAfter, s.Headers, s.Ban = true, true, hints()
	})
	slides := fs.ban(20, 30, lt.Forbidden)
	fs.add("sliding RA", fs.sliding(100, 5, false), fs.latency(.03), func(s *lt.Server) {
		s.RetryAfter, s.Ban = true, slides()
	})
	k, v := fs.count(60), dur(fs.window(3))
	fixed := func(phase float64) lt.Rule { return lt.Fixed(k, v, dur(phase*v.Seconds())) }
	states := fs.ban(30, 30, lt.Forbidden)
	fs.add("fixed X-", fixed, fs.latency(.03), func(s *lt.Server) {
		s.Headers, s.Ban = true, states()
	})
}

// unusual adds servers that bound something else, refuse in other words, or change.
func (fs *families) unusual() {
	atOnce := 3
	if fs.x != nil {
		atOnce = 1 + fs.x.IntN(6)
	}
	crowd := fs.ban(50, 20, lt.Forbidden)
	fs.add("in-flight 3", open, fs.latency(.1), func(s *lt.Server) {
		s.Refuse, s.InFlight, s.Ban = lt.Unavailable, atOnce, crowd()
	})
	captcha := fs.ban(40, 20, lt.Captcha)
	fs.add("captcha", fs.bucket(20, 10), fs.latency(.03), func(s *lt.Server) {
		s.Refuse, s.Ban = lt.Captcha, captcha()
	})
	reset := fs.ban(40, 20, lt.Reset)
	fs.add("reset", fs.bucket(20, 10), fs.latency(.03), func(s *lt.Server) {
		s.Refuse, s.Ban = lt.Reset, reset()
	})
	fs.add("flaky", fs.bucket(20, 10), fs.latency(.03), func(s *lt.Server) {
		s.ErrorRate, s.StallRate, s.Stall = .1, .05, dur(.5)
	})
	rate, halves, at := fs.rate(15), fs.ban(30, 30, lt.Forbidden), 20.
	if fs.x != nil {
		at = 8 + 22*fs.x.Float64()
	}
	halving := func(float64) lt.Rule { return &changing{lt.Bucket(rate, 10), dur(at), .5} }
	fs.add("halve", halving, fs.latency(.03), func(s *lt.Server) {
		s.RetryAfter, s.Ban = true, halves()
	})
	strict := fs.ban(10, 60, lt.Forbidden)
	fs.add("strict", fs.sliding(60, 3, true), fs.latency(.03), func(s *lt.Server) {
		s.Refuse, s.Ban = lt.Forbidden, strict()
		s.Ban.Extend = true
	})
}

// noisy adds buckets behind a network or a server with faults, and one without a burst.
func (fs *families) noisy() {
	fs.add("slow net", fs.bucket(20, 10), fs.latency(.03), plain)
	fs.add("cut bodies", fs.bucket(20, 10), fs.latency(.03), func(s *lt.Server) { s.CutRate = .06 })
	fs.add("stalls", fs.bucket(20, 10), fs.latency(.03), func(s *lt.Server) {
		s.StallRate, s.Stall = .03, 5*time.Second
	})
	fs.add("bucket, no burst", fs.bucket(20, 1), fs.latency(.03), plain)
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

// Perfect is how many seconds a client that knows the rule needs for n pages.
func (f Family) Perfect(rule lt.Rule, n, workers int) float64 {
	lanes := workers
	if f.Cap > 0 {
		lanes = min(lanes, f.Cap)
	}
	return best(rule, n, lanes, f.Mean, f.Err)
}

// best is how many seconds a client that knows the rule needs for n pages. It has up to lanes
// requests in flight, gets an answer after mean seconds, and loses the share noise of the answers.
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

// A Score is the outcome of a crawl, or the mean of several.
type Score struct {
	Score   float64 // 1: all pages, as fast as a client that knows the limit
	Clean   float64 // 1: all pages and no ban
	Bans    float64
	Refused float64
	Seconds float64
	Perfect float64 // s; what a client that knows the limit needs
}

// Add adds o to s.
func (s *Score) Add(o Score) {
	s.Score += o.Score
	s.Clean += o.Clean
	s.Bans += o.Bans
	s.Refused += o.Refused
	s.Seconds += o.Seconds
	s.Perfect += o.Perfect
}

// Over is the mean if s is a sum of n.
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

// Possible is how many of the drawn families, on average, a perfect client crawls before the
// deadline, in seconds.
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

// phase is how much of its window a server has behind it when a crawl begins, from 0 to 1.
func phase(seed uint64) float64 { return rand.New(rand.NewPCG(seed*7+1, 5)).Float64() }

// Mean is the mean over families.
func Mean(m map[string]Score) Score {
	var t Score
	for _, s := range m {
		t.Add(s)
	}
	return t.Over(len(m))
}

// A Long is the outcome of a long run.
type Long struct {
	Goodput, Refused, Bans float64
	Log                    []float64 // when pages came
}

// A Server is one of the long runs.
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

// Hour is a crawl that lasts for that many seconds, of a server limited to 10 requests a second.
func Hour(mk Maker, srv *lt.Server, seed uint64, rtt, seconds float64) Long {
	srv.Seed = seed
	r := Crawl{Server: srv, Clients: []Client{mk(rand.New(rand.NewPCG(seed, 9)))}, Workers: 64,
		Deadline: seconds, Net: rtt / 2, Seed: seed}.Run()
	return Long{Goodput: float64(r.OK) / (seconds * 10), Refused: float64(r.Refused),
		Bans: float64(srv.Stats().Bans), Log: r.Log[0]}
}

// Changed runs an hour at 10/s and one at factor times that. It returns the seconds until 80 % of
// the new rate is used, and the goodput of the second hour.
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
