package httpx

import (
	"net/http"
	"slices"
)

// Predicate says of a response that it is to be rejected: made a [*StatusError], and retried where the request allows it. It
// may read the body, which is put back for the next one and for the caller, and must be safe for concurrent use.
type Predicate func(*http.Response) bool

// Status rejects responses with one of these status codes. The built-in predicates do not read the body.
func Status(codes ...int) Predicate {
	codes = slices.Clone(codes)
	return func(r *http.Response) bool { return slices.Contains(codes, r.StatusCode) }
}

// ServerErrors rejects 500 to 599.
func ServerErrors(r *http.Response) bool { return r.StatusCode/100 == 5 }

// Transient is the default: it rejects what a later attempt may get past. 408, 421 (once, on another connection), 425 and 429,
// 413 with a Retry-After field, and 5xx but 501 and 505.
func Transient(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusRequestEntityTooLarge:
		return r.Header.Get("Retry-After") != ""
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return r.StatusCode/100 == 5
}

// Or rejects what one of ps rejects; And what all of them reject; Not what p does not.
func Or(ps ...Predicate) Predicate {
	ps = slices.Clone(ps)
	return func(r *http.Response) bool {
		return slices.ContainsFunc(ps, func(p Predicate) bool { return ask(p, r) })
	}
}

// And rejects what all of ps reject, and nothing if there are none.
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
