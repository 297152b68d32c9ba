package httpx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// web is a transport with a robots.txt for each host. It writes down what is sent, and when.
type web struct {
	robots func(r *http.Request) (code int, text string, header http.Header)
	page   func(r *http.Request) (*http.Response, error) // nil: 200

	mu   sync.Mutex
	sent []sending
}

type sending struct {
	url string
	at  time.Time
	req *http.Request
}

// saying is a web where every host has this robots.txt.
func saying(code int, text string) *web {
	return &web{robots: func(*http.Request) (int, string, http.Header) { return code, text, nil }}
}

func respondWith(r *http.Request, code int, text string, h http.Header) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(text)),
		ContentLength: int64(len(text)), Request: r}
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.sent = append(w.sent, sending{r.URL.String(), time.Now(), r})
	w.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Path == "/robots.txt" {
		code, text, h := w.robots(r)
		if code == 0 {
			return nil, errors.New("no route to host")
		}
		return respondWith(r, code, text, h), nil
	}
	if w.page != nil {
		return w.page(r)
	}
	return respondWith(r, 200, "page", nil), nil
}

// urls are those that were sent; of robots.txt only, or of pages only.
func (w *web) urls(robots bool) (urls []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sent {
		if strings.HasSuffix(s.url, "/robots.txt") == robots {
			urls = append(urls, s.url)
		}
	}
	return urls
}

// gaps are the distances between what was sent.
func (w *web) gaps() (gaps []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 1; i < len(w.sent); i++ {
		gaps = append(gaps, w.sent[i].at.Sub(w.sent[i-1].at))
	}
	return gaps
}

func get(t *testing.T, c *httpx.Client, u string, opts ...httpx.Option) error {
	t.Helper()
	resp, err := c.Get(t.Context(), u, opts...)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

func TestADisallowedRequestIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: examplebot\nDisallow: /private\nUser-agent: *\nDisallow: /\n")
		c := over(w, httpx.Polite("ExampleBot/1.0 (+https://example.com/bot)"))
		if err := get(t, c, "http://h/public"); err != nil {
			t.Fatal(err)
		}
		body := &closer{Reader: strings.NewReader("x")}
		begun := time.Now()
		outer := retry.Chain(policies.Constant(time.Second),
			breaker.New("b", breaker.ConsecutiveFailures(1)))
		calls := 0
		_, err := retry.Do(t.Context(), outer, func(ctx context.Context) (*http.Response, error) {
			calls++
			return c.Post(ctx, "http://user:hunter2@h/private/x?key=hunter2", body)
		})
		var e *httpx.RobotsError
		if !errors.As(err, &e) || !errors.Is(err, httpx.ErrDisallowed) ||
			!errors.Is(err, retry.ErrRejected) {
			t.Fatal(err)
		}
		if e.URL != "http://h/private/x?key=xxxxx" || e.Rule != "Disallow: /private" ||
			e.Agent != "ExampleBot" || e.Cause != nil {
			t.Errorf("%+v", e)
		}
		if !retry.IsPermanent(err) || !retry.IsNeutral(err) || calls != 1 ||
			time.Since(begun) != 0 || !body.closed.Load() {
			t.Errorf("permanent %v, neutral %v, %d calls, %v, closed %v", retry.IsPermanent(err),
				retry.IsNeutral(err), calls, time.Since(begun), body.closed.Load())
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") ||
			!strings.Contains(text, "Disallow: /private") {
			t.Error(text)
		}
		if got := w.urls(false); !slices.Equal(got, []string{"http://h/public"}) {
			t.Error(got)
		}
	})
}

func TestTheErrorStaysReadable(t *testing.T) {
	w := saying(200, "User-agent: *\nDisallow: /"+strings.Repeat("\x1b*", 10_000))
	err := get(t, over(w, httpx.Polite("bot")), "http://h/"+strings.Repeat("%1B", 10_000))
	var e *httpx.RobotsError
	if !errors.As(err, &e) || len(e.Rule) < 30_000 || len(e.Error())-len(e.URL) > 200 ||
		strings.Contains(err.Error(), "\x1b") {
		t.Error(err)
	}
}

// hosts is a web where /private of each host is disallowed, and the whole of the host shut.
func hosts() *web {
	return &web{robots: func(r *http.Request) (int, string, http.Header) {
		if r.URL.Host == "shut" {
			return 200, "User-agent: *\nDisallow: /", nil
		}
		return 200, "User-agent: *\nDisallow: /private", nil
	}}
}

func TestEachHopAndAttemptIsChecked(t *testing.T) {
	moveTo := func(to string) func(*http.Request) (*http.Response, error) {
		return func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "a" {
				return respondWith(r, 302, "", http.Header{"Location": {to}}), nil
			}
			return respondWith(r, 200, "", nil), nil
		}
	}
	fail := func(r *http.Request) (*http.Response, error) {
		return respondWith(r, 503, "", nil), nil
	}
	rewrite := func(to string) httpx.Option {
		return httpx.EachAttempt(func(_ int, r *http.Request) (err error) {
			r.URL, err = url.Parse(to)
			return err
		})
	}
	for _, c := range []struct {
		name    string
		page    func(*http.Request) (*http.Response, error)
		opts    []httpx.Option
		url     string
		allowed bool
		pages   []string
	}{
		{"a redirect", moveTo("http://b/x"), nil, "http://a/", true,
			[]string{"http://a/", "http://b/x"}},
		{"a redirect to a private page", moveTo("http://b/private?k=hunter2"), nil, "http://a/",
			false, []string{"http://a/"}},
		{"a redirect to a shut host", moveTo("https://shut/"), nil, "http://a/",
			false, []string{"http://a/"}},
		{"alternates", fail, []httpx.Option{httpx.Alternates("http://b/1", "http://b/2")},
			"http://a/", true, []string{"http://b/1", "http://b/2", "http://b/2"}},
		{"the request's own URL is not asked for", nil,
			[]httpx.Option{httpx.Alternates("http://b/")}, "http://shut/",
			true, []string{"http://b/"}},
		{"the first alternate", fail,
			[]httpx.Option{httpx.Alternates("http://shut/", "http://a/")}, "http://a/", false, nil},
		{"a later alternate", fail, []httpx.Option{httpx.Alternates("http://a/", "http://shut/")},
			"http://a/", false, []string{"http://a/"}},
		{"a hook leads to a shut host", nil,
			[]httpx.Option{rewrite("http://shut/")}, "http://a/", false, nil},
		{"a hook leads to a private page", nil,
			[]httpx.Option{rewrite("http://a/private")}, "http://a/", false, nil},
		{"a hook leads away from one", nil, []httpx.Option{rewrite("http://a/x")},
			"http://a/private", true, []string{"http://a/x"}},
		{"robots.txt itself", nil, nil, "http://shut/robots.txt", true, nil},
		{"another scheme is not ours to judge", nil, nil, "ftp://shut/",
			true, []string{"ftp://shut/"}},
	} {
		w := hosts()
		w.page = c.page
		err := get(t, over(w, append(c.opts, httpx.Polite("bot"))...), c.url)
		if errors.Is(err, httpx.ErrDisallowed) == c.allowed || c.allowed && err != nil ||
			!c.allowed && (!retry.IsPermanent(err) || !retry.IsNeutral(err)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := w.urls(false); !slices.Equal(got, c.pages) {
			t.Errorf("%s: sent %q, want %q", c.name, got, c.pages)
		}
		if got := w.urls(true); len(slices.Compact(slices.Sorted(slices.Values(got)))) != len(got) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestTheBodiesOfARefusedAttemptAreClosed(t *testing.T) {
	lead := httpx.EachAttempt(func(_ int, r *http.Request) error {
		r.URL.Host = "shut"
		return nil
	})
	for _, opt := range []httpx.Option{lead, httpx.Alternates("http://shut/")} {
		for _, replayable := range []bool{false, true} {
			var bodies []*closer
			open := func() (io.ReadCloser, error) {
				bodies = append(bodies, &closer{Reader: strings.NewReader("x")})
				return pair{nil, bodies[len(bodies)-1]}, nil
			}
			body, _ := open()
			req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://a/", body)
			if replayable {
				req.GetBody = open
			}
			_, err := over(hosts(), opt, httpx.Polite("bot")).Do(req)
			if !errors.Is(err, httpx.ErrDisallowed) {
				t.Error(err)
			}
			for i, b := range bodies {
				if !b.closed.Load() {
					t.Errorf("body %d of %d is open", i+1, len(bodies))
				}
			}
		}
	}
}

func TestTheUserAgent(t *testing.T) {
	const whole = "bot/1.0 (+https://example.com)"
	for _, c := range []struct {
		opts []httpx.Option
		own  []string
		want string
	}{
		{nil, nil, whole},
		{[]httpx.Option{httpx.Header("User-Agent", "Mozilla/5.0 (compatible; bot)")}, nil,
			"Mozilla/5.0 (compatible; bot)"},
		{nil, []string{"mine"}, "mine"},
		{nil, []string{}, ""},
	} {
		w := saying(200, "User-agent: bot\nAllow: /\nUser-agent: *\nDisallow: /")
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://user:pw@h/", nil)
		req.Header.Set("Authorization", "secret")
		if c.own != nil {
			req.Header["User-Agent"] = c.own
		}
		jar, _ := cookiejar.New(nil)
		jar.SetCookies(req.URL, []*http.Cookie{{Name: "a", Value: "b"}})
		client := httpx.New(append(c.opts, httpx.WithClient(&http.Client{Transport: w, Jar: jar}),
			httpx.Polite(whole))...)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		file, page := w.sent[0].req, w.sent[1].req
		if page.UserAgent() != c.want || c.want != "" && file.UserAgent() != c.want ||
			file.UserAgent() == "" {
			t.Errorf("%q for the page, %q for robots.txt, want %q", page.UserAgent(),
				file.UserAgent(), c.want)
		}
		if page.Header.Get("Cookie") == "" || len(file.Header) != 1 ||
			file.URL.String() != "http://h/robots.txt" {
			t.Errorf("robots.txt: %v %v, page: %v", file.URL, file.Header, page.Header)
		}
		if req.Header.Get("User-Agent") == whole {
			t.Error("the caller's request was changed")
		}
	}
}

func TestAgentsThatAreNoNames(t *testing.T) {
	for _, agent := range []string{"", " bot", "*", "/1.0", "(bot)", "bot(x)", "bot\n", "my bot",
		"my bot/1.0", "bot x (y)", "bot/1.0\r\nA: b", "bøt"} {
		if err := httpx.New(httpx.Polite(agent)).Validate(); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%q: %v", agent, err)
		}
	}
	for _, agent := range []string{"bot", "Example_Bot-9", "bot/1.0", "bot (x)"} {
		if err := httpx.New(httpx.Polite(agent)).Validate(); err != nil {
			t.Errorf("%q: %v", agent, err)
		}
	}
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestARefusalIsObservedAndLogged(t *testing.T) {
	var rec retry.Record
	var log bytes.Buffer
	w := hosts()
	c := over(w, httpx.Polite("bot"), httpx.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	_, err := retry.Do(t.Context(), retry.Observe(rec.Add),
		func(ctx context.Context) (*http.Response, error) {
			return c.Get(ctx, "http://shut/?token=hunter2")
		})
	for _, text := range []string{rec.String(), log.String()} {
		if !errors.Is(err, httpx.ErrDisallowed) || strings.Count(text, "reject") != 1 ||
			!strings.Contains(text, "Disallow: /") || strings.Contains(text, "hunter2") {
			t.Error(err, text)
		}
	}
	log.Reset() // one that is refused within the chain is not told of twice
	if err := get(t, c, "http://a/", httpx.EachAttempt(func(_ int, r *http.Request) error {
		r.URL.Host = "shut"
		return nil
	})); !errors.Is(err, httpx.ErrDisallowed) {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "msg=reject"); n != 1 {
		t.Errorf("%d: %s", n, log.String())
	}
}

func TestPoliteOverARealConnection(t *testing.T) {
	var robots, pages atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			robots.Add(1)
			fmt.Fprint(w,
				"\ufeffUser-agent: bot\r\nDisallow: /private # really\r\nCrawl-delay: 0.001\r\n")
			return
		}
		pages.Add(1)
		if r.UserAgent() != "bot" {
			t.Error(r.UserAgent())
		}
	}))
	defer s.Close()
	tr := &http.Transport{MaxConnsPerHost: 1}
	defer tr.CloseIdleConnections()
	c := httpx.New(httpx.WithClient(&http.Client{Transport: tr}), httpx.Polite("bot"))
	urls := []string{"/", "/private", "/a", "/b?private", "/private/x", "/robots.txt"}
	for i := range urls {
		urls[i] = s.URL + urls[i]
	}
	refused := 0
	for r := range httpx.FetchAll(t.Context(), c, slices.Values(urls), httpx.Text) {
		if errors.Is(r.Err, httpx.ErrDisallowed) && r.Attempts == 0 {
			refused++
		} else if r.Err != nil {
			t.Error(r.Err)
		}
	}
	if refused != 2 || pages.Load() != 3 || robots.Load() != 2 {
		t.Error(refused, pages.Load(), robots.Load())
	}
}
