package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/httpx/internal/hostname"
	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// attempt is what the chain guards: one request on the wire, from the permission to send it to its
// outcome. The rest of this file are its steps, in their order.
func (x *exchange) attempt(ctx context.Context) (*http.Response, error) {
	if x.onward != nil { // the wait that it asked for is over
		return x.onward, nil
	}
	x.drop()
	if err := x.mayStart(ctx); err != nil {
		return nil, err
	}
	defer x.aim() // the next one
	ctx, life := x.begin(ctx)
	defer x.settle(life)
	req, err := x.prepare(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := x.transmit(ctx, req, life)
	if err != nil {
		return nil, err
	}
	quotas := x.learn(ctx, req, resp)
	if err := x.unpack(resp); err != nil {
		return nil, err
	}
	if err = x.judge(ctx, req, resp, quotas); err == nil && x.decodes(resp) {
		return x.decode(ctx, req, resp)
	}
	if err == nil {
		err = x.lead(req, resp)
	}
	return x.hold(resp, life), err
}

// mayStart tells why there is no attempt.
func (x *exchange) mayStart(ctx context.Context) error {
	x.status, x.turn = nil, retry.Quota{}
	if err := retry.Ended(ctx); err != nil { // a chain without a loop may not have asked
		return err
	}
	if x.sent > 0 && !x.reopens() {
		return notSent(errNoReplay)
	}
	return x.polite.admit(ctx, x)
}

// wire is what httptrace told of an attempt. Without whole headers a server cannot act on a
// request.
type wire struct{ headers atomic.Bool }

// prepare makes the request of this attempt: the caller's is not touched.
func (x *exchange) prepare(ctx context.Context) (*http.Request, error) {
	if x.ready != nil && same(x.ready.Context(), ctx) {
		return x.ready, nil
	}
	x.wire, x.ready = nil, nil
	req := x.copy(ctx)
	x.identify(req)
	if err := x.body(req); err != nil {
		return nil, notSent(err)
	}
	if err := x.hooks(req); err != nil {
		return nil, notSent(err)
	}
	if err := x.mayGo(ctx, req); err != nil {
		if req.Body != nil { // this attempt's own
			_ = req.Body.Close()
		}
		return nil, err
	}
	x.tell(ctx, req)
	x.finish(req)
	if x.standard != nil && !x.changes() && x.wire == nil && x.upload == nil &&
		len(x.propagate) == 0 {
		x.ready = req
	}
	return req, nil
}

// changes tells whether more than the context of an attempt's request is its own.
func (x *exchange) changes() bool {
	return len(x.each)+len(x.alternates) > 0 || x.jar != nil || x.fetch.resumes() ||
		downgraded(x.req)
}

func (x *exchange) copy(ctx context.Context) *http.Request {
	if x.standard != nil && !x.idempotent(x.req) {
		w := &wire{}
		x.wire = w
		told := func() { w.headers.Store(true) }
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: told})
	}
	var req *http.Request
	if x.standard != nil && !x.changes() {
		req = x.req.WithContext(ctx) // net/http's transport does not change what it is given
	} else {
		req = x.req.Clone(ctx)
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	return req
}

// finish adds what depends on where req goes: its cookies, and how its body and the response's are
// packed and watched.
func (x *exchange) finish(req *http.Request) {
	if x.jar != nil {
		for _, c := range x.jar.Cookies(req.URL) {
			req.AddCookie(c)
		}
	}
	if x.unpacks = x.asksForGzip(req); x.unpacks {
		header := make(http.Header, len(req.Header)+1)
		maps.Copy(header, req.Header)
		header["Accept-Encoding"] = x.gzip[:1:1]
		req.Header = header
	}
	if hasBody(req) {
		x.upload = &upload{ReadCloser: req.Body, length: req.ContentLength}
		req.Body = x.upload
	}
}

var credentials = []string{
	"Authorization", "Www-Authenticate", "Cookie", "Cookie2", "Proxy-Authorization", "Proxy-Authenticate",
}

// identify sends req to the attempt's target, with the credentials that are for it and no others.
func (x *exchange) identify(req *http.Request) {
	if downgraded(req) { // http.Client looks at the host only
		dropCredentials(req)
		authorize(req, req.URL.User)
	}
	switch {
	case len(x.alternates) == 0:
		return
	case x.req.Response != nil: // the hop of a redirect
		x.identifyHop(req)
		return
	}
	u := *x.target
	req.URL = &u
	elsewhere := hostOf(x.target) != hostOf(x.req.URL)
	if elsewhere {
		req.Host = ""
	}
	if elsewhere || x.req.URL.Scheme == "https" && u.Scheme != "https" {
		dropCredentials(req)
	}
	authorize(req, u.User) // http.Client does it for the request's own
}

func dropCredentials(req *http.Request) {
	for _, key := range credentials {
		req.Header.Del(key)
	}
}

func authorize(req *http.Request, user *url.Userinfo) {
	if user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
}

// downgraded tells whether redirects have led req out of https.
func downgraded(req *http.Request) bool {
	if req.Response == nil || req.URL == nil || req.URL.Scheme == "https" {
		return false
	}
	for r := req.Response; r != nil && r.Request != nil; r = r.Request.Response {
		if r.Request.URL != nil && r.Request.URL.Scheme == "https" {
			return true
		}
	}
	return false
}

// identifyHop is for the hop that a redirect leads to. http.Client does not know that it was an
// alternate that answered: what is said of the page before, and the alternate's own credentials,
// are put right here.
func (x *exchange) identifyHop(req *http.Request) {
	before := req.Response.Request
	if before == nil || before.URL == nil {
		return
	}
	if referer := req.Header.Get("Referer"); referer != "" &&
		referer != before.Header.Get("Referer") {
		req.Header.Del("Referer")
		if before.URL.Scheme != "https" || req.URL.Scheme == "https" {
			u := *before.URL
			u.User, u.Fragment = nil, ""
			req.Header.Set("Referer", u.String())
		}
	}
	if req.Header.Get("Authorization") != "" {
		return
	}
	for _, a := range x.alternates {
		if a.User != nil && a.Scheme == req.URL.Scheme && hostOf(a) == hostOf(req.URL) {
			authorize(req, a.User)
			return
		}
	}
}

// mayGo holds what an alternate or a hook has made of the request to the client's guards.
func (x *exchange) mayGo(ctx context.Context, req *http.Request) error {
	if req.URL != nil && len(req.URL.Host) > hostname.Most {
		return unsendable(errLongHost)
	}
	if x.secure && req.URL != nil && x.req.URL.Scheme == "https" && req.URL.Scheme != "https" {
		return downgrade(req.URL)
	}
	return x.polite.readmit(ctx, x, req)
}

// transmit sends req and waits for the headers of the response.
func (x *exchange) transmit(
	ctx context.Context, req *http.Request, life *lifetime,
) (*http.Response, error) {
	x.sent++
	x.fetch.count()
	resp, err := x.roundTrip(req)
	if err != nil {
		x.report(ctx, nil)
		return nil, x.broken(ctx, req, err)
	}
	if !life.answered(x, resp) {
		_ = resp.Body.Close()
		return nil, x.failed(ctx, req, context.Cause(ctx), false)
	}
	return resp, nil
}

func (x *exchange) roundTrip(req *http.Request) (*http.Response, error) {
	base := x.transport()
	if x.misdirected && x.standard != nil {
		// 421: this connection is the wrong one. A transport without idle connections makes
		// another.
		fresh := x.standard.Clone()
		fresh.DisableKeepAlives = true
		// over HTTP/2 nothing else closes one that is cancelled before its use
		fresh.IdleConnTimeout = time.Second
		base = fresh
	}
	resp, err := x.fetch.roundTrip(req, base)
	if err != nil {
		return nil, err
	}
	if resp == nil {
		return nil, errors.New("httpx: the transport gave neither a response nor an error")
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	if resp.Request == nil { // some RoundTrippers forget it
		resp.Request = req
	}
	return resp, nil
}

// broken makes the error of an attempt that brought no response.
func (x *exchange) broken(ctx context.Context, req *http.Request, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	err = redact.Server(err)
	if x.upload.failed(err) {
		err = fmt.Errorf("reading the request's body: %w", err)
		return answered(&retry.Rejection{Policy: "httpx", Reason: err})
	}
	return x.failed(ctx, req, err, x.wire != nil && !x.wire.headers.Load())
}

// learn takes what the response says besides its answer: cookies, quotas, where it leads.
func (x *exchange) learn(
	ctx context.Context, req *http.Request, resp *http.Response,
) []retry.Quota {
	if x.fetch != nil { // else the call ends here
		retry.Answered(ctx)
	}
	if x.jar != nil {
		if cookies := resp.Cookies(); len(cookies) > 0 {
			x.jar.SetCookies(req.URL, cookies)
		}
	}
	x.resolve(req, resp)
	quotas := field.Quotas(resp.Header, time.Now())
	x.report(ctx, quotas)
	return quotas
}

// resolve makes the Location of an attempt that went elsewhere absolute: http.Client would resolve
// it against the request it knows. What the hop needs of an alternate's credentials, identifyHop
// adds.
func (x *exchange) resolve(req *http.Request, resp *http.Response) {
	location := resp.Header.Get("Location")
	if location == "" || len(location) > mostLocation || len(x.alternates)+len(x.each) == 0 ||
		*req.URL == *x.req.URL {
		return
	}
	base := *req.URL
	base.User = nil
	if base.Scheme == x.req.URL.Scheme && hostOf(&base) == hostOf(x.req.URL) {
		base.User = x.req.URL.User
	}
	if u, err := base.Parse(location); err == nil {
		resp.Header.Set("Location", u.String())
	}
}

// report tells the limiters and pacers around of the quotas that the server speaks of, if they are
// stricter than the Crawl-delay, and else of that.
func (x *exchange) report(ctx context.Context, quotas []retry.Quota) {
	told := x.turn == retry.Quota{}
	for _, q := range quotas {
		each := q.Reset / time.Duration(max(q.Remaining, 1))
		if q.Limit > 0 {
			each = max(each, q.Window/time.Duration(q.Limit))
		}
		if each > x.turn.Window || x.turn == (retry.Quota{}) {
			retry.Report(ctx, q)
			told = true
		}
	}
	if !told {
		retry.Report(ctx, x.turn)
	}
}

// unpack undoes the response's Content-Encoding, where that is ours to do.
func (x *exchange) unpack(resp *http.Response) error {
	switch {
	case x.fetch != nil: // before the predicates: they read what the decoder reads
		if err := decodeBody(resp, x.maxBody, x.decoders); err != nil && resp.StatusCode/100 == 2 {
			_ = resp.Body.Close()
			return err
		}
		return nil
	case x.unpacks:
		gunzip(resp)
	}
	if x.maxBody > 0 && resp.StatusCode != http.StatusSwitchingProtocols &&
		resp.Body != http.NoBody {
		resp.Body = http.MaxBytesReader(nil, resp.Body, x.maxBody)
	}
	return nil
}

// judge asks the predicates, and makes the error that the chain sees of a response; nil if it is a
// success.
func (x *exchange) judge(
	ctx context.Context, req *http.Request, resp *http.Response, quotas []retry.Quota,
) error {
	predicates := len(x.transient) + len(x.refused) + len(x.notProcessed)
	if predicates == 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return x.verdict(ctx, req, resp, resp, quotas)
	}
	raw := &rewinder{from: resp.Body}
	judged := false
	defer func() {
		if !judged { // a predicate panicked
			_ = raw.from.Close()
		}
	}()
	resp.Body = raw
	seen := *resp
	if x.fetch == nil {
		seen.Header = resp.Header.Clone()
		_ = decodeBody(&seen, x.maxBody, x.decoders) // an unknown encoding stays as it is
		if _, same := seen.Body.(*rewinder); !same {
			seen.Body = &rewinder{from: seen.Body}
		}
	}
	err := x.verdict(ctx, req, resp, &seen, quotas)
	judged = true
	resp.Body = raw.restored()
	return err
}

// decodes tells whether resp is what a Fetch decodes.
func (x *exchange) decodes(resp *http.Response) bool {
	return x.fetch != nil && resp.StatusCode/100 == 2
}

// decode runs the Fetch's decoder inside the attempt. Nothing of the response is left open.
func (x *exchange) decode(
	ctx context.Context, req *http.Request, resp *http.Response,
) (*http.Response, error) {
	defer func() { _ = resp.Body.Close() }()
	err := x.fetch.read(resp)
	if err == nil {
		// What a decoder leaves must not cost the connection, but no time either.
		enough := time.AfterFunc(prefetchTime, func() { _ = resp.Body.Close() })
		_, _ = io.CopyN(io.Discard, resp.Body, prefetchBytes)
		enough.Stop()
		return resp, nil
	}
	return nil, x.garbled(ctx, req, err)
}

// lead makes a failure of a redirect that cannot be followed, or not yet: one that asks for a wait
// before (RFC 9110, section 10.2.3) is a failure so that the loop waits as for any hint. The next
// attempt is then the redirect itself.
func (x *exchange) lead(req *http.Request, resp *http.Response) error {
	if !x.follows || !leadsOn(resp) {
		return nil
	}
	if err := tooLong(resp.Header.Get("Location")); err != nil {
		return answered(err)
	}
	wait, ok := field.RetryAfter(resp.Header, time.Now())
	if !ok || wait == 0 {
		return nil
	}
	x.onward, x.onwardAt, x.status = resp, time.Now().Add(wait), statusError(req, resp)
	return retry.After(retry.Neutral(x.status), wait)
}

// leadsOn tells whether http.Client follows resp.
func leadsOn(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// mostLocation bounds a Location that is followed: browsers and servers give up far below.
const mostLocation = 64 << 10

var (
	errLongHost     = fmt.Errorf("a host of more than %d bytes", hostname.Most)
	errLongLocation = fmt.Errorf("a Location of more than %d bytes", mostLocation)
)

// tooLong is why a location is not followed. http.Client takes 0.1 s to parse 5 MB, and would ask
// IDNA for the name of a host of 300 KB, which takes minutes.
func tooLong(location string) error {
	switch {
	case len(location) <= hostname.Most:
		return nil
	case len(location) > mostLocation:
		return errLongLocation
	}
	if u, err := url.Parse(location); err == nil && len(u.Host) > hostname.Most {
		return errLongHost
	}
	return nil
}

// hold keeps resp for what follows, another attempt or the caller; a success too, of which the
// policies may still make something else. The body of a rejected one is read ahead.
func (x *exchange) hold(resp *http.Response, life *lifetime) *http.Response {
	if x.status != nil {
		x.status.Body = prefetch(resp, life)
	}
	x.held = resp
	return resp
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// asksForGzip tells whether req is to ask for gzip in net/http's place, and under its conditions.
// net/http undoes it out of sight, so that it is not known how much was sent; and closing a body
// that it is to undo waits for the body to begin, by which a server could hold up the next attempt.
func (x *exchange) asksForGzip(req *http.Request) bool {
	if x.standard == nil || x.standard.DisableCompression || x.fetch.resumes() && resumable(req) {
		return false
	}
	// a registered protocol
	if req.URL == nil || req.URL.Scheme != "https" && req.URL.Scheme != "http" {
		return false
	}
	return req.Method != http.MethodHead && req.Header.Get("Accept-Encoding") == "" &&
		req.Header.Get("Range") == ""
}
