package httpx_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/reprise-go/reprise/httpx"
)

// A rejected body of up to 64 KiB is read ahead and closed, whatever length was announced; a longer
// one stays open until the next attempt, and the last one is handed back whole.
func TestARejectedBodyIsReadAheadUpTo64KiB(t *testing.T) {
	const limit = 64 << 10
	cut := errors.New("cut")
	for _, c := range []struct {
		size      int
		announced int64
		err       error // how the body ends; nil: io.EOF
		freed     bool  // by the time the chain hears of it
	}{
		{0, -1, nil, true},
		{1, 1, nil, true},
		{511, -1, nil, true},
		{512, 512, nil, true},
		{5000, 10, nil, true}, // a transport may say anything
		{10, limit, nil, true},
		{limit, limit, nil, true},
		{limit, -1, nil, true},
		{limit + 1, -1, nil, false},
		{limit + 1, limit + 1, nil, false},
		{300_000, -1, nil, false},
		{700, 1000, cut, true},
		{limit + 1, -1, cut, false},
	} {
		want := bytes.Repeat([]byte("x"), c.size)
		var sent []*closer
		open := func() bool {
			return slices.ContainsFunc(sent, func(c *closer) bool { return !c.closed.Load() })
		}
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			if open() {
				t.Errorf("%+v: the body before is open", c)
			}
			from := io.Reader(bytes.NewReader(want))
			if c.err != nil {
				from = io.MultiReader(from, iotest.ErrReader(c.err))
			}
			sent = append(sent, &closer{Reader: from})
			return &http.Response{StatusCode: 503, ContentLength: c.announced,
				Header: http.Header{}, Request: r, Body: sent[len(sent)-1]}, nil
		}))
		resp, err := client.Get(t.Context(), "http://h/")
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if freed := !open(); freed != c.freed {
			t.Errorf("%+v: freed %v", c, freed)
		}
		got, err := io.ReadAll(resp.Body)
		if !bytes.Equal(got, want) || !errors.Is(err, c.err) {
			t.Errorf("%+v: %d bytes, %v", c, len(got), err)
		}
		if resp.Body.Close(); open() || len(sent) != 3 {
			t.Errorf("%+v: left open", c)
		}
	}
}

// Without anything that ends an attempt before its caller does, the transport gets the caller's own
// end and nothing to undo.
func TestTheCallersContextReachesTheTransport(t *testing.T) {
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Context().Done() != t.Context().Done() {
			t.Error("a context of its own")
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody,
			Request: r}, nil
	}), httpx.AttemptLimit(0))
	resp, err := c.Get(t.Context(), "http://h/")
	read(t, resp, err)
}
