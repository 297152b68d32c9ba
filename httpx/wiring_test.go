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

func TestLogsTellOfRetriesWithoutSecrets(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, codes(http.StatusServiceUnavailable, http.StatusOK))
	resp, err := quick(t, httpx.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).Get(t.Context(), s.URL+"/?token=hunter2")
	read(t, resp, err)
	if !strings.Contains(log.String(), "retry") || strings.Contains(log.String(), "hunter2") {
		t.Error(log.String())
	}
}
