package httpx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

var errBoom = errors.New("boom")

// cutter serves data, but each response breaks after a few bytes.
type cutter struct {
	data   []byte
	etag   string
	cut    int                                                      // bytes a response gets; 0: all
	twist  func(n int, w http.ResponseWriter, r *http.Request) bool // true: it has answered
	ranges []string
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.ranges = append(c.ranges, r.Header.Get("Range"))
	if c.twist != nil && c.twist(len(c.ranges), w, r) {
		return
	}
	w.Header().Set("ETag", c.etag)
	from := 0
	if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok &&
		r.Header.Get("If-Range") == c.etag {
		from, _ = strconv.Atoi(strings.TrimSuffix(s, "-"))
		w.Header().Set("Content-Range",
			fmt.Sprintf("bytes %d-%d/%d", from, len(c.data)-1, len(c.data)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(c.data)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	rest := c.data[from:]
	if c.cut > 0 && c.cut < len(rest) {
		_, _ = w.Write(rest[:c.cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(rest)
}

// fetch reads until an attempt brings a whole body, and checks what every attempt had read before
// it broke.
func (c *cutter) fetch(t *testing.T, keep int64, attempts int) ([]byte, error) {
	t.Helper()
	server := httptest.NewServer(c)
	defer server.Close()
	r := &resumption{keep: keep}
	var got []byte
	var err error
	for range attempts {
		req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		var resp *http.Response
		if resp, err = r.roundTrip(req, server.Client().Do); err != nil {
			continue
		}
		got, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		if err == nil {
			return got, nil
		}
	}
	return got, err
}

func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestCutBodyGoesOnWhereItStopped(t *testing.T) {
	c := &cutter{data: data(10_000), etag: `"v1"`, cut: 4_000}
	got, err := c.fetch(t, 1<<20, 3)
	if err != nil || !bytes.Equal(got, c.data) {
		t.Fatal(len(got), err)
	}
	if s := fmt.Sprint(c.ranges); s != "[ bytes=4000- bytes=8000-]" {
		t.Error(s)
	}
}

func TestBodyStartsOverIfTheServerGivesNoProof(t *testing.T) {
	other := data(9_000)
	slices := bytes.Repeat([]byte("x"), 6_000)
	type answer = func(int, http.ResponseWriter, *http.Request) bool
	part := func(etag, span string, body []byte) answer {
		return func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n != 2 {
				return false
			}
			w.Header().Set("ETag", etag)
			w.Header().Set("Content-Range", span)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body)
			return true
		}
	}
	for name, twist := range map[string]func(int, http.ResponseWriter, *http.Request) bool{
		"other ETag":       part(`"v2"`, "bytes 4000-9999/10000", slices),
		"weak ETag":        part(`W/"v1"`, "bytes 4000-9999/10000", slices),
		"no ETag":          part("", "bytes 4000-9999/10000", slices),
		"other offset":     part(`"v1"`, "bytes 3999-9998/10000", slices),
		"other total":      part(`"v1"`, "bytes 4000-9999/10001", slices),
		"unknown total":    part(`"v1"`, "bytes 4000-9999/*", slices),
		"no Content-Range": part(`"v1"`, "", slices),
		"length lies":      part(`"v1"`, "bytes 4000-9999/10000", slices[:10]),
		"416": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 2 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			}
			return n == 2
		},
	} {
		c := &cutter{data: data(10_000), etag: `"v1"`, cut: 4_000}
		c.twist = func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 2 {
				c.cut = 0
			}
			return twist(n, w, r)
		}
		got, err := c.fetch(t, 1<<20, 2) // the second attempt starts over by itself
		if err != nil || !bytes.Equal(got, c.data) || len(c.ranges) != 3 || c.ranges[2] != "" {
			t.Errorf("%s: %d bytes, %v, asked %q", name, len(got), err, c.ranges)
		}
	}
	// The server has a new version: If-Range makes it send the whole.
	c := &cutter{data: data(10_000), etag: `"v1"`, cut: 4_000}
	c.twist = func(n int, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 2 {
			c.data, c.etag, c.cut = other, `"v2"`, 0
		}
		return false
	}
	if got, err := c.fetch(t, 1<<20, 2); err != nil || !bytes.Equal(got, other) ||
		len(c.ranges) != 2 {
		t.Error("new version:", len(got), err, c.ranges)
	}
}

func TestNothingIsResumedWithoutAStrongETagOrBeyondTheLimit(t *testing.T) {
	for _, c := range []struct {
		etag string
		keep int64
	}{{`W/"v1"`, 1 << 20}, {"", 1 << 20}, {`v1`, 1 << 20}, {`"v1"`, 3_999}} {
		s := &cutter{data: data(10_000), etag: c.etag, cut: 4_000}
		if _, err := s.fetch(t, c.keep, 3); err == nil || fmt.Sprint(s.ranges) != "[  ]" {
			t.Errorf("%+v: %v, asked %q", c, err, s.ranges)
		}
	}
}

func TestErrorBetweenKeepsWhatThereIs(t *testing.T) {
	c := &cutter{data: data(10_000), etag: `"v1"`, cut: 6_000}
	c.twist = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n == 2
	}
	got, err := c.fetch(t, 1<<20, 3)
	if err != nil || !bytes.Equal(got, c.data) ||
		fmt.Sprint(c.ranges) != "[ bytes=6000- bytes=6000-]" {
		t.Error(len(got), err, c.ranges)
	}
}

func TestWholeBodyIsNotResumed(t *testing.T) {
	c := &cutter{data: data(100), etag: `"v1"`}
	server := httptest.NewServer(c)
	defer server.Close()
	r := &resumption{keep: 1 << 20}
	for range 2 { // a decoder failed after the first
		req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		resp, err := r.roundTrip(req, server.Client().Do)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, c.data) {
			t.Error(len(got), err)
		}
		_ = resp.Body.Close()
	}
	if fmt.Sprint(c.ranges) != "[ ]" {
		t.Error(c.ranges)
	}
}
