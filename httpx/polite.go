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
// be read, because the site is down (RFC 9309, 2.3.1.4) or has asked for patience, nobody knows
// what is allowed. That is not ErrDisallowed: the rejection has a RetryAfter, and a loop with
// policies.Patience waits for it.
type RobotsError struct {
	URL   string // of the request, without secrets
	Agent string // the product token whose rules were looked up

	// Rule is the line that disallows the page, as "Disallow: /private", in normal form. It is
	// empty if robots.txt could not be read.
	Rule string

	// Cause is why robots.txt could not be read; else nil. It is for printing: errors.Is and
	// errors.As do not look into it.
	Cause error
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
// without a User-Agent are sent with the whole. A disallowed request is not sent: its error Is
// [ErrDisallowed]. The same holds for each hop of a redirect, and for each attempt that goes to
// another URL ([Alternates], [EachAttempt]).
//
// Before the first request to an origin (scheme, host and port) its robots.txt is fetched, once for
// all goroutines of the client and of the clients that [Client.With] derives from it. The fetch
// uses the same transport and policies, but no cookies, no credentials and no hooks of EachAttempt.
// (If an attempt goes to another origin, that origin's file is fetched as a part of the attempt.)
// The file is kept for 24 hours, or for its Cache-Control's max-age if that is less, but at least
// for a minute. If there is no file (4xx but 429, or more than five redirects) there are no rules.
// While robots.txt cannot be read because the server or the network fails, no request is sent, but
// none is disallowed for good either: requests are rejected with the time of the next try, a minute
// later or after the server's Retry-After, and a loop with policies.Patience waits for that. After
// 30 days of failure the rules that were last read hold again. If a policy refuses the fetch (a
// breaker, a limiter) its rejection is the error.
//
// A Crawl-delay, up to an hour, is kept between two attempts to the same origin, and after the
// fetch of robots.txt, under every policy. A limiter or a pacer in the chain is told of it and is
// the better place to wait: without one, attempts wait for their turn innermost in the chain, where
// a policies.Timeout counts the wait. A wait that cannot end before the deadline is rejected at
// once. A limiter counts the fetch of robots.txt as a call, and also each try of an attempt that
// was refused its turn.
//
// The Option holds what was learned, up to 10,000 origins and 64 MiB. Clients made with the same
// Option value share it; a request that is given a new Option starts with nothing.
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

// politeness is a [Polite] option and what it knows of sites. A nil *politeness obeys no
// robots.txt.
type politeness struct {
	agent, token string
	cache        *robots.Cache
}

// applies tells whether robots.txt has a say about u. The file itself is always allowed.
func (p *politeness) applies(u *url.URL) bool {
	return p != nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		u.EscapedPath() != "/robots.txt"
}

func originOf(u *url.URL) string { return u.Scheme + "://" + hostOf(u) }

// ask runs before the chain. It fetches robots.txt through the chain as a separate call; if the
// request were in the chain already it might hold a bulkhead's only slot, and that call would wait
// for it forever.
func (p *politeness) ask(x *exchange) error {
	if !p.applies(x.target) {
		return nil
	}
	fetch := func() robots.Fetch { return p.fetch(x, x.target, x.policy) }
	s, err := p.cache.Learn(x, originOf(x.target), robots.Chain, fetch)
	if err != nil || len(x.each) > 0 { // a hook of EachAttempt may change the URL
		return err
	}
	err = p.disallow(x, s, x.target)
	if err != nil && x.logger != nil { // the logger hears only what happens in the chain
		logTo(x.logger)(x, retry.Event{Kind: retry.KindReject, Policy: robots.Policy, Attempt: 1,
			Err: err, Time: time.Now()})
	}
	return err
}

// admit runs in every attempt, before the attempt's limit starts: the URL may be another one by
// now, the file may be out of date, and the attempt has to wait for its turn.
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

// readmit is admit for the request that the hooks of EachAttempt have changed.
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

// within is ask for an attempt. The attempt may hold what another call through the chain would wait
// for, so a missing file is fetched without the chain, as a part of the attempt.
func (p *politeness) within(ctx context.Context, x *exchange, u *url.URL) (*robots.Site, error) {
	// ask has fetched it already
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
	return reject(ctx, &retry.Rejection{
		Policy: robots.Policy, RetryAfter: wait,
		Reason: &RobotsError{URL: redact.URL(u), Agent: p.token, Cause: cause},
	})
}

// disallow rejects u if a rule disallows it.
func (p *politeness) disallow(ctx context.Context, s *robots.Site, u *url.URL) error {
	f := p.cache.File(s)
	if _, cause := f.Unreadable(time.Now()); cause != nil {
		return nil //nolint:nilerr // unknown rejects it, in the attempt
	}
	allowed, rule := f.Rules.Match(u)
	if allowed {
		return nil
	}
	reason := &RobotsError{URL: redact.URL(u), Agent: p.token, Rule: rule}
	return answered(reject(ctx, &retry.Rejection{Policy: robots.Policy, Reason: reason}))
}

func reject(ctx context.Context, r *retry.Rejection) error {
	retry.Emit(ctx,
		retry.Event{Kind: retry.KindReject, Policy: r.Policy, Wait: r.RetryAfter, Err: r})
	return r
}

const (
	// How long a copy of robots.txt is kept: RFC 9309, section 2.4, and at least a minute whatever
	// its Cache-Control says, or each page would cost two requests.
	keepMost  = 24 * time.Hour
	keepLeast = time.Minute

	// When it is tried again after a failure, whatever the Retry-After says.
	lookAgain = time.Minute
	waitMost  = time.Hour

	mostRedirects = 5 // section 2.3.1.2
)

// fetch makes the function that reads the robots.txt of u's origin, in a separate call through
// policy. That function does not hold x, because it may outlive the request.
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
	// the limit also ends a file that arrives drop by drop
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

// refusedFiles are the predicates of Refused for a robots.txt. A site may answer 403 for a file
// that it does not have, so a 4xx counts only if it is a challenge page.
func refusedFiles(ps []Predicate) (refused []Predicate) {
	for _, p := range ps {
		refused = append(refused, func(r *http.Response) bool {
			return (r.StatusCode/100 != 4 || Blocked(r)) && ask(p, r)
		})
	}
	return refused
}

// withoutFile says what follows from a fetch of robots.txt that failed. If a policy or the context
// ended it, nothing does, and its error is returned.
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

// lifetimeOf is how long a robots.txt with these header fields is kept.
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
