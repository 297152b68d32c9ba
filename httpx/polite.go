package httpx

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/robots"
	"github.com/reprise-go/reprise/retry"
)

// ErrDisallowed is the family of [RobotsError]. A site whose robots.txt cannot be read, for the site is down, is disallowed as a
// whole for the time being (RFC 9309, 2.3.1.4): then RobotsError.Cause is not nil.
var ErrDisallowed = errors.New("disallowed by robots.txt")

// RobotsError is why a [Polite] client did not send a request. It Is [ErrDisallowed] and is the Reason of a [*retry.Rejection],
// which is also marked Permanent and Neutral: no loop retries it, no breaker counts it. The rejection's RetryAfter is how long
// a robots.txt that could not be read counts as such; else 0.
type RobotsError struct {
	URL   string // of the request, without secrets
	Agent string // the product token that rules were looked for
	Rule  string // the line that disallows it, as "Disallow: /private", in normal form; empty if robots.txt could not be read
	Cause error  // why it could not; else nil. For reading and printing: no Is or As looks into it
}

// Error is one line: the URL and the rule.
func (e *RobotsError) Error() string {
	if e.Cause != nil {
		return e.URL + " is " + ErrDisallowed.Error() + ", which could not be read: " + e.Cause.Error()
	}
	rule := e.Rule
	if len(rule) > 80 { // it is the site's text
		rule = rule[:80] + "..."
	}
	return e.URL + " is " + ErrDisallowed.Error() + " (" + rule + ", for " + e.Agent + ")"
}

func (e *RobotsError) Unwrap() error { return ErrDisallowed }

// Polite has the client obey robots.txt (RFC 9309). agent is the name of the robot as sites know it, "examplebot", of letters,
// digits, - and _, or a whole User-Agent that begins with it, "examplebot/1.0 (+https://example.com/bot)": rules are looked for by
// the name, and requests that have no User-Agent are sent with the whole. A request that is disallowed is not sent: its error Is
// [ErrDisallowed]. So it is with each redirect's hop, and with each attempt that goes elsewhere ([Alternates], [EachAttempt]).
//
// Before the first request to an origin (scheme, host and port) its robots.txt is fetched, once for all goroutines of the client
// and of those that [Client.With] derives from it, through the same transport and policies, but without cookies, credentials
// and the hooks of EachAttempt. (Where it turns out only within an attempt that a robots.txt is needed, an alternate's, it is
// fetched as a part of that attempt.) It is kept for 24 hours, or for its Cache-Control's max-age if that is less, but no less than
// a minute. No file (4xx, or more than five redirects) means no rules. A server or a network that fails means that nothing is
// allowed; a minute later, or after its Retry-After, the next request looks again. After 30 days of that the rules that were
// last read hold again. Where a policy refuses the fetch (a breaker, a limiter) its rejection is the error.
//
// A Crawl-delay, up to an hour, is kept from one attempt to the next of each origin, after robots.txt too, whatever the
// policies are. A limiter or a pacer in the chain hears of it, and is the better place to wait in: otherwise attempts wait for
// their turn innermost in the chain, where a policies.Timeout counts the wait. One that cannot end before the deadline is
// refused at once. The fetch of robots.txt is a call to a limiter's Stats as well, and so is each try of an attempt that was
// refused its turn.
//
// What was learned lives in the Option: clients that are made with the same value share it, and a request that is given a new
// one starts anew. It is bounded to 10,000 origins and 64 MiB.
func Polite(agent string) Option {
	token, rest := robots.Token(agent)
	bad := token == "" || rest != "" && rest[0] != '/' && !strings.HasPrefix(rest, " (") || !validHeader("User-Agent", agent)
	p := &politeness{agent: agent, token: token, sites: make(map[string]*site)}
	return func(c *config) {
		if bad {
			c.problem("Polite: needs a name of letters, digits, - and _, as examplebot, examplebot/1.0 or examplebot (+https://example.com)")
			return
		}
		c.polite = p
	}
}

// applies tells whether u is subject to robots.txt, which itself is always allowed.
func (p *politeness) applies(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.EscapedPath() != "/robots.txt"
}

// ask comes before the chain: robots.txt is fetched through it as a call of its own, and would wait in vain for a bulkhead's only
// slot if its caller held that.
func (p *politeness) ask(x *exchange) error {
	if !p.applies(x.target) {
		return nil
	}
	s, err := p.learn(x)
	if err != nil || len(x.each) > 0 { // which may change the URL
		return err
	}
	err = p.judge(x, s, x.target)
	if err != nil && x.logger != nil { // it listens within the chain
		logTo(x.logger)(x, retry.Event{Kind: retry.KindReject, Policy: politePolicy, Attempt: 1, Err: err, Time: time.Now()})
	}
	return err
}

// admit comes in every attempt, before its time is counted: it may be another URL by now, and has to wait for its turn.
func (p *politeness) admit(ctx context.Context, x *exchange) error {
	if !p.applies(x.target) {
		return nil
	}
	s, err := p.recall(ctx, x, x.target)
	if err == nil && len(x.alternates) > 0 && len(x.each) == 0 {
		err = p.judge(ctx, s, x.target)
	}
	if err != nil {
		return err
	}
	return p.turn(ctx, s)
}

// readmit is admit for what EachAttempt has made of the request.
func (p *politeness) readmit(ctx context.Context, x *exchange, r *http.Request) error {
	if len(x.each) == 0 || !p.applies(r.URL) {
		return nil
	}
	s, err := p.recall(ctx, x, r.URL)
	if err == nil {
		err = p.judge(ctx, s, r.URL)
	}
	if err == nil && originOf(r.URL) != originOf(x.target) {
		err = p.turn(ctx, s)
	}
	if err != nil && r.Body != nil { // this attempt's own
		_ = r.Body.Close()
	}
	return err
}

// unreadable is how long a robots.txt that cannot be read disallows everything: section 2.3.1.4.
const unreadable = 30 * 24 * time.Hour

// judge is nil if the site allows u.
func (p *politeness) judge(ctx context.Context, s *site, u *url.URL) error {
	p.mu.Lock()
	f := s.file
	p.mu.Unlock()
	e := &RobotsError{Agent: p.token}
	refused := &retry.Rejection{Policy: politePolicy, Reason: e}
	if now := time.Now(); f.failure != nil && now.Sub(f.since) < unreadable {
		e.Cause, refused.RetryAfter = f.failure, max(0, f.until.Sub(now))
	} else {
		var allowed bool
		if allowed, e.Rule = f.rules.Match(u); allowed {
			return nil
		}
	}
	e.URL = redactURL(u)
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: politePolicy, Err: refused})
	return retry.Permanent(retry.Neutral(refused))
}

const politePolicy = "robots.txt"

// turn waits until the site's Crawl-delay has passed since the last attempt. Those who wait are in line for the channel, and
// leave no trace there when they give up.
func (p *politeness) turn(ctx context.Context, s *site) error {
	p.mu.Lock()
	delay := s.file.delay()
	if delay == 0 {
		p.mu.Unlock()
		return nil
	}
	began := time.Now()
	wait := max(0, s.sent.Add(delay).Sub(began)) + time.Duration(s.line)*delay
	if wait > 0 && !retry.Fits(ctx, wait) {
		p.mu.Unlock()
		err := &retry.Rejection{Policy: "crawl-delay", Reason: errNoTurn, RetryAfter: wait}
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: err.Policy, Wait: wait, Err: err})
		return err
	}
	s.line++
	p.mu.Unlock()

	err := p.stand(ctx, s, delay)
	if took := time.Since(began); wait > 0 {
		retry.Emit(ctx, retry.Event{Kind: retry.KindWait, Policy: "crawl-delay", Wait: wait, Took: took, Err: err})
	}
	if err == nil { // to the next, the turn is free when those in line have had theirs
		p.mu.Lock()
		next := delay * time.Duration(1+s.line)
		p.mu.Unlock()
		retry.Report(ctx, retry.Quota{Limit: 1, Window: delay, Reset: next})
	}
	return err
}

// yields tells whether q, which u's server says of its limit, leaves less than its Crawl-delay, which was reported already: of
// two reports the newer counts.
func (p *politeness) yields(u *url.URL, q retry.Quota) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sites[originOf(u)]
	if s == nil || s.file.delay() == 0 {
		return true
	}
	each := q.Reset / time.Duration(max(q.Remaining, 1))
	if q.Limit > 0 {
		each = max(each, q.Window/time.Duration(q.Limit))
	}
	return each > s.file.delay()
}

var errNoTurn = &noTurnError{}

// noTurnError is the reason of a rejection by a Crawl-delay.
type noTurnError struct{}

func (*noTurnError) Error() string        { return "the wait for the next turn does not fit the deadline" }
func (*noTurnError) Is(target error) bool { return target == context.DeadlineExceeded }

func (p *politeness) stand(ctx context.Context, s *site, delay time.Duration) error {
	defer func() {
		p.mu.Lock()
		s.line--
		p.mu.Unlock()
	}()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return retry.Ended(ctx)
	}
	defer func() { <-s.turn }()
	p.mu.Lock()
	due := s.sent.Add(delay)
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return retry.Ended(ctx)
	}
	p.mu.Lock()
	s.sent = time.Now()
	p.mu.Unlock()
	return nil
}
