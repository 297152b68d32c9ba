package httpx

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/retry"
)

func pack(t testing.TB, data []byte, open func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	return pack(t, data, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func encoded(body []byte, encodings ...string) (*http.Response, *closeCounter) {
	c := &closeCounter{Reader: bytes.NewReader(body)}
	return &http.Response{StatusCode: 200,
		Header:        http.Header{"Content-Encoding": encodings, "Content-Length": {"1"}},
		ContentLength: 1, Body: c}, c
}

func TestBodyIsDecoded(t *testing.T) {
	text := []byte(strings.Repeat("hello ", 100))
	zlibbed := pack(t, text, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	raw := pack(t, text, func(w io.Writer) io.WriteCloser {
		f, _ := flate.NewWriter(w, 6)
		return f
	})
	for name, c := range map[string]struct {
		body      []byte
		encodings []string
	}{
		"identity":       {text, []string{"identity"}},
		"none":           {text, nil},
		"gzip":           {gzipped(t, text), []string{"gzip"}},
		"x-gzip":         {gzipped(t, text), []string{"X-GZip "}},
		"zlib":           {zlibbed, []string{"deflate"}},
		"raw deflate":    {raw, []string{"deflate"}},
		"two, one field": {gzipped(t, gzipped(t, text)), []string{"gzip, gzip"}},
		"two, in order":  {gzipped(t, zlibbed), []string{"deflate", "gzip"}},
	} {
		resp, closes := encoded(c.body, c.encodings...)
		if err := decodeBody(t.Context(), resp, int64(len(text)), nil); err != nil {
			t.Fatal(name, err)
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if strings.Contains(name, "zip") &&
			(resp.Header.Get("Content-Encoding") != "" || resp.ContentLength != -1 ||
				!resp.Uncompressed) {
			t.Errorf("%s: fields still tell of the encoded body", name)
		}
		if resp.Body.Close(); closes.closed != 1 {
			t.Errorf("%s: closed %d times", name, closes.closed)
		}
	}
}

func TestBodyOverTheLimitIsAnErrorAndNeverCut(t *testing.T) {
	bomb := gzipped(t, make([]byte, 10<<20))
	for name, c := range map[string]struct {
		body      []byte
		encodings []string
	}{
		"plain":     {make([]byte, 1001), nil},
		"bomb":      {bomb, []string{"gzip"}},
		"deep bomb": {gzipped(t, bomb), []string{"gzip", "gzip"}},
		"inner bomb of nothing": {gzipped(t, bytes.Repeat(gzipped(t, nil), 1000)),
			[]string{"gzip", "gzip"}},
	} {
		resp, _ := encoded(c.body, c.encodings...)
		if err := decodeBody(t.Context(), resp, 1000, nil); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) || tooLarge.Limit != 1000 || len(got) > 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	resp, _ := encoded(make([]byte, 1000))
	if err := decodeBody(t.Context(), resp, 1000, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); len(got) != 1000 || err != nil {
		t.Error("exactly the limit:", len(got), err)
	}
}

func TestEncodingNobodyReadsIsRefused(t *testing.T) {
	for _, e := range []string{"br", "zstd", "compress", "gzip, gzip, gzip"} {
		resp, _ := encoded([]byte("x"), e)
		body := resp.Body
		err := decodeBody(t.Context(), resp, 0, nil)
		if !errors.Is(err, ErrEncoding) || !retry.IsPermanent(err) || resp.Body != body {
			t.Error(e, err)
		}
	}
}

func TestDecoderMayBeGiven(t *testing.T) {
	inner := &closeCounter{Reader: strings.NewReader("decoded")}
	resp, closes := encoded([]byte("x"), "BR")
	err := decodeBody(t.Context(), resp, 0,
		map[string]expander{"br": func(io.Reader) (io.Reader, error) { return inner, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); string(got) != "decoded" || err != nil {
		t.Error(string(got), err)
	}
	if resp.Body.Close(); inner.closed != 1 || closes.closed != 1 {
		t.Error("not closed:", inner.closed, closes.closed)
	}
}

func TestBrokenEncodingIsAnError(t *testing.T) {
	whole := gzipped(t, []byte("hello hello hello"))
	for cut := 1; cut < len(whole); cut++ {
		resp, _ := encoded(whole[:cut], "gzip")
		if err := decodeBody(t.Context(), resp, 0, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d: %v", cut, err)
		}
	}
	resp, _ := encoded([]byte("this is no gzip"), "gzip")
	if err := decodeBody(t.Context(), resp, 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, gzip.ErrHeader) {
		t.Error(err)
	}
	resp, _ = encoded(nil, "gzip") // as servers send with a 304 or a HEAD
	if err := decodeBody(t.Context(), resp, 0, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); len(got) != 0 || err != nil {
		t.Error("empty body:", err)
	}
}

func FuzzDecodeBody(f *testing.F) {
	f.Add("gzip", gzipped(f, []byte("text")))
	f.Add("deflate, gzip", []byte("x"))
	f.Add("utf-8, ,x-gzip", gzipped(f, make([]byte, 1<<16)))
	f.Fuzz(func(t *testing.T, codings string, body []byte) {
		const limit = 1 << 16
		var got []byte
		var err error
		check.Fast(t, len(body), 250*time.Millisecond, func() {
			resp, _ := encoded(body, codings)
			if err = decodeBody(t.Context(), resp, limit, nil); err == nil {
				got, err = io.ReadAll(resp.Body)
			}
		})
		if len(got) > limit || len(got) == limit && err == nil && len(body) > limit {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
