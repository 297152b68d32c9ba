package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// What is retried, by status and by method; decide.go is the whole of it.
//
//	408, 421 (once), 425, 429, 413 with Retry-After; not connected, REFUSED_STREAM     any method
//	other rejected responses; errors after bytes were written; a body cut short        idempotent requests
//	certificates, schemes, headers, NXDOMAIN                                           never

// idempotent tells whether req may be sent twice: by its method (RFC 9110, section 9.2.2) or by a key that the server
// knows it by.
func (x *exchange) idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return x.nonIdempotent || req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}

// judge makes the error that the chain sees of a response; nil if it is a success.
func (x *exchange) judge(req *http.Request, resp *http.Response) error {
	refused := anyOf(x.refused, resp)
	rejected := refused
	if !rejected && x.transient != nil {
		rejected = anyOf(x.transient, resp)
	} else if !rejected {
		rejected = Transient(resp)
	}
	code := resp.StatusCode
	if code == http.StatusMisdirectedRequest {
		rejected = rejected && !x.misdirected
		x.misdirected = true
	}
	if !rejected && code/100 != 5 && (code/100 != 4 || !x.raises()) {
		return nil
	}
	x.status = statusError(req, resp)
	var err error = x.status
	if code == http.StatusTooManyRequests || refused {
		err = retry.Neutral(err)
	}
	if wait, ok := ParseRetryAfter(resp.Header, time.Now()); ok && wait > 0 {
		err = retry.After(err, wait)
	} else if code == http.StatusTooManyRequests || refused {
		err = retry.After(err, 0)
	}
	if rejected && (notProcessed(resp) || x.idempotent(req)) {
		return x.replay(err)
	}
	if code/100 == 4 {
		err = retry.Neutral(err)
	}
	return retry.Permanent(err)
}

func anyOf(ps []Predicate, resp *http.Response) bool {
	for _, p := range ps {
		if ask(p, resp) {
			return true
		}
	}
	return false
}

// notProcessed tells by the status that the server did not act on the request, so that any method may be sent again.
func notProcessed(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusRequestEntityTooLarge:
		return r.Header.Get("Retry-After") != ""
	}
	return false
}

// failed marks the error of an attempt that brought no response.
func (x *exchange) failed(req *http.Request, err error, unsent bool) error {
	if retry.IsPermanent(err) || errors.Is(err, retry.ErrConfig) || x.Err() != nil {
		return err
	}
	if _, rejected := retry.Rejected(err); rejected {
		return err
	}
	switch {
	case malformed(req, err):
		return unsendable(err)
	case hopeless(err):
		return retry.Permanent(err)
	case unsent || notConnected(err) || refusedStream(err) || x.idempotent(req):
		return x.replay(err)
	}
	return retry.Permanent(err)
}

// notSent is for an attempt that a hook or GetBody failed. The server was not asked: a loop ends, a breaker hears nothing, not
// even of a success, and a limiter gets its token back.
func notSent(err error) error {
	return &retry.Rejection{Policy: "httpx", Reason: fmt.Errorf("the request was not prepared (%w)", retry.Unmark(redactError(err)))}
}

// unsendable is for a request that can never be sent: its URL, from a page or a Location, is none that HTTP knows. No
// configuration error, for it speaks of this one link and not of the program.
func unsendable(err error) error {
	return answered(&retry.Rejection{Policy: "httpx", Reason: err})
}

// replay lets err be retried if the request's body allows it, and says why if not.
func (x *exchange) replay(err error) error {
	if x.replayable {
		return err
	}
	return retry.Permanent(fmt.Errorf("%w"+noSecond, err))
}

const noSecond = " (no further attempt: the body cannot be sent again without GetBody)"

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
		return alert != 80 && alert != 90 // internal error, user canceled; all others tell of what was agreed on
	}
	return false
}

// malformed finds what net/http's transport refuses to send, also from below another RoundTripper. Its own errors for that have
// no type.
func malformed(req *http.Request, err error) bool {
	u := req.URL
	switch {
	case u == nil || req.Header == nil:
		return true
	case u.Scheme != "http" && u.Scheme != "https": // it may be a registered protocol
		return strings.Contains(err.Error(), "unsupported protocol scheme")
	}
	return u.Host == "" || req.Method != "" && !validHeader(req.Method, "") || !validFields(req.Header) || !validFields(req.Trailer)
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

// http2StreamError has the shape of net/http's unexported type of this name, whose method As fills any struct like it. A GOAWAY for
// a stream that the server has not seen is retried by net/http itself, but for the first stream of a connection when it comes with
// an error: that has neither type nor value to be known by, and so a POST is not sent again.
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

// handsBack tells whether the response that status was made of is the outcome of the call, err: its own error ended it, and
// not the context, a rejection, a wait that the server asked for and did not get, or a policy's own verdict. A mark adds nothing to
// the text of what it marks; who does has something to say.
func handsBack(err error, status *StatusError) bool {
	var own *StatusError
	if status == nil || !errors.As(err, &own) || own != status {
		return false
	}
	if _, rejected := retry.Rejected(err); rejected || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	text := err.Error()
	var gaveUp *retry.Error
	if errors.As(err, &gaveUp) && gaveUp.Error() == text {
		return !errors.As(gaveUp.Reason, new(interface{ OverCap() })) && handsBack(gaveUp.Last, status) &&
			(errors.Is(gaveUp.Reason, retry.ErrExhausted) || errors.Is(gaveUp.Reason, retry.ErrPermanent))
	}
	return text == status.Error() || text == status.Error()+noSecond
}
