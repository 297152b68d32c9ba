package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// Whatever a server sends, a call is over with its deadline, and what a policy keeps of its failure
// is small.
func TestAHostileServerDoesNotOutlastTheDeadline(t *testing.T) {
	const deadline = 500 * time.Millisecond
	big := func(s string) string { return strings.Repeat(s, 320<<10/len(s)) }
	huge := func(s string) string { return strings.Repeat(s, 5<<20/len(s)) }
	for name, c := range map[string]struct {
		code  int
		field string
		value string
	}{
		"quotas":            {429, "RateLimit", big("a;r=1,") + "a;r=1"},
		"quotas, malformed": {429, "RateLimit", big(`"\"`)},
		"policies":          {429, "RateLimit-Policy", big("a;q=1;w=1,") + "a;q=1;w=1"},
		"limits":            {429, "RateLimit-Limit", big("1;w=1,") + "1"},
		"Retry-After":       {503, "Retry-After", big("9")},
		"Location":          {302, "Location", "http://127.0.0.1:1/" + big("a?b=c&")},
		"malformed":         {302, "Location", "http://u:" + big("p%zz") + "@h/"},
		"another host":      {302, "Location", "http://" + big("ü") + "/"},
		"a long name":       {302, "Location", "http://" + everyRune(100_000) + "/"},
		"ETag":              {503, "ETag", `"` + big("x") + `"`},
		"coding":            {200, "Content-Encoding", big("gzip,") + "gzip"},
		"huge coding":       {200, "Content-Encoding", huge("x,") + "x"},
		"huge Location":     {302, "Location", huge("../")},
		"huge RateLimit":    {429, "RateLimit", huge("a;r=1,") + "a;r=1"},
	} {
		s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(c.field, c.value)
			w.WriteHeader(c.code)
			_, _ = io.WriteString(w, "x")
		})
		best, most := time.Hour, deadline+150*time.Millisecond
		if httpx.RaceEnabled {
			most += time.Second
		}
		// others use the machine too
		for tries := 0; tries == 0 || best > most && tries < 10 && best < time.Minute; tries++ {
			var kept error
			keep := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				err := next.Do(ctx)
				kept = retry.Brief(err)
				return err
			})
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			start := time.Now()
			_, err := httpx.Fetch(ctx,
				quick(t, httpx.WithPolicy(retry.Chain(policies.Constant(0),
					keep))), s.URL, httpx.Bytes)
			best = min(best, time.Since(start))
			cancel()
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			if n := len(err.Error()); n > 4<<10 {
				t.Errorf("%s: an error of %d bytes", name, n)
			}
			if kept != nil && len(fmt.Sprintf("%+v", kept)) > 8<<10 {
				t.Errorf("%s: %d bytes are kept", name, len(fmt.Sprintf("%+v", kept)))
			}
		}
		if best > most {
			t.Errorf("%s: took %v", name, best)
		}
	}
}

// everyRune is a text of n letters, most of them different.
func everyRune(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune(rune(0x4e00 + i%20_000))
	}
	return b.String()
}

// A host that cannot exist is not asked for either, whoever names it.
func TestAHostThatIsTooLongIsNotAskedFor(t *testing.T) {
	long, sent := "http://"+everyRune(100_000)+"/", 0
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		sent++
		return answer(r, 200, http.NoBody), nil
	}))
	for name, opts := range map[string][]httpx.Option{
		long:        nil,
		"http://a/": {httpx.Alternates(long)},
		"http://b/": {httpx.EachAttempt(func(_ int, r *http.Request) (err error) {
			r.URL, err = url.Parse(long)
			return err
		})},
	} {
		start := time.Now()
		_, err := c.Get(t.Context(), name, opts...)
		if took := time.Since(start); err == nil || errors.Is(err, retry.ErrConfig) ||
			took > 20*time.Second || sent > 0 {
			t.Errorf("%.20s: %.100v, %d sent in %v", name, err, sent, took)
		}
	}
}

func TestALocationThatIsTooLongIsNotFollowed(t *testing.T) {
	for size, want := range map[int]int{60 << 10: 2, 70 << 10: 1} {
		sent := 0
		c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			sent++
			resp := answer(r, 302, http.NoBody)
			if sent == 1 {
				resp.Header.Set("Location", "/"+strings.Repeat("a/", size/2))
			} else {
				resp.StatusCode = 200
			}
			return resp, nil
		}))
		_, err := c.Get(t.Context(), "http://h/")
		told := err != nil && strings.Contains(err.Error(), "Location of more than")
		if sent != want || told != (want == 1) {
			t.Errorf("%d bytes: %d sent, %.200v", size, sent, err)
		}
	}
}

// A site that is down when a crawl begins has disallowed nothing: with patience its pages are
// fetched when it is up again.
func TestASiteThatIsDownWhenACrawlBegins(t *testing.T) {
	for _, c := range []struct {
		name    string
		code    int // of robots.txt while it is down
		header  http.Header
		patient bool
		most    time.Duration
	}{
		{"503", 503, nil, true, 4 * time.Minute},
		{"429 with a time", 429, http.Header{"Retry-After": {"90"}}, true, 4 * time.Minute},
		{"no network", 0, nil, true, 4 * time.Minute},
		{"without patience", 503, nil, false, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			up := time.Now().Add(2 * time.Minute)
			w := &web{robots: func(*http.Request) (int, string, http.Header) {
				if time.Now().Before(up) {
					return c.code, "", c.header
				}
				return 200, "User-agent: *\nDisallow: /no", nil
			}}
			policy := policies.Constant(time.Second)
			if c.patient {
				policy = policies.Constant(time.Second, policies.Patience(time.Hour))
			}
			var urls []string
			for i := range 1000 {
				urls = append(urls, fmt.Sprintf("http://h/%d", i))
			}
			start, ok, rejected := time.Now(), 0, 0
			for r := range httpx.FetchAll(t.Context(),
				over(w, httpx.Polite("bot"),
					httpx.WithPolicy(policy)), slices.Values(urls), httpx.Text, httpx.Workers(50)) {
				switch {
				case r.Err == nil:
					ok++
				case unknown(r.Err):
					rejected++
				default:
					t.Fatal(r.Err)
				}
			}
			took, fetches := time.Since(start), len(w.urls(true))
			if c.patient && ok != 1000 || !c.patient && rejected != 1000 || took > c.most ||
				fetches > 20 {
				t.Errorf("%s: %d fetched, %d rejected in %v, robots.txt asked for %d times", c.name,
					ok, rejected, took, fetches)
			}
		})
	}
}

// An archive that is served with a Content-Encoding is unpacked by Fetch: a caller that wants the
// file asks for it as it is.
func TestAnArchiveServedWithAContentEncoding(t *testing.T) {
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 200, io.NopCloser(strings.NewReader("the archive")))
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			resp.Body = gzipped("the archive")
			resp.Header.Set("Content-Encoding", "gzip")
		}
		return resp, nil
	})
	for _, accept := range []string{"gzip", "identity"} {
		v, err := httpx.Fetch(t.Context(), over(rt), "http://h/a.tar.gz", httpx.Text,
			httpx.Header("Accept-Encoding", accept))
		if v != "the archive" || err != nil {
			t.Errorf("%s: %q, %v", accept, v, err)
		}
	}
}
