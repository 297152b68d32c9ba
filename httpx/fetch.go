package httpx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Decoder makes a value of a response. It reads the body and need not close it. Content-Encoding is undone before. An error
// from it is retried unless it is marked [retry.Permanent], as one of your own may mark what will not get better.
type Decoder[T any] func(*http.Response) (T, error)

// JSON decodes a body that is one JSON value. An empty one, as of a 204, is an error and is retried; where that is an answer, or
// an error of decoding is to be final, wrap it in a Decoder that looks at the status or marks the error.
func JSON[T any](r *http.Response) (T, error) {
	var v T
	d := json.NewDecoder(r.Body)
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("decoding JSON: %w", unexpected(err))
	}
	if _, err := d.Token(); err != io.EOF { // also: was the body all there?
		if err == nil {
			err = errors.New("more than one value")
		}
		return v, fmt.Errorf("decoding JSON: %w", err)
	}
	return v, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Bytes reads the whole body.
func Bytes(r *http.Response) ([]byte, error) { return io.ReadAll(r.Body) }

// Text reads the whole body. It does not look at the charset.
func Text(r *http.Response) (string, error) {
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// Fetch gets url and decodes the response inside the retried unit: a body that is cut short, a connection that is reset under
// way and a decoder's error are retried like a 503. A response that is not 2xx is a [*StatusError], with what the server said as
// its Body. The value of the last attempt comes back beside an error.
//
// An attempt of the default policy ends when the headers are not there within 30 s, or when nothing more of the body comes for
// 30 s; how long all of it takes is not limited. A policies.Timeout of one's own lasts until it is decoded.
//
// [MaxBody] bounds what the decoder reads. Without it only what a Content-Encoding unpacks to is bounded: to 64 MiB, or 100 times
// the bytes that were sent if that is more; what a RoundTripper that is no *http.Transport has unpacked by itself, only by MaxBody.
// A body over its bound is the final answer of a healthy server: an error with [*http.MaxBytesError] in its tree.
func Fetch[T any](ctx context.Context, c *Client, url string, decode Decoder[T], opts ...Option) (T, error) {
	req, err := newRequest(ctx, http.MethodGet, url, nil)
	if err != nil {
		var zero T
		return zero, err
	}
	return FetchRequest(c, req, decode, opts...)
}

// FetchRequest is [Fetch] for any request.
func FetchRequest[T any](c *Client, req *http.Request, decode Decoder[T], opts ...Option) (T, error) {
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
	k := &call{Context: req.Context(), maxBody: c.cfg.maxBody, decoders: c.cfg.decoders}
	k.decode = func(r *http.Response) (err error) {
		value, err = decode(r)
		return err
	}
	if c.cfg.resume {
		k.resume = &resumption{keep: resumeBytes}
		if c.cfg.maxBody > 0 {
			k.resume.keep = c.cfg.maxBody
		}
	}
	resp, err := c.hc.Do(req.WithContext(k))
	if err != nil {
		if resp != nil {
			_ = resp.Body.Close()
		}
		return value, k.sent, plainError(err)
	}
	_ = resp.Body.Close()
	if !k.done { // a redirect that was not followed, or a 304
		return value, k.sent, final(resp)
	}
	return value, k.sent, nil
}

const resumeBytes = 64 << 20 // of a body that may be continued, without MaxBody

// call is the node in the context by which the hops of a Fetch know that they are to decode, and tell what they did.
type call struct {
	context.Context
	decode   func(*http.Response) error
	done     bool
	sent     int
	maxBody  int64
	decoders map[string]expander
	resume   *resumption
}

type callKey struct{}

func (k *call) Value(key any) any {
	if key == (callKey{}) {
		return k
	}
	return k.Context.Value(key)
}

// decode runs inside the attempt. Nothing of the response is left open.
func (x *exchange) decode(req *http.Request, resp *http.Response) (*http.Response, error) {
	defer func() { _ = resp.Body.Close() }()
	err := x.call.decode(resp)
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		x.call.done = true
		// What a decoder leaves must not cost the connection, but no time either.
		enough := time.AfterFunc(prefetchTime, func() { _ = resp.Body.Close() })
		_, _ = io.CopyN(io.Discard, resp.Body, prefetchBytes)
		enough.Stop()
		return resp, nil
	case errors.As(err, &tooLong):
		err = answered(fmt.Errorf("%w (the response has more than %d bytes, see MaxBody)", err, tooLong.Limit))
	}
	if cause := context.Cause(req.Context()); cause != nil && !errors.Is(err, cause) { // net/http's HTTP/2 does not tell it
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return nil, x.failed(req, redactError(err), false) // http.Client says of which request
}

func methodOf(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}
