package httpx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestResumeContinuesABodyThatWasCut(t *testing.T) {
	var ranges []string
	s := newServer(t, func(n int, w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		w.Header().Set("ETag", `"v1"`)
		if n == 1 {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "01234")
			return
		}
		w.Header().Set("Content-Range", "bytes 5-9/10")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = io.WriteString(w, "56789")
	})
	v, err := httpx.Fetch(t.Context(), quick(t), s.URL, httpx.Text, httpx.Resume())
	if v != "0123456789" || err != nil || strings.Join(ranges, ",") != ",bytes=5-" {
		t.Error(v, err, ranges)
	}
}

func TestPublicOnlyIsObeyed(t *testing.T) {
	s := newServer(t, codes(http.StatusOK))
	_, err := quick(t).Get(t.Context(), s.URL, httpx.PublicOnly())
	if !errors.Is(err, httpx.ErrPrivateAddress) || s.hits.Load() != 0 {
		t.Error(err, s.hits.Load())
	}
}

// Each line names its request: an error of the network does not.
func TestLogsTellOfRetriesWithoutSecrets(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		var log bytes.Buffer
		lost := errors.New("lost")
		c := over(roundTripper(func(r *http.Request) (*http.Response, error) { return nil, lost }),
			httpx.WithLogger(slog.New(slog.NewTextHandler(&log,
				&slog.HandlerOptions{Level: level}))))
		req, _ := http.NewRequestWithContext(t.Context(), "",
			"http://user:hunter2@h/?token=hunter2", nil)
		if _, err := c.Do(req); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) < 3 ||
			!strings.Contains(lines[len(lines)-1], "lost") && level == slog.LevelInfo ||
			strings.Contains(log.String(), "hunter2") {
			t.Error(log.String())
		}
		for _, line := range lines {
			if !strings.Contains(line, `method=GET url="http://h/?token=xxxxx"`) {
				t.Error(line)
			}
		}
	}
}

// An error from the caller's own code may hold a URL that is not of this call.
func TestErrorsOfTheCallersCodeShowNoSecrets(t *testing.T) {
	secret := &url.Error{Op: "Get", URL: "http://user:hunter 2@inner/?token=hunter 2", Err: errBang}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(secret)
	fails := retry.PolicyFunc(func(context.Context, retry.Next) error { return secret })
	adds := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return fmt.Errorf("%w, beside %w", next.Do(ctx), secret)
	})
	for _, c := range []struct {
		name  string
		ctx   context.Context
		inner retry.Policy
		hook  func(int, *http.Request) error
		body  func() (io.ReadCloser, error)
		own   bool // policies outside it see what it says
	}{
		{"hook", t.Context(), retry.Chain(),
			func(int, *http.Request) error { return secret }, nil, false},
		{"GetBody", t.Context(), retry.Chain(), nil,
			func() (io.ReadCloser, error) { return nil, secret }, false},
		{"policy", t.Context(), fails, nil, nil, true},
		{"policy, beside a response", t.Context(), adds, nil, nil, true},
		{"cause", gone, retry.Chain(), nil, nil, true},
	} {
		for _, raise := range []bool{false, true} {
			var log, seen bytes.Buffer
			look := func(err error) {
				if err != nil {
					fmt.Fprintln(&seen, err)
				}
			}
			client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
				return answer(r, 503, http.NoBody), nil
			}),
				httpx.WithLogger(slog.New(slog.NewTextHandler(&log,
					&slog.HandlerOptions{Level: slog.LevelDebug}))),
				httpx.WithPolicy(retry.Chain(
					policies.Constant(0,
						policies.OnRetry(
							func(_ context.Context, _ int, _ time.Duration, err error) {
								look(err)
							})),
					retry.Observe(func(_ context.Context, e retry.Event) { look(e.Err) }),
					c.inner)), httpx.RaiseForStatus(raise))
			if c.hook != nil {
				client = client.With(httpx.EachAttempt(c.hook))
			}
			req, _ := http.NewRequestWithContext(c.ctx, "PUT", "http://h/", strings.NewReader("x"))
			if c.body != nil {
				req.GetBody = c.body
			}
			_, err := client.Do(req)
			if !errors.Is(err, errBang) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: %v", c.name, err)
			}
			if strings.Contains(log.String(), "hunter") || !strings.Contains(log.String(), "bang") {
				t.Errorf("%s, log:\n%v", c.name, log.String())
			}
			if !c.own && strings.Contains(seen.String(), "hunter") {
				t.Errorf("%s, policies: %v", c.name, seen.String())
			}
		}
	}
}
