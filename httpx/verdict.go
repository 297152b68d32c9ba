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

// Two questions are asked of every outcome: whether the request may be sent again, and whose fault
// it was.
//
//	                                                     sent again            the host's fault
//	408, 421 (once), 425, 429, 413 with Retry-After      any method            no
//	what NotProcessed names                              any method            no, unless 5xx
//	5xx but 501 and 505                                  idempotent requests   yes
//	501, 505                                             never                 yes
//	other statuses, of their own                         never                 no
//	other responses that a predicate turns down          idempotent requests   no, unless 5xx
//	a body that a decoder turns down                     idempotent requests   no
//	not connected, REFUSED_STREAM                        any method            yes
//	errors after bytes were written, a body cut short    idempotent requests   yes
//	certificates, schemes, header fields, NXDOMAIN       never                 yes, but for what cannot be sent

// untouched tells by the status that the server did not act on the request, so that any method may
// be sent again.
func untouched(code int, h http.Header) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusRequestEntityTooLarge:
		return h.Get("Retry-After") != ""
	}
	return false
}

// Transient is the default: it rejects what a later attempt may get past. 408, 421 (once, on
// another connection), 425 and 429, 413 with a Retry-After field, and 5xx but 501 and 505.
func Transient(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return r.StatusCode/100 == 5 || untouched(r.StatusCode, r.Header)
}

// idempotent tells whether req may be sent twice: by its method (RFC 9110, section 9.2.2) or by a
// key that the server knows it by.
func (s *settings) idempotent(req *http.Request) bool {
	return s.nonIdempotent || idempotent(req)
}

func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

// verdict is what the chain sees of resp; nil if it is a success. The predicates look at seen.
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

// patience is the wait that the server asks for: by its Retry-After, or where it refused by the
// reset of a quota of which nothing is left. A refusal asks for patience in any case; 0: of unknown
// time.
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

// again lets err be retried if there is a body for another attempt, and tells why if not: by an
// event, and in the error if that is what comes out.
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

// failed marks the error of an attempt that brought no response, or not all of one.
func (x *exchange) failed(ctx context.Context, req *http.Request, err error, unsent bool) error {
	v := retry.VerdictOf(err)
	if v.Permanent || v.Config || v.Rejection != nil || x.Err() != nil {
		return err
	}
	switch {
	case malformed(req, err):
		return unsendable(err)
	case hopeless(err):
		return retry.Permanent(err)
	case unsent || notConnected(err) || refusedStream(err) || x.idempotent(req):
		return x.again(ctx, err)
	}
	return retry.Permanent(err)
}

// garbled marks the error of a decoder. It is the connection's fault if the body broke off, else
// nobody's. What is not JSON although it is all there is asked for once more, and no oftener.
func (x *exchange) garbled(ctx context.Context, req *http.Request, err error) error {
	var tooLong *http.MaxBytesError
	broken := x.fetch.body.err.Load()
	switch {
	case errors.As(err, &tooLong):
		err = answered(fmt.Errorf("%w (the response has more than %d bytes, see MaxBody)", err, tooLong.Limit))
	case broken == nil:
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
	return x.failed(ctx, req, redact.Server(err), false) // http.Client says of which request
}

// sameAgain tells of what encoding/json says of a text that is whole and not the JSON it should be.
func sameAgain(err error) bool {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	return (errors.As(err, &syntax) && syntax.Error() != "unexpected end of JSON input" ||
		errors.As(err, &mistyped) ||
		errors.Is(err, errMoreJSON)) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// answered marks what is wrong with the answer of a server that is well, and will give it again:
// what is final and not its fault.
func answered(err error) error { return retry.Permanent(retry.Neutral(err)) }

// notSent is for an attempt that a hook or GetBody failed. The server was not asked: a loop ends, a
// breaker hears nothing, not even of a success, and a limiter gets its token back.
func notSent(err error) error {
	return retry.Permanent(&retry.Rejection{Policy: "httpx",
		Reason: fmt.Errorf("the request was not prepared (%w)", retry.Unmark(redact.Error(err)))})
}

// unsendable is for a request that can never be sent: its URL, from a page or a Location, is not
// one that HTTP knows. That is not a configuration error, because it concerns this one link and not
// the program.
func unsendable(err error) error {
	return answered(&retry.Rejection{Policy: "httpx", Reason: err})
}

// hopeless tells of errors that the next attempt would meet again.
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
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid),
		errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return true
	case errors.As(err, &alert):
		// Internal error, user canceled. All others tell of what was agreed on.
		return alert != 80 && alert != 90
	}
	return false
}

// malformed finds what net/http's transport refuses to send, also from below another RoundTripper.
// Its own errors for that have no type.
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
		if !validHeader(key, "") || slices.ContainsFunc(values, func(v string) bool { return !validHeader(key, v) }) {
			return false
		}
	}
	return true
}

// notConnected: a dial that failed, to the server or to its proxy, has sent nothing.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// http2StreamError has the shape of net/http's unexported type of this name, whose method As fills
// any struct like it. A GOAWAY for a stream that the server has not seen is retried by net/http
// itself, except for the first stream of a connection if it comes with an error: that has neither
// type nor value to be known by, and so a POST is not sent again.
type http2StreamError struct {
	StreamID uint32
	Code     http2Code
	Cause    error
}

type http2Code uint32

func (http2StreamError) Error() string { return "http2 stream error" }

// refusedStream: the server has not acted on it (RFC 9113, section 8.7).
func refusedStream(err error) bool {
	const code = 7 // REFUSED_STREAM
	var stream http2StreamError
	return errors.As(err, &stream) && stream.Code == code
}

// handsBack tells whether the response that status was made of is the outcome of the call, err: its
// own error ended it, as it is, marked, or as the last failure of a loop that has nothing else to
// say. The context, a rejection, a wait that the server asked for and did not get, and a policy's
// own verdict are outcomes of their own.
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
	URL    string      // of the request, without userinfo and with the values of its query hidden; at most 1 KiB
	Header http.Header // of the response

	// Body is what was read ahead of the response's, at most 64 KiB: nil if it announced more or
	// was not there within 200 ms, and for a redirect that was not followed. It is not a part of
	// the text, and not to be changed.
	Body []byte

	by string // the option and predicate that rejected it
}

// Error is one line: the request, the status it got and, if the status does not tell the reason,
// which predicate rejected it.
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
	name, _, _ = strings.Cut(name, ".func") // of a function literal, the one that it is in
	return name
}

// StatusCode returns Code; policies.Classify asks for it.
func (e *StatusError) StatusCode() int { return e.Code }

// Bulky makes [retry.Brief] keep only the text.
func (e *StatusError) Bulky() bool { return true }

func statusError(req *http.Request, resp *http.Response) *StatusError {
	status := redact.Cut(resp.Status)
	if status == "" {
		status = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return &StatusError{
		Code: resp.StatusCode, Status: status, Method: methodOf(req), URL: redact.URL(req.URL), Header: resp.Header,
	}
}

// Predicate reports whether a response is rejected: made a [*StatusError], and retried if the
// request allows it. It may read the body, which is decoded whatever its Content-Encoding and put
// back for the next predicate and for the caller. It must be safe for concurrent use.
type Predicate func(*http.Response) bool

// Status rejects responses with one of these status codes. The built-in predicates do not read the
// body.
func Status(codes ...int) Predicate {
	codes = slices.Clone(codes)
	return func(r *http.Response) bool { return slices.Contains(codes, r.StatusCode) }
}

// ServerErrors rejects 500 to 599.
func ServerErrors(r *http.Response) bool { return r.StatusCode/100 == 5 }

// Or rejects what one of ps rejects; And what all of them reject; Not what p does not.
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
