package httpx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func (x *exchange) attempt(ctx context.Context) (*http.Response, error) {
	x.drop()
	x.status = nil
	if err := retry.Ended(ctx); err != nil { // a chain without a loop may not have asked
		return nil, err
	}
	if x.sent > 0 && !x.replayable {
		return nil, notSent(errors.New("the body cannot be sent again without GetBody"))
	}
	if x.polite != nil {
		if err := x.polite.admit(ctx, x); err != nil {
			return nil, err
		}
	}
	defer x.aim()

	var life *lifetime
	if x.limit > 0 || x.call == nil && ctx.Done() != x.Done() { // else ctx does: it is the caller's, or under Fetch lasts as long
		life = begin(x, ctx, x.limit)
		ctx = life
	}
	kept := false
	defer func() {
		if life != nil && !kept {
			life.end()
		}
	}()

	var wrote *wire
	if x.standard != nil && !x.idempotent(x.req) {
		wrote = &wire{}
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { wrote.headers.Store(true) }})
	}
	req, err := x.prepare(ctx)
	if err != nil {
		return nil, notSent(err)
	}
	if x.polite != nil {
		if err := x.polite.readmit(ctx, x, req); err != nil {
			return nil, err
		}
	}
	x.sent++
	if x.call != nil {
		x.call.sent++
	}
	resp, err := x.roundTrip(req)
	if err != nil || resp == nil {
		if err == nil {
			err = errors.New("httpx: the transport gave neither a response nor an error")
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		if x.stream != nil && x.stream.ended(err) {
			return nil, answered(redactError(err))
		}
		return nil, x.failed(req, redactError(err), wrote != nil && !wrote.headers.Load())
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Request == nil { // some RoundTrippers forget it
		resp.Request = req
	}
	if life != nil {
		if inTime := x.call != nil && life.pace(resp, x.limit) || x.call == nil && life.answered(x); !inTime && ctx.Err() != nil {
			_ = resp.Body.Close()
			return nil, x.failed(req, context.Cause(ctx), false)
		}
		switch {
		case x.call != nil: // it ends with the attempt
		case resp.Body == http.NoBody: // there is nothing to close, and nobody may close it
			life.end()
			kept = true
		default:
			life.hold(resp)
			kept = true
		}
	}
	return x.receive(ctx, req, resp)
}

// wire is what httptrace told of an attempt. Without whole headers a server cannot act on a request.
type wire struct{ headers atomic.Bool }

// prepare makes the request of this attempt: the caller's is not touched.
func (x *exchange) prepare(ctx context.Context) (*http.Request, error) {
	var req *http.Request
	moved := x.target != x.req.URL
	if x.standard != nil && len(x.each) == 0 && x.jar == nil && !moved && (x.call == nil || x.call.resume == nil) {
		req = x.req.WithContext(ctx) // net/http's transport does not change what it is given
	} else {
		req = x.req.Clone(ctx)
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if moved {
		u := *x.target
		req.URL = &u
		if hostOf(x.target) != hostOf(x.req.URL) {
			req.Host = ""
			for _, key := range []string{"Authorization", "Www-Authenticate", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Authenticate"} {
				req.Header.Del(key)
			}
		}
		if user := u.User; user != nil { // http.Client does it for the request's own
			password, _ := user.Password()
			req.SetBasicAuth(user.Username(), password)
		}
	}
	if x.req.GetBody != nil && hasBody(req) {
		body, err := x.req.GetBody()
		if err != nil {
			return nil, err
		}
		req.Body = body
	}
	if err := x.hooks(req); err != nil {
		return nil, err
	}
	if x.jar != nil {
		for _, c := range x.jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
	}
	if x.unpacks = x.asksForGzip(req); x.unpacks {
		header := make(http.Header, len(req.Header)+1)
		maps.Copy(header, req.Header)
		header["Accept-Encoding"] = []string{"gzip"}
		req.Header = header
	}
	if !x.replayable && req.Body != nil {
		x.stream = &upload{ReadCloser: req.Body}
		req.Body = x.stream
	}
	return req, nil
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func (x *exchange) roundTrip(req *http.Request) (*http.Response, error) {
	base := x.base
	if x.misdirected && x.standard != nil {
		// 421: this connection is the wrong one. A transport without idle connections makes another.
		fresh := x.standard.Clone()
		fresh.DisableKeepAlives = true
		fresh.IdleConnTimeout = time.Second // one that is cancelled before it is used closes by nothing else over HTTP/2
		base = fresh
	}
	if x.call != nil && x.call.resume != nil {
		return x.call.resume.roundTrip(req, base.RoundTrip)
	}
	return base.RoundTrip(req)
}
