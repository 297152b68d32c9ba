package httpx_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

// The same work by hand and by httpx, side by side: go test -bench . -benchmem ./httpx
func BenchmarkGet1KiB(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1024)) }))
	defer s.Close()
	hc, c := s.Client(), httpx.New(httpx.WithClient(s.Client()))
	b.Run("http.Client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			byHand(b, hc, s.URL)
		}
	})
	b.Run("httpx", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := c.Get(context.Background(), s.URL)
			drain(b, resp, err)
		}
	})
}

func BenchmarkUnavailableThenOK(b *testing.B) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n++; n%2 == 1 {
			w.WriteHeader(503)
		}
		_, _ = w.Write(make([]byte, 1024))
	}))
	defer s.Close()
	hc, c := s.Client(), httpx.New(httpx.WithClient(s.Client()), httpx.WithPolicy(policies.Constant(0)))
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for byHand(b, hc, s.URL) == 503 {
			}
		}
	})
	b.Run("httpx", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := c.Get(context.Background(), s.URL)
			drain(b, resp, err)
		}
	})
}

func byHand(tb testing.TB, hc *http.Client, url string) int {
	req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	resp, err := hc.Do(req)
	return drain(tb, resp, err)
}

func drain(tb testing.TB, resp *http.Response, err error) int {
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestAGetThatSucceedsAllocatesAtMost12More(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1024)) }))
	defer s.Close()
	hc, c := s.Client(), httpx.New(httpx.WithClient(s.Client()))
	bare := testing.AllocsPerRun(500, func() { byHand(t, hc, s.URL) })
	ours := testing.AllocsPerRun(500, func() {
		resp, err := c.Get(context.Background(), s.URL)
		drain(t, resp, err)
	})
	if ours > bare+12.5 { // the server's own share is in both, and not always the same
		t.Errorf("%v allocations, %v by hand", ours, bare)
	}
}
