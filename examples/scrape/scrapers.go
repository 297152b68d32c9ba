package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/html"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/httpx/htmlpage"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// job is what a scraper is told to do.
type job struct {
	seeds    []string
	workers  int
	store    *store // nil: pages are counted and dropped
	progress *progress
	agent    string
	polite   bool // robots.txt is asked
	listed   bool // the seeds are all there is: no links are followed
	pacer    []ratelimit.Option
	most     int // pages that are asked for; 0: httpx's own bound
}

// result is what a scraper has got, and what the site saw of it.
type result struct {
	name     string
	pages    int
	want     int
	lost     int
	barred   int // pages that robots.txt disallows
	took     time.Duration
	failures []string
	saw      []hit
}

var scrapers = []struct {
	name string
	run  func(context.Context, job) result
}{
	{"plain", plain},
	{"backoff", backoff},
	{"reprise", reprise},
}

// document is a page or a sitemap, decoded.
type document struct {
	text  string
	links []string // where it leads, absolute
	list  bool     // a sitemap, not a page
	pages int      // that a sitemap lists
}

var errCaptcha = errors.New("a captcha")

// decode reads a page in any charset, or a sitemap. All three scrapers read with it: it is not what
// makes the difference.
func decode(r *http.Response) (document, error) {
	if isSitemap(r) {
		m, err := htmlpage.Sitemap(r)
		d := document{list: true, links: m.Next(), pages: len(m.Pages)}
		for _, p := range m.Pages {
			d.links = append(d.links, p.URL)
		}
		return d, err
	}
	text, err := htmlpage.Text(r)
	if err != nil {
		return document{}, err
	}
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		return document{}, err
	}
	if isCaptcha(text) {
		return document{}, errCaptcha
	}
	return document{text: text, links: htmlpage.Links(doc, r.Request.URL)}, nil
}

func isSitemap(r *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	path := strings.TrimSuffix(r.Request.URL.Path, ".gz")
	return strings.HasSuffix(path, ".xml") || kind == "application/xml" || kind == "text/xml"
}

func isCaptcha(text string) bool { return strings.Contains(text, `id="captcha"`) }

// captcha is isCaptcha as httpx asks it, of a response.
func captcha(r *http.Response) bool {
	text, err := io.ReadAll(io.LimitReader(r.Body, 4096))
	return err == nil && isCaptcha(string(text))
}

// guard has a pacer and a breaker for each host. The breaker takes more failures in a row than one
// page has attempts: one page that is broken for good does not stop the others.
func guard(j job) retry.Policy {
	return retry.Chain(
		policies.Exponential(policies.Attempts(6), policies.Patience(5*time.Minute)),
		policies.Keyed(httpx.Host, func(host string) retry.Policy {
			p := ratelimit.NewPacer(j.pacer...)
			j.progress.explain(p.String)
			return retry.Chain(p, breaker.New(host, breaker.ConsecutiveFailures(10)))
		}),
	)
}

// reprise is the scraper of README: one pacer for each host that all requests share, retries inside
// its pace, refusals told from failures, and patience instead of lost pages.
func reprise(ctx context.Context, j job) result {
	opts := []httpx.Option{
		httpx.WithPolicy(guard(j)),
		httpx.Refused(httpx.Status(403), httpx.Blocked, captcha),
		httpx.Header("User-Agent", j.agent),
		httpx.Workers(j.workers),
	}
	if j.polite {
		opts = append(opts, httpx.Polite(j.agent))
	}
	if j.most > 0 {
		opts = append(opts, httpx.MaxPages(j.most))
	}
	links := func(r httpx.Result[document]) []string {
		if j.listed {
			return nil
		}
		return j.store.missing(r.Value.links)
	}
	var r result
	start := time.Now()
	r.pages = j.store.done()
	j.progress.had(r.pages)
	client, seeds := httpx.New(opts...), j.store.goOn(j.seeds, decode)
	for page := range httpx.Crawl(ctx, client, seeds, decode, links) {
		switch {
		case page.Err == nil && page.Value.list:
			j.progress.expect(page.Value.pages)
		case page.Err == nil:
			r.keep(j, page.URL, page.Value)
		case errors.Is(page.Err, httpx.ErrDisallowed):
			r.barred++
		case !isGone(page.Err) && ctx.Err() == nil:
			what := strings.TrimPrefix(page.URL+": ", ": ") + page.Err.Error()
			r.failures = append(r.failures, what)
		}
	}
	r.took = time.Since(start)
	return r
}

func isGone(err error) bool {
	var status *httpx.StatusError
	if !errors.As(err, &status) {
		return false
	}
	return status.Code == http.StatusNotFound || status.Code == http.StatusGone
}

func (r *result) keep(j job, page string, d document) {
	if err := j.store.put(page, d.text); err != nil {
		r.failures = append(r.failures, err.Error())
		return
	}
	r.pages++
	j.progress.add(1)
}

// plain is the loop that one writes first: every address once, as fast as its workers go.
func plain(ctx context.Context, j job) result {
	return loop(ctx, j, func(ctx context.Context, page string) (document, error) {
		return once(ctx, j.agent, page)
	})
}

// backoff retries each request by itself, as aiohttp_retry does: ExponentialRetry with its defaults
// (attempts=3, start_timeout=0.1, max_timeout=30, factor=2), every exception, every server error,
// the statuses 429 and 403, and a captcha by evaluate_response_callback.
func backoff(ctx context.Context, j job) result {
	return loop(ctx, j, func(ctx context.Context, page string) (d document, err error) {
		const attempts, start, most, factor = 3, 100 * time.Millisecond, 30 * time.Second, 2
		wait := start
		for attempt := 1; ; attempt++ {
			wait *= factor // as it is written there: the first wait is start · factor
			d, err = once(ctx, j.agent, page)
			var status *httpx.StatusError
			isStatus := errors.As(err, &status)
			final := isStatus && status.Code < 500 && status.Code != 429 && status.Code != 403
			if err == nil || final || attempt == attempts {
				return d, err
			}
			select {
			case <-time.After(min(wait, most)):
			case <-ctx.Done():
				return d, ctx.Err()
			}
		}
	})
}

// once makes one request with net/http.
func once(ctx context.Context, agent, page string) (document, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return document{}, err
	}
	req.Header.Set("User-Agent", agent)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return document{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		status := httpx.StatusError{Code: resp.StatusCode, Status: resp.Status, Method: req.Method,
			URL: page}
		return document{}, &status
	}
	return decode(resp)
}

// loop is a crawl by workers, for the scrapers without Crawl.
func loop(
	ctx context.Context, j job, get func(context.Context, string) (document, error),
) (r result) {
	q := &queue{host: j.seeds[0], seen: map[string]bool{}}
	q.ready.L = &q.mu
	q.add(j.seeds)
	stop := context.AfterFunc(ctx, q.end)
	defer stop()
	start := time.Now()
	var mu sync.Mutex // of r
	var wg sync.WaitGroup
	for range j.workers {
		wg.Go(func() {
			for page, ok := q.next(); ok; page, ok = q.next() {
				d, err := get(ctx, page)
				mu.Lock()
				switch {
				case err != nil && !isGone(err):
					r.failures = append(r.failures, fmt.Sprintf("%s: %v", page, err))
				case err == nil && !d.list:
					r.pages++
					j.progress.add(1)
				}
				mu.Unlock()
				q.done(d.links)
			}
		})
	}
	wg.Wait()
	r.took = time.Since(start)
	return r
}

// queue holds the pages of one host that are still to be fetched, each once.
type queue struct {
	host  string // an address there
	mu    sync.Mutex
	ready sync.Cond
	seen  map[string]bool
	todo  []string
	going int // pages that a worker is fetching: they may have links
	ended bool
}

func (q *queue) add(pages []string) {
	for _, p := range pages {
		if u, err := url.Parse(p); err == nil && !q.seen[p] && sameHost(u, q.host) {
			q.seen[p] = true
			q.todo = append(q.todo, p)
		}
	}
}

// next waits for a page; false if there will be none.
func (q *queue) next() (page string, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.todo) == 0 && q.going > 0 && !q.ended {
		q.ready.Wait()
	}
	if len(q.todo) == 0 || q.ended {
		return "", false
	}
	page, q.todo = q.todo[0], q.todo[1:]
	q.going++
	return page, true
}

func (q *queue) done(links []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.going--
	q.add(links)
	q.ready.Broadcast()
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.ready.Broadcast()
}

func sameHost(u *url.URL, as string) bool {
	v, err := url.Parse(as)
	return err == nil && u.Host == v.Host
}
