package httpx_test

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
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

// A caller whose upload breaks off, as a proxy's client may do at will, says nothing against the server.
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
				req, _ := http.NewRequestWithContext(b.Context(), "PUT", "http://a.example"+c.path, body)
				_, err := b.With(httpx.WithPolicy(retry.Chain(policies.Constant(0), guard)), httpx.RaiseForStatus(true)).Do(req)
				if c.failed == 0 && !errors.Is(err, c.end) || err == nil || guard.Counts().Failures != c.failed || !body.closed.Load() || b.hits.Load() > 1 {
					b.Errorf("%v, the breaker counts %+v", err, guard.Counts())
				}
			})
		})
	}
}
