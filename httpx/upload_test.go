package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// stream is a body of n bytes that then fails.
type stream struct {
	n      int
	err    error
	closed atomic.Bool
}

func (s *stream) Read(p []byte) (int, error) {
	n := min(len(p), s.n)
	if s.n -= n; n == 0 {
		return 0, s.err
	}
	return n, nil
}

func (s *stream) Close() error { s.closed.Store(true); return nil }

// A caller whose upload breaks off, as a proxy's client may do at will, says nothing against the
// server.
func TestAnUploadThatFailsIsNotTheServersFailure(t *testing.T) {
	for _, c := range []struct {
		name   string
		n      int
		end    error
		path   string
		failed int
	}{
		{"at once", 0, errBang, "/ok", 0},
		{"under way", 100_000, errBang, "/ok", 0},
		{"cut short", 100_000, io.ErrUnexpectedEOF, "/ok", 0},
		{"whole, and the server fails", 100_000, io.EOF, "/503", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			spotless(t, site, func(b *bubble) {
				guard := breaker.New("b", breaker.ConsecutiveFailures(9))
				body := &stream{n: c.n, err: c.end}
				req, _ := http.NewRequestWithContext(b.Context(), "PUT", "http://a.example"+c.path,
					body)
				_, err := b.With(httpx.WithPolicy(retry.Chain(policies.Constant(0), guard)),
					httpx.RaiseForStatus(true)).Do(req)
				if c.failed == 0 && !errors.Is(err, c.end) || err == nil ||
					guard.Counts().Failures != c.failed || !body.closed.Load() ||
					b.hits.Load() > 1 {
					b.Errorf("%v, the breaker counts %+v", err, guard.Counts())
				}
			})
		})
	}
}

// put is an upload to a server that takes the bodies of its requests whole, and answers with one
// code after the other.
func put(t *testing.T, body io.Reader, codes []int,
	opts ...httpx.Option) (sent []string, err error) {
	t.Helper()
	s := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent = append(sent, fmt.Sprintf("%s %d %s", r.Method, r.ContentLength, b))
		if code := codes[min(n, len(codes))-1]; code == 307 {
			http.Redirect(w, r, "/elsewhere", code)
		} else {
			w.WriteHeader(code)
		}
	})
	resp, err := quick(t, opts...).Put(t.Context(), s.URL, body)
	if err == nil {
		_ = resp.Body.Close()
	}
	return sent, err
}

type sized struct {
	*strings.Reader // not one that http.NewRequest knows
	closed          *atomic.Bool
}

func (s sized) Close() error { s.closed.Store(true); return nil }

// A file, or what else can be read at any place and tells its size, is sent with its length, from
// where it stands, and again.
func TestAFileIsSentWithItsLengthAndAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(at int64) *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		return f
	}
	whole := "PUT 10 0123456789"
	for name, c := range map[string]struct {
		body  func() io.Reader
		codes []int
		want  []string
	}{
		"once": {func() io.Reader { return open(0) }, []int{200}, []string{whole}},
		"again": {func() io.Reader { return open(0) }, []int{503, 503, 200},
			[]string{whole, whole, whole}},
		"from where it stands": {
			func() io.Reader { return open(7) }, []int{503, 200},
			[]string{"PUT 3 789", "PUT 3 789"}},
		"at its end": {
			func() io.Reader { return open(10) }, []int{503, 200}, []string{"PUT 0 ", "PUT 0 "}},
		"redirected": {func() io.Reader { return open(0) }, []int{307, 503, 200},
			[]string{whole, whole, whole}},
		"a section": {func() io.Reader { return io.NewSectionReader(open(0), 2, 5) },
			[]int{503, 200}, []string{"PUT 5 23456", "PUT 5 23456"}},
		"a type of one's own": {
			func() io.Reader { return sized{strings.NewReader("0123456789"), new(atomic.Bool)} },
			[]int{503, 200}, []string{whole, whole}},
		"a stream, not rewound": {
			func() io.Reader { return io.MultiReader(open(0)) }, []int{503, 200},
			[]string{"PUT -1 0123456789"}},
	} {
		body := c.body()
		sent, err := put(t, body, c.codes)
		if err != nil || !slices.Equal(sent, c.want) {
			t.Errorf("%s: %q, %v", name, sent, err)
		}
		switch b := body.(type) {
		case *os.File:
			if _, err := b.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: the file is open", name)
			}
		case sized:
			if !b.closed.Load() {
				t.Errorf("%s: it is open", name)
			}
		}
	}
}

// A length that the caller has set is kept: only so much of the file is sent.
func TestTheCallersLengthOfAFileIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(path)
	got := ""
	client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		got = fmt.Sprint(r.ContentLength, string(b))
		_ = r.Body.Close()
		return answer(r, 200, http.NoBody), nil
	}))
	req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://h/", f)
	req.ContentLength = 4
	resp, err := client.Do(req)
	if read(t, resp, err); got != "40123" {
		t.Errorf("%q", got)
	}
}

func TestAFileIsClosedWhereNothingIsSent(t *testing.T) {
	for name, c := range map[string]*httpx.Client{
		"bad option": httpx.New(httpx.MaxBody(0)),
		"rejected":   httpx.New(httpx.WithPolicy(breakerOpen())),
		"not connected": over(roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, syscall.ECONNREFUSED
		})),
	} {
		f, _ := os.CreateTemp(t.TempDir(), "")
		_, _ = f.WriteAt([]byte("data"), 0)
		if _, err := c.Put(t.Context(), "http://h/", f); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := f.Stat(); name != "not connected" && !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: the file is open", name)
		}
	}
}

func breakerOpen() retry.Policy {
	b := breaker.New("b")
	b.Isolate()
	return b
}

// A stream of which nothing was read can be sent again.
func TestAStreamThatWasNotReadIsSentAgain(t *testing.T) {
	for _, reads := range []bool{false, true} {
		n := 0
		body := &stream{n: 100, err: io.EOF}
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			if n == 2 || reads {
				if _, err := io.ReadAll(r.Body); err != nil {
					t.Error(err)
				}
			}
			_ = r.Body.Close()
			if n == 1 {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return answer(r, 200, http.NoBody), nil
		}))
		resp, err := client.Post(t.Context(), "http://h/", body)
		if err == nil {
			_ = resp.Body.Close()
		}
		if want := map[bool]int{false: 2, true: 1}[reads]; n != want || (err == nil) == reads ||
			!body.closed.Load() || !reads && body.n != 0 {
			t.Errorf("read %v: %d attempts, %v, closed %v", reads, n, err, body.closed.Load())
		}
	}
}

// Why there is no second attempt is told to observers; the response that comes back is the
// server's.
func TestWhyABodyIsNotSentAgainIsTold(t *testing.T) {
	var events []string
	observe := retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Policy == "httpx" {
			events = append(events, fmt.Sprint(e.Kind, ": ", e.Err))
		}
	})
	sent, err := put(t, io.MultiReader(strings.NewReader("x")), []int{503},
		httpx.WithPolicy(retry.Chain(observe, policies.Constant(0))))
	want := []string{"give up: the body cannot be sent again without GetBody"}
	if err != nil || len(sent) != 1 || !slices.Equal(events, want) {
		t.Errorf("%q, %q, %v", sent, events, err)
	}
	_, err = put(t, io.MultiReader(strings.NewReader("x")), []int{503}, httpx.RaiseForStatus(true))
	if err == nil || !strings.Contains(err.Error(), "without GetBody") {
		t.Error(err)
	}
}

// The read error of a body that can be sent again is the caller's too.
func TestAReplayableBodysOwnErrorIsTheCallers(t *testing.T) {
	spotless(t, site, func(b *bubble) {
		guard := breaker.New("b", breaker.ConsecutiveFailures(1))
		req, _ := http.NewRequestWithContext(b.Context(), "PUT", "http://a.example/ok", nil)
		opened := 0
		req.GetBody = func() (io.ReadCloser, error) {
			opened++
			return &stream{n: 100, err: errBang}, nil
		}
		req.Body, req.ContentLength = &stream{n: 100, err: errBang}, 200
		_, err := b.With(httpx.WithPolicy(retry.Chain(policies.Constant(0), guard))).Do(req)
		if !errors.Is(err, errBang) || opened != 1 || guard.State() != breaker.Closed ||
			guard.Counts().Successes+guard.Counts().Failures != 0 {
			b.Errorf("%v after %d, %+v", err, opened, guard.Counts())
		}
	})
}

// A file that is another one in the second attempt is the caller's doing, and sent no further.
func TestAFileThatWasCutBetweenAttemptsIsTheCallers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	for _, size := range []int64{10, 0} {
		err := os.WriteFile(name, make([]byte, 1000), 0o600)
		f, openErr := os.Open(name)
		if err = errors.Join(err, openErr); err != nil {
			t.Fatal(err)
		}
		s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = os.Truncate(name, size)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		guard := breaker.New("b", breaker.ConsecutiveFailures(2))
		resp, err := quick(t,
			httpx.WithPolicy(retry.Chain(policies.Constant(0), guard))).Put(t.Context(), s.URL, f)
		if resp != nil || err == nil || !strings.Contains(err.Error(), "the request's body") ||
			guard.State() != breaker.Closed || s.hits.Load() > 2 {
			t.Errorf("cut to %d: %v, %v, %v after %d", size, resp, err, guard.State(),
				s.hits.Load())
		}
	}
}
