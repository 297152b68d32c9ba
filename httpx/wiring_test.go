package httpx_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/httpx"
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
			httpx.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))))
		req, _ := http.NewRequestWithContext(t.Context(), "", "http://user:hunter2@h/?token=hunter2", nil)
		if _, err := c.Do(req); !errors.Is(err, lost) {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) < 3 || !strings.Contains(lines[len(lines)-1], "lost") && level == slog.LevelInfo || strings.Contains(log.String(), "hunter2") {
			t.Error(log.String())
		}
		for _, line := range lines {
			if !strings.Contains(line, `method=GET url="http://h/?token=xxxxx"`) {
				t.Error(line)
			}
		}
	}
}
