package httpx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

var errBang = errors.New("bang")

// drip sends a byte each second for as long as somebody listens.
func drip(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
		}
	}
}

// site answers by path, so that a scenario is a path and what is done with it.
func site(n int, w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	large := make([]byte, 200_000)
	switch r.URL.Path {
	case "/ok":
		_, _ = io.WriteString(w, "ok")
	case "/large":
		_, _ = w.Write(large)
	case "/drip":
		drip(w, r)
	case "/drip/once":
		if n == 1 {
			drip(w, r)
		}
	case "/503":
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "sorry")
	case "/503/large":
		w.WriteHeader(503)
		_, _ = w.Write(large)
	case "/503/drip":
		w.WriteHeader(503)
		drip(w, r)
	case "/503/once":
		if n == 1 {
			w.WriteHeader(503)
			drip(w, r)
		}
	case "/503/later":
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(503)
		drip(w, r)
	case "/404":
		w.WriteHeader(404)
		_, _ = w.Write(large)
	case "/421":
		w.WriteHeader(421)
		_, _ = w.Write(large)
	case "/302":
		w.Header().Set("Location", "/large")
		w.WriteHeader(302)
		_, _ = w.Write(large)
	case "/307":
		w.Header().Set("Location", "/ok")
		w.WriteHeader(307)
	case "/loop":
		w.Header().Set("Location", "/loop")
		w.WriteHeader(302)
		_, _ = w.Write(large)
	case "/br":
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write(large)
	case "/cut":
		w.Header().Set("ETag", `"v"`)
		w.Header().Set("Content-Length", "200000")
		if r.Header.Get("Range") != "" {
			// does not fit: the attempt asks once more
			w.Header().Set("Content-Range", "bytes 7-8/9")
			w.WriteHeader(206)
			_, _ = w.Write(large)
			return
		}
		_, _ = w.Write(large[:1000])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Whatever becomes of a call: the connections are closed or idle, and no goroutine is left.
func TestNothingIsLeftBehind(t *testing.T) {
	get := func(path string, opts ...httpx.Option) func(*bubble) error {
		return func(b *bubble) error {
			resp, err := b.Get(b.Context(), "http://a.example"+path, opts...)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			return nil
		}
	}
	fetch := func(path string, decode httpx.Decoder[[]byte],
		opts ...httpx.Option) func(*bubble) error {
		return func(b *bubble) error {
			_, err := httpx.Fetch(b.Context(), b.Client, "http://a.example"+path, decode, opts...)
			return err
		}
	}
	policy := func(f func(ctx context.Context, next retry.Next) error) httpx.Option {
		return httpx.WithPolicy(retry.Chain(policies.Constant(0), retry.PolicyFunc(f)))
	}
	panics := policy(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		panic(errBang)
	})
	exits := policy(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		runtime.Goexit()
		return nil
	})
	spoils := policy(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		return errBang
	})
	twice := policy(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		return next.Do(ctx)
	})
	head := func(r *http.Response) ([]byte, error) {
		p := make([]byte, 1)
		_, err := io.ReadFull(r.Body, p)
		return p, err
	}
	fails := func(r *http.Response) ([]byte, error) { _, _ = head(r); return nil, errBang }
	throws := func(r *http.Response) ([]byte, error) { _, _ = head(r); panic(errBang) }
	leaves := func(r *http.Response) ([]byte, error) {
		_, _ = head(r)
		runtime.Goexit()
		return nil, nil
	}
	second := policies.Timeout(time.Second)
	perAttempt := httpx.WithPolicy(retry.Chain(policies.Constant(0), second))

	for _, c := range []struct {
		name string
		do   func(*bubble) error
		want error // nil: a success
		hits int32 // 0: depends
	}{
		{"read", fetch("/ok", httpx.Bytes), nil, 1},
		{"closed unread", get("/large"), nil, 1},
		{"closed while it drips", get("/drip"), nil, 1},
		{"handed back", get("/503"), nil, 3},
		{"handed back, large", get("/503/large"), nil, 3},
		{"handed back while it drips", get("/503/drip"), nil, 3},
		{"exhausted", get("/503/large", httpx.RaiseForStatus(true)), retry.ErrExhausted, 3},
		{"exhausted under Fetch", fetch("/503/drip", httpx.Bytes), retry.ErrExhausted, 3},
		{"accepted after a drip", get("/503/once"), nil, 2},
		{"permanent", get("/404", httpx.RaiseForStatus(true)), &httpx.StatusError{}, 1},
		{"permanent under Fetch", fetch("/404", httpx.Bytes), &httpx.StatusError{}, 1},
		{"too long to wait",
			get("/503/later",
				httpx.WithPolicy(policies.Constant(0, policies.HintCap(time.Second)))),
			retry.ErrExhausted, 1},
		{"misdirected", get("/421"), nil, 2},
		{"redirect with a body", get("/302"), nil, 2},
		{"redirects without end", get("/loop"), errAny, 10},
		{"redirect refused", func(b *bubble) error {
			return get("/302",
				httpx.WithPolicy(retry.Chain(policies.Constant(0), refuseAfter(1))))(b)
		}, retry.ErrRejected, 1},
		{"unreadable coding", fetch("/br", httpx.Bytes), httpx.ErrEncoding, 1},
		{"too large", fetch("/large", httpx.Bytes, httpx.MaxBody(1000)), &http.MaxBytesError{}, 1},
		{"too large, not fetched", get("/large", httpx.MaxBody(1000)), nil, 1},
		{"resumed where it does not fit",
			fetch("/cut", httpx.Bytes, httpx.Resume()), retry.ErrExhausted, 5},
		{"decoder reads little of a lot", fetch("/large", head), nil, 1},
		{"decoder reads little of a drip", fetch("/drip", head), nil, 1},
		{"decoder fails", fetch("/large", fails), errBang, 3},
		{"decoder fails while it drips", fetch("/drip", fails), errBang, 3},
		{"decoder panics", fetch("/drip", throws), errPanic, 1},
		{"decoder exits", fetch("/drip", leaves), errExit, 1},
		{"predicate panics",
			get("/drip", httpx.RetryOn(func(*http.Response) bool { panic(errBang) })), errPanic, 1},
		{"predicate panics on the second",
			get("/503/drip", httpx.EachAttempt(func(n int, _ *http.Request) error {
				if n == 2 {
					panic(errBang)
				}
				return nil
			})), errPanic, 1},
		{"hook fails on the second",
			get("/503/drip", httpx.EachAttempt(func(n int, _ *http.Request) error {
				if n == 2 {
					return errBang
				}
				return nil
			})), errBang, 1},
		{"policy panics after a success", get("/drip", panics), errPanic, 1},
		{"policy panics after a failure", get("/503/drip", panics), errPanic, 1},
		{"policy exits after a success", get("/drip", exits), errExit, 1},
		{"policy exits after a failure", get("/503/drip", exits), errExit, 1},
		{"policy spoils a success", get("/drip", spoils), errBang, 3},
		{"policy spoils a failure", get("/503/drip", spoils), errBang, 3},
		{"policy asks twice", get("/drip", twice), nil, 2},
		{"policy asks twice under Fetch", fetch("/ok", httpx.Bytes, twice), nil, 2},
		{"breaker opens", func(b *bubble) error {
			once := breaker.New("b", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Hour))
			return get("/503/drip", httpx.WithPolicy(retry.Chain(policies.Constant(0), once)))(b)
		}, breaker.ErrOpen, 1},
		{"times out under way", fetch("/drip", httpx.Bytes, perAttempt), policies.ErrTimeout, 3},
		{"times out in all", fetch("/drip", httpx.Bytes,
			httpx.WithPolicy(retry.Chain(second, policies.Constant(0)))), policies.ErrTimeout, 1},
		{"cancelled under way", func(b *bubble) error {
			ctx, cancel := context.WithTimeout(b.Context(), 1500*time.Millisecond)
			defer cancel()
			_, err := httpx.Fetch(ctx, b.Client, "http://a.example/drip", httpx.Bytes)
			return err
		}, context.DeadlineExceeded, 1},
		{"cancelled while it is read", func(b *bubble) error {
			ctx, cancel := context.WithTimeout(b.Context(), 1500*time.Millisecond)
			defer cancel()
			resp, err := b.Get(ctx, "http://a.example/drip", perAttempt)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			return err
		}, context.DeadlineExceeded, 1},
		{"cancelled in the wait", func(b *bubble) error {
			ctx, cancel := context.WithCancel(b.Context())
			time.AfterFunc(1500*time.Millisecond, cancel)
			_, err := b.Get(ctx, "http://a.example/503/drip",
				httpx.WithPolicy(policies.Constant(time.Minute)))
			return err
		}, context.Canceled, 1},
		{"closed much later", func(b *bubble) error {
			resp, err := b.Get(b.Context(), "http://a.example/503/large", perAttempt)
			if err == nil {
				time.Sleep(time.Hour)
				err = resp.Body.Close()
			}
			return err
		}, nil, 3},
		{"client's timeout", func(b *bubble) error {
			resp, err := httpx.New(httpx.WithClient(&http.Client{Transport: b.tr,
				Timeout: time.Second})).Get(b.Context(), "http://a.example/drip")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			return err
		}, context.DeadlineExceeded, 1},
		{"POST to a 307", func(b *bubble) error {
			resp, err := b.Post(b.Context(), "http://a.example/307", strings.NewReader("body"))
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		}, nil, 2},
		{"GetBody fails", func(b *bubble) error {
			req, _ := http.NewRequestWithContext(b.Context(), "PUT", "http://a.example/503/drip",
				strings.NewReader("x"))
			n := 0
			req.GetBody = func() (io.ReadCloser, error) {
				if n++; n > 1 {
					return nil, errBang
				}
				return io.NopCloser(strings.NewReader("x")), nil
			}
			_, err := b.Do(req)
			return err
		}, errBang, 1},
		{"hedged", func(b *bubble) error {
			call := policies.Hedge(func(ctx context.Context) ([]byte, error) {
				return httpx.Fetch(ctx, b.Client, "http://a.example/drip/once", httpx.Bytes)
			}, time.Second, 3, nil)
			_, err := call(b.Context())
			return err
		}, nil, 2},
		{"hedged, values discarded", func(b *bubble) error {
			call := policies.Hedge(func(ctx context.Context) (*http.Response, error) {
				resp, err := b.Get(ctx, "http://a.example/drip")
				time.Sleep(1500 * time.Millisecond)
				return resp, err
			}, time.Second, 3, func(r *http.Response) {
				if r != nil {
					_ = r.Body.Close()
				}
			})
			resp, err := call(b.Context())
			if err == nil {
				err = resp.Body.Close()
			}
			time.Sleep(time.Minute) // for the losers
			return err
		}, nil, 2},
		{"loop left early", func(b *bubble) error {
			urls := []string{"http://a.example/drip", "http://b.example/drip",
				"http://c.example/ok", "http://d.example/503/drip"}
			for range httpx.FetchAll(b.Context(), b.Client, slices.Values(urls), httpx.Bytes,
				httpx.WithPolicy(policies.Constant(time.Second))) {
				break
			}
			return nil
		}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			spotless(t, site, func(b *bubble) {
				err := outcome(b, c.do)
				var status *httpx.StatusError
				var tooLarge *http.MaxBytesError
				ok := errors.Is(err, c.want)
				switch c.want.(type) {
				case *httpx.StatusError:
					ok = errors.As(err, &status)
				case *http.MaxBytesError:
					ok = errors.As(err, &tooLarge)
				}
				if c.want == errAny {
					ok = err != nil
				}
				if !ok || c.hits > 0 && b.hits.Load() != c.hits {
					b.Errorf("%v after %d requests, want %v after %d", err, b.hits.Load(), c.want,
						c.hits)
				}
			})
		})
	}
}

var (
	errAny   = errors.New("any error")
	errPanic = errors.New("panic")
	errExit  = errors.New("goexit")
)

// outcome runs do in a goroutine of its own, which it may panic in or leave.
func outcome(b *bubble, do func(*bubble) error) error {
	out := make(chan error, 1)
	go func() {
		err := errExit
		defer func() {
			if p := recover(); p != nil {
				if err = errPanic; p != errBang {
					b.Errorf("panic with %v", p)
				}
			}
			out <- err
		}()
		err = do(b)
	}()
	return <-out
}

// refuseAfter lets n calls pass.
func refuseAfter(n int) retry.Policy {
	return retry.Gate(func(context.Context) (func(error), error) {
		if n--; n < 0 {
			return nil, &retry.Rejection{Policy: "test", Reason: errBang}
		}
		return nil, nil
	})
}
