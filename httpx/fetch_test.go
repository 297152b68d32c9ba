package httpx_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type itemT struct{ Name string }

func TestFetchReadsInsideTheRetriedUnit(t *testing.T) {
	for name, first := range map[string]func(http.ResponseWriter){
		"truncated": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"Name":`)
		},
		"truncated chunked": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"Name":"a"}`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"not JSON": func(w http.ResponseWriter) { _, _ = io.WriteString(w, `<html>`) },
		"empty":    func(http.ResponseWriter) {},
		"503":      func(w http.ResponseWriter) { w.WriteHeader(503) },
		"reset": func(w http.ResponseWriter) {
			c, _, _ := w.(http.Hijacker).Hijack()
			_ = c.Close()
		},
	} {
		s := newServer(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				first(w)
				return
			}
			_, _ = io.WriteString(w, `{"Name":"a"}`)
		})
		v, err := httpx.Fetch(t.Context(), quick(t), s.URL, httpx.JSON[itemT])
		if err != nil || v.Name != "a" || s.hits.Load() != 2 {
			t.Errorf("%s: %v %v after %d", name, v, err, s.hits.Load())
		}
	}
}

func TestFetchDecodesTheLastHopOnly(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/end":
			_, _ = io.WriteString(w, "end")
		default:
			w.WriteHeader(http.StatusNotModified)
		}
	})
	if v, err := httpx.Fetch(t.Context(), quick(t), s.URL+"/", httpx.Text); v != "end" ||
		err != nil {
		t.Error(v, err)
	}
	var status *httpx.StatusError
	if _, err := httpx.Fetch(t.Context(), quick(t), s.URL+
		"/same", httpx.Text); !errors.As(err, &status) || status.Code != 304 {
		t.Error(err)
	}
}

func TestFetchCapsWhatIsDecompressed(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	for _, accept := range []string{"", "gzip"} {
		opts := []httpx.Option{httpx.MaxBody(1 << 16)}
		if accept != "" {
			opts = append(opts, httpx.Header("Accept-Encoding", accept))
		}
		s.hits.Store(0)
		_, err := httpx.Fetch(t.Context(), quick(t), s.URL, httpx.Bytes, opts...)
		var tooLong *http.MaxBytesError
		if !errors.As(err, &tooLong) || s.hits.Load() != 1 {
			t.Errorf("%q: %v after %d", accept, err, s.hits.Load())
		}
	}
}

func TestFetchOfAPostThatMayHaveActedIsNotRepeated(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
	})
	req, _ := http.NewRequestWithContext(t.Context(), "POST", s.URL, strings.NewReader("x"))
	_, err := httpx.FetchRequest(quick(t), req, httpx.Text)
	if !errors.Is(err, io.ErrUnexpectedEOF) || s.hits.Load() != 1 {
		t.Error(err, s.hits.Load())
	}
}

func TestFetchAllYieldsAsTheyCome(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/404" {
			w.WriteHeader(404)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	urls := []string{s.URL + "/a", s.URL + "/b", s.URL + "/404", ":bad", s.URL + "/c"}
	seen := map[string]int{}
	for r := range httpx.FetchAll(t.Context(), quick(t), slices.Values(urls), httpx.Text,
		httpx.Workers(2)) {
		seen[r.URL]++
		var status *httpx.StatusError
		switch {
		case strings.HasSuffix(r.URL, "/404"):
			if !errors.As(r.Err, &status) || r.Attempts != 1 {
				t.Error(r)
			}
		case r.URL == ":bad":
			if !errors.Is(r.Err, retry.ErrRejected) || r.Attempts != 0 {
				t.Error(r)
			}
		case r.Err != nil || !strings.HasSuffix(r.URL, r.Value) || r.Attempts != 1:
			t.Error(r)
		}
	}
	if len(seen) != len(urls) {
		t.Error(seen)
	}
}

// slowly answers after the time in the host's name; no network.
type slowly struct{}

func (slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	d, err := time.ParseDuration(r.URL.Hostname())
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(d):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("ok")),
		Header: http.Header{}, Request: r}, nil
}

func inMemory() *httpx.Client {
	return httpx.New(httpx.WithClient(&http.Client{Transport: slowly{}}),
		httpx.WithPolicy(policies.Constant(0)))
}

func TestOneSlowHostDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var urls []string
		for i := range 3000 {
			urls = append(urls, fmt.Sprintf("http://1h/%d", i))
		}
		for i := range 100 {
			urls = append(urls[:500+i],
				append([]string{fmt.Sprintf("http://1s/%d", i)}, urls[500+i:]...)...)
		}
		start, quickOnes := time.Now(), 0
		for r := range httpx.FetchAll(t.Context(), inMemory(), slices.Values(urls), httpx.Text) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if quickOnes++; quickOnes == 100 {
				break
			}
		}
		// 100 of 1 s each, at least four at once.
		if took := time.Since(start); took > 25*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestFetchAllOfAnEndlessIteratorIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulled := 0
		endless := func(yield func(string) bool) {
			for yield("http://1s/") {
				pulled++
			}
		}
		got := 0
		for range httpx.FetchAll(t.Context(), inMemory(), iter.Seq[string](endless), httpx.Text,
			httpx.Workers(4)) {
			if got++; got == 5000 {
				break
			}
		}
		if pulled > 5000+1024+8 {
			t.Errorf("pulled %d", pulled)
		}
	}) // the bubble fails if a goroutine is left
}

// What a page leads to may be sent to the iterator while it is looked at.
func TestALoopMayFeedItsOwnIterator(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		synctest.Test(t, func(t *testing.T) {
			links, got := make(chan string), 0
			go func() { links <- "http://1s/" }()
			each := func(yield func(string) bool) {
				for u := range links {
					if !yield(u) {
						return
					}
				}
			}
			start := time.Now()
			for range httpx.FetchAll(t.Context(), inMemory(), each, httpx.Text,
				httpx.Workers(workers)) {
				switch got++; got {
				case 1:
					for range 300 {
						links <- "http://1s/"
					}
					time.Sleep(time.Second) // meanwhile others are under way
				case 301:
					close(links)
				}
			}
			atOnce := max(1, workers/2) // of one host
			if want := time.Duration(1+(300+atOnce-1)/atOnce) * time.Second; got != 301 ||
				time.Since(start) != want {
				t.Errorf("%d workers: %d after %v, want %v", workers, got, time.Since(start), want)
			}
		})
	}
}

func TestLeavingTheLoopCancelsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		urls := []string{"http://1s/", "http://1h/", "http://2h/", "http://3h/"}
		for range httpx.FetchAll(t.Context(), inMemory(), slices.Values(urls), httpx.Text) {
			break
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		n := 0
		for r := range httpx.FetchAll(ctx, inMemory(), slices.Values(urls), httpx.Text) {
			if n++; n > 1 && !errors.Is(r.Err, context.DeadlineExceeded) {
				t.Error(r.Err)
			}
		}
		if took := time.Since(start); took != 3*time.Second || n != 4 {
			t.Errorf("took %v for %d", took, n)
		}
	})
}

// Whoever waits for as many results as there were URLs gets them.
func TestEachURLThatWasTakenHasItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ends := range []time.Duration{0, 2500 * time.Millisecond} {
			taken := 0
			urls := func(yield func(string) bool) {
				for taken < 5000 && yield("http://1s/") {
					taken++
				}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			if time.AfterFunc(ends, func() { cancel(errBang) }); ends == 0 {
				cancel(errBang)
			}
			start, good, cut := time.Now(), 0, 0
			for r := range httpx.FetchAll(ctx, inMemory(), urls, httpx.Text) {
				switch {
				case r.Err == nil:
					good++
				case errors.Is(r.Err, context.Canceled) && errors.Is(r.Err, errBang) &&
					r.URL == "http://1s/":
					cut++
				default:
					t.Error(r)
				}
			}
			if taken++; good+cut != taken || cut == 0 || taken > 1100 || time.Since(start) != ends {
				t.Errorf("%d and %d of %d after %v", good, cut, taken, time.Since(start))
			}
		}
	})
}

func TestAPanicReachesTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caught := func(urls iter.Seq[string], decode httpx.Decoder[string]) (p any) {
			defer func() { p = recover() }()
			for range httpx.FetchAll(t.Context(), inMemory(), urls, decode) {
			}
			return nil
		}
		boom := func(*http.Response) (string, error) { panic("decoder") }
		if p := caught(slices.Values([]string{"http://1s/", "http://2s/"}), boom); p != "decoder" {
			t.Error(p)
		}
		if p := caught(func(func(string) bool) { panic("urls") }, httpx.Text); p != "urls" {
			t.Error(p)
		}
		exits := func(*http.Response) (string, error) { runtime.Goexit(); return "", nil }
		if p := caught(slices.Values([]string{"http://1s/"}), exits); p == nil {
			t.Error("nothing")
		}
	})
}

func TestFetchAllSaysWhatIsWrongOnce(t *testing.T) {
	n := 0
	for r := range httpx.FetchAll(t.Context(), nil, slices.Values([]string{"a", "b"}), httpx.Text) {
		if n++; !errors.Is(r.Err, retry.ErrConfig) {
			t.Error(r.Err)
		}
	}
	for r := range httpx.FetchAll(t.Context(), httpx.New(), slices.Values([]string{"a", "b"}),
		httpx.Text, httpx.Workers(0)) {
		if n++; !errors.Is(r.Err, retry.ErrConfig) {
			t.Error(r.Err)
		}
	}
	if n != 2 {
		t.Error(n)
	}
}

func TestFetchReadsACodingThatTheUserBrings(t *testing.T) {
	s := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "Br")
		_, _ = io.WriteString(w, "uryyb")
	})
	rot := func(r io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(r)
		for i := range b {
			b[i] = 'a' + (b[i]-'a'+13)%26
		}
		return bytes.NewReader(b), err
	}
	c := quick(t)
	_, err := httpx.Fetch(t.Context(), c, s.URL, httpx.Text)
	if !errors.Is(err, httpx.ErrEncoding) || s.hits.Load() != 1 {
		t.Errorf("without a decoder: %v after %d", err, s.hits.Load())
	}
	decoding := c.With(httpx.Decompress("br", rot))
	v, err := httpx.Fetch(t.Context(), decoding, s.URL, httpx.Text)
	if v != "hello" || err != nil {
		t.Errorf("with one: %q, %v", v, err)
	}
	_, err = httpx.Fetch(t.Context(), c, s.URL, httpx.Text)
	if !errors.Is(err, httpx.ErrEncoding) {
		t.Errorf("the first client has changed: %v", err)
	}
	for _, bad := range []httpx.Option{httpx.Decompress("", rot), httpx.Decompress("br", nil)} {
		if err := c.With(bad).Validate(); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("bad decoder: %v", err)
		}
	}
}

func TestAnErrorNamesItsRequestOnce(t *testing.T) {
	const page = "http://h/private/page"
	w := saying(200, "User-agent: *\nDisallow: /private")
	fetch := func(fails error, opts ...httpx.Option) error {
		_, err := httpx.Fetch(t.Context(), over(w, opts...), page,
			func(*http.Response) (int, error) { return 0, fails })
		return err
	}
	for name, err := range map[string]error{
		"decoder":           fetch(errBang),
		"decoder, for good": fetch(retry.Permanent(errBang)),
		"robots.txt":        fetch(nil, httpx.Polite("bot")),
		"a 200":             fetch(nil, httpx.RetryOn(httpx.Status(200))),
	} {
		if err == nil || strings.Count(err.Error(), page) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
