package httpx_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// slow answers by path, too: /hang says nothing, /503/hang likewise after a 503, /abort breaks off,
// /drip sends a byte each second without end, /long ten bytes in 90 s, /stall only the first of
// them.
func slow(n int, w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/long" || r.URL.Path == "/stall" {
		w.Header().Set("Content-Length", "10")
		wait := map[string]time.Duration{"/long": 10 * time.Second, "/stall": time.Hour}[r.URL.Path]
		_, _ = io.WriteString(w, "x")
		for range 9 {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(wait):
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, "x")
		}
		return
	}
	if r.URL.Path == "/hang" || r.URL.Path == "/503/hang" && n > 1 {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return
	}
	switch r.URL.Path {
	case "/abort":
		panic(http.ErrAbortHandler)
	case "/503/hang":
		w.WriteHeader(503)
		return
	}
	site(n, w, r)
}

func TestWhatATimeoutSpans(t *testing.T) {
	second := policies.Timeout(time.Second)
	perAttempt := httpx.WithPolicy(retry.Chain(policies.Constant(0), second))
	inAll := httpx.WithPolicy(retry.Chain(second, policies.Constant(0)))
	plain := func(timeout time.Duration) func(*bubble) *httpx.Client {
		return func(b *bubble) *httpx.Client {
			return httpx.New(httpx.WithClient(&http.Client{Transport: b.tr, Timeout: timeout}))
		}
	}
	own := func(b *bubble) *httpx.Client { return b.Client }
	readFor := func(d time.Duration) func(*bubble, *http.Response) error {
		return func(b *bubble, resp *http.Response) error {
			defer resp.Body.Close()
			for end := time.Now().Add(d); time.Now().Before(end); {
				if n, err := resp.Body.Read(make([]byte, 1)); n == 0 {
					return err
				}
			}
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		client func(*bubble) *httpx.Client
		method string // "": Fetch
		path   string
		opt    httpx.Option
		read   func(*bubble, *http.Response) error
		want   error
		hits   int32
		took   time.Duration
	}{
		// The attempt ends with the headers, the body is the caller's.
		{"per attempt, body", own, "GET", "/drip", perAttempt,
			readFor(5 * time.Second), nil, 1, 5 * time.Second},
		{"overall, body", own, "GET", "/drip", inAll,
			readFor(5 * time.Second), nil, 1, 5 * time.Second},
		{"default, body", plain(0), "GET", "/drip", nil, readFor(time.Minute), nil, 1, time.Minute},
		{"per attempt, no headers", own, "GET", "/hang",
			perAttempt, nil, policies.ErrTimeout, 3, 3 * time.Second},
		{"overall, no headers", own, "GET", "/hang",
			inAll, nil, policies.ErrTimeout, 1, time.Second},
		{"POST, no headers", own, "POST", "/hang",
			perAttempt, nil, policies.ErrTimeout, 1, time.Second},
		// Under Fetch it ends when the body is decoded.
		{"per attempt, Fetch", own, "", "/drip",
			perAttempt, nil, policies.ErrTimeout, 3, 3 * time.Second},
		{"overall, Fetch", own, "", "/drip", inAll, nil, policies.ErrTimeout, 1, time.Second},
		// But for the default's, which is for the headers, and then for what comes next.
		{"default, no headers", plain(0), "", "/hang", httpx.EachAttempt(firstOnly),
			nil, policies.ErrTimeout, 1, 0},
		{"default, Fetch", plain(0), "", "/long", nil, nil, nil, 1, 90 * time.Second},
		{"default, Fetch of a body that stops", plain(0), "", "/stall",
			httpx.EachAttempt(firstOnly), nil, policies.ErrTimeout, 1, 0},
		{"default, after another attempt", plain(0), "GET", "/503/hang",
			httpx.WithPolicy(policies.Constant(0, policies.Attempts(2))),
			nil, policies.ErrTimeout, 2, 30 * time.Second},
		// http.Client's own spans everything.
		{"client's, no headers", plain(10 * time.Second), "GET", "/hang",
			nil, nil, context.DeadlineExceeded, 1, 10 * time.Second},
		{"client's, body", plain(10 * time.Second), "GET", "/drip", nil, readFor(time.Minute),
			context.DeadlineExceeded, 1, 10 * time.Second},
		{"client's, Fetch", plain(10 * time.Second), "", "/drip",
			nil, nil, context.DeadlineExceeded, 1, 10 * time.Second},
		{"client's, another attempt", plain(10 * time.Second), "GET", "/503/hang?k=v",
			httpx.WithPolicy(policies.Constant(4 * time.Second)),
			nil, context.DeadlineExceeded, 2, 10 * time.Second},
		{"client's, waits after a failure", plain(10 * time.Second), "GET", "/abort",
			httpx.WithPolicy(policies.Constant(4*time.Second, policies.Attempts(9))),
			nil, context.DeadlineExceeded, 3, 8 * time.Second},
		{"client's, waits", plain(10 * time.Second), "GET", "/503",
			httpx.WithPolicy(policies.Constant(4*time.Second, policies.Attempts(9))),
			nil, context.DeadlineExceeded, 3, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			spotless(t, slow, func(b *bubble) {
				start := time.Now()
				client := c.client(b)
				if c.opt != nil {
					client = client.With(c.opt)
				}
				var resp *http.Response
				var err error
				if c.method == "" {
					_, err = httpx.Fetch(b.Context(), client, "http://a.example"+c.path,
						httpx.Bytes)
				} else {
					req, _ := http.NewRequestWithContext(b.Context(), c.method, "http://a.example"+
						c.path, strings.NewReader("x"))
					if resp, err = client.Do(req); err == nil {
						err = c.read(b, resp)
					}
				}
				var net interface{ Timeout() bool }
				if late := err != nil &&
					strings.Contains(err.Error(),
						"no more of the body for 30s"); late != (c.path == "/stall") {
					b.Errorf("%v", err)
				}
				if !errors.Is(err, c.want) ||
					c.want != nil &&
						(errors.Is(err, context.Canceled) || !errors.As(err, &net) ||
							!net.Timeout()) ||
					b.hits.Load() != c.hits || c.took > 0 && time.Since(start) != c.took {
					b.Errorf("%v after %d requests in %v", err, b.hits.Load(), time.Since(start))
				}
			})
		})
	}
}

// firstOnly ends a call whose waits have jitter after its first attempt.
func firstOnly(n int, _ *http.Request) error {
	if n > 1 {
		return errBang
	}
	return nil
}

// The limit is for the server, not for what is done with what it sends.
func TestADecoderTakesItsTime(t *testing.T) {
	spotless(t, slow, func(b *bubble) {
		_, err := httpx.Fetch(b.Context(),
			httpx.New(httpx.WithClient(&http.Client{Transport: b.tr})), "http://a.example/ok",
			func(r *http.Response) (string, error) {
				time.Sleep(time.Minute)
				return httpx.Text(r)
			})
		if err != nil || b.hits.Load() != 1 {
			b.Errorf("%v after %d", err, b.hits.Load())
		}
	})
}

func TestAPostThatWasNeverSentIsRetriedAfterATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork() // nobody accepts
		tr := &http.Transport{DialContext: n.dial}
		c := httpx.New(httpx.WithClient(&http.Client{Transport: tr}),
			httpx.WithPolicy(retry.Chain(policies.Constant(0), policies.Timeout(time.Second))))
		start := time.Now()
		_, err := c.Post(t.Context(), inBubble, strings.NewReader("x"))
		if !errors.Is(err, retry.ErrExhausted) || !errors.Is(err, policies.ErrTimeout) ||
			time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		_ = n.Close() // net/http's dialling outlives the request
	})
}

// What a decoder leaves of a body is read for the connection's sake, but not for longer than that
// is worth.
func TestADecoderThatHasEnoughIsNotHeldUp(t *testing.T) {
	first := func(r *http.Response) (byte, error) {
		p := make([]byte, 1)
		_, err := io.ReadFull(r.Body, p)
		return p[0], err
	}
	spotless(t, slow, func(b *bubble) {
		for range 3 {
			_, err := httpx.Fetch(b.Context(), b.Client, "http://a.example/ok", first)
			if err != nil {
				b.Error(err)
			}
			// net/http hands a new HTTP/2 connection to others after the first response
			synctest.Wait()
		}
		if n := b.dialled.Load(); n != 1 {
			b.Errorf("%d connections", n)
		}
		start := time.Now()
		_, err := httpx.Fetch(b.Context(), b.Client, "http://a.example/drip", first)
		if took := time.Since(start); err != nil || took > time.Second {
			b.Errorf("%v after %v", err, took)
		}
	})
}

// A packed body that is being read ahead may be closed: the decoder is left alone until it has
// stopped.
func TestAPackedBodyIsClosedWhileItIsRead(t *testing.T) {
	spotless(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for i := 0; r.Context().Err() == nil; i++ {
			_, _ = fmt.Fprintln(z, i)
			_ = z.Flush()
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}, func(b *bubble) {
		_, err := httpx.Fetch(b.Context(), b.Client, inBubble, httpx.Text,
			httpx.RetryOn(httpx.Status(200)))
		if !errors.Is(err, retry.ErrExhausted) || b.hits.Load() != 3 {
			b.Errorf("%v after %d", err, b.hits.Load())
		}
	})
}

// A packed body that never begins holds nobody up: net/http's own reader could not be closed while
// it waits for gzip's header.
func TestAPackedBodyThatNeverBegins(t *testing.T) {
	spotless(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(503)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(b *bubble) {
		for _, limit := range []httpx.Option{httpx.WithPolicy(policies.Constant(0)),
			httpx.WithPolicy(retry.Chain(policies.Constant(0), policies.Timeout(time.Minute)))} {
			start := time.Now()
			resp, err := b.Get(b.Context(), inBubble, limit)
			if err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
			if took := time.Since(start); resp.StatusCode != 503 || took != 600*time.Millisecond {
				b.Errorf("%d after %v", resp.StatusCode, took)
			}
		}
	})
}

// The time for reading a rejected body ahead is not that for the headers: what comes later than
// both still reaches the caller.
func TestARejectedBodyThatComesSlowlyIsHandedBack(t *testing.T) {
	spotless(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(503)
		if n == 1 {
			_, _ = io.WriteString(w, "at once")
			return
		}
		slow(n, w, r)
	}, func(b *bubble) {
		start := time.Now()
		c := httpx.New(httpx.WithClient(&http.Client{Transport: b.tr}),
			httpx.WithPolicy(policies.Constant(0)))
		resp, err := c.Get(b.Context(), "http://a.example/long")
		if took := time.Since(start); err != nil || took != 400*time.Millisecond {
			b.Fatalf("%v after %v", err, took)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		took := time.Since(start)
		if string(body) != "xxxxxxxxxx" || err != nil || took < 90*time.Second {
			b.Errorf("%q, %v after %v", body, err, took)
		}
	})
}

func TestABodyThatIsNotPackedAsItSays(t *testing.T) {
	spotless(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "plain text, of a proxy that does not know")
	}, func(b *bubble) {
		resp, err := b.Get(b.Context(), inBubble)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, gzip.ErrHeader) ||
			resp.StatusCode != 503 || !resp.Uncompressed {
			b.Errorf("%d, %v", resp.StatusCode, err)
		}
		_ = resp.Body.Close()
		for _, code := range []httpx.Option{httpx.RaiseForStatus(true),
			httpx.Header("Accept-Encoding", "gzip")} {
			_, err := httpx.Fetch(b.Context(), b.Client, inBubble, httpx.Text, code,
				httpx.RetryOn(httpx.Status(200)))
			if !errors.Is(err, retry.ErrExhausted) {
				b.Error(err)
			}
		}
	})
}
