package httpx

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/httpx/internal/robots"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// ErrDisallowed is what a [RobotsError] matches if a rule of robots.txt disallows the page.
var ErrDisallowed = errors.New("disallowed by robots.txt")

// RobotsError is why a [Polite] client did not send a request, and the Reason of a
// [*retry.Rejection]. If a rule disallows the page it Is [ErrDisallowed], and the rejection is
// marked Permanent and Neutral: no loop retries it, no breaker counts it. If robots.txt could not
// be read, because the site is down (RFC 9309, 2.3.1.4) or has asked for patience, it is not known
// what is allowed: that is not ErrDisallowed but a rejection with a RetryAfter, for which a loop
// with policies.Patience waits.
type RobotsError struct {
	URL   string // of the request, without secrets
	Agent string // the product token that rules were looked for
	Rule  string // the line that disallows it, as "Disallow: /private", in normal form; empty if robots.txt could not be read
	Cause error  // why it could not; else nil. For reading and printing: no Is or As looks into it
}

// Error is one line: the URL and the rule.
func (e *RobotsError) Error() string {
	if e.Cause != nil {
		return e.URL + ": robots.txt could not be read: " + e.Cause.Error()
	}
	rule := e.Rule
	if len(rule) > 80 { // it is the site's text
		rule = rule[:80] + "..."
	}
	return e.URL + " is " + ErrDisallowed.Error() + " (" + rule + ", for " + e.Agent + ")"
}

// Bulky makes [retry.Brief] keep only the text: a rule may be long.
func (e *RobotsError) Bulky() bool { return true }

func (e *RobotsError) Unwrap() error {
	if e.Cause == nil {
		return ErrDisallowed
	}
	return nil
}

// Polite makes the client obey robots.txt (RFC 9309). agent is the name of the robot as sites know
// it, "examplebot", of letters, digits, - and _, or a whole User-Agent that begins with it,
// "examplebot/1.0 (+https://example.com/bot)": rules are looked up by the name, and requests
// without a User-Agent are sent with the whole. A request that is disallowed is not sent: its error
// Is [ErrDisallowed]. The same holds for each hop of a redirect, and for each attempt that goes
// elsewhere ([Alternates], [EachAttempt]).
//
// Before the first request to an origin (scheme, host and port) its robots.txt is fetched, once for
// all goroutines of the client and of those that [Client.With] derives from it, through the same
// transport and policies, but without cookies, credentials and the hooks of EachAttempt. (For an
// attempt that goes to another origin it is fetched as a part of that attempt.) It is kept for 24
// hours, or for its Cache-Control's max-age if that is less, but no less than a minute. No file
// (4xx but 429, or more than five redirects) means no rules. While robots.txt cannot be read
// because the server or the network fails, nothing is allowed, but nothing is disallowed for good
// either: requests are rejected with the time of the next try, a minute later or after the server's
// Retry-After, and a loop with policies.Patience waits for that. After 30 days of failure the rules
// that were last read hold again. If a policy refuses the fetch (a breaker, a limiter) its
// rejection is the error.
//
// A Crawl-delay, up to an hour, is kept from one attempt to the next of each origin, after
// robots.txt too, whatever the policies are. A limiter or a pacer in the chain hears of it, and is
// the better place to wait in: without one attempts wait for their turn innermost in the chain,
// where a policies.Timeout counts the wait. A wait that cannot end before the deadline is rejected
// at once. A limiter counts the fetch of robots.txt as a call, and also each try of an attempt that
// was refused its turn.
//
// The Option holds what was learned: clients that are made with the same Option value share it, and
// a request that is given a new one starts anew. It is bounded to 10,000 origins and 64 MiB.
func Polite(agent string) Option {
	token, rest := robots.Token(agent)
	bad := token == "" || rest != "" && rest[0] != '/' && !strings.HasPrefix(rest, " (") ||
		!validHeader("User-Agent", agent)
	p := &politeness{agent: agent, token: token, cache: robots.NewCache()}
	return func(c *config) {
		if bad {
			c.problem("Polite(%.40q): must be a name of letters, digits, - and _, as examplebot, "+
				"examplebot/1.0 or examplebot (+https://example.com)", agent)
			return
		}
		c.polite = p
	}
}

// politeness is a [Polite] option, and what it knows of the sites it has met. A nil *politeness
// obeys nothing.
type politeness struct {
	agent, token string
	cache        *robots.Cache
}

// applies tells whether u is subject to robots.txt, which itself is always allowed.
func (p *politeness) applies(u *url.URL) bool {
	return p != nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.EscapedPath() != "/robots.txt"
}

func originOf(u *url.URL) string { return u.Scheme + "://" + hostOf(u) }

// ask comes before the chain: robots.txt is fetched through it as a separate call, which would wait
// in vain for a bulkhead's only slot if its caller held that.
func (p *politeness) ask(x *exchange) error {
	if !p.applies(x.target) {
		return nil
	}
	fetch := func() robots.Fetch { return p.fetch(x, x.target, x.policy) }
	s, err := p.cache.Learn(x, originOf(x.target), robots.Chain, fetch)
	if err != nil || len(x.each) > 0 { // which may change the URL
		return err
	}
	err = p.disallow(x, s, x.target)
	if err != nil && x.logger != nil { // it listens within the chain
		e := retry.Event{Kind: retry.KindReject, Policy: robots.Policy, Attempt: 1, Err: err, Time: time.Now()}
		logTo(x.logger)(x, e)
	}
	return err
}

// admit comes in every attempt, before its time is counted: it may be another URL by now, the file
// may be out of date, and the attempt has to wait for its turn.
func (p *politeness) admit(ctx context.Context, x *exchange) error {
	if !p.applies(x.target) {
		return nil
	}
	s, err := p.within(ctx, x, x.target)
	if err == nil && len(x.each) == 0 {
		if err = p.unknown(ctx, s, x.target); err == nil && len(x.alternates) > 0 {
			err = p.disallow(ctx, s, x.target)
		}
	}
	if err == nil {
		x.turn, err = p.cache.Turn(ctx, s)
	}
	return err
}

// readmit is admit for what EachAttempt has made of the request.
func (p *politeness) readmit(ctx context.Context, x *exchange, r *http.Request) error {
	if len(x.each) == 0 || !p.applies(r.URL) {
		return nil
	}
	s, err := p.within(ctx, x, r.URL)
	if err == nil {
		err = p.unknown(ctx, s, r.URL)
	}
	if err == nil {
		err = p.disallow(ctx, s, r.URL)
	}
	if err == nil && originOf(r.URL) != originOf(x.target) {
		x.turn, err = p.cache.Turn(ctx, s)
	}
	return err
}

// within learns in an attempt, which may hold what a call through the chain would wait for. So what
// is not there is fetched without the chain, as a part of this attempt.
func (p *politeness) within(ctx context.Context, x *exchange, u *url.URL) (*robots.Site, error) {
	// ask has seen to it, as far as it is this request's business
	if u == x.req.URL && len(x.alternates) == 0 {
		if s := p.cache.Known(originOf(u)); s != nil {
			return s, nil
		}
	}
	fetch := func() robots.Fetch { return p.fetch(x, u, retry.Chain()) }
	return p.cache.Learn(ctx, originOf(u), robots.Attempt, fetch)
}

// unknown rejects u while it is not known what its site allows.
func (p *politeness) unknown(ctx context.Context, s *robots.Site, u *url.URL) error {
	f := p.cache.File(s)
	wait, cause := f.Unreadable(time.Now())
	if cause == nil {
		return nil
	}
	return reject(ctx, &retry.Rejection{Policy: robots.Policy, RetryAfter: wait,
		Reason: &RobotsError{URL: redact.URL(u), Agent: p.token, Cause: cause}})
}

// disallow rejects u if a rule disallows it.
func (p *politeness) disallow(ctx context.Context, s *robots.Site, u *url.URL) error {
	f := p.cache.File(s)
	if _, cause := f.Unreadable(time.Now()); cause != nil {
		return nil //nolint:nilerr // unknown says so, in the attempt
	}
	allowed, rule := f.Rules.Match(u)
	if allowed {
		return nil
	}
	reason := &RobotsError{URL: redact.URL(u), Agent: p.token, Rule: rule}
	return answered(reject(ctx, &retry.Rejection{Policy: robots.Policy, Reason: reason}))
}

func reject(ctx context.Context, r *retry.Rejection) error {
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: r.Policy, Wait: r.RetryAfter, Err: r})
	return r
}

const (
	keepMost = 24 * time.Hour // a copy of robots.txt: RFC 9309, section 2.4
	// whatever its Cache-Control says, or there would be two requests for each page
	keepLeast = time.Minute
	lookAgain = time.Minute // after a failure
	waitMost  = time.Hour   // after a failure, whatever its Retry-After says

	mostRedirects = 5 // section 2.3.1.2
)

// fetch makes the function that reads the robots.txt of u's origin, in a separate call through
// policy. It takes from x what it needs, not x: the flight may outlive it.
func (p *politeness) fetch(x *exchange, u *url.URL, policy retry.Policy) robots.Fetch {
	check := func(_ *http.Request, via []*http.Request) error {
		if len(via) > mostRedirects {
			return http.ErrUseLastResponse
		}
		return nil
	}
	if x.secure {
		check = noDowngrade(check)
	}
	// also of a file that drips
	policy = retry.Chain(policy, policies.Timeout(cmp.Or(x.limit, defaultLimit)))
	s := &settings{policy: policy, refused: refusedFiles(x.refused)}
	base := x.base
	target := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/robots.txt"}).String()
	agent := cmp.Or(x.req.UserAgent(), p.agent)

	return func(ctx context.Context) (f robots.File, err error) {
		k := &fetching{decode: func(r *http.Response) error {
			text, err := io.ReadAll(io.LimitReader(r.Body, robots.Limit+1))
			if err == nil {
				f.Rules, f.Until = robots.Parse(text, p.token), time.Now().Add(lifetimeOf(r.Header))
			}
			return err
		}}
		h := &hop{settings: s, base: base, fetch: k, follows: true}
		client := &http.Client{Transport: h, CheckRedirect: check}
		req, err := newRequest(ctx, http.MethodGet, target, nil)
		if err != nil {
			return f, err
		}
		req.Header.Set("User-Agent", agent)
		resp, err := client.Do(req)
		if resp != nil {
			_ = resp.Body.Close()
		}
		if err != nil {
			return withoutFile(ctx, plainError(err))
		}
		if !k.done { // one redirect too many, or one to nowhere
			f.Until = time.Now().Add(keepMost)
		}
		return f, nil
	}
}

// refusedFiles are the predicates of Refused for a robots.txt. That a site answers 403 for a file
// that it does not have is not a ban; a challenge is.
func refusedFiles(ps []Predicate) (refused []Predicate) {
	for _, p := range ps {
		refused = append(refused, func(r *http.Response) bool { return (r.StatusCode/100 != 4 || Blocked(r)) && ask(p, r) })
	}
	return refused
}

// withoutFile is what it means that robots.txt could not be read. Only what a policy or the context
// decided says nothing of it.
func withoutFile(ctx context.Context, err error) (f robots.File, _ error) {
	var status *StatusError
	_, rejected := retry.Rejected(err)
	now := time.Now()
	switch {
	case !errors.As(err, &status) && (rejected || errors.Is(err, retry.ErrConfig) ||
		ctx.Err() != nil):
		return f, err
	case status != nil && status.Code/100 == 4 && !untouched(status.Code, status.Header) &&
		status.by == "":
		f.Until = now.Add(lifetimeOf(status.Header))
		return f, nil
	}
	hint, _ := retry.RetryAfter(err)
	f.Until = now.Add(min(max(hint, lookAgain), waitMost))
	f.Failure = err
	return f, nil
}

// lifetimeOf is how long a file with these fields is kept.
func lifetimeOf(h http.Header) time.Duration {
	life := keepMost
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		key, value, _ := strings.Cut(strings.ToLower(field.Trim(directive)), "=")
		switch key {
		case "no-cache", "no-store":
			life = 0
		case "max-age":
			if age, ok := field.Seconds(strings.Trim(value, `"`)); ok {
				life = min(life, age)
			}
		}
	}
	return max(life, keepLeast)
}
