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
	"runtime"
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
	"github.com/reprise-go/reprise/ratelimit"
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
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r}
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
		outer := retry.Chain(policies.Constant(time.Second), breaker.New("b", breaker.ConsecutiveFailures(1)))
		calls := 0
		_, err := retry.Do(t.Context(), outer, func(ctx context.Context) (*http.Response, error) {
			calls++
			return c.Post(ctx, "http://user:hunter2@h/private/x?key=hunter2", body)
		})
		var e *httpx.RobotsError
		if !errors.As(err, &e) || !errors.Is(err, httpx.ErrDisallowed) || !errors.Is(err, retry.ErrRejected) {
			t.Fatal(err)
		}
		if e.URL != "http://h/private/x?key=xxxxx" || e.Rule != "Disallow: /private" || e.Agent != "ExampleBot" || e.Cause != nil {
			t.Errorf("%+v", e)
		}
		if !retry.IsPermanent(err) || !retry.IsNeutral(err) || calls != 1 || time.Since(begun) != 0 || !body.closed.Load() {
			t.Errorf("permanent %v, neutral %v, %d calls, %v, closed %v", retry.IsPermanent(err), retry.IsNeutral(err), calls, time.Since(begun), body.closed.Load())
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") || !strings.Contains(text, "Disallow: /private") {
			t.Error(text)
		}
		if got := w.urls(false); !slices.Equal(got, []string{"http://h/public"}) {
			t.Error(got)
		}
	})
}

func TestRobotsTxtItselfIsAlwaysAllowed(t *testing.T) {
	w := saying(503, "")
	c := over(w, httpx.Polite("bot"), httpx.WithPolicy(retry.Chain()))
	if err := get(t, c, "http://h/robots.txt?x"); err != nil || len(w.sent) != 1 {
		t.Error(err, len(w.sent))
	}
}

func TestTheErrorStaysReadable(t *testing.T) {
	w := saying(200, "User-agent: *\nDisallow: /"+strings.Repeat("\x1b*", 10_000))
	err := get(t, over(w, httpx.Polite("bot")), "http://h/"+strings.Repeat("%1B", 10_000))
	var e *httpx.RobotsError
	if !errors.As(err, &e) || len(e.Rule) < 30_000 || len(e.Error())-len(e.URL) > 200 || strings.Contains(err.Error(), "\x1b") {
		t.Error(err)
	}
}

func TestARefusedRobotsTxtIsNone(t *testing.T) {
	captcha := func(r *http.Response) bool {
		b, _ := io.ReadAll(r.Body)
		return string(b) == "are you a robot?"
	}
	w := saying(200, "are you a robot?")
	if err := get(t, over(w, httpx.Polite("bot"), httpx.Refused(captcha)), "http://h/"); !errors.Is(err, httpx.ErrDisallowed) || len(w.sent) != 3 {
		t.Error(err, len(w.sent))
	}
}

func TestWhatTheStatusOfRobotsTxtMeans(t *testing.T) {
	const all = "User-agent: *\nDisallow: /"
	for _, c := range []struct {
		code    int
		text    string
		allowed bool
		asked   int
	}{
		{200, all, false, 1}, {206, all, false, 1}, {204, "", true, 1}, {200, "", true, 1}, {200, "<!DOCTYPE html>", true, 1},
		{304, "", true, 1}, {400, all, true, 1}, {401, all, true, 1}, {403, all, true, 1}, {404, all, true, 1}, {410, all, true, 1}, {429, all, true, 3},
		{500, "", false, 3}, {501, "", false, 1}, {503, "", false, 3}, {599, "", false, 3}, {0, "", false, 3},
	} {
		w := saying(c.code, c.text)
		err := get(t, over(w, httpx.Polite("bot")), "http://h/x")
		if (err == nil) != c.allowed || err != nil && !errors.Is(err, httpx.ErrDisallowed) || len(w.urls(true)) != c.asked || (len(w.urls(false)) == 1) != c.allowed {
			t.Errorf("%d: %v, %d requests", c.code, err, len(w.urls(true)))
		}
		var e *httpx.RobotsError
		if errors.As(err, &e) && (e.Cause == nil) != (c.code/100 == 2) {
			t.Errorf("%d: cause %v", c.code, e.Cause)
		}
		if errors.As(err, new(*httpx.StatusError)) {
			t.Errorf("%d: the status of robots.txt passes for that of the page: %v", c.code, err)
		}
	}
}

func TestRobotsTxtIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: *\nDisallow: /no")
		slow := roundTripper(func(r *http.Request) (*http.Response, error) { time.Sleep(time.Second); return w.RoundTrip(r) })
		polite := httpx.Polite("bot")
		c := over(slow, polite)
		var wg sync.WaitGroup
		for i, c := range slices.Repeat([]*httpx.Client{c, c.With(httpx.Header("A", "b")), over(slow, polite)}, 20) {
			wg.Go(func() {
				if i%2 == 0 {
					if _, err := httpx.Fetch(t.Context(), c, "http://h/no", httpx.JSON[int]); !errors.Is(err, httpx.ErrDisallowed) {
						t.Error(err)
					}
				} else if err := get(t, c, "http://H:80/yes"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(w.urls(true)) != 1 || len(w.urls(false)) != 30 {
			t.Errorf("%d of robots.txt, %d pages", len(w.urls(true)), len(w.urls(false)))
		}
		for _, u := range []string{"https://h/yes", "http://h:8080/yes", "http://other/yes"} { // origins of their own
			if err := get(t, c, u); err != nil {
				t.Error(err)
			}
		}
		if got := w.urls(true)[1:]; !slices.Equal(got, []string{"https://h/robots.txt", "http://h:8080/robots.txt", "http://other/robots.txt"}) {
			t.Error(got)
		}
	})
}

func TestHowLongRobotsTxtIsKept(t *testing.T) {
	for _, c := range []struct {
		code    int
		control string
		kept    time.Duration
	}{
		{200, "", 24 * time.Hour}, {404, "", 24 * time.Hour}, {200, "max-age=3600", time.Hour}, {200, `public, Max-Age="90"`, 90 * time.Second},
		{404, "max-age=3600", time.Hour}, {200, "max-age=31536000", 24 * time.Hour}, {200, "max-age=99999999999999999999", 24 * time.Hour},
		{200, "max-age=0", time.Minute}, {200, "no-store", time.Minute}, {200, "no-cache, max-age=3600", time.Minute}, {200, "max-age=junk", 24 * time.Hour},
		{429, "", time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &web{robots: func(*http.Request) (int, string, http.Header) {
				return c.code, "", http.Header{"Cache-Control": {c.control}}
			}}
			cl := over(w, httpx.Polite("bot"), httpx.WithPolicy(retry.Chain()))
			get(t, cl, "http://h/")
			time.Sleep(c.kept - 1)
			get(t, cl, "http://h/")
			before := len(w.urls(true))
			time.Sleep(time.Nanosecond)
			get(t, cl, "http://h/")
			if after := len(w.urls(true)); before != 1 || after != 2 {
				t.Errorf("%d %q: %d requests, then %d", c.code, c.control, before, after)
			}
		})
	}
}

func TestAnUnreachableRobotsTxtDisallowsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, hint := 200, ""
		w := &web{robots: func(*http.Request) (int, string, http.Header) {
			return code, "User-agent: *\nDisallow: /no", http.Header{"Retry-After": {hint}}
		}}
		c := over(w, httpx.Polite("bot"), httpx.WithPolicy(retry.Chain()))
		expect := func(what string, fetches int, yes, no bool) {
			t.Helper()
			before := len(w.urls(true))
			for path, want := range map[string]bool{"yes": yes, "no": no} {
				if err := get(t, c, "http://h/"+path); (err == nil) != want || err != nil && !errors.Is(err, httpx.ErrDisallowed) {
					t.Errorf("%s: /%s: %v", what, path, err)
				}
			}
			if n := len(w.urls(true)) - before; n != fetches {
				t.Errorf("%s: %d fetches, want %d", what, n, fetches)
			}
		}
		expect("a good copy", 1, true, false)
		time.Sleep(24 * time.Hour)
		code = 503
		expect("down", 1, false, false)
		var r *retry.Rejection
		if err := get(t, c, "http://h/"); !errors.As(err, &r) || r.RetryAfter != time.Minute {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Minute - 1)
		expect("not asked again at once", 0, false, false)
		time.Sleep(time.Nanosecond)
		code = 200
		expect("up again", 1, true, false)
		time.Sleep(24 * time.Hour)
		code = 0
		expect("no network", 1, false, false)
		time.Sleep(30*24*time.Hour - 1)
		expect("for long", 1, false, false)
		time.Sleep(time.Minute)
		expect("for too long: the last good copy", 1, true, false)
		code, hint = 503, "600"
		time.Sleep(time.Minute)
		expect("a hint", 1, true, false)
		time.Sleep(10*time.Minute - 1)
		expect("a hint is heeded", 0, true, false)
		code, hint = 503, "86400"
		time.Sleep(time.Nanosecond)
		expect("a hint of a day", 1, true, false)
		time.Sleep(time.Hour - 1)
		expect("is heeded for an hour", 0, true, false)
		code = 404
		time.Sleep(time.Nanosecond)
		expect("no file any more", 1, true, true)
	})
}

func TestRedirectsOfRobotsTxt(t *testing.T) {
	for _, c := range []struct {
		hops    int
		allowed bool
	}{{1, false}, {5, false}, {6, true}, {100, true}} {
		w := &web{robots: func(r *http.Request) (int, string, http.Header) {
			n := 0
			fmt.Sscanf(r.URL.Host, "h%d", &n)
			if n == c.hops {
				return 200, "User-agent: *\nDisallow: /", nil
			}
			return 302, "", http.Header{"Location": {fmt.Sprintf("http://h%d/robots.txt", n+1)}}
		}}
		if err := get(t, over(w, httpx.Polite("bot")), "http://h0/"); (err == nil) != c.allowed {
			t.Errorf("%d: %v", c.hops, err)
		}
		if n := len(w.urls(true)); n != min(c.hops, 5)+1 {
			t.Errorf("%d: %d requests", c.hops, n)
		}
	}
	down := &web{robots: func(r *http.Request) (int, string, http.Header) {
		return 301, "", http.Header{"Location": {"http://" + r.URL.Host + "/robots.txt"}}
	}}
	if err := get(t, over(down, httpx.Polite("bot"), httpx.NoDowngrade()), "https://h/"); !errors.Is(err, httpx.ErrDowngrade) || len(down.sent) != 1 {
		t.Error(err, len(down.sent))
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
	fail := func(r *http.Request) (*http.Response, error) { return respondWith(r, 503, "", nil), nil }
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
		{"a redirect", moveTo("http://b/x"), nil, "http://a/", true, []string{"http://a/", "http://b/x"}},
		{"a redirect to a private page", moveTo("http://b/private?k=hunter2"), nil, "http://a/", false, []string{"http://a/"}},
		{"a redirect to a shut host", moveTo("https://shut/"), nil, "http://a/", false, []string{"http://a/"}},
		{"alternates", fail, []httpx.Option{httpx.Alternates("http://b/1", "http://b/2")}, "http://a/", true, []string{"http://b/1", "http://b/2", "http://b/2"}},
		{"the request's own URL is not asked for", nil, []httpx.Option{httpx.Alternates("http://b/")}, "http://shut/", true, []string{"http://b/"}},
		{"the first alternate", fail, []httpx.Option{httpx.Alternates("http://shut/", "http://a/")}, "http://a/", false, nil},
		{"a later alternate", fail, []httpx.Option{httpx.Alternates("http://a/", "http://shut/")}, "http://a/", false, []string{"http://a/"}},
		{"a hook leads to a shut host", nil, []httpx.Option{rewrite("http://shut/")}, "http://a/", false, nil},
		{"a hook leads to a private page", nil, []httpx.Option{rewrite("http://a/private")}, "http://a/", false, nil},
		{"a hook leads away from one", nil, []httpx.Option{rewrite("http://a/x")}, "http://a/private", true, []string{"http://a/x"}},
		{"another scheme is not ours to judge", nil, nil, "ftp://shut/", true, []string{"ftp://shut/"}},
	} {
		w := hosts()
		w.page = c.page
		err := get(t, over(w, append(c.opts, httpx.Polite("bot"))...), c.url)
		if errors.Is(err, httpx.ErrDisallowed) == c.allowed || c.allowed && err != nil || !c.allowed && (!retry.IsPermanent(err) || !retry.IsNeutral(err)) {
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
	lead := httpx.EachAttempt(func(_ int, r *http.Request) error { r.URL.Host = "shut"; return nil })
	for _, opt := range []httpx.Option{lead, httpx.Alternates("http://shut/")} {
		for _, replayable := range []bool{false, true} {
			var bodies []*closer
			open := func() (io.ReadCloser, error) {
				bodies = append(bodies, &closer{Reader: strings.NewReader("x")})
				return bodies[len(bodies)-1], nil
			}
			body, _ := open()
			req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://a/", body)
			if replayable {
				req.GetBody = open
			}
			if _, err := over(hosts(), opt, httpx.Polite("bot")).Do(req); !errors.Is(err, httpx.ErrDisallowed) {
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

// A fetch that waited for what its own caller holds would never end.
func TestRobotsTxtPassesTheChainWithoutADeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hosts()
		w.page = func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respondWith(r, 503, "", nil), nil
		}
		var mu sync.Mutex
		through := map[string]int{}
		count := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			mu.Lock()
			through[httpx.Host(ctx)]++
			mu.Unlock()
			return next.Do(ctx)
		})
		for _, guard := range []retry.Policy{
			retry.Chain(policies.NewBulkhead(1, 1000), policies.Constant(0, policies.Attempts(2)), count),
			retry.Chain(policies.Constant(0, policies.Attempts(2)), policies.NewBulkhead(1, 1000), count),
		} {
			clear(through)
			c := over(w, httpx.WithPolicy(guard), httpx.Polite("bot"))
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					opts := []httpx.Option{httpx.Alternates(fmt.Sprintf("http://h%d/", i%3), "http://other/")}
					if err := get(t, c, "http://a/", opts...); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if through["h0"]+through["h1"]+through["h2"] != 20+3 || through["other"] != 20 {
				t.Error(through)
			}
		}
	})
}

// A file that gets out of date while a request waits in the chain is the next request's business.
func TestTheFetchIsSeenByTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &web{robots: func(*http.Request) (int, string, http.Header) {
			return 200, "", http.Header{"Cache-Control": {"max-age=60"}}
		}}
		w.page = func(r *http.Request) (*http.Response, error) { return respondWith(r, 503, "", nil), nil }
		seen := 0
		count := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error { seen++; return next.Do(ctx) })
		c := over(w, httpx.WithPolicy(retry.Chain(policies.Constant(time.Hour), count)), httpx.Polite("bot"))
		if err := get(t, c, "http://h/"); err != nil || seen != len(w.sent) || seen != 4 {
			t.Errorf("%v, %d of %d", err, seen, len(w.sent))
		}
	})
}

func TestAPolicysRefusalOfTheFetchIsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 200
		w := &web{robots: func(*http.Request) (int, string, http.Header) { return code, "User-agent: *\nDisallow: /no", nil }}
		b := breaker.New("b")
		c := over(w, httpx.WithPolicy(b), httpx.Polite("bot"))
		if err := get(t, c, "http://h/"); err != nil {
			t.Error(err)
		}
		time.Sleep(24 * time.Hour)
		b.Isolate()
		if err := get(t, c, "http://h/"); !errors.Is(err, breaker.ErrOpen) || errors.Is(err, httpx.ErrDisallowed) || len(w.sent) != 2 {
			t.Error(err, len(w.sent))
		}
		b.Release()
		code = 0 // what was known before is not forgotten over it
		get(t, c, "http://h/")
		time.Sleep(30 * 24 * time.Hour)
		if err := get(t, c, "http://h/yes"); err != nil {
			t.Error(err)
		}
		if err := get(t, c, "http://h/no"); !errors.Is(err, httpx.ErrDisallowed) {
			t.Error(err)
		}
	})
}

func TestOneCallersEndIsNotTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		w := saying(200, "")
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
				ended <- r.Context().Err()
				return nil, r.Context().Err()
			}
			return w.RoundTrip(r)
		})
		c := over(slow, httpx.Polite("bot"))
		call := func(timeout time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			begun := time.Now()
			resp, err := c.Get(ctx, "http://h/")
			if err == nil {
				_ = resp.Body.Close()
			} else if took := time.Since(begun); took != timeout {
				t.Errorf("a timeout of %v took %v", timeout, took)
			}
			return err
		}
		var wg sync.WaitGroup
		wg.Go(func() { // the one whose fetch it is
			if err := call(time.Second); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, httpx.ErrDisallowed) {
				t.Error(err)
			}
		})
		time.Sleep(time.Millisecond)
		wg.Go(func() {
			if err := call(time.Minute); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if len(w.urls(true)) != 1 || len(ended) != 0 {
			t.Error(w.urls(true), len(ended))
		}
		// Where nobody waits any more the fetch ends, and counts for nothing.
		c = over(slow, httpx.Polite("bot"))
		if err := call(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if len(ended) != 1 {
			t.Error("the fetch goes on")
		}
		if err := call(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAbandonedFetchDoesNotDisturbTheNext(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, "")
			deaf := roundTripper(func(r *http.Request) (*http.Response, error) { // to the end of its context
				if r.URL.Path == "/robots.txt" {
					w.RoundTrip(r)
					time.Sleep(10 * time.Second)
					if fails && r.Context().Err() != nil {
						return nil, r.Context().Err()
					}
				}
				return respondWith(r, 200, "", nil), nil
			})
			c := over(deaf, httpx.Polite("bot"))
			if _, err := c.Get(deadline(t, time.Second), "http://h/"); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			var wg sync.WaitGroup
			for _, at := range []time.Duration{0, 9500 * time.Millisecond} { // before its end at 9 s, and after
				wg.Go(func() {
					time.Sleep(at)
					if err := get(t, c, "http://h/"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := len(w.urls(true)); n != 2 {
				t.Errorf("%d fetches, want 2", n)
			}
		})
	}
}

func TestAnAttemptsTimeoutSaysNothingOfRobotsTxt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "")
		slow := time.Minute
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "slow" {
				select {
				case <-time.After(slow):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return w.RoundTrip(r)
		})
		c := over(rt, httpx.Polite("bot"), httpx.WithPolicy(policies.Timeout(time.Second)), httpx.EachAttempt(func(_ int, r *http.Request) error {
			r.URL.Host = "slow"
			return nil
		}))
		if err := get(t, c, "http://h/"); !errors.Is(err, policies.ErrTimeout) || errors.Is(err, httpx.ErrDisallowed) {
			t.Error(err)
		}
		slow = time.Millisecond
		if err := get(t, c, "http://h/"); err != nil {
			t.Error(err)
		}
	})
}

func TestARobotsTxtThatDripsIsGivenUp(t *testing.T) {
	spotless(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			drip(w, r)
		}
	}, func(b *bubble) {
		c := httpx.New(httpx.WithClient(&http.Client{Transport: b.tr}), httpx.Polite("bot"))
		start := time.Now()
		if _, err := c.Get(b.Context(), inBubble); !errors.Is(err, httpx.ErrDisallowed) || b.hits.Load() != 3 || time.Since(start).Round(time.Second) > 92*time.Second {
			b.Errorf("%v after %d in %v", err, b.hits.Load(), time.Since(start))
		}
	})
}

func TestAFetchThatEndsItsGoroutineIsAnError(t *testing.T) {
	w := &web{robots: func(*http.Request) (int, string, http.Header) { runtime.Goexit(); return 0, "", nil }}
	if err := get(t, over(w, httpx.Polite("bot")), "http://h/"); err == nil || errors.Is(err, httpx.ErrDisallowed) || len(w.urls(false)) != 0 {
		t.Error(err)
	}
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := saying(200, "")
	if _, err := over(w, httpx.Polite("bot")).Get(ctx, "http://h/"); !errors.Is(err, context.Canceled) || len(w.sent) != 0 {
		t.Error(err, len(w.sent))
	}
}

func TestAPanicInTheFetchReachesTheCaller(t *testing.T) {
	w := &web{robots: func(*http.Request) (int, string, http.Header) { panic("boom") }}
	defer func() {
		if p := recover(); p != "boom" {
			t.Error(p)
		}
	}()
	get(t, over(w, httpx.Polite("bot")), "http://h/")
}

func TestTheUserAgent(t *testing.T) {
	const whole = "bot/1.0 (+https://example.com)"
	for _, c := range []struct {
		opts []httpx.Option
		own  []string
		want string
	}{
		{nil, nil, whole},
		{[]httpx.Option{httpx.Header("User-Agent", "Mozilla/5.0 (compatible; bot)")}, nil, "Mozilla/5.0 (compatible; bot)"},
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
		client := httpx.New(append(c.opts, httpx.WithClient(&http.Client{Transport: w, Jar: jar}), httpx.Polite(whole))...)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		file, page := w.sent[0].req, w.sent[1].req
		if page.UserAgent() != c.want || c.want != "" && file.UserAgent() != c.want || file.UserAgent() == "" {
			t.Errorf("%q for the page, %q for robots.txt, want %q", page.UserAgent(), file.UserAgent(), c.want)
		}
		if page.Header.Get("Cookie") == "" || len(file.Header) != 1 || file.URL.String() != "http://h/robots.txt" {
			t.Errorf("robots.txt: %v %v, page: %v", file.URL, file.Header, page.Header)
		}
		if req.Header.Get("User-Agent") == whole {
			t.Error("the caller's request was changed")
		}
	}
}

func TestAgentsThatAreNoNames(t *testing.T) {
	for _, agent := range []string{"", " bot", "*", "/1.0", "(bot)", "bot(x)", "bot\n", "my bot", "my bot/1.0", "bot x (y)", "bot/1.0\r\nA: b", "bøt"} {
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

const delayed = "User-agent: *\nCrawl-delay: 2\n"

func TestACrawlDelayIsKept(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []httpx.Option
		page int
	}{
		{"by the option alone", nil, 200},
		{"between attempts", nil, 503},
		{"whatever a hook does", []httpx.Option{httpx.EachAttempt(func(int, *http.Request) error { return nil })}, 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, delayed)
			w.page = func(r *http.Request) (*http.Response, error) { return respondWith(r, c.page, "", nil), nil }
			client := over(w, append(c.opts, httpx.Polite("bot"))...)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := get(t, client, "http://h/"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			want := 5
			if c.page == 503 {
				want = 15
			}
			gaps := w.gaps()
			if len(gaps) != want || slices.ContainsFunc(gaps, func(d time.Duration) bool { return d != 2*time.Second }) {
				t.Errorf("%s: %v", c.name, gaps)
			}
			time.Sleep(time.Hour)
			begun := time.Now()
			if get(t, client, "http://h/"); c.page == 200 && time.Since(begun) != 0 {
				t.Errorf("%s: after an hour there is still a wait of %v", c.name, time.Since(begun))
			}
		})
	}
}

// The wait for a turn is none for the server's headers.
func TestTheDefaultClientIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: *\nCrawl-delay: 20")
		c := httpx.New(httpx.WithClient(&http.Client{Transport: w}), httpx.Polite("bot"))
		urls := slices.Values(strings.Fields(strings.Repeat("http://h/ ", 8)))
		for r := range httpx.FetchAll(t.Context(), c, urls, httpx.Text) {
			if r.Err != nil || r.Attempts != 1 {
				t.Error(r.Err, r.Attempts)
			}
		}
		if gaps := w.gaps(); len(gaps) != 8 || slices.Min(gaps) != 20*time.Second || slices.Max(gaps) != 20*time.Second {
			t.Error(gaps)
		}
	})
}

func TestAHooksOwnHostHasItsOwnTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, delayed)
		w.robots = func(r *http.Request) (int, string, http.Header) {
			if r.URL.Host == "h" {
				return 404, "", nil
			}
			return 200, delayed, nil
		}
		c := over(w, httpx.Polite("bot"), httpx.EachAttempt(func(_ int, r *http.Request) error { r.URL.Host = "elsewhere"; return nil }))
		for range 3 {
			if err := get(t, c, "http://h/"); err != nil {
				t.Error(err)
			}
		}
		if got := w.gaps(); !slices.Equal(got, []time.Duration{0, 2 * time.Second, 2 * time.Second, 2 * time.Second}) {
			t.Error(got)
		}
	})
}

func TestACrawlDelayFeedsThePacer(t *testing.T) {
	for name, guard := range map[string]func() retry.Policy{
		"pacer":   func() retry.Policy { return ratelimit.NewPacer() },
		"limiter": func() retry.Policy { return ratelimit.New(100, 100) },
		"pacer by host": func() retry.Policy {
			return policies.Keyed(httpx.Host, func(string) retry.Policy { return ratelimit.NewPacer() })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, delayed)
			w.page = func(r *http.Request) (*http.Response, error) {
				time.Sleep(100 * time.Millisecond)
				return respondWith(r, 200, "", http.Header{"X-Ratelimit-Remaining": {"1000"}, "X-Ratelimit-Reset": {"10"}}), nil
			}
			var waits sync.Map
			var inLine atomic.Int64
			observe := retry.Observe(func(_ context.Context, e retry.Event) {
				if e.Kind == retry.KindWait {
					n, _ := waits.LoadOrStore(e.Policy, new(atomic.Int64))
					n.(*atomic.Int64).Add(int64(e.Took))
					inLine.Add(int64(e.Took))
				}
			})
			c := over(w, httpx.WithPolicy(retry.Chain(observe, policies.Constant(0), guard())), httpx.Polite("bot"))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 10 {
						if err := get(t, c, "http://h/"); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			gaps := w.gaps()
			if short := slices.Min(gaps); len(gaps) != 40 || short < 2*time.Second {
				t.Errorf("%s: %d gaps, the shortest %v", name, len(gaps), short)
			}
			own, _ := waits.LoadOrStore("crawl-delay", new(atomic.Int64))
			if all, own := time.Duration(inLine.Load()), time.Duration(own.(*atomic.Int64).Load()); slices.Max(gaps) > 3*time.Second || own > all/10 {
				t.Errorf("%s: the longest gap %v; waited %v, of that %v not where the policies make them", name, slices.Max(gaps), all, own)
			}
		})
	}
}

func TestTheStricterOfTwoQuotasIsReported(t *testing.T) {
	for _, c := range []struct {
		delay  string
		header http.Header
		want   retry.Quota
	}{
		{"0", http.Header{"X-Ratelimit-Limit": {"100"}, "X-Ratelimit-Remaining": {"5"}}, retry.Quota{Limit: 100, Remaining: 5}},
		{"0", http.Header{"Ratelimit-Policy": {`"a";q=5;w=10`}}, retry.Quota{Limit: 5, Remaining: 5, Window: 10 * time.Second}},
		{"2", http.Header{}, retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit-Policy": {`"a";q=5;w=10`}}, retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit-Policy": {`"a";q=1;w=10`}}, retry.Quota{Limit: 1, Remaining: 1, Window: 10 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=5;t=10`}}, retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=5;t=11`}}, retry.Quota{Remaining: 5, Reset: 11 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=0;t=1`}}, retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=0;t=60`}}, retry.Quota{Reset: time.Minute}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, "User-agent: *\nCrawl-delay: "+c.delay)
			w.page = func(r *http.Request) (*http.Response, error) { return respondWith(r, 200, "", c.header), nil }
			var got retry.Quota
			listen := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				begun := time.Now()
				err := next.Do(ctx)
				got, _ = retry.Reported(ctx, begun)
				return err
			})
			if err := get(t, over(w, httpx.WithPolicy(listen), httpx.Polite("bot")), "http://h/"); err != nil || got != c.want {
				t.Errorf("%s %v: %+v, want %+v (%v)", c.delay, c.header, got, c.want, err)
			}
		})
	}
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAWaitForATurnThatDoesNotFitIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: *\nCrawl-delay: 10\n")
		c := over(w, httpx.WithPolicy(retry.Chain()), httpx.Polite("bot"))
		if err := get(t, c, "http://h/"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 1000 { // who gives up leaves no trace
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() {
				if _, err := c.Get(ctx, "http://h/"); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
		}
		time.Sleep(900 * time.Millisecond)
		if _, err := c.Get(deadline(t, 15*time.Second), "http://h/"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, retry.ErrRejected) {
			t.Errorf("behind a hundred: %v", err)
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := c.Get(ctx, "http://h/")
		var r *retry.Rejection
		if !errors.As(err, &r) || !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 0 || r.RetryAfter != 10*time.Second-999*time.Millisecond || r.Policy != "crawl-delay" {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if err := get(t, c, "http://h/"); err != nil || time.Since(begun) != 10*time.Second-999*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		// A loop around a timeout of each attempt comes back when it is time.
		c = c.With(httpx.WithPolicy(retry.Chain(policies.Constant(0), policies.Timeout(time.Second))))
		if err := get(t, c, "http://h/"); err != nil || time.Since(begun) != 20*time.Second-999*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestARefusalIsObservedAndLogged(t *testing.T) {
	var rec retry.Record
	var log bytes.Buffer
	w := hosts()
	c := over(w, httpx.Polite("bot"), httpx.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	_, err := retry.Do(t.Context(), retry.Observe(rec.Add), func(ctx context.Context) (*http.Response, error) {
		return c.Get(ctx, "http://shut/?token=hunter2")
	})
	for _, text := range []string{rec.String(), log.String()} {
		if !errors.Is(err, httpx.ErrDisallowed) || strings.Count(text, "reject") != 1 || !strings.Contains(text, "Disallow: /") || strings.Contains(text, "hunter2") {
			t.Error(err, text)
		}
	}
	log.Reset() // one that is refused within the chain is not told of twice
	if err := get(t, c, "http://a/", httpx.EachAttempt(func(_ int, r *http.Request) error { r.URL.Host = "shut"; return nil })); !errors.Is(err, httpx.ErrDisallowed) {
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
			fmt.Fprint(w, "\ufeffUser-agent: bot\r\nDisallow: /private # really\r\nCrawl-delay: 0.001\r\n")
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
