package httpx

import (
	"net/http"

	"github.com/reprise-go/reprise/retry"
)

// Transport is an http.RoundTripper that sends each request through a chain of policies, for any net/http client or proxy:
//
//	client := &http.Client{Transport: &httpx.Transport{Policy: guard}}
//
// The zero Transport is ready, and retries like the default client. A response whose retries are exhausted is returned as it
// is, without an error. It is safe for concurrent use if its fields are not changed meanwhile.
//
// Its errors show no secrets of URLs, but an http.Client writes the URL it was given before them, of which it hides the password
// only. To log, put retry.Observe(retry.LogTo(logger)) into the chain; [Host] tells an observer whose request it is.
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
