package httpx_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

func answer(r *http.Request, code int, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: body, ContentLength: -1,
		Request: r}
}

// What a breaker that counts the attempts is told.
func TestWhatABreakerIsTold(t *testing.T) {
	const none, good, bad = "nothing", "success", "failure"
	hook := httpx.EachAttempt(func(int, *http.Request) error { return retry.Permanent(errBang) })
	answers := func(code int, body string, header ...string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			resp := answer(r, code, io.NopCloser(strings.NewReader(body)))
			for i := 0; i < len(header); i += 2 {
				resp.Header.Set(header[i], header[i+1])
			}
			return resp, nil
		}
	}
	text := httpx.Text
	for _, c := range []struct {
		name   string
		rt     roundTripper
		url    string
		decode httpx.Decoder[string]
		opts   []httpx.Option
		told   string
	}{
		{"ok", answers(200, "ok"), "http://h/", text, nil, good},
		{"404", answers(404, ""), "http://h/", text, nil, good},
		{"429", answers(429, ""), "http://h/", text, nil, none},
		{"503", answers(503, ""), "http://h/", text, nil, bad},
		{"501", answers(501, ""), "http://h/", text, nil, bad},
		{"captcha", answers(200, ""), "http://h/", text,
			[]httpx.Option{httpx.Refused(httpx.Status(200))}, none},
		{"hook fails", answers(200, "ok"), "http://h/", text, []httpx.Option{hook}, none},
		{"too large", answers(200, "longer"), "http://h/", text,
			[]httpx.Option{httpx.MaxBody(3)}, good},
		{"unreadable coding", answers(200, "ok", "Content-Encoding", "br"),
			"http://h/", text, nil, good},
		{"decoder fails", answers(200, "ok"), "http://h/",
			func(*http.Response) (string, error) { return "", errBang }, nil, none},
		{"body breaks off", func(r *http.Request) (*http.Response, error) {
			return answer(r, 200, io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))), nil
		}, "http://h/", text, nil, bad},
		{"404 that is retried", answers(404, ""), "http://h/", text,
			[]httpx.Option{httpx.RetryOn(httpx.Status(404))}, none},
		{"202 while polling", answers(202, ""), "http://h/", text,
			[]httpx.Option{httpx.RetryOn(httpx.Status(202))}, none},
		{"401 that is retried", answers(401, ""), "http://h/", text,
			[]httpx.Option{httpx.NotProcessed(httpx.Status(401))}, none},
		{"408", answers(408, ""), "http://h/", text, nil, none},
		{"503 that is a refusal", answers(503, ""), "http://h/", text,
			[]httpx.Option{httpx.Refused(httpx.Status(503))}, none},
		{"decoder has its answer", answers(200, "ok"), "http://h/",
			func(*http.Response) (string, error) {
				return "", retry.Permanent(retry.Neutral(errBang))
			}, nil, good},
		{"lost", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
			"http://h/", text, nil, bad},
	} {
		b := breaker.New("b", breaker.ConsecutiveFailures(100))
		_, err := httpx.Fetch(t.Context(), over(c.rt, append(c.opts, httpx.WithPolicy(b))...),
			c.url, c.decode)
		got := none
		switch n := b.Counts(); {
		case n.Failures > 0:
			got = bad
		case n.Successes > 0:
			got = good
		}
		if got != c.told {
			t.Errorf("%s: told %s, want %s (%v)", c.name, got, c.told, err)
		}
	}
}

// A bad link on a page is final, but no news of any server, and no reason to end a crawl over a bad
// configuration.
func TestARequestThatCannotBeSent(t *testing.T) {
	home := newServer(t, codes(200))
	away := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "ftp://h/")
		w.WriteHeader(302)
	})
	set := func(f func(*http.Request)) httpx.Option {
		return httpx.EachAttempt(func(_ int, r *http.Request) error { f(r); return nil })
	}
	for _, c := range []struct {
		name, url string
		hook      func(*http.Request)
		good      int // calls that the breaker may hear of
	}{
		{"mail", "mailto:a@b", nil, 0},
		{"relative", "foo", nil, 0},
		{"empty", "", nil, 0},
		{"no host", "http:///x", nil, 0},
		{"port", "http://h:bad/", nil, 0},
		{"escape", "http://h/%zz", nil, 0},
		{"scheme", "ftp://h/", nil, 0},
		{"redirect", away.URL, nil, 1},
		{"method", home.URL, func(r *http.Request) { r.Method = "GE T" }, 0},
		{"name", home.URL, func(r *http.Request) { r.Header["Bad Name"] = []string{"x"} }, 0},
		{"value", home.URL, func(r *http.Request) { r.Header["X"] = []string{"a\r\nb"} }, 0},
		{"trailer's name", home.URL,
			func(r *http.Request) { r.Trailer = http.Header{"Bad Name": {"x"}} }, 0},
		{"name without values", home.URL, func(r *http.Request) { r.Header["Bad Name"] = nil }, 0},
		{"trailer's value", home.URL,
			func(r *http.Request) { r.Trailer = http.Header{"X": {"a\nb"}} }, 0},
		{"a hook that takes the header", home.URL, func(r *http.Request) { r.Header = nil }, 0},
	} {
		bare := &http.Transport{DisableCompression: true} // or httpx makes a header to ask for gzip
		for _, rt := range []http.RoundTripper{bare, roundTripper(bare.RoundTrip)} {
			b := breaker.New("b", breaker.ConsecutiveFailures(1))
			client := over(rt,
				httpx.WithPolicy(retry.Chain(policies.Constant(0, policies.HintCap(time.Second)),
					b)))
			if c.hook != nil {
				client = client.With(set(c.hook))
			}
			_, err := client.Get(t.Context(), c.url)
			if !retry.IsPermanent(err) || !retry.IsNeutral(err) ||
				!errors.Is(err, retry.ErrRejected) || errors.Is(err, retry.ErrConfig) ||
				b.State() != breaker.Closed || b.Counts().Successes != c.good {
				t.Errorf("%s, %T: %v, breaker %v %+v", c.name, rt, err, b.State(), b.Counts())
			}
		}
		bare.CloseIdleConnections()
	}
	if home.hits.Load() != 0 {
		t.Error("something was sent")
	}
}

// A scheme that is not HTTP's may be one that the transport knows, and its failures are like
// others.
func TestARegisteredProtocolIsRetried(t *testing.T) {
	n := 0
	lost := roundTripper(func(*http.Request) (*http.Response, error) { n++; return nil, errBang })
	tr := &http.Transport{}
	tr.RegisterProtocol("mem", lost)
	for _, rt := range []http.RoundTripper{tr, lost} {
		n = 0
		if _, err := over(rt).Get(t.Context(), "mem://a/"); !errors.Is(err, errBang) ||
			!errors.Is(err, retry.ErrExhausted) || n != 3 {
			t.Errorf("%T: %v after %d", rt, err, n)
		}
	}
}

func TestAHookThatFailsIsNoProbeAndSpendsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status, sent := 503, 0
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			sent++
			return answer(r, status, http.NoBody), nil
		})
		var fail atomic.Bool
		hook := httpx.EachAttempt(func(int, *http.Request) error {
			if fail.Load() {
				return errBang
			}
			return nil
		})
		limit := ratelimit.New(0, 2) // two calls, ever
		b := breaker.New("b", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second))
		c := over(rt, hook, httpx.WithPolicy(retry.Chain(limit, b)))
		resp, err := c.Get(t.Context(), "http://h/")
		read(t, resp, err)
		time.Sleep(time.Second)
		status = 200
		fail.Store(true)
		for range 5 {
			if _, err := c.Get(t.Context(), "http://h/"); !errors.Is(err, errBang) ||
				!strings.Contains(err.Error(), "not prepared (bang)") ||
				!errors.Is(err, retry.ErrRejected) || b.State() != breaker.HalfOpen {
				t.Fatalf("%v, breaker %v", err, b.State())
			}
		}
		fail.Store(false)
		resp, err = c.Get(t.Context(), "http://h/")
		if code, _ := read(t, resp, err); code != 200 || b.State() != breaker.Closed || sent != 2 {
			t.Errorf("%d, breaker %v, %d sent", code, b.State(), sent)
		}
	})
}

func TestAHooksErrorIsFinalWhateverItsMarks(t *testing.T) {
	for _, err := range []error{errBang, retry.After(errBang, time.Millisecond),
		retry.Permanent(errBang), retry.Neutral(errBang),
		&retry.Rejection{Policy: "p", Reason: errBang, RetryAfter: time.Millisecond}} {
		n := 0
		c := quick(t, httpx.EachAttempt(func(int, *http.Request) error { n++; return err }))
		for r := range httpx.FetchAll(t.Context(), c,
			func(yield func(string) bool) { yield("http://127.0.0.1:1/") }, httpx.Text) {
			if !errors.Is(r.Err, errBang) || n != 1 || r.Attempts != 0 {
				t.Errorf("%v: %v after %d, %d sent", err, r.Err, n, r.Attempts)
			}
		}
	}
}

func TestTheRequestsBodyIsClosedOnEveryWayOut(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(503)
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	panics := func(int, *http.Request) error { panic(errBang) }
	for name, c := range map[string]struct {
		ctx  context.Context
		url  string
		opts []httpx.Option
	}{
		"sent":         {t.Context(), s.URL, nil},
		"cancelled":    {gone, s.URL, nil},
		"nobody there": {t.Context(), "http://127.0.0.1:1", nil},
		"refused":      {t.Context(), s.URL, []httpx.Option{httpx.WithPolicy(refuseAfter(0))}},
		"hook fails": {t.Context(), s.URL,
			[]httpx.Option{httpx.EachAttempt(func(int, *http.Request) error { return errBang })}},
		"hook panics":    {t.Context(), s.URL, []httpx.Option{httpx.EachAttempt(panics)}},
		"option":         {t.Context(), s.URL, []httpx.Option{httpx.Workers(0)}},
		"URL":            {t.Context(), ":", nil},
		"scheme":         {t.Context(), "ftp://h/", nil},
		"idempotent key": {t.Context(), s.URL, []httpx.Option{httpx.AutoIdempotencyKey()}},
	} {
		body := &closer{Reader: strings.NewReader("x")}
		func() {
			defer func() { _ = recover() }()
			resp, err := quick(t).Post(c.ctx, c.url, body, c.opts...)
			if err == nil {
				_ = resp.Body.Close()
			}
		}()
		// net/http may close it a little later
		for end := time.Now().Add(time.Second); !body.closed.Load() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if !body.closed.Load() {
			t.Errorf("%s: not closed", name)
		}
	}
}

// zeros gives n bytes, of whatever, for each that r has.
type zeros struct {
	r    io.Reader
	n    int
	left int
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		n, err := z.r.Read(p[:1])
		if z.left = n * z.n; z.left == 0 {
			return 0, err
		}
	}
	n := min(len(p), z.left)
	z.left -= n
	return n, nil
}

// Without MaxBody, Fetch lets through whatever the server had to send, but not what a small body
// unpacks to.
func TestABombIsAnErrorWithoutMaxBody(t *testing.T) {
	const mib = 1 << 20
	by := func(n int) httpx.Option {
		return httpx.Decompress("x", func(r io.Reader) (io.Reader, error) {
			return &zeros{r: r, n: n}, nil
		})
	}
	var gzipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&gzipped, gzip.BestSpeed)
	for range 65 {
		_, _ = z.Write(make([]byte, mib))
	}
	_ = z.Close()
	for _, c := range []struct {
		name, coding string
		body         []byte
		opts         []httpx.Option
		want         int64 // 0: an error
	}{
		{"gzip", "gzip", gzipped.Bytes(), nil, 0},
		{"bomb", "x", make([]byte, mib), []httpx.Option{by(1000)}, 0},
		{"deep bomb", "x, x", make([]byte, 100), []httpx.Option{by(1000)}, 0},
		{"the user knows", "x", make([]byte, 70_000),
			[]httpx.Option{by(1000), httpx.MaxBody(100 * mib)}, 70_000_000},
		{"small", "x", make([]byte, 1000), []httpx.Option{by(1000)}, 1_000_000},
		{"large", "x", make([]byte, mib), []httpx.Option{by(80)}, 80 * mib},
		{"plain", "", make([]byte, 70*mib), nil, 70 * mib},
	} {
		s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			if c.coding != "" {
				w.Header().Set("Content-Encoding", c.coding)
			}
			_, _ = w.Write(c.body)
		})
		count := func(r *http.Response) (int64, error) {
			return io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, mib))
		}
		n, err := httpx.Fetch(t.Context(), quick(t), s.URL, count, c.opts...)
		var tooLarge *http.MaxBytesError
		if c.want == 0 && (!errors.As(err, &tooLarge) || n > 65*mib) ||
			c.want > 0 && (err != nil || n != c.want) || s.hits.Load() != 1 {
			t.Errorf("%s: %d bytes, %v after %d", c.name, n, err, s.hits.Load())
		}
	}
}

// As with net/http's own gzip, and also where it is the error page that is packed.
func TestPredicatesReadWhatFetchUnpacks(t *testing.T) {
	var page bytes.Buffer
	z := gzip.NewWriter(&page)
	_, _ = io.WriteString(z, "captcha")
	_ = z.Close()
	for _, code := range []int{200, 403} {
		asked := ""
		s := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
			asked = r.Header.Get("Accept-Encoding")
			if n == 1 {
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(code)
				_, _ = w.Write(page.Bytes())
			}
		})
		captcha := func(r *http.Response) bool {
			b, err := io.ReadAll(r.Body)
			return err == nil && string(b) == "captcha"
		}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
		_, err := httpx.FetchRequest(quick(t), req, httpx.Text, httpx.RetryOn(captcha))
		if err != nil || s.hits.Load() != 2 || asked != "gzip" || len(req.Header) > 0 {
			t.Errorf("%d: %v after %d, asked for %q, the request has %v", code, err, s.hits.Load(),
				asked, req.Header)
		}
	}
}

// What reads a rejected body ahead is a goroutine of our own: a decoder's panic there must not end
// the process.
func TestADecoderThatPanicsOnAnErrorPage(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "x")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "sorry")
	})
	panics := httpx.Decompress("x", func(io.Reader) (io.Reader, error) { panic(errBang) })
	_, err := httpx.Fetch(t.Context(), quick(t), s.URL, httpx.Text, panics)
	if !errors.Is(err, retry.ErrExhausted) || s.hits.Load() != 3 {
		t.Errorf("%v after %d", err, s.hits.Load())
	}
}

// If a policy repeats whatever fails and the body can be sent only once, that is not a second
// failure.
func TestABodyThatCannotBeSentAgainIsNoVerdict(t *testing.T) {
	s := newServer(t, codes(503))
	b := breaker.New("b", breaker.ConsecutiveFailures(9))
	stubborn := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		return next.Do(ctx)
	})
	_, err := quick(t, httpx.WithPolicy(retry.Chain(stubborn, b))).Put(t.Context(), s.URL,
		io.MultiReader(strings.NewReader("x")))
	if n := b.Counts(); !errors.Is(err, retry.ErrRejected) ||
		!strings.Contains(err.Error(), "GetBody") || n.Failures != 1 || n.Successes != 0 ||
		s.hits.Load() != 1 {
		t.Errorf("%v, the breaker counts %+v after %d requests", err, n, s.hits.Load())
	}
}
