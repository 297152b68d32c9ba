package httpx_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// echo answers with the host and path of what it is asked.
var echo = roundTripper(func(r *http.Request) (*http.Response, error) {
	return answer(r, 200, io.NopCloser(strings.NewReader(r.URL.Host+r.URL.Path))), nil
})

// ask makes a request with ctx, as a token source does.
func ask(t *testing.T, ctx context.Context, do func(*http.Request) (*http.Response, error)) {
	t.Helper()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://tokens/t", nil)
	resp, err := do(req)
	if code, body := read(t, resp, err); code != 200 || body != "tokens/t" {
		t.Errorf("token request: %d %q", code, body)
	}
}

// A Fetch decodes its own requests, and no other that is made from inside it with its context.
func TestAFetchDecodesItsOwnRequestsOnly(t *testing.T) {
	plain := over(echo)
	for name, c := range map[string]struct {
		rt     http.RoundTripper
		opts   []httpx.Option
		decode httpx.Decoder[string]
	}{
		"hook": {echo, []httpx.Option{httpx.EachAttempt(func(_ int, r *http.Request) error {
			ask(t, r.Context(), plain.Do)
			return nil
		})}, httpx.Text},
		"policy": {
			echo,
			[]httpx.Option{
				httpx.WithPolicy(retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
					ask(t, ctx, plain.Do)
					return next.Do(ctx)
				}))}, httpx.Text},
		"round tripper": {roundTripper(func(r *http.Request) (*http.Response, error) {
			ask(t, r.Context(), plain.Do)
			return echo(r)
		}), nil, httpx.Text},
		"decoder": {echo, nil, func(r *http.Response) (string, error) {
			ask(t, r.Request.Context(), plain.Do)
			return httpx.Text(r)
		}},
		"decoder, by a Transport": {echo, nil, func(r *http.Response) (string, error) {
			ask(t, r.Request.Context(), (&http.Client{Transport: &httpx.Transport{Base: echo}}).Do)
			return httpx.Text(r)
		}},
		"over a Transport": {&httpx.Transport{Base: echo}, nil, httpx.Text},
		"over a Client's":  {&httpx.Transport{Base: &httpx.Transport{Base: echo}}, nil, httpx.Text},
	} {
		client := over(c.rt, c.opts...)
		if v, err := httpx.Fetch(t.Context(), client, "http://h/page", c.decode); v != "h/page" ||
			err != nil {
			t.Errorf("%s: %q, %v", name, v, err)
		}
	}
	var inner *httpx.Client // the same one
	inner = over(echo, httpx.EachAttempt(func(_ int, r *http.Request) error {
		if r.URL.Host == "h" {
			ask(t, r.Context(), inner.Do)
		}
		return nil
	}))
	if v, err := httpx.Fetch(t.Context(), inner, "http://h/page", httpx.Text); v != "h/page" ||
		err != nil {
		t.Errorf("the same client: %q, %v", v, err)
	}
}

// The quota of a token service that is asked from inside a hook does not concern the host.
func TestAnotherHostsQuotaStaysWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, _ := echo(r)
			if r.URL.Host == "tokens" {
				resp.Header.Set("RateLimit", `"t";r=0;t=3600`)
			}
			return resp, nil
		})
		each := httpx.WithPolicy(policies.Keyed(httpx.Host, func(string) retry.Policy {
			return ratelimit.New(1000, 1000)
		}))
		for name, tokens := range map[string]*httpx.Client{"a loop": over(rt),
			"an empty chain":  over(rt, httpx.WithPolicy(retry.Chain())),
			"its own limiter": over(rt, each)} {
			client := over(rt, each, httpx.EachAttempt(func(_ int, r *http.Request) error {
				req, _ := http.NewRequestWithContext(r.Context(), "GET", "http://tokens/"+name, nil)
				resp, err := tokens.Do(req)
				if err != nil {
					return nil // its own limiter holds it up
				}
				return resp.Body.Close()
			}))
			start := time.Now()
			for range 2 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if _, err := httpx.Fetch(ctx, client, "http://h/", httpx.Text); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				cancel()
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s: took %v", name, took)
			}
		}
	})
}
