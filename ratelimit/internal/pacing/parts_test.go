package pacing_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/internal/pacing/sim"
	lt "github.com/reprise-go/reprise/ratelimit/limitertest"
)

func fresh(c pacing.Config) *pacing.Machine { return pacing.New(c, rand.New(rand.NewPCG(1, 2))) }

// pages sends n requests that are admitted, a tenth of a second apart, and returns when the last
// was answered.
func pages(m *pacing.Machine, now float64, n int) float64 {
	for range n {
		now = max(now+.1, m.NextSend(now))
		m.OnDone(now+.05, m.OnSend(now), page)
	}
	return now + .05
}

// Whatever the server's limit, its jail and its clock: to a careful machine no minute has more
// refusals than four, and those that were on their way at the first of them; and once it was
// refused not even those.
func TestCarefulKeepsToItsBudget(t *testing.T) {
	seeds := uint64(600)
	if testing.Short() {
		seeds = 60
	}
	refused, most := 0, 0
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := server(rng)
		s.Refuse = []lt.Verdict{lt.TooMany, lt.Forbidden, lt.Captcha}[rng.IntN(3)] // plain words
		s.ErrorRate, s.CutRate, s.Slow = 0, 0, rng.IntN(2) == 0
		if s.Ban != nil {
			s.Ban.Answer = s.Refuse
		}
		cfg := config(rng)
		cfg.Careful = true
		m := pacing.New(cfg, rng)
		var at []float64
		start := 0 // requests on their way at the first refusal
		sim.Crawl{
			Server: s, Clients: []sim.Client{m}, Pages: 300,
			Workers: 1 + rng.IntN(32), Deadline: 1000,
			Net: rng.Float64() / 10, Seed: seed, Tries: 5,
			Trace: func(now float64, _ int, _ string, a lt.Answer) {
				if a.Verdict != s.Refuse {
					return
				}
				refused++
				if at = append(at, now); len(at) == 1 {
					start, _ = m.InFlight()
				}
				i := 0
				for now-at[i] >= 60 {
					i++
				}
				n, budget := len(at)-i, 4
				if most = max(most, n); i == 0 {
					budget = max(budget, min(8, 1+start))
				}
				if n > budget {
					t.Errorf("seed %d: %d refusals in %v s", seed, n, now-at[i])
				}
			},
		}.Run()
		if t.Failed() {
			return
		}
	}
	if refused < 60 || most < 5 {
		t.Errorf("%d refusals in all, at most %d in a minute: the test shows nothing", refused,
			most)
	}
}

// A jail of five a minute, which the usual machine earns at the end of a bucket, is not earned by a
// careful one.
func TestCarefulEarnsNoJail(t *testing.T) {
	long(t)
	for _, c := range []struct {
		rate  float64
		burst int
	}{{12, 15}, {30, 50}, {5, 3}, {20, 10}, {60, 100}, {1, 30}} {
		for seed := range uint64(10) {
			s := &lt.Server{
				Rule: lt.Bucket(c.rate, c.burst), Latency: 30 * time.Millisecond, Spread: .18,
				Seed: seed, Slow: seed%2 == 0,
				Ban: &lt.Ban{After: 5, Within: time.Minute,
					For: 100 * time.Second, Answer: lt.Forbidden},
			}
			m := pacing.New(pacing.Config{Careful: true}, rand.New(rand.NewPCG(seed, 9)))
			r := sim.Crawl{Server: s, Clients: []sim.Client{m}, Pages: 200, Workers: 8,
				Deadline: 2000, Net: .002, Seed: seed, Tries: 8}.Run()
			if s.Stats().Bans > 0 || r.OK != 200 {
				t.Errorf("%v/s burst %d, seed %d: %d bans, %d pages", c.rate, c.burst, seed,
					s.Stats().Bans, r.OK)
			}
		}
	}
}

// A server that swallows what is too much is noticed long before the client's own timeout.
func TestSilenceIsHeard(t *testing.T) {
	m := fresh(pacing.Config{})
	now := pages(m, 0, 20)
	for range 3 { // out at once, and never answered
		m.OnSend(now)
	}
	for range 6 { // ask when it says so
		m.NextSend(now)
		if w := m.Wake(now); !math.IsInf(w, 1) {
			now = w
		}
	}
	if _, parked := m.Parked(); !parked || now > 10 {
		t.Errorf("not parked at %v", now)
	}
}

// An answer that has begun does not count as silence, however long its body takes. An answer that
// was slow and is a page changes nothing.
func TestALongBodyIsNotTakenForSilence(t *testing.T) {
	m := fresh(pacing.Config{})
	now := pages(m, 0, 20)
	var out []pacing.Ticket
	for range 3 {
		out = append(out, m.OnSend(now))
	}
	for _, k := range out {
		m.OnAnswer(now+.05, k)
	}
	now += 600
	m.NextSend(now)
	for _, k := range out {
		m.OnDone(now, k, page)
	}
	if _, parked := m.Parked(); parked || !math.IsInf(m.Rate(), 1) {
		t.Errorf("parked %v at %v/s", parked, m.Rate())
	}
}

// While the bound on the requests in flight is reached only an answer is due: no alarm.
func TestNoAlarmIfTheBoundIsReached(t *testing.T) {
	m := fresh(pacing.Config{MaxInFlight: 1})
	m.OnDone(.1, m.OnSend(0), refusal)
	at := m.NextSend(.1)
	m.OnSend(at)
	if w := m.Wake(at); !math.IsInf(w, 1) || !math.IsInf(m.NextSend(at+100), 1) {
		t.Errorf("asks to be woken at %v", w)
	}
}

// Pages that are always refused cost what they cost, and not the rate of the others.
func TestARefusalOfOnePageSaysNothingOfTheRate(t *testing.T) {
	long(t)
	for _, c := range []struct {
		every int
		most  float64 // of the time without such pages
	}{{30, 2.2}, {100, 1.4}} {
		var with, without float64
		for seed := range uint64(10) {
			for _, blocked := range []func(int) bool{
				nil, func(p int) bool { return p%c.every == c.every/2 },
			} {
				s := &lt.Server{Rule: lt.Bucket(20, 10), Latency: 30 * time.Millisecond,
					Spread: .18, Seed: seed}
				m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(seed, 9)))
				r := sim.Crawl{Server: s, Clients: []sim.Client{m}, Pages: 300, Workers: 8,
					Deadline: 4000, Net: .002, Seed: seed, Tries: 8, Blocked: blocked}.Run()
				if blocked == nil {
					without += r.Seconds
				} else {
					with += r.Seconds
				}
			}
		}
		if with > c.most*without {
			t.Errorf("one page in %d: %.1f times as long", c.every, with/without)
		}
	}
}

// Nor do the captchas of pages that come at the third request, although eight workers could ask for
// them again at once, and the server refuses by the same captcha.
func TestPagesThatAskForAHumanTwiceDoNotSlowTheRest(t *testing.T) {
	seconds := 0.
	for seed := range uint64(5) {
		asked := map[int]int{}
		s := &lt.Server{Rule: lt.Bucket(15, 15), Latency: 60 * time.Millisecond, Spread: .3,
			Seed: seed, Refuse: lt.Captcha}
		r := sim.Crawl{Server: s, Clients: []sim.Client{maker(rand.New(rand.NewPCG(seed, 9)))},
			Pages: 600, Workers: 8, Deadline: 1000, Net: .002, Seed: seed, Tries: 8,
			Blocked: func(page int) bool {
				asked[page]++
				return page%50 == 5 && asked[page] <= 2
			}}.Run()
		seconds += r.Seconds / 5
	}
	if most := 2 * 600 / 15.; seconds > most {
		t.Errorf("%.0f s in the mean, want %.0f", seconds, most)
	}
}

// What remains of a quota is learned before anything is refused: a bucket whose fields are truthful
// is used, and not exceeded.
func TestAGaugeThatFlowsIsFollowed(t *testing.T) {
	crawl := func(fields bool, silent sim.Fields) (ok, refused int) {
		for seed := range uint64(10) {
			s := &lt.Server{Rule: lt.Bucket(10, 20), Headers: fields,
				Latency: 50 * time.Millisecond, Spread: .18, Seed: seed}
			m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(seed, 9)))
			r := sim.Crawl{Server: s, Clients: []sim.Client{m}, Workers: 8, Deadline: 60, Net: .005,
				Seed: seed, Silent: silent}.Run()
			ok, refused = ok+r.OK, refused+r.Refused
		}
		return ok, refused
	}
	_, without := crawl(false, sim.Fields{})
	for _, silent := range []sim.Fields{{}, {Window: true}, {Window: true, Reset: true}} {
		if ok, refused := crawl(true, silent); ok < .95*620*10 || refused > without/2 {
			t.Errorf("%+v: %d pages of %d, %d refused, in ten runs; %d without fields", silent, ok,
				620*10, refused, without)
		}
	}
}

// Resets that are told in whole seconds say nothing where the window is shorter, and where all of
// it is on its way at once what remains says nothing either: such a quota is learned as any limit
// is.
func TestACoarseGaugeDoesNotSlow(t *testing.T) {
	for _, c := range []struct {
		name string
		rule func() lt.Rule
		rate float64
	}{
		{"bucket of one", func() lt.Rule { return lt.Bucket(20, 1) }, 20},
		{"bucket of three", func() lt.Rule { return lt.Bucket(20, 3) }, 20},
		{"sliding window", func() lt.Rule {
			return lt.Sliding(3, 150*time.Millisecond, false)
		}, 20},
		{"ten in half a second",
			func() lt.Rule { return lt.Fixed(10, 500*time.Millisecond, 0) }, 20},
	} {
		s := &lt.Server{Rule: c.rule(), Headers: true, Latency: 30 * time.Millisecond, Spread: .18,
			Seed: 1}
		m := pacing.New(pacing.Config{}, rand.New(rand.NewPCG(1, 9)))
		r := sim.Crawl{Server: s, Clients: []sim.Client{m}, Workers: 8, Deadline: 120, Net: .005,
			Seed: 1}.Run()
		if got := float64(r.OK) / 120 / c.rate; got < .75 {
			t.Errorf("%s: %.2f of the rate, %d refused", c.name, got, r.Refused)
		}
	}
}

// Two pages that are refused one after the other are not refused for themselves, however many came
// since each was refused before.
func TestTwoPagesInARowAreNewsOfTheRate(t *testing.T) {
	m := fresh(pacing.Config{})
	refuse := func(now float64, page uint64) float64 {
		now = m.NextSend(now)
		a := refusal
		a.Page = page
		m.OnDone(now+.01, m.OnSend(now), a)
		return now + .01
	}
	now := refuse(refuse(pages(m, 0, 20), 1), 2)
	now = refuse(pages(m, now, 30), 1)
	if _, parked := m.Parked(); parked {
		t.Fatal("a page that is refused while thirty come slows the others")
	}
	refuse(now, 2)
	if _, parked := m.Parked(); !parked {
		t.Error("a second page in a row does not slow the others")
	}
}

// A 403 of which nobody has said what it means is a refusal where it comes for any page, and is
// learned to be one.
func TestUntoldAnswers(t *testing.T) {
	untold := func(page uint64) pacing.Answer {
		return pacing.Answer{Kind: pacing.Untold, RetryAfter: -1, Remaining: -1, Page: page}
	}
	for _, c := range []struct {
		name   string
		before int
		pages  []uint64
		parked bool
	}{
		{"three pages in a row", 20, []uint64{1, 2, 3}, true},
		{"one page again and again", 20, []uint64{1, 1, 1, 1, 1}, false},
		{"two", 20, []uint64{1, 2}, false},
		{"from the start", 0, []uint64{1, 2, 3, 4, 5}, false},
		{"without a name", 20, []uint64{0, 0, 0, 0}, false},
	} {
		m := fresh(pacing.Config{})
		now := pages(m, 0, c.before)
		for _, p := range c.pages {
			now = max(now+.1, m.NextSend(now))
			m.OnDone(now+.05, m.OnSend(now), untold(p))
		}
		if _, parked := m.Parked(); parked != c.parked {
			t.Errorf("%s: parked %v", c.name, parked)
		}
	}

	m := fresh(pacing.Config{})
	now := pages(m, 0, 20)
	parks := 0
	for i := range uint64(200) { // a forbidden corner of the site: it costs three parks and no more
		before, _ := m.Parked()
		now = max(now+.1, m.NextSend(now))
		m.OnDone(now+.05, m.OnSend(now), untold(i+1))
		if gate, _ := m.Parked(); gate > before {
			parks++
		}
	}
	if parks != 3 {
		t.Errorf("%d parks by a forbidden corner", parks)
	}

	m = fresh(pacing.Config{})
	now = pages(m, 0, 20)
	for i := range uint64(3) {
		now = max(now+.1, m.NextSend(now))
		m.OnDone(now+.05, m.OnSend(now), untold(i+1))
	}
	now = m.NextSend(now)
	// it comes after all
	m.OnDone(now+.05, m.OnSend(now), pacing.Answer{RetryAfter: -1, Remaining: -1, Page: 2})
	now = pages(m, now, 5)
	now = m.NextSend(now)
	m.OnDone(now+.05, m.OnSend(now), untold(9))
	if _, parked := m.Parked(); !parked {
		t.Error("what was proved to be a refusal is none")
	}
}

// A machine is small, and stays so whatever it meets.
func TestAMachineIsSmall(t *testing.T) {
	long(t)
	size := func(m *pacing.Machine) uintptr { return unsafe.Sizeof(*m) + m.Bytes() }
	m := fresh(pacing.Config{})
	pages(m, 0, 500)
	if n := size(m); n > 4<<10 {
		t.Errorf("%d bytes before any refusal", n)
	}
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := pacing.New(config(rng), rng)
		sim.Crawl{Server: server(rng), Clients: []sim.Client{m}, Pages: 2000, Workers: 16,
			Deadline: 3000, Net: .01, Seed: seed, Tries: 5}.Run()
		if n := size(m); n > 16<<10 {
			t.Errorf("seed %d: %d bytes", seed, n)
		}
	}
}

func TestExplain(t *testing.T) {
	m := fresh(pacing.Config{})
	says := func(now float64, parts ...string) {
		t.Helper()
		text := m.Explain(now)
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("%q does not say %q", text, p)
			}
		}
	}
	says(0, "no limit met so far", "0 refusals in 60 s")
	now := pages(m, 0, 30)
	m.OnDone(now+.05, m.OnSend(now), refusal)
	says(now+.05, "one request goes alone in 500ms", "1 refusals in 60 s, 1 in all",
		"it refuses explicitly (429, Retry-After, a captcha)")
	now = pages(m, now, 1)
	says(now, "/s, searching upward")
	c := resumed(pacing.Saved{Rate: 10, Slots: 8, Probe: 240, Hold: 5})
	if text := c.Explain(0); !strings.Contains(text, "10/s, kept; ") ||
		!strings.Contains(text, "next probe in 4m0s") {
		t.Error(text)
	}
}
