package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// Every outcome is judged twice: may the request be sent again, and whose fault was it?
//
//	                                                   sent again           the host's fault
//	408, 421 (once), 425, 429, 413 with Retry-After    any method           no
//	what NotProcessed names                            any method           no, unless 5xx
//	5xx except 501 and 505                             idempotent requests  yes
//	501, 505                                           never                yes
//	other statuses, if no predicate rejects them       never                no
//	other responses that a predicate rejects           idempotent requests  no, unless 5xx
//	a body that a decoder rejects                      idempotent requests  no
//	not connected, REFUSED_STREAM                      any method           yes
//	errors after bytes were written, a body cut short  idempotent requests  yes
//	certificates, HTTP spoken for HTTPS, NXDOMAIN      never                yes
//	schemes and header fields that cannot be sent      never                no

// untouched tells whether the status says that the server did not act on the request, so that any
// method may be sent again.
func untouched(code int, h http.Header) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return true
	case http.StatusRequestEntityTooLarge:
		return h.Get("Retry-After") != ""
	}
	return false
}

// Transient is the default predicate. It rejects the statuses that a later attempt may not meet:
// 408, 421 (once, on another connection), 425 and 429, 413 with a Retry-After field, and 5xx except
// 501 and 505.
func Transient(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return r.StatusCode/100 == 5 || untouched(r.StatusCode, r.Header)
}

// idempotent tells whether req may be sent twice, because of its method (RFC 9110, section 9.2.2)
// or because it has an idempotency key.
func (s *settings) idempotent(req *http.Request) bool {
	return s.nonIdempotent || idempotent(req)
}

func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace,
		http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

// verdict returns resp as the error that the chain sees; nil if it is a success. The predicates
// look at seen.
func (x *exchange) verdict(
	ctx context.Context, req *http.Request, resp, seen *http.Response, quotas []retry.Quota,
) error {
	code := resp.StatusCode
	by := ""
	is := func(option string, ps []Predicate) bool {
		i := slices.IndexFunc(ps, func(p Predicate) bool { return ask(p, seen) })
		if i >= 0 {
			by = cmp.Or(by, option+": "+nameOf(ps[i]))
		}
		return i >= 0
	}
	refused := is("Refused", x.refused)
	unprocessed := is("NotProcessed", x.notProcessed)
	rejected := refused || unprocessed
	if !rejected && x.transient != nil {
		rejected = is("RetryOn", x.transient)
	} else if !rejected {
		rejected = Transient(resp)
	}
	unprocessed = unprocessed || untouched(code, resp.Header)
	if code == http.StatusMisdirectedRequest {
		rejected = rejected && !x.misdirected
		x.misdirected = true
	}
	if !rejected && code/100 != 5 && (code/100 != 4 || !x.mustSucceed()) {
		return nil
	}
	x.status = statusError(req, resp)
	x.status.by = by
	var err error = x.status
	if code < 500 || refused {
		err = retry.Neutral(err)
	}
	if wait, asked := patience(resp, quotas, refused || code == http.StatusTooManyRequests); asked {
		err = retry.After(err, wait)
	}
	if rejected && (unprocessed || x.idempotent(req)) && !x.status.RetriesSpent() {
		return x.again(ctx, err)
	}
	return retry.Permanent(err)
}

// patience is the wait that the server asks for: its Retry-After or, in a refusal, the reset of a
// quota of which nothing is left. A refusal always asks for a wait; 0: of unknown length.
func patience(
	resp *http.Response, quotas []retry.Quota, refused bool,
) (wait time.Duration, asked bool) {
	if wait, ok := field.RetryAfter(resp.Header, time.Now()); ok && wait > 0 {
		return wait, true
	}
	if !refused {
		return 0, false
	}
	for _, q := range quotas {
		if q.Remaining == 0 {
			wait = max(wait, q.Reset)
		}
	}
	return wait, true
}

// again makes err final if the body cannot be sent in another attempt. It tells why by an event,
// and in the error if the call is going to return that.
func (x *exchange) again(ctx context.Context, err error) error {
	if x.reopens() {
		return err
	}
	retry.Emit(ctx, retry.Event{Kind: retry.KindGiveUp, Policy: "httpx", Err: errNoReplay})
	if x.status == nil || x.mustSucceed() {
		err = fmt.Errorf("%w (no further attempt: %w)", err, errNoReplay)
	}
	return retry.Permanent(err)
}

// failed marks the error of an attempt that got no response, or only a part of one.
func (x *exchange) failed(ctx context.Context, req *http.Request, err error) error {
	if final := x.final(req, err); final != nil {
		return final
	}
	if notConnected(err) || refusedStream(err) || x.idempotent(req) {
		return x.again(ctx, err)
	}
	return retry.Permanent(err)
}

// unsent is failed for an attempt of which nothing was sent, so any method may be sent again.
func (x *exchange) unsent(ctx context.Context, req *http.Request, err error) error {
	if final := x.final(req, err); final != nil {
		return final
	}
	return x.again(ctx, err)
}

// final is the error of an attempt after which no other one is made, whatever was sent; else nil.
func (x *exchange) final(req *http.Request, err error) error {
	v := retry.VerdictOf(err)
	switch {
	case v.Permanent || v.Config || v.Rejection != nil || x.Err() != nil:
		return err
	case malformed(req, err):
		return unsendable(err)
	case hopeless(err):
		return retry.Permanent(err)
	}
	return nil
}

// garbled marks the error of a decoder. If the body broke off it is the connection's fault, else
// nobody's. A complete body that is not the JSON it should be is fetched only once more.
func (x *exchange) garbled(ctx context.Context, req *http.Request, err error) error {
	var tooLong *http.MaxBytesError
	broken := x.fetch.body.err.Load()
	switch {
	case errors.As(err, &tooLong):
		err = answered(fmt.Errorf("%w (the response has more than %d bytes, see MaxBody)",
			err, tooLong.Limit))
	case broken == nil && req.Context().Err() == nil:
		err = retry.Neutral(err)
		if sameAgain(err) {
			if x.fetch.garbled++; x.fetch.garbled > 1 {
				err = retry.Permanent(err)
			}
		}
	}
	// net/http's HTTP/2 does not tell the cause.
	if cause := context.Cause(req.Context()); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return x.failed(ctx, req, redact.Server(err)) // http.Client says of which request
}

// sameAgain tells whether err is encoding/json's error for a complete text that is not the JSON it
// should be.
func sameAgain(err error) bool {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	return (errors.As(err, &syntax) && syntax.Error() != "unexpected end of JSON input" ||
		errors.As(err, &mistyped) ||
		errors.Is(err, errMoreJSON)) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// answered marks an error as final and not the server's fault: the server works, and would answer
// the same again.
func answered(err error) error { return retry.Permanent(retry.Neutral(err)) }

// notSent is the error of an attempt for which a hook or GetBody failed. The server was not asked,
// so a loop ends, a breaker counts neither a failure nor a success, and a limiter gets its token
// back.
func notSent(err error) error {
	return retry.Permanent(&retry.Rejection{Policy: "httpx",
		Reason: fmt.Errorf("the request was not prepared (%w)", retry.Unmark(redact.Error(err)))})
}

// unsendable is the error of a request that can never be sent, such as a link of a page or a
// Location with another scheme. It is not a configuration error, because only this link is wrong
// and not the program.
func unsendable(err error) error {
	return answered(&retry.Rejection{Policy: "httpx", Reason: err})
}

// hopeless tells whether the next attempt would meet the same error.
func hopeless(err error) bool {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &dns):
		return dns.IsNotFound
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &hostname),
		errors.As(err, &invalid), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return true
	case errors.As(err, &alert):
		// internal_error and user_canceled may pass; all others are about the setup of TLS
		return alert != 80 && alert != 90
	}
	return false
}

// malformed tells whether req is one that net/http's transport refuses to send, also below another
// RoundTripper. It looks at req, because net/http's errors for that have no type.
func malformed(req *http.Request, err error) bool {
	u := req.URL
	switch {
	case u == nil || req.Header == nil:
		return true
	case u.Scheme != "http" && u.Scheme != "https": // it may be a registered protocol
		return strings.Contains(err.Error(), "unsupported protocol scheme")
	}
	return u.Host == "" || req.Method != "" && !validHeader(req.Method, "") ||
		!validFields(req.Header) || !validFields(req.Trailer)
}

func validFields(h http.Header) bool {
	for key, values := range h {
		invalid := func(v string) bool { return !validHeader(key, v) }
		if invalid("") || slices.ContainsFunc(values, invalid) {
			return false
		}
	}
	return true
}

// notConnected tells whether a dial failed, to the server or to its proxy: then nothing was sent.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// http2StreamError has the shape of net/http's unexported type of this name, whose method As fills
// any struct like it. If a GOAWAY says that the server has not seen a stream, net/http itself
// retries, except for the first stream of a connection when the GOAWAY has an error code. That
// error has neither a type nor a value to recognise it by, so a POST is not sent again then.
type http2StreamError struct {
	StreamID uint32
	Code     http2Code
	Cause    error
}

type http2Code uint32

func (http2StreamError) Error() string { return "http2 stream error" }

// refusedStream tells whether the server refused the stream without acting on it (RFC 9113, section
// 8.7).
func refusedStream(err error) bool {
	const code = 7 // REFUSED_STREAM
	var stream http2StreamError
	return errors.As(err, &stream) && stream.Code == code
}

// handsBack tells whether the call, which ended with err, returns the response that status was made
// of. It does if status is err, marked or not, or the last failure of a loop that ended because of
// it. It does not if the call ended for another reason: its context, a rejection, a wait that the
// server asked for and did not get, or a policy's own verdict.
func handsBack(err error, status *StatusError) bool {
	for status != nil {
		switch e := retry.Bare(err).(type) {
		case *StatusError:
			return e == status
		case *retry.Error:
			switch e.Reason {
			case retry.ErrExhausted, retry.ErrPermanent, retry.ErrDeclined, retry.ErrStopped:
				err = e.Last
				continue
			}
		}
		return false
	}
	return false
}

// StatusError is a response that was rejected, by a predicate or because it is not 2xx under
// RaiseForStatus, Fetch or Save. The policies of a chain see it in place of the response.
type StatusError struct {
	Code   int         // 503
	Status string      // "503 Service Unavailable", at most 1 KiB
	Method string      // of the request
	URL    string      // of the request, without userinfo and query values; at most 1 KiB
	Header http.Header // of the response

	// Body is the response's body as far as it was read, at most 64 KiB. It is nil if the response
	// announced more, if it did not come within 200 ms, and for a redirect that was not followed.
	// Error does not print it. It must not be changed.
	Body []byte

	by string // the option and predicate that rejected it
}

// Error is one line: the request, the status and, unless the status tells the reason, the predicate
// that rejected it.
func (e *StatusError) Error() string {
	text := e.Method + " " + e.URL + ": " + e.Status
	switch {
	case e.Code >= 400:
	case e.by != "":
		text += ", rejected by a predicate (" + e.by + ")"
	case e.Code/100 == 2:
		text += ", rejected by a predicate"
	}
	return text
}

// nameOf is the name of p's function, as "main.captcha" or "httpx.Status".
func nameOf(p Predicate) string {
	f := runtime.FuncForPC(reflect.ValueOf(p).Pointer())
	if f == nil {
		return "a predicate"
	}
	name := f.Name()[strings.LastIndexByte(f.Name(), '/')+1:]
	name, _, _ = strings.Cut(name, ".func") // a function literal goes by the function it is in
	return name
}

// StatusCode returns Code; policies.Classify asks for it.
func (e *StatusError) StatusCode() int { return e.Code }

// Bulky makes [retry.Brief] keep only the text.
func (e *StatusError) Bulky() bool { return true }

func statusError(req *http.Request, resp *http.Response) *StatusError {
	status := strings.TrimSpace(redact.Cut(resp.Status))
	if len(status) <= len("503") { // without a reason
		reason := http.StatusText(resp.StatusCode)
		status = strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, reason))
	}
	return &StatusError{
		Code: resp.StatusCode, Status: status,
		Method: methodOf(req), URL: redact.URL(req.URL), Header: resp.Header,
	}
}

// Predicate reports whether a response is rejected: it becomes a [*StatusError], and is retried if
// the request allows it. A predicate may read the body: it is decoded, whatever its
// Content-Encoding, and put back for the next predicate and for the caller. It must be safe for
// concurrent use.
type Predicate func(*http.Response) bool

// Status rejects responses with one of these status codes. The built-in predicates do not read the
// body.
func Status(codes ...int) Predicate {
	codes = slices.Clone(codes)
	return func(r *http.Response) bool { return slices.Contains(codes, r.StatusCode) }
}

// ServerErrors rejects 500 to 599.
func ServerErrors(r *http.Response) bool { return r.StatusCode/100 == 5 }

// Or rejects what at least one of ps rejects.
func Or(ps ...Predicate) Predicate {
	ps = slices.Clone(ps)
	return func(r *http.Response) bool { return anyOf(ps, r) }
}

// And rejects what all of ps reject. Without any it rejects nothing.
func And(ps ...Predicate) Predicate {
	ps = slices.Clone(ps)
	return func(r *http.Response) bool {
		return len(ps) > 0 && !slices.ContainsFunc(ps, func(p Predicate) bool { return !ask(p, r) })
	}
}

// Not rejects what p does not.
func Not(p Predicate) Predicate {
	return func(r *http.Response) bool { return !ask(p, r) }
}

func anyOf(ps []Predicate, r *http.Response) bool {
	for _, p := range ps {
		if ask(p, r) {
			return true
		}
	}
	return false
}

// ask calls p and puts back what it has read of the body. A nil predicate rejects nothing.
func ask(p Predicate, r *http.Response) bool {
	if p == nil {
		return false
	}
	if b, ok := r.Body.(*rewinder); ok {
		defer func() { r.Body, b.off = b, 0 }() // p may have put another body in its place
	}
	return p(r)
}
