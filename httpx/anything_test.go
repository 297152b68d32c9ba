package httpx_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// dice are safe for the goroutines of one bubble.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (d *dice) roll(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// anything answers in one of many ways. A 200 says by X-Sum how long its body is, decoded.
func anything(d *dice, w http.ResponseWriter, r *http.Request) {
	if d.roll(4) > 0 {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	text := bytes.Repeat([]byte("reprise "), []int{1, 1000, 50_000}[d.roll(3)])
	header := w.Header()
	code := []int{200, 200, 200, 200, 503, 500, 429, 413, 404, 421, 408, 302, 307}[d.roll(13)]
	switch code {
	case 302, 307:
		header.Set("Location", []string{"/", "http://b.example/", "::"}[d.roll(3)])
	case 429, 413, 503:
		header.Set("Retry-After", []string{"", "0", "1", "junk", "100000"}[d.roll(5)])
	case 200:
		header.Set("X-Sum", strconv.Itoa(len(text)))
		header.Set("ETag", fmt.Sprintf(`"%d"`, len(text)))
	}
	if code == 200 && d.roll(3) == 0 {
		http.ServeContent(&cutting{w, d.roll(2*len(text)) + 1}, r, "", time.Time{},
			bytes.NewReader(text))
		return
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && d.roll(2) == 0 {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(text)
		_ = z.Close()
		header.Set("Content-Encoding", "gzip")
		text = b.Bytes()
	}
	switch d.roll(8) {
	case 0: // cut, as announced
		header.Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(code)
		_, _ = w.Write(text[:d.roll(len(text))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case 1: // cut, in chunks
		w.WriteHeader(code)
		_, _ = w.Write(text[:d.roll(len(text))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case 2: // slowly
		w.WriteHeader(code)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(time.Duration(d.roll(3)) * time.Second) // a decoder has nothing to begin with
		for i := 0; i < len(text) && r.Context().Err() == nil; i += 1 + len(text)/10 {
			_, _ = w.Write(text[i:min(len(text), i+1+len(text)/10)])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
	case 3: // not at all, which nothing ends where the request was not read
		select {
		case <-r.Context().Done():
		case <-time.After(40 * time.Minute):
		}
		panic(http.ErrAbortHandler)
	case 4:
		panic(http.ErrAbortHandler)
	default:
		w.WriteHeader(code)
		_, _ = w.Write(text)
	}
}

// cutting ends the connection after so many bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		_, _ = c.ResponseWriter.Write(p[:len(p)+c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

var errWrongSum = errors.New("a body that is not what was sent")

func summed(r *http.Response) (int, error) {
	b, err := io.ReadAll(r.Body)
	if err == nil && strconv.Itoa(len(b)) != r.Header.Get("X-Sum") {
		err = retry.Permanent(fmt.Errorf("%w: %d bytes for %v", errWrongSum, len(b), r.Header))
	}
	return len(b), err
}

// Any sequence of answers under any options: each call ends in time, no body is taken for whole
// that is not, and nothing is left.
func TestWhateverHappens(t *testing.T) {
	seeds := 15
	if testing.Short() || httpx.RaceEnabled {
		seeds = 5
	}
	for seed := range seeds {
		d := &dice{r: rand.New(rand.NewPCG(uint64(seed), 1))}
		answer := func(_ int, w http.ResponseWriter, r *http.Request) { anything(d, w, r) }
		spotless(t, answer, func(b *bubble) {
			loops := []retry.Policy{policies.Constant(0),
				policies.Exponential(policies.Attempts(4)),
				policies.Constant(0, policies.HintCap(time.Hour*100)), retry.Chain()}
			for n := range 20 {
				b.try(d, loops[d.roll(len(loops))], fmt.Sprintf("seed %d, call %d", seed, n))
			}
			time.Sleep(2 * time.Second) // for the connection after a 421
		})
	}
}

// try makes one call.
func (b *bubble) try(d *dice, loop retry.Policy, name string) {
	policy := []retry.Policy{loop, retry.Chain(loop, policies.Timeout(2*time.Second)),
		retry.Chain(policies.Timeout(20*time.Second), loop)}[d.roll(3)]
	opts := []httpx.Option{httpx.WithPolicy(policy)}
	for _, o := range []httpx.Option{
		httpx.Resume(), httpx.MaxBody(10_000), httpx.RaiseForStatus(true),
		httpx.RetryNonIdempotent(true), httpx.Header("Accept-Encoding", "gzip"),
		httpx.Alternates("http://a.example/", "http://c.example/"), httpx.NoDowngrade(),
		httpx.Refused(httpx.Status(404)),
		httpx.RetryOn(func(r *http.Response) bool {
			p := make([]byte, 5)
			_, err := io.ReadFull(r.Body, p)
			return err != nil
		}),
		httpx.EachAttempt(func(n int, _ *http.Request) error {
			return map[int]error{3: errBang}[n]
		}),
	} {
		if d.roll(4) == 0 {
			opts = append(opts, o)
		}
	}
	limit := []time.Duration{time.Hour, 5 * time.Second, 100 * time.Millisecond}[d.roll(3)]
	ctx, cancel := context.WithTimeout(b.Context(), limit)
	defer cancel()
	body := []io.Reader{nil, strings.NewReader("data"), bytes.NewReader(make([]byte, 100_000)),
		&stream{n: 1000, err: io.EOF}, &stream{n: 1000, err: errBang}}[d.roll(5)]
	req, err := http.NewRequestWithContext(ctx, []string{"GET", "PUT", "POST", "HEAD"}[d.roll(4)],
		"http://a.example/", body)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	switch d.roll(4) {
	case 0, 1:
		_, err = httpx.FetchRequest(b.Client, req, func(r *http.Response) (int, error) {
			if r.Request.Method == "HEAD" || r.StatusCode == http.StatusPartialContent {
				return 0, nil
			}
			return summed(r)
		}, opts...)
	case 2:
		for r := range httpx.FetchAll(ctx, b.Client, func(yield func(string) bool) {
			for range 5 {
				if !yield("http://a.example/") {
					return
				}
			}
		}, summed, opts...) {
			if err = r.Err; d.roll(3) == 0 {
				break
			}
		}
	default:
		var resp *http.Response
		if resp, err = b.With(opts...).Do(req); err == nil {
			switch d.roll(3) {
			case 0:
				_, _ = io.ReadAll(resp.Body)
			case 1:
				_, _ = resp.Body.Read(make([]byte, 10))
			}
			_ = resp.Body.Close()
		}
	}
	if took := time.Since(start); errors.Is(err, errWrongSum) || took > limit+time.Second {
		b.Errorf("%s: %v after %v of %v", name, err, took, limit)
	}
	if err != nil && err.Error() == "" {
		b.Errorf("%s: an error without a text", name)
	}
	cancel()
	synctest.Wait()
}
