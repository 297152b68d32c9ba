package httpx_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
)

// The same work by hand and by httpx, side by side: go test -bench . -benchmem ./httpx
//
// "in turns" is the figure to quote: it times both in turns, so that whatever else the machine does
// disturbs both alike, and prints the median of their quotients. "memory" is the same without a
// network: what httpx itself costs.

func BenchmarkGet1KiB(b *testing.B) {
	for _, w := range []*wire{loopback(b, 200), memory(200)} {
		limited := *w.client
		limited.Timeout = 30 * time.Second
		b.Run(w.name, func(b *testing.B) {
			sideBySide(b, []way{
				{"http.Client", w.byHand(w.client)},
				{"httpx", w.byHTTPX()},
				{"http.Client with a limit", w.byHand(&limited)}, // as the default client has one
				{"httpx without a limit", w.byHTTPX(httpx.AttemptLimit(0))},
			})
		})
	}
}

func BenchmarkUnavailableThenOK(b *testing.B) {
	for _, w := range []*wire{loopback(b, 503, 200), memory(503, 200)} {
		b.Run(w.name, func(b *testing.B) {
			sideBySide(b,
				[]way{{"by hand", w.byHand(w.client)},
					{"httpx",
						w.byHTTPX(httpx.WithPolicy(policies.Constant(0)), httpx.AttemptLimit(0))}})
		})
	}
}

// way is one of several to do the same; the first is the measure of the others.
type way struct {
	name string
	do   func(testing.TB)
}

func sideBySide(b *testing.B, ways []way) {
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.do(b)
			}
		})
	}
	b.Run("in turns", func(b *testing.B) {
		const batch = 20
		quotients := make([][]float64, len(ways))
		took := make([]float64, len(ways))
		for b.Loop() {
			for turn := range ways {
				i := (turn + len(quotients[0])) % len(ways) // nobody is always first
				start := time.Now()
				for range batch {
					ways[i].do(b)
				}
				took[i] = float64(time.Since(start))
			}
			for i, t := range took {
				quotients[i] = append(quotients[i], t/took[0])
			}
		}
		b.ReportMetric(0, "ns/op")
		for i, w := range ways[1:] {
			slices.Sort(quotients[i+1])
			b.ReportMetric(quotients[i+1][len(quotients[i+1])/2],
				strings.ReplaceAll(w.name, " ", "-")+"/"+strings.ReplaceAll(ways[0].name, " ", "-"))
		}
	})
}

// wire answers each request with 1 KiB and the next of its statuses.
type wire struct {
	name   string
	client *http.Client
	url    string
}

func loopback(tb testing.TB, codes ...int) *wire {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.WriteHeader(codes[(n-1)%len(codes)])
		_, _ = w.Write(make([]byte, 1024))
	}))
	tb.Cleanup(s.Close)
	return &wire{"loopback", s.Client(), s.URL}
}

func memory(codes ...int) *wire {
	n, body := 0, make([]byte, 1024)
	t := &http.Transport{}
	t.RegisterProtocol("memory", roundTripper(func(r *http.Request) (*http.Response, error) {
		n++
		return &http.Response{StatusCode: codes[(n-1)%len(codes)], Status: "status",
			ContentLength: 1024, Header: http.Header{"Date": {""}},
			Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
	}))
	return &wire{"memory", &http.Client{Transport: t}, "memory://host/path"}
}

// byHand is what a careful user writes: three attempts, and the connection is free for the next
// one.
func (w *wire) byHand(hc *http.Client) func(testing.TB) {
	return func(tb testing.TB) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.url, nil)
		if err != nil {
			tb.Fatal(err)
		}
		for attempt := 1; ; attempt++ {
			resp, err := hc.Do(req)
			if err == nil && resp.StatusCode/100 == 5 && attempt < 3 {
				_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
				_ = resp.Body.Close()
				continue
			}
			readAll(tb, resp, err)
			return
		}
	}
}

func (w *wire) byHTTPX(opts ...httpx.Option) func(testing.TB) {
	c := httpx.New(append([]httpx.Option{httpx.WithClient(w.client)}, opts...)...)
	return func(tb testing.TB) {
		resp, err := c.Get(context.Background(), w.url)
		readAll(tb, resp, err)
	}
}

func readAll(tb testing.TB, resp *http.Response, err error) {
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); err != nil || len(b) != 1024 || resp.StatusCode != 200 {
		tb.Fatal(resp.StatusCode, len(b), err)
	}
}

// What a request costs in allocations beside the same by hand. Over the loopback the server's own
// share is in both, and not always the same.
func TestAllocations(t *testing.T) {
	if httpx.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	constant, unlimited := httpx.WithPolicy(policies.Constant(0)), httpx.AttemptLimit(0)
	for _, c := range []struct {
		name string
		w    *wire
		opts []httpx.Option
		more float64
	}{
		{"a GET", loopback(t, 200), nil, 10.5},
		{"a GET", memory(200), nil, 8},
		{"a GET without a limit", loopback(t, 200), []httpx.Option{unlimited}, 3.5},
		{"a GET without a limit", memory(200), []httpx.Option{unlimited}, 4},
		{"503, then 200", loopback(t, 503, 200), []httpx.Option{constant, unlimited}, 3.5},
		{"503, then 200", memory(503, 200), []httpx.Option{constant, unlimited}, 7},
		{"503, then 200 with a limit", loopback(t, 503, 200), []httpx.Option{constant}, 9.5},
		{"503, then 200 with a limit", memory(503, 200), []httpx.Option{constant}, 10},
	} {
		bare, ours := c.w.byHand(c.w.client), c.w.byHTTPX(c.opts...)
		check.OneOf(t, 5, func() (problem string) {
			byHand := testing.AllocsPerRun(500, func() { bare(t) })
			got := testing.AllocsPerRun(500, func() { ours(t) })
			told := fmt.Sprintf("%s, %s: %v allocations, %v by hand", c.name, c.w.name, got, byHand)
			if got > byHand+c.more {
				return told
			}
			t.Log(told)
			return ""
		})
	}
}

// A limit that a nearer deadline makes void costs nothing.
func TestANearerDeadlineSavesTheLimit(t *testing.T) {
	if httpx.RaceEnabled {
		t.Skip("the race detector allocates")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	w := memory(200)
	cost := func(opts ...httpx.Option) float64 {
		c := httpx.New(append(opts, httpx.WithClient(w.client))...)
		return testing.AllocsPerRun(500, func() {
			resp, err := c.Get(ctx, w.url)
			readAll(t, resp, err)
		})
	}
	check.OneOf(t, 5, func() (problem string) {
		if limited, unlimited := cost(), cost(httpx.AttemptLimit(0)); limited > unlimited {
			return fmt.Sprintf("%v allocations, %v without a limit", limited, unlimited)
		}
		return ""
	})
}
