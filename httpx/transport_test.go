package httpx_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func over(rt http.RoundTripper, opts ...httpx.Option) *httpx.Client {
	return httpx.New(append([]httpx.Option{httpx.WithClient(&http.Client{Transport: rt}),
		httpx.WithPolicy(policies.Constant(0))}, opts...)...)
}

func TestTransportErrors(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	for _, c := range []struct {
		err       error
		get, post int
	}{
		{dial, 3, 3},
		{reset, 3, 1},
		{io.ErrUnexpectedEOF, 3, 1},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, 1, 1},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTemporary: true}}, 3, 3},
		{x509.UnknownAuthorityError{}, 1, 1},
		{http.ErrSchemeMismatch, 1, 1},
		{retry.ConfigErrorf("x", "y"), 1, 1},
	} {
		for _, m := range []struct {
			method string
			want   int
		}{{"GET", c.get}, {"POST", c.post}} {
			calls := 0
			client := over(roundTripper(func(*http.Request) (*http.Response, error) {
				calls++
				return nil, c.err
			}))
			req, _ := http.NewRequestWithContext(t.Context(), m.method, "http://h/", nil)
			resp, err := client.Do(req)
			if resp != nil ||
				!errors.Is(err, c.err) && !errors.As(err, new(x509.UnknownAuthorityError)) ||
				calls != m.want {
				t.Errorf("%s %v: %v after %d, want %d", m.method, c.err, err, calls, m.want)
			}
		}
	}
}

func TestARefusedConnectionIsRetriedForAnyMethod(t *testing.T) {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	addr := l.Addr().String()
	_ = l.Close()
	_, err := quick(t).Post(t.Context(), "http://"+addr, strings.NewReader("x"))
	var gaveUp *retry.Error
	if !errors.As(err, &gaveUp) || gaveUp.Attempts != 3 || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}

func TestHTTP2AndTLS(t *testing.T) {
	var hits atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || string(b) != "payload" {
			t.Errorf("HTTP/%d %q", r.ProtoMajor, b)
		}
		if hits.Add(1) < 3 {
			w.WriteHeader(503)
		}
		_, _ = io.WriteString(w, "done")
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	c := httpx.New(httpx.WithClient(s.Client()),
		httpx.WithPolicy(retry.Chain(policies.Constant(0), policies.Timeout(time.Minute))))
	resp, err := c.Put(t.Context(), s.URL, strings.NewReader("payload"))
	if code, body := read(t, resp, err); code != 200 || body != "done" || hits.Load() != 3 {
		t.Error(code, body, hits.Load())
	}
	// An unknown authority is final.
	s.Config.ErrorLog = nil
	if _, err := quick(t).Get(t.Context(), s.URL); err == nil ||
		errors.Is(err, retry.ErrExhausted) {
		t.Error(err)
	}
	// A stream that the server aborts is retried for a GET.
	var aborted atomic.Int32
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if aborted.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
	})
	resp, err = c.Get(t.Context(), s.URL)
	if code, _ := read(t, resp, err); code != 200 || aborted.Load() != 2 {
		t.Error(code, aborted.Load())
	}
}

func TestUnderAReverseProxyAndOtherClients(t *testing.T) {
	backend := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			_, _ = rw.WriteString(
				"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			line, _ := rw.ReadString('\n')
			_, _ = rw.WriteString(line)
			_ = rw.Flush()
			return
		}
		if n == 1 {
			w.WriteHeader(503)
		}
		_, _ = io.WriteString(w, "body")
	})
	target, _ := url.Parse(backend.URL)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &httpx.Transport{Base: tr, Policy: policies.Constant(0),
			Retry: httpx.ServerErrors},
	})
	defer proxy.Close()
	resp, err := proxy.Client().Get(proxy.URL)
	if code, body := read(t, resp, err); code != 200 || body != "body" {
		t.Error(code, body)
	}
	conn, err := net.Dial("tcp", proxy.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn,
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	br := bufio.NewReader(conn)
	up, err := http.ReadResponse(br, nil)
	if err != nil || up.StatusCode != 101 {
		t.Fatal(up, err)
	}
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := br.ReadString('\n'); line != "hello\n" {
		t.Error(line, err)
	}
}

func TestTransportDoesNotChangeTheRequestAndIsNeverNilNil(t *testing.T) {
	silent := retry.PolicyFunc(func(context.Context, retry.Next) error { return nil })
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://h/", nil)
	before := req.Clone(t.Context())
	if resp, err := (&httpx.Transport{Policy: silent}).RoundTrip(req); resp != nil || err == nil {
		t.Error(resp, err)
	}
	if fmt.Sprint(req.URL, req.Header, req.Method) != fmt.Sprint(before.URL, before.Header,
		before.Method) {
		t.Error("changed")
	}
}

func TestEveryHopHasItsOwnHost(t *testing.T) {
	var hosts []string
	per := policies.Keyed(httpx.Host, func(host string) retry.Policy {
		hosts = append(hosts, host)
		return retry.Chain()
	})
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody,
			Request: r}
		if r.URL.Host == "A.example:80" {
			if r.Header.Get("Authorization") == "" {
				t.Error("no credentials at home")
			}
			resp.StatusCode, resp.Header = 307, http.Header{"Location": {"https://b.example:8443/"}}
		} else if r.Header.Get("Authorization") != "" {
			t.Error("credentials abroad")
		}
		return resp, nil
	}), httpx.WithPolicy(per), httpx.Header("Authorization", "Bearer x"))
	resp, err := c.Get(t.Context(), "http://A.example:80/")
	read(t, resp, err)
	if !slices.Equal(hosts, []string{"a.example", "b.example:8443"}) {
		t.Error(hosts)
	}
}

func TestAlternatesAndEachAttempt(t *testing.T) {
	var got []string
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		got = append(got, r.URL.String()+" "+
			r.Header.Get("X-Attempt")+r.Header.Get("Authorization"))
		return &http.Response{StatusCode: 503, Header: http.Header{}, Body: http.NoBody,
			Request: r}, nil
	}), httpx.Header("Authorization", " s"), httpx.Alternates("http://a/1", "http://b/2"),
		httpx.EachAttempt(func(n int, r *http.Request) error {
			r.Header.Set("X-Attempt", fmt.Sprint(n))
			return nil
		}))
	resp, err := c.Get(t.Context(), "http://a/")
	read(t, resp, err)
	want := []string{"http://a/1 1 s", "http://b/2 2", "http://b/2 3"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	boom := errors.New("boom")
	got = nil
	_, err = c.Get(t.Context(), "http://a/",
		httpx.EachAttempt(func(int, *http.Request) error { return boom }))
	if !errors.Is(err, boom) || len(got) != 0 {
		t.Error(err, got)
	}
}

func TestCookiesOfADroppedResponseAreSentWithTheNextAttempt(t *testing.T) {
	s := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("k"); err != nil || c.Value != "v" {
			http.SetCookie(w, &http.Cookie{Name: "k", Value: "v"})
			w.WriteHeader(503)
		}
	})
	jar, _ := cookiejar.New(nil)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := quick(t, httpx.WithClient(&http.Client{Jar: jar, Transport: tr})).Get(t.Context(),
		s.URL)
	if code, _ := read(t, resp, err); code != 200 || s.hits.Load() != 2 {
		t.Error(code, s.hits.Load())
	}
}

func TestPredicatesMayReadTheBody(t *testing.T) {
	captcha := func(r *http.Response) bool {
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return strings.Contains(string(b), "captcha")
	}
	s := newServer(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, map[bool]string{true: "captcha", false: "page"}[n == 1])
	})
	resp, err := quick(t, httpx.RetryOn(httpx.And(captcha, captcha)),
		httpx.RetryOn(captcha)).Get(t.Context(), s.URL)
	if _, body := read(t, resp, err); body != "page" || s.hits.Load() != 2 {
		t.Error(body, s.hits.Load())
	}
}

func TestASlowRejectedBodyDoesNotHoldUpTheRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int32
		n := 0
		c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			pr, pw := io.Pipe()
			resp := &http.Response{StatusCode: 503, ContentLength: -1, Header: http.Header{},
				Request: r, Body: &counted{ReadCloser: pr, closed: &closed}}
			go func() { // a slow drip: a byte each second
				for range 5 {
					time.Sleep(time.Second)
					if _, err := pw.Write([]byte("x")); err != nil {
						return
					}
				}
				_ = pw.Close()
			}()
			return resp, nil
		}))
		start := time.Now()
		resp, err := c.Get(t.Context(), "http://h/")
		if took := time.Since(start); took != 600*time.Millisecond || closed.Load() != 2 {
			t.Errorf("took %v, %d closed", took, closed.Load())
		}
		if code, body := read(t, resp, err); code != 503 || body != "xxxxx" {
			t.Error(code, body)
		}
	})
}

type counted struct {
	io.ReadCloser
	closed *atomic.Int32
	once   sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.closed.Add(1) })
	return c.ReadCloser.Close()
}

func TestTheDefaultGivesEachAttempt30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := httpx.New(httpx.WithClient(
			&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				n++
				<-r.Context().Done()
				return nil, r.Context().Err()
			})}))
		start := time.Now()
		_, err := c.Get(t.Context(), "http://h/")
		took := time.Since(start)
		if n != 3 || !errors.Is(err, policies.ErrTimeout) ||
			!errors.Is(err, context.DeadlineExceeded) || took < 90*time.Second ||
			took > 91*time.Second {
			t.Error(n, err, took)
		}
	})
}

func TestRetryAfterIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			if n++; n == 1 {
				return &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"7"}},
					Body: http.NoBody, Request: r}, nil
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody,
				Request: r}, nil
		}))
		start := time.Now()
		resp, err := c.Get(t.Context(), "http://h/")
		if code, _ := read(t, resp, err); code != 200 || time.Since(start) != 7*time.Second {
			t.Error(code, time.Since(start))
		}
	})
}

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		method, after                string
		code                         int
		permanent, neutral, hasAfter bool
		wait                         time.Duration
	}{
		{"GET", "", 404, true, true, false, 0},
		{"GET", "", 429, false, true, true, 0},
		{"GET", "9", 429, false, true, true, 9 * time.Second},
		{"GET", "9", 503, false, false, true, 9 * time.Second},
		{"POST", "", 503, true, false, false, 0},
		{"GET", "", 501, true, false, false, 0},
	} {
		var seen error
		see := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			seen = next.Do(ctx)
			return seen
		})
		s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			w.Header().Set("RateLimit-Limit", "10")
			w.Header().Set("RateLimit-Remaining", "3")
			w.Header().Set("RateLimit-Reset", "5")
			w.WriteHeader(c.code)
		})
		req, _ := http.NewRequestWithContext(t.Context(), c.method, s.URL, nil)
		_, _ = quick(t, httpx.WithPolicy(see), httpx.RaiseForStatus(true)).Do(req)
		wait, ok := retry.RetryAfter(seen)
		if retry.IsPermanent(seen) != c.permanent || retry.IsNeutral(seen) != c.neutral ||
			ok != c.hasAfter || wait != c.wait {
			t.Errorf("%s %d: permanent %v, neutral %v, after %v %v", c.method, c.code,
				retry.IsPermanent(seen), retry.IsNeutral(seen), wait, ok)
		}
	}
}

func TestQuotaIsReportedOnSuccessesToo(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("RateLimit", `"d";r=3;t=5`)
	})
	var got retry.Quota
	hear := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		start := time.Now()
		err := next.Do(ctx)
		got, _ = retry.Reported(ctx, start)
		return err
	})
	resp, err := quick(t, httpx.WithPolicy(hear)).Get(t.Context(), s.URL)
	if read(t, resp, err); got.Remaining != 3 {
		t.Error(got)
	}
}

type countedConn struct {
	net.Conn
	n    *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error { c.once.Do(func() { c.n.Add(1) }); return c.Conn.Close() }
