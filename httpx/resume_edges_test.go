package httpx

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// origin answers the n-th request by the n-th of its steps, the last again and again, with v1 of a
// body unless told otherwise.
type origin struct {
	steps []func(o *origin, w http.ResponseWriter)
	body  []byte
	etag  string
	asked []string // method, path, range, If-Range
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	o.asked = append(o.asked,
		strings.Join(strings.Fields(r.URL.Path+" "+r.Header.Get("Range")+" "+
			r.Header.Get("If-Range")+" "+string(b)), " "))
	if o.etag != "" {
		w.Header().Set("ETag", o.etag)
	}
	o.steps[min(len(o.asked), len(o.steps))-1](o, w)
}

type step = func(o *origin, w http.ResponseWriter)

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// all sends the whole, cutAt and chunkedAt the first n bytes and then nothing.
func all(o *origin, w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
	_, _ = w.Write(o.body)
}

func cutAt(n int) step {
	return func(o *origin, w http.ResponseWriter) {
		w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
		_, _ = w.Write(o.body[:n])
		flush(w)
		panic(http.ErrAbortHandler)
	}
}

func chunkedAt(n int) step {
	return func(o *origin, w http.ResponseWriter) {
		flush(w)
		_, _ = w.Write(o.body[:n])
		flush(w)
		panic(http.ErrAbortHandler)
	}
}

func chunked(o *origin, w http.ResponseWriter) { flush(w); all(o, w) }

// part is a 206 of the bytes from first to last that claims a total.
func part(first, last int, total string) step {
	return func(o *origin, w http.ResponseWriter) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", first, last, total))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(o.body[first : last+1])
	}
}

func status(code int) step { return func(_ *origin, w http.ResponseWriter) { w.WriteHeader(code) } }

// tagged answers like s, of another version.
func tagged(etag string, s step) step {
	return func(o *origin, w http.ResponseWriter) {
		if o.etag = etag; etag == "" {
			w.Header().Del("ETag")
		} else {
			w.Header().Set("ETag", etag)
		}
		s(o, w)
	}
}

func coded(coding string, s step) step {
	return func(o *origin, w http.ResponseWriter) {
		w.Header().Set("Content-Encoding", coding)
		s(o, w)
	}
}

func TestResume(t *testing.T) {
	text := data(10_000)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(text)
	_ = z.Close()
	zip, half := packed.Bytes(), packed.Len()/2
	asksGzip := []Option{Header("Accept-Encoding", "gzip")}
	end := len(zip) - 1
	rest := fmt.Sprintf("/ bytes=%d- \"v1\"", half)

	for _, c := range []struct {
		name  string
		body  []byte
		etag  string
		opts  []Option
		steps []step
		asked string // joined by "; "
	}{
		{"goes on", text, `"v1"`, nil,
			[]step{cutAt(4000), part(4000, 9999, "10000")}, `/; / bytes=4000- "v1"`},
		{"of unknown length", text, `"v1"`, nil,
			[]step{chunkedAt(4000), part(4000, 9999, "10000")}, `/; / bytes=4000- "v1"`},
		{"a length that nobody tells", text, `"v1"`, nil,
			[]step{chunkedAt(4000), part(4000, 9999, "*"), all}, `/; / bytes=4000- "v1"; /`},
		{"a short part of nobody knows what", text, `"v1"`, nil,
			[]step{chunkedAt(4000), part(4000, 6999, "*"), all}, `/; / bytes=4000- "v1"; /`},
		{"a short part", text, `"v1"`, nil,
			[]step{cutAt(4000), part(4000, 6999, "10000"), part(7000, 9999, "10000")},
			`/; / bytes=4000- "v1"; / bytes=7000- "v1"`},
		{"a short part, length unknown at first", text, `"v1"`, nil,
			[]step{chunkedAt(4000), part(4000, 6999, "10000"), part(7000, 9999, "10000")},
			`/; / bytes=4000- "v1"; / bytes=7000- "v1"`},
		{"the wrong part", text, `"v1"`, nil, []step{cutAt(4000), part(0, 9999, "10000"), all},
			`/; / bytes=4000- "v1"; /`},
		{"a later part", text, `"v1"`, nil, []step{cutAt(4000), part(5000, 9999, "10000"), all},
			`/; / bytes=4000- "v1"; /`},
		{"range not satisfiable", text, `"v1"`, nil, []step{cutAt(4000), status(416), all},
			`/; / bytes=4000- "v1"; /`},
		{"the whole instead", text, `"v1"`, nil, []step{cutAt(4000), all}, `/; / bytes=4000- "v1"`},
		{"another version", text, `"v1"`, nil,
			[]step{cutAt(4000), tagged(`"v2"`, cutAt(3000)), part(3000, 9999, "10000")},
			`/; / bytes=4000- "v1"; / bytes=3000- "v2"`},
		{"a part of another version", text, `"v1"`, nil,
			[]step{cutAt(4000), tagged(`"v2"`, part(4000, 9999, "10000")), all},
			`/; / bytes=4000- "v1"; /`},
		{"a version that is weak by now", text, `"v1"`, nil,
			[]step{cutAt(4000), tagged(`W/"v1"`, cutAt(3000)), all}, `/; / bytes=4000- "v1"; /`},
		{"weak", text, `W/"v1"`, nil, []step{cutAt(4000), all}, `/; /`},
		{"without a tag", text, "", nil, []step{cutAt(4000), all}, `/; /`},
		{"cut before the first byte", text, `"v1"`, nil, []step{cutAt(0), all}, `/; /`},
		{"an error between", text, `"v1"`, nil,
			[]step{cutAt(4000), status(503), part(4000, 9999, "10000")},
			`/; / bytes=4000- "v1"; / bytes=4000- "v1"`},
		{"packed", zip, `"v1"`, asksGzip,
			[]step{coded("gzip", cutAt(half)),
				coded("gzip", part(half, end, strconv.Itoa(len(zip))))}, "/; " + rest},
		{"packed, and the part does not say so", zip, `"v1"`, asksGzip,
			[]step{coded("gzip", cutAt(half)), part(half, end, strconv.Itoa(len(zip)))},
			"/; " + rest},
		{"packed, and the part otherwise", zip, `"v1"`, asksGzip,
			[]step{coded("gzip", cutAt(half)), coded("br", part(half, end, strconv.Itoa(len(zip)))),
				coded("gzip", all)}, "/; " + rest + "; /"},
		{"packed at an end of unknown place", zip, `"v1"`, asksGzip,
			[]step{coded("gzip", chunkedAt(half)),
				coded("gzip", part(half, end, strconv.Itoa(len(zip))))}, "/; " + rest},
		{"elsewhere", text, `"v1"`, []Option{Alternates("http://h/a", "http://h/b", "http://h/b")},
			[]step{cutAt(4000), cutAt(6000), part(6000, 9999, "10000")},
			`/a; /b; /b bytes=6000- "v1"`},
	} {
		o := &origin{steps: c.steps, body: c.body, etag: c.etag}
		server := httptest.NewServer(o)
		tr := &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
			}}
		client := New(append(c.opts, WithClient(&http.Client{Transport: tr}),
			WithPolicy(policies.Constant(0)), Resume())...)
		got, err := Fetch(t.Context(), client, "http://h/", Bytes)
		if asked := strings.Join(o.asked, "; "); err != nil || !bytes.Equal(got, text) ||
			asked != c.asked {
			t.Errorf("%s: %d bytes, %v, asked %s", c.name, len(got), err, asked)
		}
		tr.CloseIdleConnections()
		server.Close()
	}
}

// A body that was read to its end is not continued, because the decoder failed. Nor is one of a
// request that is not a GET.
func TestWhatIsNotResumed(t *testing.T) {
	fails := func(r *http.Response) ([]byte, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return nil, errors.Join(err, errBoom)
	}
	for _, c := range []struct {
		name, method, body string
		decode             Decoder[[]byte]
		steps              []step
		asked              string
	}{
		{"whole", "GET", "", fails, []step{all}, "/; /; /"},
		{"whole, of unknown length", "GET", "", fails, []step{chunked}, "/; /; /"},
		{"whole by two parts", "GET", "", fails,
			[]step{cutAt(4000), part(4000, 9999, "10000"), all}, `/; / bytes=4000- "v1"; /`},
		{"PUT", "PUT", "data", Bytes, []step{cutAt(4000)}, "/ data; / data; / data"},
		{"GET with a body", "GET", "data", Bytes, []step{cutAt(4000)}, "/ data; / data; / data"},
	} {
		o := &origin{steps: c.steps, body: data(10_000), etag: `"v1"`}
		server := httptest.NewServer(o)
		req, _ := http.NewRequestWithContext(t.Context(), c.method, server.URL,
			strings.NewReader(c.body))
		if c.body == "" {
			req.Body, req.GetBody = nil, nil
		}
		_, err := FetchRequest(New(WithClient(server.Client()), WithPolicy(policies.Constant(0)),
			Resume()), req, c.decode)
		if asked := strings.Join(o.asked, "; "); !errors.Is(err, retry.ErrExhausted) ||
			asked != c.asked {
			t.Errorf("%s: %v, asked %s", c.name, err, asked)
		}
		server.Close()
	}
}

// What is longer than may be kept is still never taken for whole when it is not.
func TestAPartBeyondWhatIsKeptIsNotTakenForTheWhole(t *testing.T) {
	o := &origin{body: data(10_000), etag: `"v1"`,
		steps: []step{chunkedAt(4000), part(4000, 6999, "10000"), all}}
	server := httptest.NewServer(o)
	defer server.Close()
	r := &resumption{keep: 5000}
	for n, want := range []error{io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, nil} {
		req, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		resp, err := r.roundTrip(req, server.Client().Do)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !errors.Is(err, want) || want == nil && !bytes.Equal(got, o.body) {
			t.Errorf("attempt %d: %d bytes, %v", n+1, len(got), err)
		}
	}
	if asked := strings.Join(o.asked, "; "); asked != `/; / bytes=4000- "v1"; /` {
		t.Error(asked)
	}
}
