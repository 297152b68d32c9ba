package httpx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestAStatusWithoutAReasonGetsTheUsualOne(t *testing.T) {
	for sent, want := range map[string]string{
		"": "503 Service Unavailable", "503": "503 Service Unavailable",
		"503 ": "503 Service Unavailable", "503 Busy": "503 Busy", "Busy": "Busy",
	} {
		_, err := httpx.Fetch(t.Context(), over(roundTripper(
			func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 503, http.NoBody)
				resp.Status = sent
				return resp, nil
			})), "http://h/", httpx.Text)
		var e *httpx.StatusError
		if !errors.As(err, &e) || e.Status != want || !strings.HasSuffix(e.Error(), ": "+want) {
			t.Errorf("%q: %v", sent, err)
		}
	}
}

func TestTheErrorHasWhatTheServerSaid(t *testing.T) {
	const limit = 64 << 10
	sees := httpx.RetryOn(func(r *http.Response) bool {
		b, _ := io.ReadAll(r.Body)
		return strings.Contains(string(b), "captcha")
	})
	for _, c := range []struct {
		name      string
		code      int
		body      string
		announced int64
		opt       httpx.Option
		want      string // of it
	}{
		{"final", 422, `{"error":"name taken"}`, -1, nil, `{"error":"name taken"}`},
		{"exhausted", 503, "sorry", 5, nil, "sorry"},
		{"read by a predicate", 200, "a captcha", 9, sees, "a captcha"},
		{"empty", 503, "", 0, nil, ""},
		{"just fits", 503, strings.Repeat("x", limit), -1, nil, strings.Repeat("x", limit)},
		{"long", 503, strings.Repeat("x", limit+100), -1, nil, strings.Repeat("x", limit)},
		{"said to be long", 503, strings.Repeat("x", limit+100), limit + 100, nil, ""},
	} {
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: c.code, ContentLength: c.announced,
				Header: http.Header{}, Request: r,
				Body: io.NopCloser(strings.NewReader(c.body))}, nil
		}), httpx.RaiseForStatus(true))
		if c.opt != nil {
			client = client.With(c.opt)
		}
		_, fetched := httpx.Fetch(t.Context(), client, "http://h/", httpx.Text)
		_, got := client.Get(t.Context(), "http://h/")
		_, inTime := client.Get(t.Context(), "http://h/", httpx.RaiseForStatus(false),
			httpx.WithPolicy(retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				// where the response is not handed back
				return errors.Join(next.Do(ctx), context.DeadlineExceeded)
			})))
		for how, err := range map[string]error{"Fetch": fetched, "Get": got,
			"a policy's own end": inTime} {
			var status *httpx.StatusError
			if c.code < 500 && how == "a policy's own end" {
				continue // an accepted response
			}
			if !errors.As(err, &status) || string(status.Body) != c.want ||
				len(err.Error()) > 200 || c.want != "" && strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %.200v", c.name, how, err)
			}
			rejected := strings.Contains(err.Error(), "rejected by a predicate")
			if rejected != (c.code == 200) {
				t.Errorf("%s, %s: %v", c.name, how, err)
			}
		}
	}
	spotless(t, slow, func(b *bubble) {
		var status *httpx.StatusError
		_, err := httpx.Fetch(b.Context(), b.Client, "http://a.example/503/drip", httpx.Text)
		if !errors.As(err, &status) || status.Body != nil {
			b.Error(err)
		}
	})
}

// What is read of the error and what is handed back are the same bytes.
func TestTheErrorsBodyIsNotTakenFromTheResponse(t *testing.T) {
	var seen []*httpx.StatusError
	watch := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		err := next.Do(ctx)
		if status, ok := errors.AsType[*httpx.StatusError](err); ok {
			seen = append(seen, status)
		}
		return err
	})
	client := quick(t, httpx.WithPolicy(retry.Chain(policies.Constant(0), watch)))
	resp, err := client.Get(t.Context(), newServer(t, codes(503)).URL)
	if _, text := read(t, resp, err); text != "body" || len(seen) != 3 ||
		!bytes.Equal(seen[0].Body, seen[2].Body) || string(seen[2].Body) != "body" {
		t.Error(text, seen)
	}
}
