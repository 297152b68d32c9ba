package httpx

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/reprise-go/reprise/httpx/internal/field"
)

// resumption lets the attempts of one GET continue each other (RFC 9110, sections 13.1.5 and 14):
// what an attempt has read of the body is kept, and the next asks for the rest with Range and
// If-Range. That is done only where the server names the representation by a strong ETag, and
// believed only where the 206 fits in offset, total, ETag and encoding; whatever does not fit
// starts over. Make one per call; its attempts follow each other.
type resumption struct {
	keep int64 // bytes to keep at most; a longer body starts over
	last *recorded
}

// recorded is a response and what has been read of its body.
type recorded struct {
	asked, url string // the URL that was asked for and the one that answered: an ETag means nothing at another
	etag       string
	total      int64 // -1 unknown
	status     string
	proto      string
	header     http.Header

	mu   sync.Mutex // a reader of an abandoned attempt may still run
	body []byte
	lost bool // body was too long to keep
	end  bool // body is all there is
}

// roundTrip sends req, which must be the caller's own clone, for the part that is missing if there
// is one. The response is always of the whole: its body begins with what was kept, and it says 200.
// If the server's part does not fit, the request is sent once more, for the whole, in the same
// attempt.
//
// The bytes are those of the wire, so decoding comes after. For that a first request asks for no
// compression by net/http's own hand (Accept-Encoding: identity), unless the caller set the field.
func (r *resumption) roundTrip(
	req *http.Request, send func(*http.Request) (*http.Response, error),
) (*http.Response, error) {
	if !resumable(req) {
		return send(req)
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity")
	}
	old, asked := r.last, req.URL.String()
	have := old.kept()
	if len(have) == 0 || old.asked != asked {
		return r.record(send, req, asked)
	}
	part := req.Clone(req.Context())
	part.Header.Set("Range", "bytes="+strconv.Itoa(len(have))+"-")
	part.Header.Set("If-Range", old.etag)
	resp, err := send(part)
	switch {
	case err != nil:
		return resp, err
	case resp.StatusCode == http.StatusPartialContent && old.continuedBy(resp, int64(len(have))):
		r.continueWith(resp, old, have)
		return resp, nil
	case resp.StatusCode != http.StatusPartialContent &&
		resp.StatusCode != http.StatusRequestedRangeNotSatisfiable:
		r.watch(resp, asked) // the whole, or an error that keeps what there is
		return resp, nil
	}
	_ = resp.Body.Close()
	r.last = nil
	return r.record(send, req, asked)
}

func resumable(req *http.Request) bool {
	return (req.Method == http.MethodGet || req.Method == "") && !hasBody(req) &&
		req.Header.Get("Range") == "" && req.Header.Get("If-Range") == ""
}

func (r *resumption) record(
	send func(*http.Request) (*http.Response, error), req *http.Request, asked string,
) (*http.Response, error) {
	resp, err := send(req)
	if err == nil {
		r.watch(resp, asked)
	}
	return resp, err
}

// watch begins to keep the body of a response that can be resumed.
func (r *resumption) watch(resp *http.Response, asked string) {
	if resp.StatusCode != http.StatusOK {
		return
	}
	r.last = nil
	etag := resp.Header.Get("ETag")
	if !strongETag(etag) || resp.Uncompressed || resp.ContentLength > r.keep ||
		strings.EqualFold(resp.Header.Get("Accept-Ranges"), "none") {
		return
	}
	r.last = &recorded{
		asked: asked, url: urlOf(resp), etag: etag, total: resp.ContentLength,
		status: resp.Status, proto: resp.Proto, header: resp.Header.Clone(),
	}
	resp.Body = &recorder{ReadCloser: resp.Body, to: r.last, limit: r.keep}
}

// continueWith makes the 206 the whole response.
func (r *resumption) continueWith(resp *http.Response, old *recorded, have []byte) {
	span, _ := field.ParseContentRange(resp.Header.Get("Content-Range"))
	now := &recorded{
		asked: old.asked, url: old.url, etag: old.etag, total: span.Size,
		status: old.status, proto: old.proto, header: old.header, body: have,
	}
	r.last = now
	rest := &recorder{ReadCloser: resp.Body, to: now, limit: r.keep, off: int64(len(have)), end: now.total}
	resp.Status, resp.StatusCode = now.status, http.StatusOK
	resp.Header, resp.ContentLength = now.header.Clone(), now.total
	resp.Body = &joined{io.MultiReader(bytes.NewReader(have), rest), rest}
}

type joined struct {
	io.Reader
	io.Closer
}

// kept is what can be continued. A body that is there to its end cannot: it was the decoder that
// failed.
func (k *recorded) kept() []byte {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost || k.end || int64(len(k.body)) == k.total {
		return nil
	}
	return slices.Clip(k.body) // two attempts must never append into the same array
}

// continuedBy tells whether a 206 is the missing part of k, from offset on. It has to say how long
// the whole is: it may hold less than was asked for, and without a total that would pass for the
// end. A server may leave the encoding out of an answer to If-Range (RFC 9110, section 15.3.7), but
// not the ETag.
func (k *recorded) continuedBy(resp *http.Response, offset int64) bool {
	span, ok := field.ParseContentRange(resp.Header.Get("Content-Range"))
	encoding := resp.Header.Get("Content-Encoding")
	return ok && span.First == offset && len(resp.Header.Values("Content-Range")) == 1 &&
		span.Size >= 0 && (k.total < 0 || span.Size == k.total) &&
		(resp.ContentLength < 0 || resp.ContentLength == span.Last-span.First+1) &&
		resp.Header.Get("ETag") == k.etag && urlOf(resp) == k.url && !resp.Uncompressed &&
		(encoding == "" || encoding == k.header.Get("Content-Encoding"))
}

// recorder keeps what is read through it. With an end it also sees to it that the body has exactly
// that many bytes: the server may send less than was asked for, and then the rest is asked for next
// time.
type recorder struct {
	io.ReadCloser
	to    *recorded
	limit int64
	off   int64 // into the whole
	end   int64 // of the whole; 0 where net/http checks the length itself
}

var errTooLong = errors.New("partial response is longer than its Content-Range")

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	r.off += int64(n)
	switch {
	case r.to.lost:
	case r.off > r.limit:
		r.to.lost, r.to.body = true, nil
	default:
		r.to.body = append(r.to.body, p[:n]...)
	}
	switch {
	case r.end > 0 && r.off > r.end:
		r.to.lost, r.to.body = true, nil
		return 0, errTooLong
	case r.off < r.end && err == io.EOF:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		r.to.end = true
	}
	return n, err
}

func urlOf(resp *http.Response) string {
	if resp.Request == nil || resp.Request.URL == nil {
		return ""
	}
	return resp.Request.URL.String()
}

// strongETag tells an entity tag that promises equal bytes from a weak one: RFC 9110, section
// 8.8.3.
func strongETag(s string) bool {
	return len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' &&
		!strings.ContainsAny(s[1:len(s)-1], "\" \t")
}
