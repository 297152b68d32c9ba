package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// A body that is there already, or that unpacks to thousands of times its size, is not read on when
// the call's time is over.
func TestWhatIsThereIsNotReadOnWhenTheContextEnds(t *testing.T) {
	const size = 1 << 20
	text := strings.Repeat("x", size)
	for name, body := range map[string]func(*http.Response){
		"as it is": func(r *http.Response) { r.Body = io.NopCloser(strings.NewReader(text)) },
		"gzip": func(r *http.Response) {
			r.Body = gzipped(text)
			r.Header.Set("Content-Encoding", "gzip")
		},
	} {
		c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, nil)
			body(resp)
			return resp, nil
		}), httpx.WithPolicy(retry.Chain()))
		ctx, cancel := context.WithCancelCause(t.Context())
		over := errors.New("over")
		n := 0
		_, err := httpx.Fetch(ctx, c, "http://h/", func(r *http.Response) (int, error) {
			for {
				k, err := r.Body.Read(make([]byte, 1<<10))
				if n += k; err != nil {
					return n, err
				}
				cancel(over)
			}
		})
		if n > 1<<10 || !errors.Is(err, over) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %d bytes read, %v", name, n, err)
		}
	}
}

// A policy's limit that ends while a body is read counts against the host, also if the body was
// there.
func TestALimitThatEndsWhileABodyIsUnpackedIsTheHostsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New("b", breaker.ConsecutiveFailures(1))
		c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, gzipped(strings.Repeat("x", 1<<20)))
			resp.Header.Set("Content-Encoding", "gzip")
			return resp, nil
		}), httpx.WithPolicy(retry.Chain(b, policies.Timeout(time.Second))))
		_, err := httpx.Fetch(t.Context(), c, "http://h/", func(r *http.Response) (string, error) {
			time.Sleep(2 * time.Second)
			return httpx.Text(r)
		})
		if !errors.Is(err, policies.ErrTimeout) || b.State() != breaker.Open {
			t.Errorf("%v, the breaker is %v", err, b.State())
		}
	})
}

// A RoundTripper that reads the body itself may end the context that it has made for that.
func TestABodyInMemoryOutlastsTheContextThatItCameWith(t *testing.T) {
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		resp := answer(r.WithContext(ctx), 200, gzipped("all of it"))
		resp.Header.Set("Content-Encoding", "gzip")
		return resp, nil
	}))
	if v, err := httpx.Fetch(t.Context(), c, "http://h/", httpx.Text); v != "all of it" {
		t.Errorf("%q, %v", v, err)
	}
}

// jarOf is a jar that always has n cookies.
type jarOf int

func (jarOf) SetCookies(*url.URL, []*http.Cookie) {}

func (n jarOf) Cookies(*url.URL) []*http.Cookie {
	cookies := make([]*http.Cookie, n)
	for i := range cookies {
		cookies[i] = &http.Cookie{Name: fmt.Sprint("c", i), Value: "a b"}
	}
	return cookies
}

// What is copied is measured, and not the time, because that depends on what else the machine does.
func TestCookiesAreAddedInLinearTime(t *testing.T) {
	for _, n := range []int{0, 1, 3, 5000} {
		want := []string{"own=1"}
		for i := range n {
			want = append(want, fmt.Sprintf(`c%d="a b"`, i))
		}
		got := ""
		c := httpx.New(httpx.WithClient(&http.Client{Jar: jarOf(n),
			Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				got = r.Header.Get("Cookie")
				return answer(r, 200, http.NoBody), nil
			})}), httpx.Header("Cookie", "own=1"))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := c.Get(t.Context(), "http://h/"); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		if got != strings.Join(want, "; ") || took > 50<<20 {
			t.Errorf("%d cookies: %.100q, %d bytes allocated", n, got, took)
		}
	}
}

// A page may have more links than can be read in what is left of the time.
func TestLinksAreNotReadOnWhenTheContextEnds(t *testing.T) {
	const all, read = 100_000, 10
	var links []string
	for i := range all {
		links = append(links, fmt.Sprintf("http://h%d/", i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		return answer(r, 200, http.NoBody), nil
	}))
	asked := 0
	follow := httpx.Follow(func(_, _ *url.URL) bool {
		if asked++; asked == read {
			cancel()
		}
		return true
	})
	var last error
	for r := range httpx.Crawl(ctx, c, []string{"http://h/"}, httpx.Text,
		func(httpx.Result[string]) []string { return links }, follow) {
		last = r.Err
	}
	var e *httpx.LeftOutError
	if !errors.As(last, &e) || e.Pages != all || asked != read || !errors.Is(e, context.Canceled) {
		t.Errorf("%d links read, %v", asked, last)
	}
}
