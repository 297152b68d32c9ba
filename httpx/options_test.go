package httpx_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// A mistake names the option, its value and what it must be, from every call and from Validate.
func TestAMistakeInAnOptionIsTold(t *testing.T) {
	for want, opt := range map[string]httpx.Option{
		"httpx: MaxBody(0): must be positive":            httpx.MaxBody(0),
		"httpx: MaxBody(-5): must be positive":           httpx.MaxBody(-5),
		"httpx: Workers(0): must be at least 1":          httpx.Workers(0),
		"httpx: AttemptLimit(-1s): must not be negative": httpx.AttemptLimit(-time.Second),
		"httpx: Alternates(): needs at least one URL":    httpx.Alternates(),
		"httpx: Alternates(/b): must be absolute URLs":   httpx.Alternates("http://h/", "/b"),
		"httpx: WithPolicy(nil): must not be nil":        httpx.WithPolicy(nil),
		"httpx: WithClient(nil): must not be nil":        httpx.WithClient(nil),
		"httpx: WithLogger(nil): must not be nil":        httpx.WithLogger(nil),
		"httpx: EachAttempt(nil): must not be nil":       httpx.EachAttempt(nil),
		"httpx: RetryOn(): needs predicates":             httpx.RetryOn(),
		"httpx: NotProcessed(): needs predicates":        httpx.NotProcessed(nil),
		`httpx: Header("a b"): must be a legal field`:    httpx.Header("a b", "hunter2"),
		`httpx: Header("A"): must be a legal field`:      httpx.Header("A", "hunter2\n"),
		`httpx: Polite("a bot"): must be a name`:         httpx.Polite("a bot"),
		`httpx: Decompress("br"): needs the name`:        httpx.Decompress("br", nil),
		"httpx: Option(nil): must not be nil":            nil,
		"policies.Exponential: Attempts(0): must be at l": httpx.WithPolicy(
			policies.Exponential(policies.Attempts(0))),
	} {
		c := httpx.New(opt)
		_, err := c.Get(t.Context(), "http://h/")
		for how, err := range map[string]error{"Get": err, "Validate": c.Validate()} {
			if !errors.Is(err, retry.ErrConfig) || !strings.HasPrefix(err.Error(), want) ||
				strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %q, want %q", how, err, want)
			}
		}
	}
	both := httpx.New(httpx.MaxBody(0),
		httpx.WithPolicy(policies.Exponential(policies.Attempts(0)))).Validate()
	if !errors.Is(both, retry.ErrConfig) || !strings.Contains(both.Error(), "MaxBody(0)") ||
		!strings.Contains(both.Error(), "Attempts(0)") {
		t.Errorf("two mistakes: %v", both)
	}
}

func TestResumeBesideAPOSTIsTold(t *testing.T) {
	c := over(echo)
	for name, opts := range map[string][]httpx.Option{"Resume": {httpx.Resume()},
		"Workers": {httpx.Workers(3)}} {
		resp, err := c.Get(t.Context(), "http://h/", opts...)
		read(t, resp, err)
		resp, err = c.Post(t.Context(), "http://h/", strings.NewReader("x"), opts...)
		if err == nil {
			_ = resp.Body.Close()
		}
		if errors.Is(err, retry.ErrConfig) != (name == "Resume") {
			t.Errorf("%s beside a POST: %v", name, err)
		}
	}
}

// NotProcessed: the server has said that it did not act; a lost connection has not.
func TestWhatWasNotProcessedIsSentAgainWhateverTheMethod(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []int // 0: the connection is lost
		opts  []httpx.Option
		sent  int
		code  int
	}{
		{"401, then 200", []int{401, 200},
			[]httpx.Option{httpx.NotProcessed(httpx.Status(401))}, 2, 200},
		{"407, then 200", []int{407, 200},
			[]httpx.Option{httpx.NotProcessed(httpx.Status(401, 407))}, 2, 200},
		{"for ever", []int{401}, []httpx.Option{httpx.NotProcessed(httpx.Status(401))}, 3, 401},
		{"beside RetryOn", []int{401, 200},
			[]httpx.Option{httpx.RetryOn(httpx.Status(401)), httpx.NotProcessed(httpx.Status(401))},
			2, 200},
		{"without it", []int{401, 200}, []httpx.Option{httpx.RetryOn(httpx.Status(401))}, 1, 401},
		{"lost", []int{0, 200}, []httpx.Option{httpx.NotProcessed(httpx.Status(401))}, 1, 0},
		{"another status", []int{500, 200},
			[]httpx.Option{httpx.NotProcessed(httpx.Status(401))}, 1, 500},
		{"a 5xx that says so", []int{503, 200},
			[]httpx.Option{httpx.NotProcessed(httpx.Status(503))}, 2, 200},
	} {
		sent, token := 0, 0
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			b, _ := io.ReadAll(r.Body)
			if string(b) != "data" || r.Header.Get("Authorization") == "" {
				t.Errorf("%s: %q, %v", c.name, b, r.Header)
			}
			code := c.steps[min(sent, len(c.steps)-1)]
			if sent++; code == 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return answer(r, code, http.NoBody), nil
		}), append(c.opts, httpx.EachAttempt(func(attempt int, r *http.Request) error {
			token = attempt // a new one
			r.Header.Set("Authorization", "Bearer "+strings.Repeat("x", attempt))
			return nil
		}))...)
		resp, err := client.Post(t.Context(), "http://h/", strings.NewReader("data"))
		code := 0
		if err == nil {
			code, _ = read(t, resp, nil)
		}
		if sent != c.sent || code != c.code || token != sent {
			t.Errorf("%s: %d after %d, %v", c.name, code, sent, err)
		}
	}
	transport := &http.Client{
		Transport: &httpx.Transport{Policy: policies.Constant(0), NotProcessed: httpx.Status(401),
			Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				if retry.Attempt(r.Context()) == 1 {
					return answer(r, 401, http.NoBody), nil
				}
				return answer(r, 200, http.NoBody), nil
			})}}
	resp, err := transport.Post("http://h/", "text/plain", strings.NewReader("data"))
	if code, _ := read(t, resp, err); code != 200 {
		t.Errorf("Transport: %d", code)
	}
}

// An attempt's time until the headers are there is bounded under every policy, and the bound can be
// moved or taken off.
func TestTheLimitOfAnAttempt(t *testing.T) {
	const s = time.Second
	never := roundTripper(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	})
	for _, c := range []struct {
		name string
		opts []httpx.Option
		took time.Duration
		err  error
	}{
		{"by default", []httpx.Option{httpx.WithPolicy(retry.Chain())},
			30 * s, policies.ErrTimeout},
		{"of each attempt", nil, 90 * s, policies.ErrTimeout},
		{"another", []httpx.Option{httpx.AttemptLimit(2 * s)}, 6 * s, policies.ErrTimeout},
		{"given before the policy",
			[]httpx.Option{httpx.AttemptLimit(2 * s), httpx.WithPolicy(retry.Chain())},
			2 * s, policies.ErrTimeout},
		{"off", []httpx.Option{httpx.AttemptLimit(0)}, 300 * s, context.DeadlineExceeded},
		{"a shorter one in the chain",
			[]httpx.Option{httpx.WithPolicy(policies.Timeout(s))}, s, policies.ErrTimeout},
	} {
		for how, do := range map[string]func(context.Context, *httpx.Client) error{
			"Get": func(ctx context.Context, c *httpx.Client) error {
				_, err := c.Get(ctx, "http://h/")
				return err
			},
			"Fetch": func(ctx context.Context, c *httpx.Client) error {
				_, err := httpx.Fetch(ctx, c, "http://h/", httpx.Text)
				return err
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 300*s)
				defer cancel()
				start := time.Now()
				err := do(ctx, over(never, c.opts...))
				if took := time.Since(start); took != c.took || !errors.Is(err, c.err) ||
					!errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s, %s: %v after %v", c.name, how, err, took)
				}
			})
		}
	}
	for limit, want := range map[time.Duration]time.Duration{0: 30 * s, 5 * s: 5 * s, -1: 300 * s} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 300*s)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://h/", nil)
			_, err := (&httpx.Transport{Base: never, Policy: retry.Chain(),
				AttemptLimit: limit}).RoundTrip(req)
			if err == nil || time.Since(start) != want {
				t.Errorf("Transport, %v: %v after %v", limit, err, time.Since(start))
			}
		})
	}
}

func TestAnyNumberOfWorkersIsOne(t *testing.T) {
	urls := slices.Repeat([]string{"http://h/"}, 2000)
	n := 0
	for r := range httpx.FetchAll(t.Context(), over(echo), slices.Values(urls), httpx.Text,
		httpx.Workers(math.MaxInt)) {
		if n++; r.Err != nil || r.Value != "h/" {
			t.Fatal(r)
		}
	}
	if n != len(urls) {
		t.Errorf("%d results", n)
	}
	n = 0
	for range httpx.Crawl(t.Context(), over(echo), []string{"http://h/"}, httpx.Text,
		func(httpx.Result[string]) []string { return nil }, httpx.Workers(math.MaxInt)) {
		n++
	}
	if n != 1 {
		t.Errorf("Crawl: %d results", n)
	}
}

func gzipped(text string) io.ReadCloser {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return io.NopCloser(&b)
}

// A predicate reads the decoded body on every path; a caller that set Accept-Encoding by hand gets
// what net/http gives.
func TestPredicatesSeeTheDecodedBody(t *testing.T) {
	captcha := httpx.Refused(func(r *http.Response) bool {
		b, _ := io.ReadAll(r.Body)
		return strings.Contains(string(b), "captcha")
	}, httpx.Not(httpx.Or(httpx.Status(200), httpx.ServerErrors)))
	for name, do := range map[string]func(c *httpx.Client) (string, error){
		"Get": func(c *httpx.Client) (string, error) {
			resp, err := c.Get(t.Context(), "http://h/", httpx.Header("Accept-Encoding", "gzip"))
			if err != nil {
				return "", err
			}
			defer resp.Body.Close()
			if resp.Header.Get("Content-Encoding") != "gzip" {
				t.Error("Content-Encoding is gone")
			}
			z, err := gzip.NewReader(resp.Body)
			if err != nil {
				return "", err
			}
			b, err := io.ReadAll(z)
			return string(b), err
		},
		"Fetch": func(c *httpx.Client) (string, error) {
			return httpx.Fetch(t.Context(), c, "http://h/", httpx.Text,
				httpx.Header("Accept-Encoding", "gzip"))
		},
		"Transport": func(c *httpx.Client) (string, error) {
			return httpx.Fetch(t.Context(), c, "http://h/", httpx.Text)
		},
	} {
		n := 0
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			text := "the page"
			if n++; n == 1 {
				text = "a captcha"
			}
			resp := answer(r, 200, gzipped(text))
			resp.Header.Set("Content-Encoding", "gzip")
			return resp, nil
		})
		if v, err := do(over(rt, captcha)); v != "the page" || err != nil || n != 2 {
			t.Errorf("%s: %q, %v after %d", name, v, err, n)
		}
	}
}

// Neither an error nor a log line shows what a URL hides, in whatever form it comes.
func TestNoErrorShowsAPassword(t *testing.T) {
	lost := over(roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, io.ErrUnexpectedEOF
	}), httpx.WithPolicy(retry.Chain()))
	down := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		return answer(r, 500, http.NoBody), nil
	}), httpx.WithPolicy(retry.Chain()), httpx.RaiseForStatus(true))
	for _, raw := range []string{
		"https://alice:hunter2#1@host/", "https://alice:hunter2?1@host/",
		"https://alice:hunter2/1@host/", "https://alice:hunter2 @host/",
		"https://alice:hunter2[@host/",
		"https://alice:hunter2%@host/", "https://hunter2@host/", "https://alice:hunter2@host:port/",
		"https://host/?token=hunter2", "https://host/?hunter2", "https://host/#hunter2",
		"https:/alice:hunter2@host/", "https:alice:hunter2@host/", "//alice:hunter2@host/",
		"https://hunter2#1@host/", "https://host/%zz?k=hunter2",
	} {
		for name, c := range map[string]*httpx.Client{"lost": lost, "down": down,
			"alternate": lost.With(httpx.Alternates(raw))} {
			url := raw
			if name == "alternate" {
				url = "http://other/"
			}
			_, err := c.Get(t.Context(), url)
			_, fetched := httpx.Fetch(t.Context(), c, url, httpx.Text)
			for _, err := range []error{err, fetched} {
				if err == nil || strings.Contains(err.Error(), "hunter2") ||
					strings.Contains(errURL(err), "hunter2") {
					t.Errorf("%s, %s: %v", raw, name, err)
				}
			}
		}
	}
}

func errURL(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.URL
	}
	return ""
}
