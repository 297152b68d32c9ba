package httpx_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// behind is what stands behind the proxy.
func behind(n int, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/flaky":
		if n < 3 {
			w.WriteHeader(503)
		}
		_, _ = fmt.Fprintf(w, "%d %s", n, body)
	case "/hint":
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		_, _ = w.Write(body)
	case "/trailer":
		w.Header().Set("Trailer", "X-Sum")
		_, _ = w.Write(body)
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("X-Sum", "42")
	case "/drip":
		drip(w, r)
	case "/large":
		_, _ = w.Write(make([]byte, 1<<20))
	case "/echo":
		c, rw, _ := w.(http.Hijacker).Hijack()
		defer c.Close()
		_, _ = rw.WriteString(
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = rw.WriteString(line)
			_ = rw.Flush()
		}
	}
}

func TestUnderAReverseProxy(t *testing.T) {
	stream := func() io.Reader { return struct{ io.Reader }{strings.NewReader("data")} }
	none := func() io.Reader { return nil }
	for _, c := range []struct {
		name, method, path string
		body               func() io.Reader
		code               int
		want               string
		hits               int32
	}{
		{"GET", "GET", "/flaky", none, 200, "3 ", 3},
		{"PUT without a body", "PUT", "/flaky", none, 200, "3 ", 3},
		{"a stream cannot be sent again", "PUT", "/flaky", stream, 503, "1 data", 1},
		{"POST", "POST", "/flaky", stream, 503, "1 data", 1},
		{"hint", "GET", "/hint", none, 200, "", 1},
		{"hint for a POST", "POST", "/hint", stream, 200, "data", 1},
		{"trailer", "POST", "/trailer", stream, 200, "data", 1},
		{"large", "GET", "/large", none, 200, string(make([]byte, 1<<20)), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			proxied(t, nil, func(b *bubble, client *http.Client) {
				hints := 0
				ctx := httptrace.WithClientTrace(b.Context(),
					&httptrace.ClientTrace{
						Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
							hints += code - 102
							return nil
						}})
				req, _ := http.NewRequestWithContext(ctx, c.method, "http://proxy"+c.path, c.body())
				resp, err := client.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				var got bytes.Buffer
				_, err = got.ReadFrom(resp.Body)
				if resp.StatusCode != c.code || err != nil || got.String() != c.want ||
					b.hits.Load() != c.hits {
					b.Errorf("%d, %d bytes, %v after %d", resp.StatusCode, got.Len(), err,
						b.hits.Load())
				}
				if c.path == "/hint" && hints != 1 ||
					c.path == "/trailer" && resp.Trailer.Get("X-Sum") != "42" {
					b.Errorf("%d hints, trailer %v", hints, resp.Trailer)
				}
				_ = resp.Body.Close()
			})
		})
	}
}

// After a 101 the connection is the caller's: no timeout ends it, and it can be written to.
func TestAnUpgradedConnectionLastsAndIsWrittenTo(t *testing.T) {
	for name, policy := range map[string]retry.Policy{
		"default":     nil,
		"per attempt": retry.Chain(policies.Constant(0), policies.Timeout(time.Second)),
		"none":        retry.Chain(),
	} {
		t.Run(name, func(t *testing.T) {
			proxied(t, policy, func(b *bubble, client *http.Client) {
				upgraded := func(do func(*http.Request) (*http.Response, error), url string) {
					req, _ := http.NewRequestWithContext(b.Context(), "GET", url, nil)
					req.Header.Set("Connection", "Upgrade")
					req.Header.Set("Upgrade", "echo")
					resp, err := do(req)
					if err != nil {
						b.Fatal(err)
					}
					defer resp.Body.Close()
					conn, ok := resp.Body.(io.ReadWriter)
					if resp.StatusCode != 101 || !ok {
						b.Fatalf("%d, a body of %T", resp.StatusCode, resp.Body)
					}
					for br := bufio.NewReader(conn); ; {
						_, _ = io.WriteString(conn, "hello\n")
						if line, err := br.ReadString('\n'); line != "hello\n" {
							b.Errorf("%q, %v", line, err)
						}
						if time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) > time.Hour {
							return
						}
						time.Sleep(time.Hour)
					}
				}
				upgraded(client.Do, "http://proxy/echo")
				direct := httpx.New(httpx.WithClient(&http.Client{Transport: b.tr}),
					httpx.MaxBody(1), httpx.RetryOn(httpx.Status(404)))
				upgraded(direct.Do, "http://behind/echo")
			})
		})
	}
}

func TestWhoLeavesTheProxyLeavesTheServerBehindItToo(t *testing.T) {
	proxied(t, nil, func(b *bubble, client *http.Client) {
		ctx, cancel := context.WithTimeout(b.Context(), 3500*time.Millisecond)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://proxy/drip", nil)
		resp, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 4 || err == nil {
			b.Errorf("%d bytes, %v", n, err)
		}
		_ = resp.Body.Close()
		time.Sleep(time.Minute) // httputil notices by what it writes
		if b.hits.Load() != 1 {
			b.Errorf("%d requests", b.hits.Load())
		}
	})
}

// proxied runs do in a bubble with a client of a proxy. The bubble's own network is that between
// the proxy and behind.
func proxied(t *testing.T, policy retry.Policy, do func(*bubble, *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		quiet := log.New(io.Discard, "", 0)
		b := &bubble{T: t, network: newNetwork(), never: make(chan struct{})}
		b.tr = &http.Transport{DialContext: b.dial}
		origin := &http.Server{ErrorLog: quiet,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				behind(int(b.hits.Add(1)), w, r)
			})}
		go origin.Serve(b.network)
		front := newNetwork()
		proxy := &http.Server{ErrorLog: quiet, Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: "behind"})
			},
			Transport:     &httpx.Transport{Base: b.tr, Policy: policy},
			ErrorLog:      quiet,
			FlushInterval: -1,
		}}
		go proxy.Serve(front)
		tr := &http.Transport{DialContext: front.dial}
		do(b, &http.Client{Transport: tr})
		tr.CloseIdleConnections()
		b.settled()
		_, _ = proxy.Close(), origin.Close()
	})
}
