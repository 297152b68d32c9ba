package httpx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Transport is an http.RoundTripper that sends each request through a chain of policies, for any net/http client or proxy:
//
//	client := &http.Client{Transport: &httpx.Transport{Policy: guard}}
//
// The zero Transport is ready, and retries like the default client. A response whose retries are exhausted is returned as it
// is, without an error. It is safe for concurrent use if its fields are not changed meanwhile.
type Transport struct {
	Base          http.RoundTripper // nil: http.DefaultTransport
	Policy        retry.Policy      // nil: policies.Exponential(), and 30 s for each attempt until the headers are there
	Retry         Predicate         // which responses are rejected; nil: Transient
	Refused       Predicate         // which are the server's refusal whatever their status; nil: none
	NonIdempotent bool              // retry POST and PATCH like GET
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	s := settings{policy: t.Policy, nonIdempotent: t.NonIdempotent}
	if s.policy == nil {
		s.policy, s.limit = defaultPolicy, defaultLimit
	}
	if t.Retry != nil {
		s.transient = []Predicate{t.Retry}
	}
	if t.Refused != nil {
		s.refused = []Predicate{t.Refused}
	}
	return send(req, t.Base, nil, &s)
}

// CloseIdleConnections closes those of Base; http.Client's method of that name calls it.
func (t *Transport) CloseIdleConnections() { closeIdle(t.Base) }

func closeIdle(base http.RoundTripper) {
	if base == nil {
		base = http.DefaultTransport
	}
	if c, ok := base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// exchange is one request on its way through the chain: a redirect's next hop is another. It is the node in the context
// that Host reads. Its attempts follow each other, so it needs no lock.
type exchange struct {
	context.Context // the caller's
	*settings
	req         *http.Request
	base        http.RoundTripper
	standard    *http.Transport // base, if it is net/http's
	jar         http.CookieJar  // nil: none
	call        *call           // nil: not under Fetch
	target      *url.URL        // where the next attempt goes
	sent        int             // attempts
	replayable  bool
	stream      *upload        // the body, if it is not replayable
	misdirected bool           // there was a 421
	unpacks     bool           // the present attempt asked for gzip by itself
	held        *http.Response // the last one: closed before the next attempt
	status      *StatusError   // made of held
}

func (x *exchange) Value(key any) any {
	if key == (hostKey{}) {
		return x
	}
	return x.Context.Value(key)
}

var errNoCall = errors.New("httpx: a policy returned without a response and without an error")

// send is the whole of RoundTrip.
func send(req *http.Request, base http.RoundTripper, jar http.CookieJar, s *settings) (resp *http.Response, err error) {
	if base == nil {
		base = http.DefaultTransport
	}
	x := &exchange{Context: req.Context(), settings: s, req: req, base: base, jar: jar, target: req.URL}
	x.standard, _ = base.(*http.Transport)
	x.call, _ = req.Context().Value(callKey{}).(*call)
	x.replayable = req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
	x.aim()
	returned := false
	defer func() {
		if req.Body != nil && (x.sent == 0 || req.GetBody != nil) {
			_ = req.Body.Close() // attempts send what GetBody gives
		}
		if !returned { // a panic is on its way
			x.drop()
		}
	}()
	if x.polite != nil {
		if err := x.polite.ask(x); err != nil {
			return nil, err
		}
	}
	resp, err = retry.Do(x, x.policy, x.attempt)
	returned = true
	switch {
	case err == nil && resp == nil:
		return nil, errNoCall
	case err == nil:
		return resp, nil
	case !x.raises() && resp != nil && handsBack(err, x.status):
		return resp, nil
	}
	x.drop()
	return nil, err
}

// aim chooses where the next attempt goes. Alternates are for the request itself, not for where it is redirected to.
func (x *exchange) aim() {
	if n := len(x.alternates); n > 0 && x.req.Response == nil {
		x.target = x.alternates[min(x.sent, n-1)]
	}
}

// drop closes a response that nobody is going to read.
func (x *exchange) drop() {
	if x.held != nil {
		_ = x.held.Body.Close()
		x.held = nil
	}
}

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
	if x.limit > 0 || x.call == nil && ctx.Done() != x.Done() { // else nothing ends the attempt but the caller, or it lasts until decoded
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
	}
	for _, f := range x.each {
		if err := f(x.sent+1, req); err != nil {
			return nil, err
		}
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
	if x.req.GetBody != nil && req.Body == x.req.Body && req.Body != nil && req.Body != http.NoBody {
		body, err := x.req.GetBody()
		if err != nil {
			return nil, err
		}
		req.Body = body
	}
	if !x.replayable && req.Body != nil {
		x.stream = &upload{ReadCloser: req.Body}
		req.Body = x.stream
	}
	return req, nil
}

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

// receive takes what the response says, and judges it.
func (x *exchange) receive(ctx context.Context, req *http.Request, resp *http.Response) (*http.Response, error) {
	if x.jar != nil {
		if cookies := resp.Cookies(); len(cookies) > 0 {
			x.jar.SetCookies(req.URL, cookies)
		}
	}
	if saysQuota(resp.Header) {
		if q, ok := parseQuota(resp.Header, time.Now()); ok && x.polite.yields(x.target, q) {
			retry.Report(ctx, q)
		}
	}
	if location := resp.Header.Get("Location"); location != "" && req.URL != x.req.URL {
		if u, err := req.URL.Parse(location); err == nil { // http.Client would resolve it against the original request
			resp.Header.Set("Location", u.String())
		}
	}
	if x.call != nil { // before the predicates: they read what the decoder reads
		if err := decodeBody(resp, x.call.maxBody, x.call.decoders); err != nil && resp.StatusCode/100 == 2 {
			_ = resp.Body.Close()
			return nil, err
		}
	} else if x.unpacks {
		gunzip(resp)
	}
	if x.call == nil && x.maxBytes > 0 && resp.StatusCode != http.StatusSwitchingProtocols && resp.Body != http.NoBody {
		resp.Body = http.MaxBytesReader(nil, resp.Body, x.maxBytes)
	}
	if (x.transient != nil || x.refused != nil) && resp.StatusCode != http.StatusSwitchingProtocols {
		b := &rewinder{from: resp.Body}
		resp.Body = b
		judged := false
		defer func() {
			if !judged { // a predicate panicked
				_ = b.from.Close()
			}
		}()
		err := x.judge(req, resp)
		judged = true
		resp.Body = b.restored()
		return x.outcome(req, resp, err)
	}
	return x.outcome(req, resp, x.judge(req, resp))
}

func (x *exchange) outcome(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	if err == nil && x.call != nil && resp.StatusCode/100 == 2 {
		return x.decode(req, resp)
	}
	if err != nil {
		x.status.Body = prefetch(resp)
	}
	x.held = resp // a success too: the policies may still make something else of it
	return resp, err
}

// raises tells whether a response that is no success is to come out as an error.
func (x *exchange) raises() bool { return x.strict || x.call != nil }

// saysQuota is asked of every response: nearly none has such a field, and looking each of them up costs more than this.
func saysQuota(h http.Header) bool {
	for key := range h {
		if strings.HasPrefix(key, "Ratelimit") || strings.HasPrefix(key, "X-Rate") {
			return true
		}
	}
	return false
}
