package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/reprise-go/reprise/retry"
)

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
	if end := x.Err(); end != nil && !errors.Is(err, end) && errors.Is(err, context.Cause(x)) { // net/http tells the cause only
		err = fmt.Errorf("%w: %w", end, err)
	}
	return nil, redactError(err)
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

// raises tells whether a response that is no success is to come out as an error.
func (x *exchange) raises() bool { return x.strict || x.call != nil }
