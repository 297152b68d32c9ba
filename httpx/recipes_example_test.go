package httpx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

func Example_scraper() {
	var urls []string // of any number of sites
	client := httpx.New(
		httpx.WithPolicy(retry.Chain(
			policies.Exponential(policies.Attempts(5), policies.Patience(10*time.Minute)),
			policies.Keyed(httpx.Host, func(host string) retry.Policy {
				return retry.Chain(ratelimit.NewPacer(ratelimit.Careful()), breaker.New(host))
			}),
		)),
		httpx.Refused(httpx.Status(403), httpx.Blocked), // a ban, a captcha: slow down, ask again
		httpx.Polite("examplebot/1.0 (+https://example.com/bot)"),
	)
	for r := range httpx.FetchAll(context.Background(), client, slices.Values(urls), httpx.Text) {
		fmt.Println(r.URL, len(r.Value), r.Err)
	}
	// Output:
}

// A page that sends its readers to a login page first. The retried unit of a client is one hop, so
// the loop stands around the Fetch, and the client has none.
func Example_redirected() {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; r.URL.Path == "/page" && asked < 4 {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	defer server.Close()

	login := func(r *http.Response) bool { return r.Request.URL.Path == "/login" }
	once := httpx.New(httpx.WithPolicy(retry.Chain()), httpx.RetryOn(login))
	loop := policies.Constant(0)
	page, err := retry.Do(context.Background(), loop, func(ctx context.Context) (string, error) {
		return httpx.Fetch(ctx, once, server.URL+"/page", httpx.Text)
	})
	fmt.Println(page, err, asked)
	// Output: /page <nil> 5
}

// Another proxy for each attempt.
func Example_proxies() {
	proxy := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if name == "first" {
				w.WriteHeader(http.StatusBadGateway)
			}
			fmt.Fprint(w, "by the ", name)
		}))
	}
	first, second := proxy("first"), proxy("second")
	defer first.Close()
	defer second.Close()

	proxies := []string{first.URL, second.URL}
	transport := &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		return url.Parse(proxies[(retry.Attempt(r.Context())-1)%len(proxies)])
	}}
	client := httpx.New(httpx.WithClient(&http.Client{Transport: transport}),
		httpx.WithPolicy(policies.Constant(0)))
	fmt.Println(httpx.Fetch(context.Background(), client, "http://site.example/", httpx.Text))
	// Output: by the second <nil>
}

// An event stream that is connected again whenever it breaks. The loop is around the reading; a
// stream that lasted a minute begins a new row of attempts.
func Example_stream() {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 4 {
			w.WriteHeader(http.StatusGone)
			return
		}
		fmt.Fprintf(w, "event %d\n", n)
	}))
	defer server.Close()

	client := httpx.New(httpx.WithPolicy(retry.Chain()), httpx.RaiseForStatus(true))
	loop := policies.Constant(time.Millisecond, policies.Attempts(10),
		policies.ResetAfter(time.Minute))
	err := retry.Run(context.Background(), loop, func(ctx context.Context) error {
		resp, err := client.Get(ctx, server.URL)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			fmt.Println(lines.Text())
		}
		return errors.Join(errors.New("the stream ended"), lines.Err())
	})
	var status *httpx.StatusError
	fmt.Println(errors.As(err, &status) && status.Code == http.StatusGone)
	// Output:
	// event 1
	// event 2
	// event 3
	// true
}

// A limit that a vendor tells in a field of its own.
func Example_vendorFields() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Credits-Left", "0")
	}))
	defer server.Close()

	credits := func(r *http.Response) bool {
		if left, err := strconv.Atoi(r.Header.Get("X-Credits-Left")); err == nil {
			retry.Report(r.Request.Context(),
				retry.Quota{Limit: 100, Remaining: left, Reset: time.Hour})
		}
		return false
	}
	client := httpx.New(httpx.WithPolicy(ratelimit.New(100, 100, ratelimit.MaxWait(time.Second))),
		httpx.RetryOn(credits))
	for range 2 {
		resp, err := client.Get(context.Background(), server.URL)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		fmt.Println(errors.Is(err, ratelimit.ErrLimited))
	}
	// Output:
	// false
	// true
}
