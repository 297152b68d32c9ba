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
// If-Range. That is done only if the server names the representation by a strong ETag, and a 206 is
// accepted only if offset, total, ETag and encoding fit; otherwise the body starts over. Make one
// per call; its attempts follow each other.
type resumption struct {
	keep int64 // bytes to keep at most; a longer body starts over
	last *recorded
}

// recorded is a response and what has been read of its body.
type recorded struct {
	asked, url string // that was requested, and that answered: an ETag is valid for one URL only
	etag       string
	total      int64 // -1 unknown
	status     string
	proto      string
	header     http.Header

	mu   sync.Mutex // a reader of an abandoned attempt may still run
	body []byte
	lost bool // body was too long to keep
	end  bool // body is complete
}

// roundTrip sends req, which it may change; if an earlier attempt has kept a part of the body, it
// asks for the rest. The response is always the whole: it has status 200, and its body begins with
// what was kept. If the server's part does not fit, the request is sent once more, for the whole,
// in the same attempt.
//
// Parts are parts of the bytes on the wire, so decoding comes later. Therefore the request says
// Accept-Encoding: identity unless the caller set the field, which keeps net/http from unpacking.
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
		r.watch(resp, asked) // the whole, or an error: then what was kept stays
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

// watch starts recording the body of a response that can be resumed.
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

// continueWith turns the 206 into the whole response.
func (r *resumption) continueWith(resp *http.Response, old *recorded, have []byte) {
	span, _ := field.ParseContentRange(resp.Header.Get("Content-Range"))
	now := &recorded{
		asked: old.asked, url: old.url, etag: old.etag, total: span.Size,
		status: old.status, proto: old.proto, header: old.header, body: have,
	}
	r.last = now
	rest := &recorder{
		ReadCloser: resp.Body, to: now, limit: r.keep, off: int64(len(have)), end: now.total,
	}
	resp.Status, resp.StatusCode = now.status, http.StatusOK
	resp.Header, resp.ContentLength = now.header.Clone(), now.total
	resp.Body = &joined{io.MultiReader(bytes.NewReader(have), rest), rest}
}

type joined struct {
	io.Reader
	io.Closer
}

// kept returns the bytes that a next attempt can continue. If the body is complete there are none:
// then the decoder failed, and the body is read anew.
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

// continuedBy tells whether a 206 is the missing part of k, from offset on. It must tell the total
// length, because it may hold less than was asked for, and without a total its end would look like
// the end of the body. The answer to an If-Range may omit the encoding, but not the ETag (RFC 9110,
// section 15.3.7).
func (k *recorded) continuedBy(resp *http.Response, offset int64) bool {
	span, ok := field.ParseContentRange(resp.Header.Get("Content-Range"))
	encoding := resp.Header.Get("Content-Encoding")
	return ok && span.First == offset && len(resp.Header.Values("Content-Range")) == 1 &&
		span.Size >= 0 && (k.total < 0 || span.Size == k.total) &&
		(resp.ContentLength < 0 || resp.ContentLength == span.Last-span.First+1) &&
		resp.Header.Get("ETag") == k.etag && urlOf(resp) == k.url && !resp.Uncompressed &&
		(encoding == "" || encoding == k.header.Get("Content-Encoding"))
}

// recorder keeps what is read through it. If end is set, the body must have exactly that many
// bytes: a server may send less than was asked for, and then the next attempt asks for the rest.
type recorder struct {
	io.ReadCloser
	to    *recorded
	limit int64
	off   int64 // into the whole
	end   int64 // of the whole; 0: net/http checks the length itself
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
