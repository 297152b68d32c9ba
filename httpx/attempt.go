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
	"strings"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/httpx/internal/hostname"
	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// attempt is what the chain runs: one request on the wire, from the permission to send it to its
// outcome. The rest of this file is its steps, in order.
func (x *exchange) attempt(ctx context.Context) (*http.Response, error) {
	if x.onward != nil { // the loop has waited as this redirect asked
		return x.onward, nil
	}
	x.drop()
	if err := x.mayStart(ctx); err != nil {
		return nil, err
	}
	defer x.aim() // for the next attempt
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
	if err := x.unpack(ctx, resp); err != nil {
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

// mayStart returns an error if there must be no attempt.
func (x *exchange) mayStart(ctx context.Context) error {
	x.status, x.turn = nil, retry.Quota{}
	if err := retry.Ended(ctx); err != nil { // a chain without a loop may not have checked
		return err
	}
	if x.sent > 0 && !x.reopens() {
		return notSent(errNoReplay)
	}
	return x.polite.admit(ctx, x)
}

// wire is what httptrace tells of an attempt: whether all headers were written. Before that the
// server cannot act on the request.
type wire struct{ headers atomic.Bool }

// prepare makes the request of this attempt. The caller's request is not changed.
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

// changes tells whether an attempt's request differs from the caller's in more than the context.
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

// finish adds what depends on where req goes: its cookies, whether to ask for gzip, and the watch
// over its body.
func (x *exchange) finish(req *http.Request) {
	if x.jar != nil {
		addCookies(req, x.jar.Cookies(req.URL))
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

// addCookies adds cookies to req's. Request.AddCookie copies all earlier ones for each, which is
// slow for the thousands that a hostile server may set.
func addCookies(req *http.Request, cookies []*http.Cookie) {
	if len(cookies) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString(req.Header.Get("Cookie"))
	one := &http.Request{Header: http.Header{}}
	for _, c := range cookies {
		one.AddCookie(c)
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(one.Header.Get("Cookie"))
		one.Header.Del("Cookie")
	}
	req.Header.Set("Cookie", b.String())
}

var credentials = []string{
	"Authorization", "Www-Authenticate", "Cookie", "Cookie2",
	"Proxy-Authorization", "Proxy-Authenticate",
}

// identify points req at the attempt's target, with the credentials for that target and no others.
func (x *exchange) identify(req *http.Request) {
	if downgraded(req) { // http.Client drops credentials only if the host changes
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
	authorize(req, u.User) // as http.Client does for the request's own URL
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

// identifyHop is identify for the hop of a redirect. http.Client does not know that an alternate
// has answered, so the Referer and the alternate's own credentials are put right here.
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

// mayGo applies the client's rules to the request as alternates and hooks have changed it.
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
	if !life.answered(ctx, x, resp) {
		_ = resp.Body.Close()
		return nil, x.failed(ctx, req, context.Cause(ctx))
	}
	return resp, nil
}

func (x *exchange) roundTrip(req *http.Request) (*http.Response, error) {
	base := x.transport()
	if x.misdirected && x.standard != nil {
		// 421: the connection was the wrong one. A transport without idle connections makes a
		// new one.
		fresh := x.standard.Clone()
		fresh.DisableKeepAlives = true
		// over HTTP/2 nothing else closes a connection whose request is cancelled before it is used
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
	if resp.Request == nil { // some RoundTrippers leave it nil
		resp.Request = req
	}
	return resp, nil
}

// broken makes the error of an attempt that got no response.
func (x *exchange) broken(ctx context.Context, req *http.Request, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	err = redact.Server(err)
	if x.upload.failed(err) {
		err = fmt.Errorf("reading the request's body: %w", err)
		return answered(&retry.Rejection{Policy: "httpx", Reason: err})
	}
	if x.wire != nil && !x.wire.headers.Load() {
		return x.unsent(ctx, req, err)
	}
	return x.failed(ctx, req, err)
}

// learn reads the response's cookies, quotas and Location.
func (x *exchange) learn(
	ctx context.Context, req *http.Request, resp *http.Response,
) []retry.Quota {
	if x.fetch != nil { // without a Fetch the call ends here anyway
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

// resolve makes the Location absolute if an alternate or a hook has changed the attempt's URL,
// because http.Client would resolve it against the request's own. An alternate's credentials are
// added by identifyHop.
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

// report tells the limiters and pacers around the attempt of the server's quotas that are stricter
// than the Crawl-delay; if there are none, of the Crawl-delay.
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

// unpack undoes the response's Content-Encoding, under Fetch or if finish asked for gzip, and
// bounds the body.
func (x *exchange) unpack(ctx context.Context, resp *http.Response) error {
	switch {
	case x.fetch != nil: // before the predicates, so that they read what the decoder reads
		if err := decodeBody(ctx, resp, x.maxBody, x.decoders); err != nil &&
			resp.StatusCode/100 == 2 {
			_ = resp.Body.Close()
			return err
		}
		return nil
	case x.unpacks:
		gunzip(ctx, resp)
	}
	if x.maxBody > 0 && resp.StatusCode != http.StatusSwitchingProtocols &&
		resp.Body != http.NoBody {
		resp.Body = http.MaxBytesReader(nil, resp.Body, x.maxBody)
	}
	return nil
}

// judge asks the predicates and returns the response as the error that the chain sees; nil if it is
// a success.
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
		_ = decodeBody(ctx, &seen, x.maxBody, x.decoders) // an unknown encoding stays as it is
		if _, same := seen.Body.(*rewinder); !same {
			seen.Body = &rewinder{from: seen.Body}
		}
	}
	err := x.verdict(ctx, req, resp, &seen, quotas)
	judged = true
	resp.Body = raw.restored()
	return err
}

// decodes tells whether resp goes to the decoder of a Fetch.
func (x *exchange) decodes(resp *http.Response) bool {
	return x.fetch != nil && resp.StatusCode/100 == 2
}

// decode runs the Fetch's decoder inside the attempt, and closes the response.
func (x *exchange) decode(
	ctx context.Context, req *http.Request, resp *http.Response,
) (*http.Response, error) {
	defer func() { _ = resp.Body.Close() }()
	err := x.fetch.read(resp)
	if err == nil {
		// The rest of the body is read, so that the connection can be used again, but not for long.
		enough := time.AfterFunc(prefetchTime, func() { _ = resp.Body.Close() })
		_, _ = io.CopyN(io.Discard, resp.Body, prefetchBytes)
		enough.Stop()
		return resp, nil
	}
	return nil, x.garbled(ctx, req, err)
}

// lead turns a redirect into a failure if it cannot be followed, or not yet: if it has a
// Retry-After (RFC 9110, section 10.2.3) the failure makes the loop wait as for any hint. The next
// attempt then returns the redirect itself.
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

// mostLocation bounds a Location that is followed, in bytes. Browsers and servers give up far below
// it.
const mostLocation = 64 << 10

var (
	errLongHost     = fmt.Errorf("a host of more than %d bytes", hostname.Most)
	errLongLocation = fmt.Errorf("a Location of more than %d bytes", mostLocation)
)

// tooLong returns an error if location is too long to follow. http.Client takes 0.1 s to parse 5
// MB, and would apply IDNA to a host name of 300 KB, which takes minutes.
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

// hold keeps resp for the next attempt, which closes it, or for the caller. It keeps a success too,
// because the policies may still reject it. The body of a rejected response is read ahead.
func (x *exchange) hold(resp *http.Response, life *lifetime) *http.Response {
	if x.status != nil {
		x.status.Body = prefetch(resp, life)
	}
	x.held = resp
	return resp
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// asksForGzip tells whether this package asks for gzip in net/http's place, under the same
// conditions. If net/http asked, it would unpack out of sight, and nobody would know how much was
// sent. Besides, closing a body that net/http unpacks waits until the body begins, so a server
// could delay the next attempt.
func (x *exchange) asksForGzip(req *http.Request) bool {
	if x.standard == nil || x.standard.DisableCompression || x.fetch.resumes() && resumable(req) {
		return false
	}
	// another scheme: a protocol that is registered with the transport
	if req.URL == nil || req.URL.Scheme != "https" && req.URL.Scheme != "http" {
		return false
	}
	return req.Method != http.MethodHead && req.Header.Get("Accept-Encoding") == "" &&
		req.Header.Get("Range") == ""
}
