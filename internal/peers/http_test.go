package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const url = "http://server.test/"

var clients = of(func(l library) func(http.RoundTripper, time.Duration) send { return l.client },
	reprise, retryable, failsafeGo)

// server answers in memory: with its statuses in turn, the last one for ever.
type server struct {
	statuses []int
	header   http.Header
	calls    int
	open     int // bodies that nobody has closed
}

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	i := min(s.calls, len(s.statuses)-1)
	s.calls++
	s.open++
	return &http.Response{
		Status:     fmt.Sprint(s.statuses[i], " ", http.StatusText(s.statuses[i])),
		StatusCode: s.statuses[i], Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: s.header.Clone(), Body: &body{Reader: strings.NewReader(kilobyte), of: s},
		ContentLength: 1024, Request: req,
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
		return c(s, 100*time.Millisecond)(ctx, "GET", url, nil)
	}
	asked := func(status int, retryAfter string) *server {
		return &server{statuses: []int{status, 200},
			header: http.Header{"Retry-After": {retryAfter}}}
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
			_, _ = c(s, 100*time.Millisecond)(t.Context(), "POST", url, []byte("order 7"))
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
