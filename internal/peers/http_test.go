package peers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

const url = "http://server.test/"

// send makes one request, guarded; a nil body is none.
type send = func(ctx context.Context, method string, body []byte) (*http.Response, error)

// Three attempts over the given transport, exponential waits from first to 30 s; none where first is 0.
var clients = []peer[func(base http.RoundTripper, first time.Duration) send]{
	{"reprise", func(base http.RoundTripper, first time.Duration) send {
		policy := policies.Exponential(policies.Initial(first))
		if first == 0 {
			policy = policies.Constant(0)
		}
		return plainly(httpx.New(httpx.WithClient(&http.Client{Transport: base}), httpx.WithPolicy(policy)).Do)
	}},
	{"go-retryablehttp v0.7.8", func(base http.RoundTripper, first time.Duration) send {
		client := retryablehttp.NewClient()
		client.HTTPClient = &http.Client{Transport: base}
		client.Logger = nil // it logs every request by default
		client.RetryMax, client.RetryWaitMin, client.RetryWaitMax = 2, first, 30*time.Second
		return func(ctx context.Context, method string, body []byte) (*http.Response, error) {
			var raw any
			if body != nil {
				raw = body
			}
			req, err := retryablehttp.NewRequestWithContext(ctx, method, url, raw)
			if err != nil {
				return nil, err
			}
			return client.Do(req)
		}
	}},
	{"failsafe-go v0.9.8", func(base http.RoundTripper, first time.Duration) send {
		builder := failsafehttp.NewRetryPolicyBuilder() // three attempts
		if first > 0 {
			builder = builder.WithBackoff(first, 30*time.Second) // without jitter, which would shorten a Retry-After too
		}
		return plainly((&http.Client{Transport: failsafehttp.NewRoundTripper(base, builder.Build())}).Do)
	}},
}

func plainly(do func(*http.Request) (*http.Response, error)) send {
	return func(ctx context.Context, method string, body []byte) (*http.Response, error) {
		var r io.Reader
		if body != nil {
			r = bytes.NewReader(body)
		}
		req, err := http.NewRequestWithContext(ctx, method, url, r)
		if err != nil {
			return nil, err
		}
		return do(req)
	}
}

// server answers in memory: with its statuses in turn, the last one for ever, or beginning anew where it is a ring.
type server struct {
	statuses []int
	ring     bool
	header   http.Header
	calls    int
	open     int // bodies that nobody has closed
}

var kilobyte = strings.Repeat("x", 1024)

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	i := min(s.calls, len(s.statuses)-1)
	if s.ring {
		i = s.calls % len(s.statuses)
	}
	s.calls++
	s.open++
	return &http.Response{
		Status: fmt.Sprint(s.statuses[i], " ", http.StatusText(s.statuses[i])), StatusCode: s.statuses[i], Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: s.header.Clone(), Body: &body{Reader: strings.NewReader(kilobyte), of: s}, ContentLength: 1024, Request: req,
	}, nil
}

type body struct {
	*strings.Reader
	of     *server
	closed bool
}

func (b *body) Close() error {
	if !b.closed {
		b.closed = true
		b.of.open--
	}
	return nil
}

func TestTableHTTP(t *testing.T) {
	type client = func(http.RoundTripper, time.Duration) send
	get := func(ctx context.Context, c client, s *server) (*http.Response, error) {
		return c(s, 100*time.Millisecond)(ctx, "GET", nil)
	}
	asked := func(status int, retryAfter string) *server {
		return &server{statuses: []int{status, 200}, header: http.Header{"Retry-After": {retryAfter}}}
	}
	prove(t, "HTTP clients", clients, []fact[client]{
		{"503 with Retry-After: 60 and 300 ms left: returns", func(t *testing.T, c client) string {
			return took(func() { _, _ = get(within(t, 300*time.Millisecond), c, asked(503, "60")) })
		}, []string{"at once", "300ms", "300ms"}},
		{"its error tells of the 503", func(t *testing.T, c client) string {
			_, err := get(within(t, 300*time.Millisecond), c, asked(503, "60"))
			return yes(err != nil && strings.Contains(err.Error(), "503"))
		}, []string{"yes", "no", "no"}},
		{"429 with Retry-After: a date 10 s ahead: waits", func(t *testing.T, c client) string {
			s := asked(429, time.Now().Add(10*time.Second).UTC().Format(http.TimeFormat))
			return atLeast(10*time.Second, func() { _, _ = get(t.Context(), c, s) })
		}, []string{"until then", "until then", "less"}},
		{"429 with Retry-After: 86400, no deadline: waits", func(t *testing.T, c client) string {
			return atLeast(24*time.Hour, func() { _, _ = get(t.Context(), c, asked(429, "86400")) })
		}, []string{"gives up at once", "until then", "until then"}},
		{"503 three times, GET: hands back", func(t *testing.T, c client) string {
			resp, err := get(t.Context(), c, &server{statuses: []int{503}})
			if err != nil {
				return "an error"
			}
			return fmt.Sprint("the ", resp.StatusCode)
		}, []string{"the 503", "an error", "an error"}},
		{"bodies left open, but for one handed back", func(t *testing.T, c client) string {
			s := &server{statuses: []int{503}}
			if resp, _ := get(t.Context(), c, s); resp != nil {
				resp.Body.Close()
			}
			return fmt.Sprint(s.open)
		}, []string{"0", "0", "3"}},
		{"503, POST: requests sent by default", func(t *testing.T, c client) string {
			s := &server{statuses: []int{503}}
			_, _ = c(s, 100*time.Millisecond)(t.Context(), "POST", []byte("order 7"))
			return fmt.Sprint(s.calls)
		}, []string{"1", "3", "3"}},
	})
}

// atLeast tells whether f took d or more, or a time of its own.
func atLeast(d time.Duration, f func()) string {
	start := time.Now()
	f()
	switch t := time.Since(start); {
	case t >= d:
		return "until then"
	case t > 0:
		return "less"
	}
	return "gives up at once"
}
