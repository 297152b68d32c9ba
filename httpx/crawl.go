package httpx

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// ErrLeftOut marks what a [Crawl] did not fetch. A [LeftOutError] Is ErrLeftOut, and so is the
// error of a page that redirects to a host where the crawl may not go.
var ErrLeftOut = errors.New("left out of the crawl")

// LeftOutError is the Err of the last [Result] of a [Crawl], which has no URL, if its bounds left
// something out or its context ended before all was done. It Is [ErrLeftOut] and Is Cause.
type LeftOutError struct {
	Pages int    // links beyond MaxPages, or not read before ctx ended; repeated ones count again
	Depth int    // links beyond MaxDepth; repeated ones count again
	Long  int    // links of more than 2 KiB; repeated ones count again
	First string // one of them, without secrets
	Cause error  // what ended the context; nil if it did not

	bounds crawlBounds
}

// Error is one line: how many links were left out for which reason, and one of them.
func (e *LeftOutError) Error() string {
	beyond := fmt.Sprintf("beyond MaxPages(%d)", e.bounds.pages)
	if e.Cause != nil {
		beyond = "not asked for yet"
	}
	var why []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{e.Pages, beyond},
		{e.Depth, fmt.Sprintf("beyond MaxDepth(%d)", e.bounds.depth)},
		{e.Long, fmt.Sprintf("longer than %d bytes", maxLink)},
	} {
		if c.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	text := "httpx.Crawl: left out " + strings.Join(why, ", ")
	if e.First != "" {
		text += " (one of them: " + e.First + ")"
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap returns ErrLeftOut and Cause.
func (e *LeftOutError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrLeftOut}
	}
	return []error{ErrLeftOut, e.Cause}
}

// maxLink is the longest URL that a Crawl fetches, in bytes. Longer ones are traps, or not links at
// all.
const maxLink = 2 << 10

// crawlBounds are what the options say of a Crawl.
type crawlBounds struct {
	pages, depth int
	follow       func(from, to *url.URL) bool // nil: no host but the seeds'
}

var defaultBounds = crawlBounds{pages: 10_000, depth: 50}

// MaxPages is how many URLs a [Crawl] fetches, 10,000 by default. Up to ten times as many may wait.
func MaxPages(n int) Option {
	return func(c *config) {
		if n < 1 {
			c.problem("MaxPages(%d): must be at least 1", n)
			return
		}
		c.crawl.pages = n
	}
}

// MaxDepth is how many links a [Crawl] follows from a seed, 50 by default. With 0 it fetches only
// the seeds.
func MaxDepth(n int) Option {
	return func(c *config) {
		if n < 0 {
			c.problem("MaxDepth(%d): must not be negative", n)
			return
		}
		c.crawl.depth = n
	}
}

// Follow lets a [Crawl] leave the hosts of its seeds by links and redirects for which allow returns
// true. allow is called only for other hosts, with URLs in canonical form that it may keep. It must
// be safe for concurrent use.
func Follow(allow func(from, to *url.URL) bool) Option {
	return func(c *config) {
		if allow == nil {
			c.problem("Follow(nil): must not be nil")
			return
		}
		c.crawl.follow = allow
	}
}

// Crawl is a crawler, a [FetchAll] that follows links: it fetches seeds, calls links for each page
// that succeeded, fetches the URLs that links returns, and ends when nothing is left. For HTML the
// module httpx/htmlpage has both: Document as the decoder and Links. Crawl yields each page as it
// comes, with its URL, its Final URL after redirects, and its Depth: 0 for seeds, 1 for what they
// link to. The URLs that links returns may be relative to the page's Final URL; those that are not
// http or https are skipped.
//
//   - Each URL is asked for once. URLs are compared and requested in their canonical form (RFC
//     3986, section 6.2.2; no default port, no fragment, no userinfo), which is also the Result's
//     URL. A page that came by a redirect from another URL is not asked for again, unless that
//     request was already under way.
//   - It stays on the hosts of the seeds, and on those that a seed redirects to. [Follow] allows
//     more. A redirect to elsewhere is not followed: the page's error Is [ErrLeftOut].
//   - [MaxPages] bounds what is asked for, failures included, [MaxDepth] how far it goes, and URLs
//     of more than 2 KiB are left out. At most ten times MaxPages wait; further links are dropped.
//     If anything was left out a last Result without a URL tells it: its Err is a [*LeftOutError].
//
// Memory is bounded by MaxPages: at most 11 times MaxPages short keys, and the URLs that wait. A
// page is held until links has returned and the loop has taken it; [MaxBody] bounds its size.
//
// links is called by the workers ([Workers]), several at once, and must not change the Value, which
// the loop gets too. When the loop is left, requests under way are cancelled, and Crawl returns
// when they are over. When ctx ends no further page is fetched: those under way come with their
// errors, and the last Result counts those that waited and the links that were not read any more.
// A panic in links, decode or Follow reaches the loop. With a bad option, a nil client or a
// nil argument there is one result: an error that Is [retry.ErrConfig], without a URL.
func Crawl[T any](
	ctx context.Context, c *Client, seeds []string, decode Decoder[T],
	links func(Result[T]) []string, opts ...Option,
) iter.Seq[Result[T]] {
	seeds = slices.Clone(seeds)
	return func(yield func(Result[T]) bool) {
		c := c.With(opts...)
		err := c.Validate()
		switch {
		case err != nil:
		case ctx == nil:
			err = errNilContext
		case decode == nil:
			err = errNilDecoder
		case links == nil:
			err = retry.ConfigErrorf("httpx.Crawl", "nil links")
		}
		if err != nil {
			yield(Result[T]{Err: err})
			return
		}
		newCrawl(ctx, c, seeds, decode, links).run(yield)
	}
}

// crawl is one Crawl. All its decisions are made in the goroutine of fly.
type crawl[T any] struct {
	queue
	crawlBounds
	client  *Client
	ctx     context.Context
	cancel  func()
	left    chan struct{} // closed when the loop is left
	decode  Decoder[T]
	links   func(Result[T]) []string
	workers int
	running int              // fetches under way, or over and not taken from out yet
	asked   int              // pages
	seen    map[pageKey]bool // true: fetched, also by a redirect from another URL
	places  map[string]place // of the URLs in the queue
	dropped LeftOutError     // read when out is closed
	unread  bool             // links were not read, because ctx had ended
	landed  chan page[T]     // from the workers
	out     chan page[T]     // closed after the last
	taken   chan string      // the host of each that was taken from out
	hosts   struct {         // where links may lead
		sync.Mutex
		of map[string]bool
	}
}

// pageKey is the beginning of the SHA-256 of a canonical URL, so that a hostile site cannot make
// two of them collide.
type pageKey [16]byte

func keyOf(canonical *url.URL) pageKey {
	u := *canonical
	u.User = nil
	return sumOf(u.String())
}

func sumOf(text string) pageKey {
	sum := sha256.Sum256([]byte(text))
	return pageKey(sum[:16])
}

// page is what a worker brings.
type page[T any] struct {
	Result[T]
	host  string
	found []link
	long  int    // links that were too long
	first string // one of them
	rest  int    // links that were not read, because the context had ended
	panic any
}

type link struct {
	url, host string
	key       pageKey
}

// place is the key and the depth of a URL in the queue.
type place struct {
	key   pageKey
	depth int
}

func newCrawl[T any](
	ctx context.Context, c *Client, seeds []string, decode Decoder[T],
	links func(Result[T]) []string,
) *crawl[T] {
	f := &crawl[T]{
		queue:       queue{waiting: map[string][]string{}, busy: map[string]int{}, over: true},
		crawlBounds: c.cfg.crawl, client: c, decode: decode, links: links, workers: c.cfg.workers,
		left: make(chan struct{}), seen: map[pageKey]bool{}, places: map[string]place{},
		landed: make(chan page[T]), out: make(chan page[T], min(c.cfg.workers, readAhead)),
		taken: make(chan string),
	}
	f.dropped.bounds = f.crawlBounds
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.hosts.of = map[string]bool{}
	for _, raw := range seeds {
		l := link{url: raw}
		if u, err := parseLink(raw); err != nil {
			l.key = sumOf(raw)
		} else if u = canonical(u); u == nil {
			l.key = sumOf(raw)
		} else {
			l.host, l.key = hostOf(u), keyOf(u)
			f.hosts.of[l.host] = true
		}
		if len(raw) > maxLink {
			f.drop(&f.dropped.Long, raw)
			continue
		}
		f.keep(l, 0)
	}
	return f
}

func (f *crawl[T]) run(yield func(Result[T]) bool) {
	go f.fly()
	finished := false
	defer func() {
		f.cancel()
		if finished {
			return
		}
		close(f.left)
		for p := range f.out {
			f.taken <- p.host
		}
	}()
	for p := range f.out {
		f.taken <- p.host
		if p.panic != nil {
			panic(p.panic)
		}
		if !yield(p.Result) {
			return
		}
	}
	finished = true
	if e := &f.dropped; e.Pages+e.Depth+e.Long > 0 {
		yield(Result[T]{Err: e})
	}
}

// fly starts the requests, in its own goroutine.
func (f *crawl[T]) fly() {
	defer close(f.out)
	left := f.left // nil once it was seen closed
	for {
		for left != nil && f.ctx.Err() == nil && f.running < f.workers && f.asked < f.pages &&
			f.start() {
		}
		if f.running == 0 {
			break
		}
		select {
		case p := <-f.landed:
			f.grow(p)
			p.found = nil
			f.out <- p
		case host := <-f.taken:
			f.running--
			f.queue.landed(host)
		case <-left:
			left = nil
		}
	}
	if left == nil {
		return
	}
	if (f.size > 0 || f.unread) && f.ctx.Err() != nil {
		f.dropped.Cause = retry.Ended(f.ctx)
	}
	if f.size > 0 {
		raw, _, _ := f.next(f.workers)
		f.drop(&f.dropped.Pages, raw)
		f.dropped.Pages += f.size
	}
}

// start begins to fetch the next URL, if one may be fetched now.
func (f *crawl[T]) start() bool {
	raw, host, ok := f.next(f.share())
	if !ok {
		return false
	}
	at := f.places[raw]
	delete(f.places, raw)
	if f.seen[at.key] { // a redirect has led there meanwhile
		f.queue.landed(host)
		return true
	}
	f.seen[at.key] = true
	f.asked++
	f.running++
	go f.fetch(raw, host, at.depth)
	return true
}

// share is how many workers one host may have: all, or all but one if other hosts may come up.
func (f *crawl[T]) share() int {
	f.hosts.Lock()
	defer f.hosts.Unlock()
	if f.follow == nil && len(f.hosts.of) <= 1 {
		return f.workers
	}
	return max(1, f.workers-1)
}

// grow puts the links of a page into the queue.
func (f *crawl[T]) grow(p page[T]) {
	if p.Err == nil && p.Final != nil {
		if u := canonical(p.Final); u != nil {
			f.seen[keyOf(u)] = true
		}
	}
	for i, l := range p.found {
		if f.ctx.Err() != nil { // a page may have millions
			p.rest += len(p.found) - i
			break
		}
		f.keep(l, p.Depth+1)
	}
	f.dropped.Pages += p.rest
	f.unread = f.unread || p.rest > 0
	if p.long > 0 {
		f.drop(&f.dropped.Long, p.first)
		f.dropped.Long += p.long - 1
	}
}

func (f *crawl[T]) keep(l link, depth int) {
	_, known := f.seen[l.key]
	switch {
	case known:
	case depth > f.depth:
		f.drop(&f.dropped.Depth, l.url)
	case f.size/10 >= f.pages:
		f.drop(&f.dropped.Pages, l.url)
	default:
		f.seen[l.key] = false
		f.places[l.url] = place{l.key, depth}
		f.addTo(l.host, l.url)
	}
}

func (f *crawl[T]) drop(count *int, raw string) {
	if *count++; f.dropped.First == "" {
		f.dropped.First = redact.Text(raw[:min(len(raw), 200)])
	}
}

func (f *crawl[T]) fetch(raw, host string, depth int) {
	p := page[T]{Result: Result[T]{URL: raw, Depth: depth}, host: host}
	returned := false
	defer func() {
		if !returned {
			if p.panic = recover(); p.panic == nil {
				p.panic = errors.New(
					"httpx.Crawl: a decoder or a function for links ended its goroutine")
			}
		}
		f.landed <- p
	}()
	hop := func(r *http.Request, via []*http.Request) error {
		from, to := canonical(via[len(via)-1].URL), canonical(r.URL)
		if depth == 0 || to == nil || f.allows(from, to) {
			return nil
		}
		return answered(fmt.Errorf("%w: it redirects to %s, another host (see Follow)",
			ErrLeftOut, hostOf(to)))
	}
	p.Result = visit(f.ctx, f.client, raw, f.decode, hop)
	p.Depth = depth
	if p.Err == nil && p.Final != nil {
		f.follows(&p)
	}
	returned = true
}

// follows collects the links of a page. If a seed was redirected, its new host is allowed too.
func (f *crawl[T]) follows(p *page[T]) {
	if p.Depth == 0 {
		f.hosts.Lock()
		f.hosts.of[hostOf(p.Final)] = true
		f.hosts.Unlock()
	}
	from := canonical(p.Final)
	seen := map[pageKey]bool{}
	links := f.links(p.Result)
	for i, raw := range links {
		if f.ctx.Err() != nil {
			p.rest = len(links) - i
			return
		}
		if scheme, _, ok := strings.Cut(raw[:min(len(raw), 64)], ":"); len(raw) > maxLink &&
			(!ok || strings.ContainsAny(scheme, "/?#") ||
				strings.HasPrefix(strings.ToLower(strings.TrimSpace(scheme)), "http")) {
			p.tooLong(raw)
			continue
		}
		to, err := parseLink(raw[:min(len(raw), maxLink)])
		if err != nil {
			continue
		}
		if to.User != nil {
			to.User = nil // a page must not choose the crawl's credentials
		}
		if to = canonical(p.Final.ResolveReference(to)); to == nil {
			continue
		}
		l := link{url: to.String(), key: keyOf(to)}
		switch {
		case len(l.url) > maxLink:
			p.tooLong(l.url)
		case seen[l.key] || !f.allows(from, to):
		default:
			seen[l.key] = true
			if n := len(p.found); n > 0 && p.found[n-1].host == to.Host {
				l.host = p.found[n-1].host
			} else {
				l.host = strings.Clone(to.Host) // or it may keep the whole page in memory
			}
			p.found = append(p.found, l)
		}
	}
}

func (p *page[T]) tooLong(raw string) {
	if p.long++; p.first == "" {
		p.first = strings.Clone(raw[:200])
	}
}

func (f *crawl[T]) allows(from, to *url.URL) bool {
	f.hosts.Lock()
	own := f.hosts.of[hostOf(to)]
	f.hosts.Unlock()
	if own || f.follow == nil {
		return own
	}
	f2, t2 := *from, *to
	return f.follow(&f2, &t2)
}
