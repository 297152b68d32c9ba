package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// server answers each request with the next of the codes, the last again and again, and counts what
// it is asked and the connections that are open.
type server struct {
	*httptest.Server
	hits   atomic.Int32
	opened atomic.Int32
	closed atomic.Int32
}

func newServer(t *testing.T, h func(n int, w http.ResponseWriter, r *http.Request)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewUnstartedServer(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h(int(s.hits.Add(1)), w, r)
		}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.opened.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.closed.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func codes(cs ...int) func(int, http.ResponseWriter, *http.Request) {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(cs[min(n, len(cs))-1])
		_, _ = io.WriteString(w, "body")
	}
}

// quick retries without waiting, on a transport of its own.
func quick(t *testing.T, opts ...httpx.Option) *httpx.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	all := []httpx.Option{httpx.WithClient(&http.Client{Transport: tr}),
		httpx.WithPolicy(policies.Constant(0))}
	return httpx.New(append(all, opts...)...)
}

func read(t *testing.T, resp *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestWhatIsRetried(t *testing.T) {
	type req struct {
		method string
		code   int
		header string
		opts   []httpx.Option
	}
	twice := []httpx.Option{httpx.RetryNonIdempotent(true)}
	for _, c := range []struct {
		req
		hits int32
	}{
		{req{"GET", 200, "", nil}, 1},
		{req{"GET", 404, "", nil}, 1},
		{req{"GET", 404, "", []httpx.Option{httpx.RetryOn(httpx.Status(404))}}, 3},
		{req{"GET", 503, "", []httpx.Option{httpx.RetryOnly(httpx.Status(404))}}, 1},
		{req{"GET", 503, "", nil}, 3},
		{req{"PUT", 500, "", nil}, 3},
		{req{"DELETE", 502, "", nil}, 3},
		{req{"GET", 501, "", nil}, 1},
		{req{"GET", 505, "", nil}, 1},
		{req{"POST", 503, "", nil}, 1},
		{req{"PATCH", 503, "", nil}, 1},
		{req{"POST", 503, "", twice}, 3},
		{req{"POST", 503, "", []httpx.Option{httpx.AutoIdempotencyKey()}}, 3},
		{req{"POST", 404, "", []httpx.Option{httpx.RetryOn(httpx.Status(404))}}, 1},
		{req{"POST", 429, "", nil}, 3},
		{req{"POST", 408, "", nil}, 3},
		{req{"POST", 425, "", nil}, 3},
		{req{"POST", 421, "", nil}, 2},
		{req{"POST", 413, "", nil}, 1},
		{req{"POST", 413, "0", nil}, 3},
		{req{"GET", 403, "", []httpx.Option{httpx.Refused(httpx.Status(403))}}, 3},
	} {
		s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.code)
		})
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := quick(t, c.opts...).Do(r)
		if code, _ := read(t, resp, err); code != c.code || s.hits.Load() != c.hits {
			t.Errorf("%s %d %q: got %d after %d requests, want %d", c.method, c.code, c.header,
				code, s.hits.Load(), c.hits)
		}
	}
}

func TestTheLastResponseComesBackReadable(t *testing.T) {
	s := newServer(t, codes(503))
	resp, err := quick(t,
		httpx.WithPolicy(retry.Chain(policies.Constant(0),
			policies.Timeout(time.Minute)))).Get(t.Context(), s.URL)
	if code, body := read(t, resp, err); code != 503 || body != "body" || s.hits.Load() != 3 {
		t.Errorf("%d %q after %d", code, body, s.hits.Load())
	}
}

func TestAResponseOutlivesItsAttempt(t *testing.T) {
	// The attempt's context has ended by the time the body is read, which is larger than any buffer
	// on the way.
	const size = 8 << 20
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, size))
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp, err := quick(t, httpx.WithPolicy(policies.Timeout(time.Minute))).Get(ctx, s.URL)
	if _, body := read(t, resp, err); len(body) != size {
		t.Errorf("%d bytes", len(body))
	}
	// The caller's still rules.
	resp, err = quick(t, httpx.WithPolicy(policies.Timeout(time.Minute))).Get(ctx, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
	_ = resp.Body.Close()
}

func TestOneConnectionForAllAttempts(t *testing.T) {
	s := newServer(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n%3 != 0 {
			w.WriteHeader(503)
		}
		_, _ = io.WriteString(w, "body")
	})
	c := quick(t, httpx.WithClient(&http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}))
	for range 50 {
		resp, err := c.Get(t.Context(), s.URL)
		if code, body := read(t, resp, err); code != 200 || body != "body" {
			t.Fatal(code, body)
		}
	}
	if n := s.opened.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	c.CloseIdleConnections()
}

func TestRaiseForStatus(t *testing.T) {
	for _, c := range []struct {
		code  int
		final error
		hits  int32
	}{{404, nil, 1}, {503, retry.ErrExhausted, 3}} {
		s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
		})
		resp, err := quick(t, httpx.RaiseForStatus(true)).Get(t.Context(), s.URL+"/?token=secret")
		var status *httpx.StatusError
		if resp != nil || !errors.As(err, &status) || status.Code != c.code ||
			c.final != nil && !errors.Is(err, c.final) || s.hits.Load() != c.hits {
			t.Errorf("%d: %v %v after %d", c.code, resp, err, s.hits.Load())
		}
		if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	}
}

func TestRaiseForStatusLeavesWhatIsNoErrorAlone(t *testing.T) {
	for _, code := range []int{200, 204, 300, 302, 304, 307} {
		s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
		})
		resp, err := quick(t, httpx.RaiseForStatus(true)).Get(t.Context(), s.URL)
		if got, _ := read(t, resp, err); got != code {
			t.Errorf("%d: %d", code, got)
		}
	}
}

func TestAHintOverItsCapIsAnError(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
	})
	resp, err := quick(t).Get(t.Context(), s.URL)
	var gaveUp *retry.Error
	if resp != nil || !errors.As(err, &gaveUp) || gaveUp.Wait != time.Hour {
		t.Errorf("%v %v", resp, err)
	}
}

// MaxElapsed bounds the loop whatever the server asks for: only a hint over its cap ends the call
// without a response.
func TestTheResponseOfALoopThatHasNoTimeLeft(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		hint string
		loop retry.Policy
		back bool
	}{
		{"", policies.Constant(3*s, policies.MaxElapsed(s)), true},
		{"2", policies.Constant(3*s, policies.MaxElapsed(s)), true},
		{"20", policies.Constant(3*s, policies.MaxElapsed(s)), true},
		{"20", policies.Exponential(policies.MaxElapsed(s)), true},
		{"20", retry.Chain(policies.Constant(0, policies.Attempts(1)),
			policies.Constant(0, policies.MaxElapsed(s))), true},
		{"301", policies.Constant(3*s, policies.MaxElapsed(s)), false},
		{"301", policies.Constant(3 * s), false},
		{"301", policies.Constant(3*s, policies.Attempts(1)), true},
	} {
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 503, http.NoBody)
			resp.Header.Set("Retry-After", c.hint)
			return resp, nil
		})
		resp, err := over(rt, httpx.WithPolicy(c.loop)).Get(t.Context(), "http://h/")
		if back := resp != nil && err == nil; back != c.back ||
			!back && !errors.Is(err, retry.ErrExhausted) {
			t.Errorf("Retry-After %q: %v, %v", c.hint, resp, err)
		}
	}
}

// A policy that has something to say of a failure is heard.
func TestAPolicysVerdictIsNotTheResponse(t *testing.T) {
	after := func(f func(error) error) retry.Policy {
		return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			return f(next.Do(ctx))
		})
	}
	loop := policies.Constant(0)
	for _, c := range []struct {
		name   string
		policy retry.Policy
		back   bool
	}{
		{"bare", after(func(err error) error { return err }), true},
		{"permanent", retry.Chain(loop, after(retry.Permanent)), true},
		{"neutral", after(retry.Neutral), true},
		{"after", after(func(err error) error { return retry.After(err, time.Second) }), true},
		{"unmarked", after(retry.Unmark), true},
		{"marked, a loop's", retry.Chain(after(retry.Neutral), loop), true},
		{"a loop's, twice", retry.Chain(loop, loop), true},
		{"permanent, of a loop",
			after(func(err error) error {
				return &retry.Error{Reason: retry.ErrPermanent, Last: err}
			}), true},
		{"declined",
			policies.Constant(0, policies.RetryIf(func(error) bool { return false })), true},
		{"declined later",
			after(func(err error) error {
				return &retry.Error{Reason: retry.ErrDeclined, Last: retry.Neutral(err)}
			}), true},
		{"stopped",
			after(func(err error) error {
				return &retry.Error{Reason: retry.ErrStopped, Last: err}
			}), true},
		{"with other words", after(func(err error) error {
			return &retry.Error{Reason: fmt.Errorf("mine: %w", retry.ErrExhausted), Last: err}
		}), false},
		{"joined", after(func(err error) error { return errors.Join(errBang, err) }), false},
		{"wrapped", after(func(err error) error { return fmt.Errorf("mine: %w", err) }), false},
		{"wrapped, a loop's",
			retry.Chain(after(func(err error) error { return fmt.Errorf("mine: %w", err) }), loop),
			false},
		{"wrapped within a loop",
			retry.Chain(loop, after(func(err error) error { return fmt.Errorf("mine: %w", err) })),
			false},
		{"another reason",
			after(func(err error) error { return &retry.Error{Reason: errBang, Last: err} }),
			false},
	} {
		for _, once := range []bool{false, true} { // a body that can be sent once adds to the error
			var body io.Reader
			if once {
				body = io.MultiReader(strings.NewReader("x"))
			}
			req, _ := http.NewRequestWithContext(t.Context(), "PUT", newServer(t, codes(503)).URL,
				body)
			resp, err := quick(t, httpx.WithPolicy(c.policy)).Do(req)
			if back := resp != nil && err == nil; back != c.back ||
				!back && !errors.As(err, new(*httpx.StatusError)) {
				t.Errorf("%s, once %v: %v, %v", c.name, once, resp, err)
			}
		}
	}
}

// net/http tells the cause of a cancellation only, and a chain without a loop adds nothing.
func TestACancellationIsToldWithItsCause(t *testing.T) {
	for _, policy := range []retry.Policy{retry.Chain(), policies.Timeout(time.Hour),
		policies.Constant(0)} {
		spotless(t, slow, func(b *bubble) {
			for _, fetch := range []bool{false, true} {
				ctx, cancel := context.WithCancelCause(b.T.Context())
				time.AfterFunc(time.Second, func() { cancel(errBang) })
				client := b.With(httpx.WithPolicy(policy))
				var err error
				if fetch {
					_, err = httpx.Fetch(ctx, client, "http://a.example/stall", httpx.Text)
				} else {
					_, err = client.Get(ctx, "http://a.example/hang")
				}
				if !errors.Is(err, errBang) || !errors.Is(err, context.Canceled) {
					b.Errorf("%T, Fetch %v: %v", policy, fetch, err)
				}
			}
		})
	}
}

func TestRejectionsAndDeadlinesGiveNoResponse(t *testing.T) {
	s := newServer(t, codes(503))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	resp, err := quick(t, httpx.WithPolicy(policies.Constant(time.Hour))).Get(ctx, s.URL)
	var status *httpx.StatusError
	if resp != nil || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &status) {
		t.Errorf("%v %v", resp, err)
	}
	refuse := retry.Gate(func(context.Context) (func(error), error) {
		return nil, &retry.Rejection{Policy: "p", Reason: io.EOF}
	})
	body := &closer{Reader: strings.NewReader("x")}
	resp, err = quick(t, httpx.WithPolicy(refuse)).Post(t.Context(), s.URL, body)
	if resp != nil || !errors.Is(err, retry.ErrRejected) || !body.closed.Load() {
		t.Errorf("%v %v, closed %v", resp, err, body.closed.Load())
	}
}

type closer struct {
	io.Reader
	closed atomic.Bool
}

func (c *closer) Close() error { c.closed.Store(true); return nil }

func TestBodies(t *testing.T) {
	var got []string
	s := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, string(b))
		if n < 3 {
			w.WriteHeader(503)
		}
	})
	resp, err := quick(t).Put(t.Context(), s.URL, strings.NewReader("payload"))
	read(t, resp, err)
	if len(got) != 3 || got[0] != "payload" || got[1] != "payload" || got[2] != "payload" {
		t.Errorf("%q", got)
	}
	s.hits.Store(0)
	once := &closer{Reader: strings.NewReader("once")}
	resp, err = quick(t).Put(t.Context(), s.URL, once)
	if code, _ := read(t, resp, err); code != 503 || len(got) != 4 || !once.closed.Load() {
		t.Errorf("%d %q", code, got)
	}
	s.hits.Store(0)
	_, err = quick(t, httpx.RaiseForStatus(true)).Put(t.Context(), s.URL,
		io.MultiReader(strings.NewReader("once")))
	if err == nil || !strings.Contains(err.Error(), "GetBody") || len(got) != 5 {
		t.Errorf("%v %q", err, got)
	}
}

func TestMistakesAreConfigurationErrors(t *testing.T) {
	for _, o := range []httpx.Option{
		nil, httpx.Workers(0), httpx.Alternates(), httpx.Alternates("/relative"),
		httpx.WithClient(nil), httpx.WithPolicy(nil),
		httpx.WithLogger(nil), httpx.RetryOn(), httpx.RetryOnly(nil), httpx.Refused(),
		httpx.EachAttempt(nil), httpx.MaxBody(0),
		httpx.Header("a b", "c"), httpx.Header("", ""), httpx.Header("k", "a\r\nb"),
		httpx.WithPolicy(policies.Constant(-1)),
	} {
		c := httpx.New(o)
		_, err := c.Get(t.Context(), "http://127.0.0.1:1/")
		if !errors.Is(err, retry.ErrConfig) || !errors.Is(c.Validate(), retry.ErrConfig) {
			t.Errorf("%v, Validate: %v", err, c.Validate())
		}
	}
	var none *httpx.Client
	if _, err := none.Get(t.Context(), "http://h/"); !errors.Is(err, retry.ErrConfig) {
		t.Error(err)
	}
	if _, err := httpx.Get(t.Context(), "http://user:hunter2@h:bad/?k=hunter2"); err == nil ||
		strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if _, err := httpx.New().Do(nil); !errors.Is(err, retry.ErrConfig) {
		t.Error(err)
	}
}
