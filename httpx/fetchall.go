package httpx

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Result is the outcome of one URL of a [FetchAll] or a [Crawl].
type Result[T any] struct {
	URL      string // as it was given; empty if Err is about the whole FetchAll or Crawl
	Value    T
	Err      error
	Attempts int           // requests handed to the transport, over all redirects
	Elapsed  time.Duration // waits included
	Final    *url.URL      // of the last request, after redirects; nil if URL is malformed
	Depth    int           // in a Crawl: how many links led here from a seed
}

// FetchAll fetches urls like [Fetch] and yields each result as it comes, in the order of
// completion. [Workers] says how many requests are under way at once. An error is a result like any
// other; the rest goes on. When the loop is left, or ctx ends, requests under way are cancelled,
// and FetchAll returns when they are over. Unless the loop is left, each URL that was taken from
// urls has a result: when ctx ends at most one more is taken, and those that wait are yielded with
// the error of ctx. With a bad option, a nil client or a nil argument there is one result: an error
// that Is [retry.ErrConfig], without a URL.
//
// urls may be endless. It runs in its own goroutine, also while the body of the loop runs, and up
// to 1024 URLs are read ahead. FetchAll waits until urls returns. So an iterator that blocks, for
// example on a channel, must end when ctx does; cancel that ctx, or close the channel, before you
// leave the loop early. If the loop would feed its own iterator, use [Crawl]. A panic in urls or in
// decode reaches the loop.
//
// One host gets at most half of the workers while URLs of other hosts may still come; if 1024 URLs
// wait, all workers but one.
func FetchAll[T any](
	ctx context.Context, c *Client, urls iter.Seq[string], decode Decoder[T], opts ...Option,
) iter.Seq[Result[T]] {
	return func(yield func(Result[T]) bool) {
		c := c.With(opts...)
		err := c.Validate()
		switch {
		case err != nil:
		case ctx == nil:
			err = errNilContext
		case urls == nil:
			err = retry.ConfigErrorf("httpx.FetchAll", "nil urls")
		case decode == nil:
			err = errNilDecoder
		}
		if err != nil {
			yield(Result[T]{Err: err})
			return
		}
		f := &fleet[T]{
			client: c, left: make(chan struct{}), decode: decode, workers: c.cfg.workers,
			feed: make(chan string), out: make(chan landed[T]), taken: make(chan string),
			queue: queue{waiting: map[string][]string{}, busy: map[string]int{}},
		}
		f.ctx, f.cancel = context.WithCancel(ctx)
		f.run(urls, yield)
	}
}

// readAhead is how many URLs may wait for their host's turn.
const readAhead = 1024

// fleet is one FetchAll. All its decisions are made in the goroutine of fly.
type fleet[T any] struct {
	queue
	client  *Client
	ctx     context.Context
	cancel  func()
	left    chan struct{} // closed when the loop is left
	decode  Decoder[T]
	workers int
	running int            // fetches under way, or over and not taken from out yet
	feed    chan string    // closed when there are no more
	out     chan landed[T] // closed after the last
	taken   chan string    // the host of each that was taken from out
}

type landed[T any] struct {
	Result[T]
	host  string
	panic any
}

func (f *fleet[T]) run(urls iter.Seq[string], yield func(Result[T]) bool) {
	fed := make(chan any, 1)
	go f.pull(urls, fed)
	go f.fly()
	panicked := false
	defer func() {
		f.cancel()
		close(f.left)
		for r := range f.out {
			f.taken <- r.host
		}
		if p := <-fed; p != nil && !panicked {
			panic(p)
		}
	}()
	for r := range f.out {
		f.taken <- r.host
		if r.panic != nil {
			panicked = true
			panic(r.panic)
		}
		if !yield(r.Result) {
			return
		}
	}
}

// pull runs the caller's iterator. Then it sends to fed the value that it panicked with, or nil.
func (f *fleet[T]) pull(urls iter.Seq[string], fed chan<- any) {
	returned := false
	defer func() {
		var p any
		if !returned {
			if p = recover(); p == nil {
				p = errors.New("httpx.FetchAll: the iterator of URLs ended its goroutine")
			}
		}
		close(f.feed)
		fed <- p
	}()
	for u := range urls {
		select {
		case f.feed <- u:
		case <-f.left:
		}
		if f.ctx.Err() != nil {
			break
		}
	}
	returned = true
}

// fly starts the requests, in its own goroutine.
func (f *fleet[T]) fly() {
	defer close(f.out)
	left := f.left // nil once it was seen closed
	for {
		for left != nil && f.running < f.workers {
			u, host, ok := f.next(f.share())
			if !ok {
				break
			}
			f.running++
			go f.fetch(u, host)
		}
		if f.running == 0 && (left == nil || f.over) {
			return
		}
		feed := f.feed
		if f.over || left == nil || f.size >= readAhead {
			feed = nil
		}
		select {
		case u, ok := <-feed:
			if !ok {
				f.over = true
				continue
			}
			f.add(u)
		case host := <-f.taken:
			f.running--
			f.landed(host)
		case <-left:
			left = nil
		}
	}
}

// share is how many workers one host may have.
func (f *fleet[T]) share() int {
	switch {
	case f.over:
		return f.workers
	case f.size >= readAhead:
		return max(1, f.workers-1)
	}
	return max(1, f.workers/2)
}

func (f *fleet[T]) fetch(u, host string) {
	r := landed[T]{Result: Result[T]{URL: u}, host: host}
	returned := false
	defer func() {
		if !returned {
			if r.panic = recover(); r.panic == nil {
				r.panic = errors.New("httpx.FetchAll: a decoder ended its goroutine")
			}
		}
		f.out <- r
	}()
	r.Result = visit(f.ctx, f.client, u, f.decode, nil)
	returned = true
}

// visit fetches one URL. If hop is not nil it may refuse redirects that the client would follow.
func visit[T any](
	ctx context.Context, c *Client, u string, decode Decoder[T],
	hop func(*http.Request, []*http.Request) error,
) (r Result[T]) {
	r.URL = u
	start := time.Now()
	defer func() { r.Elapsed = time.Since(start) }()
	req, err := newRequest(ctx, http.MethodGet, u, nil)
	if err != nil {
		r.Err = err
		return r
	}
	r.Final = copyOf(req.URL)
	own := *c
	own.hc.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		err := checkRedirect(c.hc.CheckRedirect, to, via)
		if err == nil && hop != nil {
			err = hop(to, via)
		}
		if err == nil {
			r.Final = copyOf(to.URL)
		}
		return err
	}
	r.Value, r.Attempts, r.Err = fetch(&own, req, func(resp *http.Response) (T, error) {
		r.Final = copyOf(resp.Request.URL) // alternates and hooks may have changed it
		return decode(resp)
	})
	return r
}

// checkRedirect calls check; if that is nil it stops after ten redirects, as net/http does.
func checkRedirect(
	check func(*http.Request, []*http.Request) error, r *http.Request, via []*http.Request,
) error {
	if check != nil {
		return check(r, via)
	}
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	return nil
}

func copyOf(u *url.URL) *url.URL {
	if u == nil {
		return nil
	}
	c := *u
	return &c
}

// queue holds the URLs that wait, by host.
type queue struct {
	waiting map[string][]string
	order   []string // hosts with URLs that wait; a host that was served goes to the end
	busy    map[string]int
	size    int
	over    bool // no more URLs will come
}

func (q *queue) add(raw string) {
	host := ""
	if u, err := url.Parse(raw); err == nil {
		host = hostOf(u)
	}
	q.addTo(host, raw)
}

func (q *queue) addTo(host, raw string) {
	if len(q.waiting[host]) == 0 {
		q.order = append(q.order, host)
	}
	q.waiting[host] = append(q.waiting[host], raw)
	q.size++
}

// next takes a URL of the host with the fewest requests under way, if that has fewer than share. It
// looks at no more hosts than are busy, and one, because a page may have links to 100,000.
func (q *queue) next(share int) (raw, host string, ok bool) {
	best, fewest := -1, share
	for i, h := range q.order {
		if n := q.busy[h]; n < fewest {
			best, fewest = i, n
		}
		if fewest == 0 {
			break
		}
	}
	if best < 0 {
		return "", "", false
	}
	host = q.order[best]
	urls := q.waiting[host]
	raw = urls[0]
	copy(q.order[1:], q.order[:best])
	q.order = q.order[1:]
	if len(urls) > 1 {
		q.waiting[host] = urls[1:]
		q.order = append(q.order, host)
	} else {
		delete(q.waiting, host)
	}
	q.busy[host]++
	q.size--
	return raw, host, true
}

func (q *queue) landed(host string) {
	if q.busy[host]--; q.busy[host] == 0 {
		delete(q.busy, host)
	}
}
