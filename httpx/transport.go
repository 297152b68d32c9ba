package httpx

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"net/url"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/hostname"
	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// Transport is an http.RoundTripper that sends each request through a chain of policies, for any
// net/http client or proxy:
//
//	client := &http.Client{Transport: &httpx.Transport{Policy: guard}}
//
// The zero Transport is ready, and retries like the default client. When retries are exhausted the
// last response is returned as it is, without an error. A Transport is safe for concurrent use if
// its fields are not changed meanwhile.
//
// An http.Client around it does what a [Client] does, except for two things. Its Jar gets the
// cookies of the last response only, not those of the responses that were retried; a jar given to
// [WithClient] gets both. And it puts the request's URL in front of each error and hides only the
// password in it; the Transport's own errors show no secrets of URLs.
//
// To log, put retry.Observe(retry.LogTo(logger)) into the chain; [Host] tells an observer which
// host a request goes to.
type Transport struct {
	Base          http.RoundTripper // nil: http.DefaultTransport
	Policy        retry.Policy      // nil: policies.Exponential()
	Retry         Predicate         // which responses are rejected; nil: Transient
	Refused       Predicate         // which are a refusal, whatever their status; nil: none
	NotProcessed  Predicate         // after which any method may be sent again; nil: none
	NonIdempotent bool              // retry POST and PATCH like GET
	AttemptLimit  time.Duration     // until the headers are there; 0: 30 s; negative: none
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	h := &struct { // one allocation for both
		hop
		own settings
	}{hop: hop{base: t.Base}}
	h.settings = &h.own
	h.policy, h.nonIdempotent, h.limit = t.Policy, t.NonIdempotent, max(t.AttemptLimit, 0)
	if h.policy == nil {
		h.policy = defaultPolicy
	}
	if t.AttemptLimit == 0 {
		h.limit = defaultLimit
	}
	h.transient, h.refused, h.notProcessed = one(t.Retry), one(t.Refused), one(t.NotProcessed)
	req = replayable(req)
	defer release(req)
	return h.RoundTrip(req)
}

func one(p Predicate) []Predicate {
	if p == nil {
		return nil
	}
	return []Predicate{p}
}

// CloseIdleConnections closes the idle connections of Base. http.Client's method of this name calls
// it.
func (t *Transport) CloseIdleConnections() { (&hop{base: t.Base}).CloseIdleConnections() }

// hop is the transport under a Client: each hop of a redirect is a separate request to it.
type hop struct {
	*settings
	base    http.RoundTripper // nil: http.DefaultTransport
	jar     http.CookieJar    // nil: none
	fetch   *fetching         // nil: not for a Fetch
	follows bool              // an http.Client around it follows redirects
}

// CloseIdleConnections closes the idle connections of the transport underneath.
func (h *hop) CloseIdleConnections() {
	if c, ok := h.transport().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (h *hop) transport() http.RoundTripper {
	if h.base == nil {
		return http.DefaultTransport
	}
	return h.base
}

// exchange is one request on its way through the chain. It is the node in the context that Host
// reads. Its attempts follow each other, so it needs no lock.
type exchange struct {
	context.Context // the caller's
	*hop
	req         *http.Request   // the caller's
	standard    *http.Transport // the transport, if it is net/http's
	target      *url.URL        // where the next attempt goes
	sent        int             // attempts
	turn        retry.Quota     // the present attempt's turn by a Crawl-delay; zero: there is none
	stream      *stream         // the body, if there is no GetBody
	upload      *upload         // the present attempt's body
	ready       *http.Request   // the last attempt's, if the next may send it again; else nil
	wire        *wire           // what httptrace told of the present attempt; nil: not asked
	misdirected bool            // there was a 421
	unpacks     bool            // the present attempt asked for gzip by itself
	held        *http.Response  // the last one: closed before the next attempt
	status      *StatusError    // made of held
	onward      *http.Response  // a redirect that asks for a wait
	onwardAt    time.Time       // when it is over
	kept        *lifetime       // for the next attempt
	gzip        [1]string       // here to save an allocation
	first       lifetime        // here to save an allocation
}

var errNoCall = errors.New("httpx: a policy returned without a response and without an error")

// RoundTrip sends req through the chain.
func (h *hop) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	x := &exchange{Context: req.Context(), hop: h, req: req, target: req.URL}
	x.gzip[0] = "gzip" // written once: an abandoned attempt may still read it when the next begins
	x.standard, _ = h.transport().(*http.Transport)
	if hasBody(req) && req.GetBody == nil {
		x.stream = &stream{from: req.Body}
	}
	x.aim()
	returned := false
	defer func() {
		x.closeBody()
		if x.kept != nil {
			x.kept.end()
		}
		if !returned { // a panic is on its way
			x.drop()
		}
	}()
	if err := x.polite.ask(x); err != nil {
		return nil, err
	}
	resp, err = retry.Do(x, x.policy, x.attempt)
	returned = true
	switch {
	case err == nil && resp == nil:
		return nil, errNoCall
	case err == nil:
		return resp, nil
	case resp != nil && resp == x.onward && handsBack(err, x.status): // no loop waits for it
		wait := retry.Event{Policy: "redirect", Wait: time.Until(x.onwardAt)}
		if err = retry.Sleep(x, wait); err == nil {
			return resp, nil
		}
	case !x.mustSucceed() && resp != nil && handsBack(err, x.status):
		return resp, nil
	}
	x.drop()
	return nil, redact.Error(retry.WithEnd(x, err))
}

// aim chooses where the next attempt goes. Alternates apply to the request itself, not to its
// redirects. Attempts of a hedge or a loop around the whole call count too.
func (x *exchange) aim() {
	if n := len(x.alternates); n > 0 && x.req.Response == nil {
		x.target = x.alternates[min(retry.Attempt(x.Context)-1+x.sent, n-1)]
	}
}

// drop closes the held response, which nobody will read.
func (x *exchange) drop() {
	if x.held != nil {
		_ = x.held.Body.Close()
		x.held = nil
	}
}

// mustSucceed tells whether a response that is not a success becomes an error.
func (x *exchange) mustSucceed() bool { return x.raise || x.fetch != nil }

func (x *exchange) Value(key any) any {
	switch key.(type) {
	case hostKey, retry.PageKey:
		return x
	}
	return x.Context.Value(key)
}

type hostKey struct{}

// Host returns the host that the request in ctx goes to, with the port unless it is the scheme's
// default, in one spelling: lower case, IDNA's ASCII form, no trailing dot. Outside a request it is
// empty. It is a key for policies.Keyed: each redirect hop and each of the [Alternates] has its
// own.
func Host(ctx context.Context) string {
	x, _ := ctx.Value(hostKey{}).(*exchange)
	if x == nil {
		return ""
	}
	return hostOf(x.target)
}

func hostOf(u *url.URL) string { return hostname.Of(u) }

var pageSeed = maphash.MakeSeed()

// Page is a hash of the method and URL, for retry.PageOf. It is 0 unless the method is GET or HEAD,
// because the URL of other requests does not tell what they ask for.
func (x *exchange) Page() uint64 {
	if method := methodOf(x.req); method != http.MethodGet && method != http.MethodHead {
		return 0
	}
	var h maphash.Hash
	h.SetSeed(pageSeed)
	u := x.req.URL
	parts := [...]string{x.req.Method, u.Scheme, u.Host, u.Path, u.RawPath, u.RawQuery}
	for _, part := range parts {
		_, _ = h.WriteString(part)
		_ = h.WriteByte(0)
	}
	return max(1, h.Sum64())
}

func methodOf(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}
