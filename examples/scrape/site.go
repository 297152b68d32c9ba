package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/encoding/charmap"

	"github.com/reprise-go/reprise/ratelimit/limitertest"
)

// limit is a rule of the site, and what a perfect client would make of it.
type limit struct {
	text  string
	rate  float64 // a second, in the long run
	burst int
	make  func() *limitertest.Server
}

// jail bans a client for 20 s if it violates a limit ten times within a minute.
func jail() *limitertest.Ban {
	return &limitertest.Ban{After: 10, Within: time.Minute, For: 20 * time.Second,
		Answer: limitertest.Forbidden}
}

var rules = map[string]limit{
	"bucket": {
		"15/s, bursts of 10; the tenth violation within a minute earns 403 for 20 s",
		15, 10, func() *limitertest.Server {
			return &limitertest.Server{Rule: limitertest.Bucket(15, 10),
				Refuse: limitertest.TooMany, Ban: jail()}
		}},
	"nginx": {
		"nginx: limit_req 15/s, burst 10, nodelay; " +
			"the tenth violation within a minute earns 403 for 20 s",
		15, 10, func() *limitertest.Server {
			s := limitertest.Nginx(15, 10, true)
			s.Ban = jail()
			return s
		}},
	"haproxy": {
		"HAProxy: 60 requests in 4 s, refused ones count too",
		15, 60, func() *limitertest.Server {
			return limitertest.HAProxy(60, 4*time.Second)
		}},
	"cloudflare": {
		"60 requests in 4 s, then 429 with Retry-After for 20 s",
		15, 60, func() *limitertest.Server {
			return limitertest.Cloudflare(60, 4*time.Second, 20*time.Second, true)
		}},
	"captcha": {
		"15/s, bursts of 10; beyond it a captcha",
		15, 10, func() *limitertest.Server {
			return &limitertest.Server{Rule: limitertest.Bucket(15, 10),
				Refuse: limitertest.Captcha, Ban: jail()}
		}},
	"window": {
		"150 requests in 10 s, told by X-RateLimit fields",
		15, 150, func() *limitertest.Server {
			return &limitertest.Server{Rule: limitertest.Fixed(150, 10*time.Second, 0),
				Refuse: limitertest.TooMany, Headers: true, Ban: jail()}
		}},
}

func ruleNames() (names []string) {
	for name := range rules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// site serves pages and remembers what each client did.
type site struct {
	url    string
	server *httptest.Server
	pages  []string // paths
	dead   int      // links that lead nowhere
	limit  func() *limitertest.Server
	seed   uint64

	mu      sync.Mutex
	clients map[string]*client // by User-Agent
}

// client is what the site knows of one of them.
type client struct {
	limit *limitertest.Server
	began time.Time
	asked map[string]int // how often a page that asks for a human was asked for
	hits  []hit
}

// hit is one request as the site saw it.
type hit struct {
	at      time.Duration // since the client's first
	path    string
	outcome outcome
}

type outcome int

const (
	admitted outcome = iota // a page, a dead link, an error of the site
	violated                // above the limit
	banned                  // into a ban
	beganBan                // the violation that earned a ban
)

func openSite(c config) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{
		url: "http://" + l.Addr().String(), limit: rules[c.rule].make, seed: c.seed,
		clients: map[string]*client{},
	}
	for i := range c.pages {
		s.pages = append(s.pages, fmt.Sprintf("/page/%d", i))
	}
	s.dead = c.pages / 20
	mux := http.NewServeMux()
	mux.HandleFunc("GET /robots.txt", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "User-agent: *\nAllow: /\nSitemap: %s/sitemap.xml\n", s.url)
	})
	mux.HandleFunc("GET /sitemap.xml", s.sitemap)
	mux.HandleFunc("/", s.serve)
	s.server = httptest.NewUnstartedServer(mux)
	s.server.Listener.Close()
	s.server.Listener = l
	s.server.Config.ErrorLog = nil
	s.server.Start()
	return s, nil
}

func (s *site) close() {
	s.server.CloseClientConnections()
	s.server.Close()
}

// seeds are what a scraper is given: the rest is found by links.
func (s *site) seeds() []string { return []string{s.url + "/sitemap.xml"} }

// sitemap lists two pages of three; the others are linked to.
func (s *site) sitemap(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?>`)
	fmt.Fprint(w, `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
	for i, p := range s.pages {
		if i%3 != 2 {
			fmt.Fprintf(w, "<url><loc>%s%s</loc></url>", s.url, p)
		}
	}
	fmt.Fprint(w, "</urlset>")
}

const (
	captchaEvery = 50 // one page in so many asks for a human until the third request
	oldEvery     = 10 // and one in so many is in windows-1251
)

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	answer, human := s.ask(r)
	select {
	case <-time.After(answer.Busy):
	case <-r.Context().Done():
		return
	}
	if answer.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(answer.RetryAfter.Seconds()+.999)))
	}
	if answer.Quota.Limit > 0 {
		w.Header().Set("X-RateLimit-Limit", fmt.Sprint(answer.Quota.Limit))
		w.Header().Set("X-RateLimit-Remaining", fmt.Sprint(answer.Quota.Remaining))
		w.Header().Set("X-RateLimit-Reset", fmt.Sprint(int(answer.Quota.Reset.Seconds()+.999)))
	}
	switch {
	case answer.Verdict == limitertest.Captcha || answer.Verdict == limitertest.OK && human:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<html><title>Are you human?</title><form id="captcha"></form></html>`)
	case answer.Verdict == limitertest.OK:
		if text, ok := s.page(w, r); ok {
			fmt.Fprint(w, text)
		}
	case answer.Verdict == limitertest.Cut:
		if text, ok := s.page(w, r); ok {
			fmt.Fprint(w, text[:len(text)/2])
			panic(http.ErrAbortHandler)
		}
	case answer.Status == 0: // a reset
		panic(http.ErrAbortHandler)
	default:
		http.Error(w, answer.Verdict.String(), answer.Status)
	}
}

// ask lets the client's own limiter judge a request, and notes the outcome.
func (s *site) ask(r *http.Request) (answer limitertest.Answer, human bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[r.UserAgent()]
	if c == nil {
		l := s.limit()
		l.Seed, l.Latency, l.Spread = s.seed, 30*time.Millisecond, .2
		l.ErrorRate, l.CutRate, l.Cuts = .03, .02, limitertest.Cut
		c = &client{limit: l, began: time.Now(), asked: map[string]int{}}
		s.clients[r.UserAgent()] = c
	}
	at := time.Since(c.began)
	before := c.limit.Stats()
	answer = c.limit.Serve(at)
	h := hit{at: at, path: r.URL.Path}
	switch after := c.limit.Stats(); {
	case after.Bans > before.Bans:
		h.outcome = beganBan
	case after.Banned > before.Banned:
		h.outcome = banned
	case after.Violations > before.Violations:
		h.outcome = violated
	}
	c.hits = append(c.hits, h)
	var n int
	_, err := fmt.Sscanf(r.URL.Path, "/page/%d", &n)
	if err == nil && n%captchaEvery == captchaEvery-1 && answer.Verdict == limitertest.OK {
		c.asked[r.URL.Path]++
		human = c.asked[r.URL.Path] < 3
	}
	return answer, human
}

// page writes the header of a page and returns its text, in its charset; or writes a 404.
func (s *site) page(w http.ResponseWriter, r *http.Request) (text string, ok bool) {
	var n int
	if _, err := fmt.Sscanf(r.URL.Path, "/page/%d", &n); err != nil || n >= len(s.pages) {
		http.NotFound(w, r)
		return "", false
	}
	text = s.text(n)
	charset := "utf-8"
	if n%oldEvery == 3 {
		charset = "windows-1251"
		text, _ = charmap.Windows1251.NewEncoder().String(text) // it is Cyrillic and ASCII
	}
	w.Header().Set("Content-Type", "text/html; charset="+charset)
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	return text, true
}

// text is page n: its title, some words, and links to the pages behind it.
func (s *site) text(n int) string {
	rnd := rand.New(rand.NewPCG(s.seed, uint64(n)))
	words := strings.Fields(
		"быстрый предел терпение ответ limit patience answer bucket retry crawl")
	var b strings.Builder
	fmt.Fprintf(&b, "<html><title>Страница %d</title>\n<p>", n)
	for range 60 + rnd.IntN(200) {
		b.WriteString(words[rnd.IntN(len(words))] + " ")
	}
	b.WriteString("</p>\n")
	for _, to := range []int{n + 1, n + 2, n * 2} {
		if to < len(s.pages) {
			fmt.Fprintf(&b, `<a href="/page/%d">%d</a>`+"\n", to, to)
		}
	}
	if n%20 == 7 && n/20 < s.dead {
		fmt.Fprintf(&b, `<a href="/gone/%d">gone</a>`+"\n", n)
	}
	b.WriteString("</html>\n")
	return b.String()
}

// saw is what the site saw of a client.
func (s *site) saw(agent string) []hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[agent]; c != nil {
		return slices.Clone(c.hits)
	}
	return nil
}
