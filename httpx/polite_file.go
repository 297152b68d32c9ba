package httpx

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/robots"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

const (
	keepMost  = 24 * time.Hour // a copy of robots.txt: section 2.4
	keepLeast = time.Minute    // whatever its Cache-Control says, or there would be two requests for each page
	lookAgain = time.Minute    // after a failure
	waitMost  = time.Hour      // after a failure, whatever its Retry-After says

	mostRedirects = 5 // section 2.3.1.2

	mostSites = 10_000
	mostBytes = 64 << 20 // of rules
)

// politeness is what a [Polite] option knows of the sites it has met.
type politeness struct {
	agent, token string

	mu     sync.Mutex
	sites  map[string]*site // by origin
	recent list.List        // of sites, the one that was used last first
	size   int              // of their rules
}

// site is one origin. Its fields are under politeness.mu, but for the channel.
type site struct {
	origin string
	place  *list.Element
	file   file
	flight *flight // that fetches the file, or nil

	turn chan struct{} // held by the one who waits for the Crawl-delay to pass
	line int           // those who want it
	sent time.Time     // the last attempt, or robots.txt itself
}

// file is a robots.txt as it was found. The zero file is out of date.
type file struct {
	rules   *robots.Rules // nil: everything is allowed
	failure error         // why it could not be read; the rules are those of before
	since   time.Time     // the first of such failures
	until   time.Time     // when to look again
}

func (f *file) delay() time.Duration {
	if f.rules == nil {
		return 0
	}
	return f.rules.Delay
}

// flight is a fetch that several callers may wait for. It belongs to none of them, so it has a context without values, and
// ends early only if all of them give up.
type flight struct {
	waiting int // under politeness.mu
	cancel  context.CancelFunc
	done    chan struct{} // closed when the rest is there
	err     error         // why nothing was learned
	panic   any
}

// site finds or makes the site of u. It requires that p.mu is held.
func (p *politeness) site(u *url.URL) *site {
	origin := originOf(u)
	s := p.sites[origin]
	if s != nil {
		p.recent.MoveToFront(s.place)
		return s
	}
	s = &site{origin: strings.Clone(origin), turn: make(chan struct{}, 1)}
	s.place = p.recent.PushFront(s)
	p.sites[s.origin] = s
	p.trim(s)
	return s
}

// trim forgets what was not used for longest, to keep the bounds, but neither s nor what is in use. It requires that p.mu is held.
func (p *politeness) trim(s *site) {
	for n := p.recent.Len(); n > 0 && (len(p.sites) > mostSites || p.size > mostBytes); n-- {
		last := p.recent.Back().Value.(*site)
		if last == s || last.flight != nil || last.line > 0 {
			p.recent.MoveToFront(last.place)
			continue
		}
		p.recent.Remove(last.place)
		delete(p.sites, last.origin)
		p.size -= last.file.size()
	}
}

func (f *file) size() int {
	if f.rules == nil {
		return 0
	}
	return f.rules.Size
}

func originOf(u *url.URL) string { return u.Scheme + "://" + hostOf(u) }

// learn sees to it that the file of x's target is there and up to date. It holds nothing while it waits.
func (p *politeness) learn(x *exchange) (*site, error) {
	p.mu.Lock()
	s := p.site(x.target)
	if time.Now().Before(s.file.until) {
		p.mu.Unlock()
		return s, nil
	}
	if err := retry.Ended(x); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	f := s.flight
	if f == nil {
		var ctx context.Context
		f = &flight{done: make(chan struct{})}
		ctx, f.cancel = context.WithCancel(context.Background())
		s.flight = f
		go p.fly(ctx, s, f, p.fetcher(x, x.target, x.policy))
	}
	f.waiting++
	p.mu.Unlock()

	began := time.Now()
	var err error
	select {
	case <-f.done:
		err = f.err
	case <-x.Done():
		err = retry.Ended(x)
	}
	p.mu.Lock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		if s.flight == f {
			s.flight = nil
		}
	}
	p.mu.Unlock()
	retry.Emit(x, retry.Event{Kind: retry.KindWait, Policy: politePolicy, Took: time.Since(began), Err: err})
	if err == errFlightEnded && f.panic != nil {
		panic(f.panic)
	}
	return s, err
}

var errFlightEnded = errors.New("httpx: the fetch of robots.txt ended its goroutine")

// fly is the goroutine of a flight. What it panics with reaches those who wait.
func (p *politeness) fly(ctx context.Context, s *site, f *flight, fetch fetcher) {
	found, returned := file{}, false
	defer func() {
		if !returned {
			f.err, f.panic = errFlightEnded, recover()
		}
		p.mu.Lock()
		if s.flight == f {
			s.flight = nil
		}
		if f.err == nil {
			p.keep(s, found)
		}
		p.mu.Unlock()
		close(f.done)
	}()
	found, f.err = fetch(ctx)
	returned = true
}

// recall is learn within an attempt, which may hold what a flight would wait for. So what is not there is fetched as a part of
// this attempt, not through the chain again.
func (p *politeness) recall(ctx context.Context, x *exchange, u *url.URL) (*site, error) {
	p.mu.Lock()
	s := p.site(u)
	known := u == x.req.URL && len(x.alternates) == 0 || time.Now().Before(s.file.until) // ask has seen to the first
	p.mu.Unlock()
	if known {
		return s, nil
	}
	found, err := p.fetcher(x, u, retry.Chain())(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(s, found)
	return s, nil
}

// keep makes found the file of s. It requires that p.mu is held.
func (p *politeness) keep(s *site, found file) {
	now := time.Now()
	switch {
	case found.failure == nil:
		s.sent = now
	case s.file.failure == nil:
		found.rules, found.since = s.file.rules, now
	default:
		found.rules, found.since = s.file.rules, s.file.since
	}
	p.size += found.size() - s.file.size()
	s.file = found
	p.trim(s)
}

type fetcher func(context.Context) (file, error)

// fetcher makes the function that reads the robots.txt of u's origin, in a call of its own through policy. It takes from x what
// it needs, not x: the flight may outlive it.
func (p *politeness) fetcher(x *exchange, u *url.URL, policy retry.Policy) fetcher {
	check := func(_ *http.Request, via []*http.Request) error {
		if len(via) > mostRedirects {
			return http.ErrUseLastResponse
		}
		return nil
	}
	if x.secure {
		check = noDowngrade(check)
	}
	policy = retry.Chain(policy, policies.Timeout(cmp.Or(x.limit, defaultLimit))) // also of a file that drips
	h := &hop{settings: settings{policy: policy, refused: x.refused}, base: x.base}
	client := &http.Client{Transport: h, CheckRedirect: check}
	target := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/robots.txt"}).String()
	agent := cmp.Or(x.req.UserAgent(), p.agent)

	return func(ctx context.Context) (f file, err error) {
		k := &call{Context: ctx}
		k.decode = func(r *http.Response) error {
			text, err := io.ReadAll(io.LimitReader(r.Body, robots.Limit+1))
			if err == nil {
				f.rules, f.until = robots.Parse(text, p.token), time.Now().Add(lifetimeOf(r.Header))
			}
			return err
		}
		req, err := newRequest(k, http.MethodGet, target, nil)
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
			f.until = time.Now().Add(keepMost)
		}
		return f, nil
	}
}

// withoutFile is what it means that robots.txt could not be read. Only what a policy or the context decided says nothing of it.
func withoutFile(ctx context.Context, err error) (f file, _ error) {
	var status *StatusError
	_, rejected := retry.Rejected(err)
	now := time.Now()
	switch {
	case !errors.As(err, &status) && (rejected || errors.Is(err, retry.ErrConfig) || ctx.Err() != nil):
		return f, err
	case status != nil && status.Code/100 == 4 && !passing(status.Code):
		f.until = now.Add(lifetimeOf(status.Header))
		return f, nil
	}
	hint, _ := retry.RetryAfter(err)
	f.until = now.Add(min(max(hint, lookAgain), waitMost))
	if status == nil || status.Code/100 != 4 {
		f.failure = err
	}
	return f, nil
}

// passing tells of a 4xx that speaks of the moment and not of the file.
func passing(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return false
}

// lifetimeOf is how long a file with these fields is kept.
func lifetimeOf(h http.Header) time.Duration {
	life := keepMost
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		key, value, _ := strings.Cut(strings.ToLower(trimOWS(directive)), "=")
		switch key {
		case "no-cache", "no-store":
			life = 0
		case "max-age":
			if age, ok := parseSeconds(strings.Trim(value, `"`)); ok {
				life = min(life, age)
			}
		}
	}
	return max(life, keepLeast)
}
