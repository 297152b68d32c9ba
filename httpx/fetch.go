package httpx

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"sync/atomic"
)

// Decoder makes a value from a response. It reads the body, of which the Content-Encoding is undone
// already, and need not close it. Its error is retried unless it is marked [retry.Permanent]: mark
// errors that another attempt would not change.
type Decoder[T any] func(*http.Response) (T, error)

// Fetch gets url and decodes the response inside the retried unit: a body that is cut short, a
// connection that is reset while it is read, and a decoder's error are retried like a 503. A
// response that is not 2xx is a [*StatusError] with the server's text as its Body. Beside an error
// comes the value of the last attempt.
//
// By default an attempt ends when the headers are not there within 30 s, or when no more of the
// body comes for 30 s; its whole length is not limited. A policies.Timeout in the chain lasts until
// the response is decoded.
//
// [MaxBody] bounds what the decoder reads. Without it only a body with a Content-Encoding is
// bounded: to 64 MiB, or 100 times the bytes that were sent if that is more. A body that a
// RoundTripper other than *http.Transport has unpacked is bounded by MaxBody only. A body over its
// bound is the final answer of a healthy server: an error with [*http.MaxBytesError] in its tree.
func Fetch[T any](
	ctx context.Context, c *Client, url string, decode Decoder[T], opts ...Option,
) (T, error) {
	req, err := newRequest(ctx, http.MethodGet, url, nil)
	if err != nil {
		var zero T
		return zero, err
	}
	return FetchRequest(c, req, decode, opts...)
}

// FetchRequest is [Fetch] for any request.
func FetchRequest[T any](
	c *Client, req *http.Request, decode Decoder[T], opts ...Option,
) (T, error) {
	v, _, err := fetch(c.With(opts...), req, decode)
	return v, err
}

func fetch[T any](c *Client, req *http.Request, decode Decoder[T]) (value T, sent int, err error) {
	if decode == nil {
		if req != nil && req.Body != nil {
			_ = req.Body.Close()
		}
		return value, 0, errNilDecoder
	}
	if req, err = c.ready(req); err != nil {
		return value, 0, err
	}
	defer release(req)
	k := &fetching{decode: func(r *http.Response) (err error) {
		value, err = decode(r)
		return err
	}}
	if c.cfg.resume {
		k.resume = &resumption{keep: cmp.Or(c.cfg.maxBody, resumeBytes)}
	}
	err = k.do(c, req)
	return value, k.sent, err
}

// do sends req, and returns when the response is decoded.
func (k *fetching) do(c *Client, req *http.Request) error {
	resp, err := k.client(c).Do(req)
	if resp != nil {
		_ = resp.Body.Close()
	}
	switch {
	case err != nil:
		return plainError(err)
	case !k.done: // a redirect that was not followed, or a 304
		return final(resp)
	}
	return nil
}

const resumeBytes = 64 << 20 // of a body that may be continued, without MaxBody

// fetching is one Fetch. It is in the transport of an http.Client made for it, and not in the
// context, because a hook, a policy or a decoder may make other requests with that context. A nil
// *fetching means that the request is not a Fetch's.
type fetching struct {
	decode  func(*http.Response) error
	resume  resumer   // nil: each attempt reads the body from its beginning
	body    *wireBody // of the present attempt
	done    bool      // the decoder has made the value
	sent    int       // attempts, of all hops
	garbled int       // complete bodies that were not valid JSON
}

// resumer lets the attempts of a Fetch continue each other's body.
type resumer interface {
	roundTrip(
		req *http.Request, send func(*http.Request) (*http.Response, error),
	) (*http.Response, error)
}

func (k *fetching) client(c *Client) *http.Client {
	hc, h := c.hc, *c.hop
	h.fetch = k
	hc.Transport = &h
	return &hc
}

func (k *fetching) count() {
	if k != nil {
		k.sent++
	}
}

func (k *fetching) resumes() bool { return k != nil && k.resume != nil }

func (k *fetching) roundTrip(req *http.Request, base http.RoundTripper) (*http.Response, error) {
	if k.resumes() {
		return k.resume.roundTrip(req, base.RoundTrip)
	}
	return base.RoundTrip(req)
}

// watch makes l time each read of resp's body, and keeps the error of a failed one.
func (k *fetching) watch(ctx context.Context, resp *http.Response, l *lifetime) {
	k.body = &wireBody{ReadCloser: resp.Body, life: l, ctx: ctx}
	if resp.Body != http.NoBody && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = k.body
	}
}

func (k *fetching) read(resp *http.Response) error {
	err := k.decode(resp)
	k.done = err == nil
	return err
}

// wireBody is a body as it comes from the connection.
type wireBody struct {
	io.ReadCloser
	life *lifetime
	ctx  context.Context // the attempt's
	err  atomic.Pointer[error]
}

func (b *wireBody) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil { // what the transport has read ahead may be megabytes
		err := context.Cause(b.ctx)
		b.err.Store(&err)
		return 0, err
	}
	b.life.reading()
	defer b.life.done()
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		own := err // a copy, so that err itself stays off the heap
		b.err.Store(&own)
	}
	return n, err
}
