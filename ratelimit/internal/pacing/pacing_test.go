package pacing_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/internal/pacing/sim"
	lt "github.com/reprise-go/reprise/ratelimit/limitertest"
)

// watched is a machine whose every send is held to the invariants.
type watched struct {
	*pacing.Machine
	t        testing.TB
	cfg      pacing.Config
	fields   bool // the server says what remains, which invites as many as a browser has
	last     float64
	unproved map[float64]bool // sends while half that are not answered
	log      []float64
}

func watch(t testing.TB, cfg pacing.Config, rng *rand.Rand) *watched {
	return &watched{Machine: pacing.New(cfg, rng), t: t, cfg: cfg, last: math.Inf(-1),
		unproved: map[float64]bool{}}
}

func (w *watched) OnSend(now float64) pacing.Ticket {
	gate, half := w.Parked()
	if half && now < gate {
		w.t.Errorf("sent at %v, the park ends at %v", now, gate)
	}
	if half && len(w.unproved) > 0 {
		w.t.Errorf("a second request at %v while half open", now)
	}
	n, limit := w.InFlight()
	if w.fields {
		limit = max(limit, 8)
	}
	if most := w.cfg.MaxInFlight; most > 0 && n >= most || n >= limit && !half {
		w.t.Errorf("%d in flight at %v, %d may be", n+1, now, limit)
	}
	if r := w.cfg.MaxRate; r > 0 && now-w.last < (1-1e-9)/r {
		w.t.Errorf("sent at %v and %v, more than %v a second", w.last, now, r)
	}
	w.last = now
	w.log = append(w.log, now)
	t := w.Machine.OnSend(now)
	if half {
		w.unproved[t.Sent] = true
	}
	return t
}

func (w *watched) OnDone(now float64, t pacing.Ticket, a pacing.Answer) {
	delete(w.unproved, t.Sent)
	w.Machine.OnDone(now, t, a)
	if r := w.Rate(); !(r > 0) {
		w.t.Errorf("rate %v", r)
	}
}

// server draws one of many.
func server(rng *rand.Rand) *lt.Server {
	s := &lt.Server{Latency: time.Duration(1+rng.IntN(200)) * time.Millisecond,
		Spread: rng.Float64() / 2, Seed: rng.Uint64()}
	r, n, w := math.Exp(rng.Float64()*5), 1+rng.IntN(100),
		time.Duration(1+rng.IntN(20000))*time.Millisecond
	s.Rule = []lt.Rule{
		lt.Open{}, lt.Bucket(r, n), lt.Sliding(n, w, false), lt.Sliding(n, w, true),
		lt.Fixed(n, w, w/3), lt.StickTable(n, w, w/3), lt.LimitReq(r, n, true), lt.LimitReq(r, n,
			false),
	}[rng.IntN(8)]
	s.Refuse = lt.Verdict(rng.IntN(6))
	s.RetryAfter, s.Headers = rng.IntN(2) == 0, rng.IntN(2) == 0
	if rng.IntN(2) == 0 {
		s.Ban = &lt.Ban{After: 1 + rng.IntN(40), Within: 10 * time.Second, For: w,
			Extend: rng.IntN(2) == 0, Answer: lt.Verdict(1 + rng.IntN(5))}
	}
	if rng.IntN(3) == 0 {
		s.InFlight = 1 + rng.IntN(10)
	}
	if rng.IntN(3) == 0 {
		s.ErrorRate, s.CutRate, s.StallRate, s.Stall = rng.Float64()/3, rng.Float64()/3,
			rng.Float64()/10, 5*time.Second
	}
	return s
}

func config(rng *rand.Rand) (c pacing.Config) {
	if rng.IntN(2) == 0 {
		c.MaxRate = math.Exp(rng.Float64() * 5)
	}
	if rng.IntN(2) == 0 {
		c.MaxInFlight = 1 + rng.IntN(20)
	}
	c.Careful = rng.IntN(4) == 0
	if rng.IntN(3) == 0 {
		c.StartRate = math.Exp(rng.Float64() * 5)
	}
	return c
}

func crawl(t testing.TB, seed uint64) *watched {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := watch(t, config(rng), rand.New(rand.NewPCG(seed, 2)))
	srv := server(rng)
	w.fields = srv.Headers
	sim.Crawl{Server: srv, Clients: []sim.Client{w}, Pages: 500, Workers: 1 + rng.IntN(32),
		Deadline: 300, Net: rng.Float64() / 10, Seed: seed, Tries: 5}.Run()
	return w
}

func TestInvariantsHoldOnAnyServer(t *testing.T) {
	sends := 0
	for seed := range uint64(400) {
		sends += len(crawl(t, seed).log)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d sends", sends)
}

func FuzzInvariants(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { crawl(t, seed) })
}

func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	for seed := range uint64(20) {
		a, b := crawl(t, seed), crawl(t, seed)
		if fmt.Sprint(a.log) != fmt.Sprint(b.log) {
			t.Fatalf("seed %d: two runs", seed)
		}
	}
}

// Cancelled requests, the single one among them, leave nothing behind.
func TestCancelledRequestsFreeTheirPlaces(t *testing.T) {
	check := func(seed uint64) bool {
		rng := rand.New(rand.NewPCG(seed, 3))
		m := pacing.New(config(rng), rng)
		now := 0.0
		var out []pacing.Ticket
		for range 300 {
			if next := m.NextSend(now); !math.IsInf(next, 1) &&
				(len(out) == 0 || rng.IntN(2) == 0) {
				now = next
				out = append(out, m.OnSend(now))
				continue
			}
			if len(out) == 0 {
				t.Logf("seed %d: nothing in flight, and no send is ever due", seed)
				return false
			}
			i := rng.IntN(len(out))
			tk := out[i]
			out = append(out[:i], out[i+1:]...)
			now += rng.Float64() / 10
			if rng.IntN(2) == 0 {
				m.OnCancel(tk, rng.IntN(2) == 0)
			} else {
				m.OnDone(now, tk,
					pacing.Answer{Kind: pacing.Kind(rng.IntN(4)), RetryAfter: -1, Remaining: -1})
			}
		}
		for _, tk := range out {
			m.OnCancel(tk, true)
		}
		n, _ := m.InFlight()
		return n == 0 && !math.IsInf(m.NextSend(now), 1)
	}
	for seed := range uint64(500) {
		if !check(seed) {
			t.Errorf("seed %d", seed)
		}
	}
}

// long skips a test that only calculates, for long, if the race detector runs.
func long(t *testing.T) {
	if testing.Short() {
		t.Skip("a figure, left out by -short")
	}
}

func maker(r *rand.Rand) sim.Client { return pacing.New(pacing.Config{}, r) }

// What the figures promise, on a few seeds and with room for chance. The
// command figures prints them all.
func TestShortCrawls(t *testing.T) {
	long(t)
	fs := sim.Families(nil)
	m := sim.Short(maker, fs, []uint64{1, 2, 3, 4, 5, 6}, 8)
	least := map[string]float64{"open": .89, "bucket, no burst": .74, "bucket 429": .93,
		"in-flight 3": .78, "flaky": .85, "cut bodies": .85, "reset": .85}
	for name, want := range least {
		if got := m[name].Score; got < want {
			t.Errorf("%s: %.2f, want %.2f", name, got, want)
		}
	}
	if s := sim.Mean(m); s.Score < .87 || s.Clean*17 < 16.9 || s.Bans > 0 {
		t.Errorf("mean %.3f, clean %.1f, bans %.3f", s.Score, 17*s.Clean, s.Bans)
	}
	if s := sim.Mean(sim.Drawn(maker, 1, 20)); s.Score < .83 || s.Clean*17 < 16.6 {
		t.Errorf("drawn anew: mean %.3f, clean %.1f", s.Score, 17*s.Clean)
	}
	var seeds []uint64
	for i := range uint64(100) {
		seeds = append(seeds, i)
	}
	if s := sim.Mean(sim.Short(maker, sim.Noisy(), seeds, 8)); s.Score < .78 {
		t.Errorf("open with resets: %.2f", s.Score)
	}
}

func TestAnHour(t *testing.T) {
	long(t)
	for i, want := range []struct{ goodput, refused, bans float64 }{
		{.85, 30, 0}, {.99, 21, 0}, {.995, 0, 0}, {.97, 25, 0}, {.97, 25, 0}, {.86, 12, 3},
		{.74, 18, 1}, {.99, 21, 0},
	} {
		s := sim.LongServers()[i]
		if l := sim.Hour(maker, s.Make(), 11, .03, 3600); l.Goodput < want.goodput ||
			l.Refused > want.refused || l.Bans > want.bans {
			t.Errorf("%s: goodput %.3f, refused %.0f, bans %.0f", s.Name, l.Goodput, l.Refused,
				l.Bans)
		}
	}
}

// A server far away that has no burst refuses two requests that come at once. That the next one
// passes is not a sign of noise: it goes alone. These seeds once met it with 800 refusals.
func TestNoBurstFarAwayIsNotNoise(t *testing.T) {
	for _, seed := range []uint64{90022, 90133, 90139, 90144, 90187, 90201} {
		if l := sim.Hour(maker, sim.LongServers()[0].Make(), seed, .4, 3600); l.Refused > 60 ||
			l.Goodput < .24 {
			t.Errorf("seed %d: %.0f refused, goodput %.2f", seed, l.Refused, l.Goodput)
		}
	}
}

// Refusals are what probes cost: they are bounded in time, also where each
// probe meets several because many requests are on a long way.
func TestProbesSpendAnAllowance(t *testing.T) {
	long(t)
	server := sim.LongServers()[1]
	for seed := range uint64(5) {
		one := sim.Hour(maker, server.Make(), seed, .4, 3600).Refused
		three := sim.Hour(maker, server.Make(), seed, .4, 3*3600).Refused
		if three-one > 2*3600/150+8 {
			t.Errorf("seed %d: %.0f refusals in an hour, %.0f in three", seed, one, three)
		}
	}
}

// A jail that forgives four refusals a minute is not earned by the start, and
// one that forgives a few in ten seconds, its figures drawn anew, seldom.
func TestTheStartEarnsNoJail(t *testing.T) {
	long(t)
	for _, burst := range []int{5, 10, 20} {
		bans := 0.
		for seed := range uint64(300) {
			server := lt.Fail2ban(10)
			server.Rule = lt.LimitReq(10, burst, true)
			bans += sim.Hour(maker, server, seed, .03, 120).Bans
		}
		if bans > 20 {
			t.Errorf("burst %d: %.0f bans in 300 starts", burst, bans)
		}
	}
	strict := 0.
	for seed := range uint64(1000) {
		strict += sim.Families(rand.New(rand.NewPCG(seed, 3)))[12].One(maker, seed, 8).Bans
	}
	if strict > 9 {
		t.Errorf("%.0f bans in 1000 short-tempered crawls", strict)
	}
}

func TestALimitThatChanges(t *testing.T) {
	long(t)
	if back, _ := sim.Changed(maker, 11, .5); back > 8 {
		t.Errorf("halved: %v s", back)
	}
	if back, good := sim.Changed(maker, 11, 3); back > 200 || good < .95 {
		t.Errorf("trebled: %v s, %v", back, good)
	}
}

// A limit that changes early, and back, is noticed as well: what the change
// cost does not keep the machine from looking again.
func TestALimitThatChangesTwice(t *testing.T) {
	long(t)
	late := 0
	for seed := range uint64(10) {
		server := lt.Nginx(10, 20, true)
		server.Seed, server.Rule = seed,
			&fickle{Rule: server.Rule, at: []time.Duration{240 * time.Second, 480 * time.Second},
				by: []float64{.5, 3}}
		r := sim.Crawl{Server: server, Clients: []sim.Client{maker(rand.New(rand.NewPCG(seed, 9)))},
			Workers: 8, Deadline: 480 + 420, Net: .015, Seed: seed}.Run()
		n := 0
		for _, at := range r.Log[0] {
			if at > 480+400 {
				n++
			}
		}
		if n < .8*20*15 {
			late++
		}
	}
	if late > 1 {
		t.Errorf("%d of 10 runs did not use a raised limit within 400 s", late)
	}
}

// fickle is a rule whose rate changes more than once.
type fickle struct {
	lt.Rule
	at []time.Duration
	by []float64
}

func (f *fickle) Count(now time.Duration, ok bool) time.Duration {
	if len(f.at) > 0 && now >= f.at[0] {
		f.Rule.(lt.Resizer).Resize(f.at[0], f.by[0])
		f.at, f.by = f.at[1:], f.by[1:]
	}
	return f.Rule.Count(now, ok)
}

// Several pacers share a limit without knowing of each other. Their sum stays within it, and each
// gets at least half of its fair share; of four one may get less.
func TestSeveralOnOneLimit(t *testing.T) {
	long(t)
	for _, i := range []int{1, 3, 4} {
		server := sim.LongServers()[i]
		for n, most := range map[int]int{2: 1, 4: 3} {
			poor := 0
			var least []float64
			for seed := range uint64(10) {
				got := sim.Sharing(maker, server.Make(), n, seed)
				least = append(least, got.Least)
				if got.Goodput > 1.01 || got.Goodput < .9 || got.Least < .25 {
					t.Errorf("%s, %d pacers, seed %d: %+v", server.Name, n, seed, got)
				}
				if got.Least < .5 {
					poor++
				}
			}
			if slices.Sort(least); least[len(least)/2] < .55 {
				t.Errorf("%s, %d pacers: the poorest got %.2f in the median", server.Name, n,
					least[len(least)/2])
			}
			if poor > most {
				t.Errorf("%s, %d pacers: one of them got less than half a share in %d of 10 runs",
					server.Name, n, poor)
			}
		}
	}
}

// A crawler that does not use its rate proves nothing by it.
func TestAnIdleCrawlerDoesNotClimb(t *testing.T) {
	m := pacing.New(pacing.Config{StartRate: 10}, rand.New(rand.NewPCG(1, 1)))
	for now := 0.0; now < 600; now++ {
		m.OnDone(now+.1, m.OnSend(now), pacing.Answer{RetryAfter: -1, Remaining: -1})
	}
	if r := m.Rate(); r != 10 {
		t.Errorf("one request a second made it climb to %v", r)
	}
}

// The single request itself may bring the news that it was the last for now.
func TestReleasedIntoAnEmptyQuota(t *testing.T) {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 1)))
	for now := 0.0; now < 1; now += .1 {
		m.OnDone(now+.05, m.OnSend(now), page)
	}
	m.OnDone(1.1, m.OnSend(1), pacing.Answer{Kind: pacing.Refusal, RetryAfter: -1, Remaining: -1})
	at := m.NextSend(1.1)
	m.OnDone(at+.05, m.OnSend(at), pacing.Answer{RetryAfter: -1, Remaining: 0, Reset: 60})
	if next := m.NextSend(at + .05); next < at+60 {
		t.Errorf("sent %v s after a quota of 0 was stated for 60 s", next-at-.05)
	}
}

func TestNothingIsAllocatedOnceItRuns(t *testing.T) {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 1)))
	now := 0.0
	if n := testing.AllocsPerRun(1000, func() {
		now += .001
		m.OnDone(now, m.OnSend(m.NextSend(now)), pacing.Answer{RetryAfter: -1, Remaining: -1})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// goes is when the next may go if no answer comes.
func goes(m *pacing.Machine, now float64) float64 {
	for {
		next, wake := m.NextSend(now), m.Wake(now)
		if next <= wake || math.IsInf(wake, 1) {
			return next
		}
		now = max(now, wake)
	}
}

// A single request that never comes back does not hold the others for ever.
func TestAStalledSingleRequestIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name      string
		refusals  int     // in a row before the one that stalls
		patience  float64 // with it
		late      func(m *pacing.Machine, now float64, k pacing.Ticket)
		lateFirst bool // before the answer to the one in its place
		released  bool // by that
	}{
		{"never heard of again", 1, 30, nil, true, false},
		{"after a park that was longer", 8, 64, nil, true, false},
		{"the last of a jail's", 3, 30, nil, true, false},
		{"refused after all", 1, 30, func(m *pacing.Machine, now float64, k pacing.Ticket) {
			m.OnDone(now, k, refusal)
		}, true, false},
		{"refused after the release", 1, 30, func(m *pacing.Machine, now float64, k pacing.Ticket) {
			m.OnDone(now, k, refusal)
		}, false, true},
		{"admitted after all", 1, 30, func(m *pacing.Machine, now float64, k pacing.Ticket) {
			m.OnDone(now, k, page)
		}, true, true},
		{"cancelled", 1, 30, func(m *pacing.Machine, now float64, k pacing.Ticket) {
			m.OnCancel(k, true)
		}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 2)))
			now := 0.
			for range 5 {
				m.OnDone(now, m.OnSend(now), page)
				now += .1
			}
			for range c.refusals {
				now = m.NextSend(now)
				m.OnDone(now, m.OnSend(now), refusal)
			}
			now = m.NextSend(now)
			lost := m.OnSend(now)
			if at := goes(m, now); at != now+c.patience {
				t.Fatalf("sent at %v, the next at %v", now, at)
			}
			now += c.patience
			instead := m.OnSend(now)
			if next := m.NextSend(now + .1); !math.IsInf(next, 1) {
				t.Errorf("two in its place: at %v and %v", now, next)
			}
			answer := func() { m.OnDone(now+2, instead, page) }
			late := func() {
				if c.late != nil {
					c.late(m, now+1, lost)
				}
				if _, parked := m.Parked(); parked == c.released {
					t.Errorf("parked %v by what became of it", parked)
				}
			}
			if c.lateFirst {
				late()
				answer()
			} else {
				answer()
				late()
			}
			left := 0
			if c.late == nil {
				left = 1
			}
			if n, _ := m.InFlight(); n != left {
				t.Errorf("%d in flight, want %d", n, left)
			}
			if _, parked := m.Parked(); parked || m.NextSend(now+2) > now+60 {
				t.Errorf("parked %v, the next goes at %v", parked, m.NextSend(now+2))
			}
		})
	}
}

// However many single requests hang for ever, there is always a next.
func TestThereIsAlwaysANext(t *testing.T) {
	check := func(seed uint64) bool {
		rng := rand.New(rand.NewPCG(seed, 3))
		m := pacing.New(pacing.Config{}, rng)
		type flying struct {
			pacing.Ticket
			until float64
		}
		var out []flying
		for now, i := 0., 0; i < 2000; i++ {
			next, ends := goes(m, now), math.Inf(1)
			first := -1
			for i, f := range out {
				if f.until < ends {
					first, ends = i, f.until
				}
			}
			if math.IsInf(min(next, ends), 1) {
				return false
			}
			if next <= ends {
				now = next
				until := math.Inf(1)
				if _, half := m.Parked(); !half || rng.IntN(2) == 0 {
					until = now + rng.Float64()*20*float64(rng.IntN(2))
				}
				out = append(out, flying{m.OnSend(now), until})
				continue
			}
			now = ends
			a := pacing.Answer{Kind: pacing.Kind(rng.IntN(4)), RetryAfter: -1, Remaining: -1}
			if rng.IntN(10) == 0 {
				m.OnCancel(out[first].Ticket, rng.IntN(2) == 0)
			} else {
				m.OnDone(now, out[first].Ticket, a)
			}
			out = append(out[:first], out[first+1:]...)
			if n, _ := m.InFlight(); n != len(out) {
				return false
			}
		}
		return true
	}
	for seed := range uint64(200) {
		if !check(seed) {
			t.Errorf("seed %d: there is none", seed)
		}
	}
}

// After a start that was refused often one at a time goes. One that hangs then holds the others no
// longer than a single one does.
func TestAStalledRequestWhileOneAtATimeGoes(t *testing.T) {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 2)))
	for now := 0.; now < .5; now += .1 {
		m.OnDone(now, m.OnSend(now), page)
	}
	now := 1.
	for range 3 {
		now = m.NextSend(now)
		m.OnDone(now, m.OnSend(now),
			pacing.Answer{Kind: pacing.Refusal, RetryAfter: -1, Remaining: -1})
	}
	now = m.NextSend(now)
	m.OnDone(now, m.OnSend(now), page)
	for range 2 {
		now = m.NextSend(now)
		m.OnSend(now) // hangs
		if at := goes(m, now); at < now+30 || at > now+60 {
			t.Fatalf("sent at %v, the next at %v", now, at)
		}
		now += 30
	}
}

// An open server whose connections break now and then is used fully in the end, however unlucky the
// beginning was.
func TestNoiseIsNotTakenForALimit(t *testing.T) {
	long(t)
	for _, share := range []float64{.01, .05} {
		late := 0
		for seed := range uint64(40) {
			server := &lt.Server{Rule: lt.Open{}, Latency: 30 * time.Millisecond, Spread: .18,
				CutRate: share, Seed: seed}
			r := sim.Crawl{Server: server,
				Clients: []sim.Client{maker(rand.New(rand.NewPCG(seed, 9)))}, Pages: 8000,
				Workers: 8, Deadline: 1000, Net: .002, Seed: seed, Tries: 8}.Run()
			if r.Seconds > 120 { // 35 to a client that knows
				late++
			}
		}
		if late > 4 {
			t.Errorf("%v of the answers cut off: %d of 40 crawls took more than 120 s", share, late)
		}
	}
}

// A quota whose reset is told in whole seconds, rounded up, is used all the same, and hardly
// exceeded.
func TestAStatedQuotaIsUsed(t *testing.T) {
	for seed := range uint64(5) {
		server := &lt.Server{Rule: lt.Fixed(60, 3*time.Second,
			time.Duration(seed)*500*time.Millisecond), Headers: true,
			Latency: 30 * time.Millisecond, Spread: .18, Seed: seed}
		c := sim.Crawl{Server: server, Clients: []sim.Client{maker(rand.New(rand.NewPCG(seed, 9)))},
			Workers: 8, Deadline: 60, Net: .002, Seed: seed}
		if r := c.Run(); r.Refused > 1 || r.OK < .95*20*60 {
			t.Errorf("seed %d: %d pages of 1200, %d refused", seed, r.OK, r.Refused)
		}
	}
}

// The limits of small sites, whose burst is many seconds of the rate.
func TestALowLimit(t *testing.T) {
	long(t)
	for _, rate := range []float64{.5, 1, 2} {
		for seed := range uint64(5) {
			l := sim.Hour(maker, lt.Nginx(rate, 20, true), seed, .05, 3600)
			if good := l.Goodput * 10 / rate; good < .93 || l.Refused > 60 {
				t.Errorf("%v/s, seed %d: %.0f refused in an hour, goodput %.2f", rate, seed,
					l.Refused, good)
			}
		}
	}
}

// More than a browser opens are in flight only when the usual windows are over, and then as many as
// bring something.
func TestManyInFlightTakePatience(t *testing.T) {
	m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 1)))
	server := &lt.Server{Rule: lt.Open{}, Latency: 100 * time.Millisecond, Spread: .18}
	c := sim.Crawl{Server: server, Clients: []sim.Client{m}, Pages: 590, Workers: 64,
		Deadline: 1000, Net: .002}
	c.Run()
	if _, limit := m.InFlight(); limit != 8 {
		t.Errorf("%d in flight after %d pages", limit, c.Pages)
	}
	c.Clients[0] = pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 1)))
	c.Pages = 20_000
	c.Run()
	if _, limit := c.Clients[0].(*pacing.Machine).InFlight(); limit < 32 {
		t.Errorf("%d in flight after %d pages", limit, c.Pages)
	}
}

// A server that lets requests wait refuses none to a client that sees them queue.
func TestAQueueIsNotOverrun(t *testing.T) {
	long(t)
	for seed := range uint64(10) {
		if l := sim.Hour(maker, lt.Nginx(10, 20, false), seed, .03, 3600); l.Refused > 0 {
			t.Errorf("seed %d: %.0f refused", seed, l.Refused)
		}
	}
}

// Who goes on with another's search has not seen the server's bucket empty: what a short hold
// admits may have been lent by it.
func TestARestoredSearchKnowsNoBucket(t *testing.T) {
	m := resumed(pacing.Saved{Rate: 40, Slots: 8, Hold: 1, Climb: true})
	for m.Rate() == 40 {
		m.send(1, page)
	}
	if held := m.now; m.Save(m.now).Safe > 40-20/held {
		t.Errorf("a hold of %v s at 40/s is said to prove %v/s", held, m.Save(m.now).Safe)
	}
}
