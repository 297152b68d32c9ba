package httpx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// website serves pages that are lists of links, by path and query. A page "-> X" redirects to X,
// "!404" is that status. HOST and OTHER are the addresses of this server and of a second one.
type website struct {
	*httptest.Server
	mu   sync.Mutex
	hits map[string]int
}

func newWebsite(t *testing.T, pages map[string]string, other string) *website {
	s := &website{hits: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.hits[r.URL.RequestURI()]++
		s.mu.Unlock()
		text, ok := pages[r.URL.RequestURI()]
		text = strings.NewReplacer("HOST", r.Host, "OTHER", other).Replace(text)
		if to, moved := strings.CutPrefix(text, "-> "); moved {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
			return
		}
		if !ok || text == "!404" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *website) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.hits))
}

func fieldsOf(r Result[string]) []string { return strings.Fields(r.Value) }

func once() *Client { return New(WithPolicy(retry.Chain())) }

func TestCrawl(t *testing.T) {
	long := "/" + strings.Repeat("x", maxLink)
	for _, c := range []struct {
		name  string
		pages map[string]string
		seeds string // HOST and OTHER as in the pages
		opts  []Option
		asked string // of the first server, in order of their names
		told  string // a part of the last result's error; empty: there is none
		away  int    // requests that the other server got
	}{
		{name: "each_page_once", seeds: "http://HOST/",
			pages: map[string]string{"/": "a /b /", "/a": "b / /c", "/b": "a", "/c": ""},
			asked: "/ /a /b /c"},
		{name: "one_page_in_many_spellings_is_asked_for_once", seeds: "http://HOST",
			pages: map[string]string{
				"/": "/a#x /a#y http://HOST/a HTTP://HOST/%61 /x/../a ./a /%7ea /~a " +
					"/b?q=%c3%a9 /b?q=é //HOST/a",
				"/a": "", "/~a": "", "/b?q=%C3%A9": ""}, asked: "/ /a /b?q=%C3%A9 /~a"},
		{name: "seeds_in_two_spellings", seeds: "http://HOST/a http://HOST/%61#top",
			pages: map[string]string{"/a": ""}, asked: "/a"},
		{name: "reserved_characters_keep_their_escapes", seeds: "http://HOST/",
			pages: map[string]string{"/": "/a%2fb /a/b", "/a%2Fb": "", "/a/b": ""},
			asked: "/ /a%2Fb /a/b"},
		{name: "links_that_are_no_pages_are_skipped", seeds: "http://HOST/",
			pages: map[string]string{
				"/": "mailto:a@b javascript:x() data:text/html," + strings.Repeat("x", 4000) +
					" ftp://HOST/x http:// http://[::1 :// #top a:b", "/a": ""}, asked: "/"},
		{name: "a_stray_percent_sign_is_a_character", seeds: "http://HOST/",
			pages: map[string]string{"/": "/100%", "/100%25": ""}, asked: "/ /100%25"},
		{name: "another_host_is_left_alone", seeds: "http://HOST/",
			pages: map[string]string{"/": "http://OTHER/ //OTHER/x /a", "/a": ""}, asked: "/ /a"},
		{name: "a_redirect_to_another_host_is_not_followed", seeds: "http://HOST/",
			pages: map[string]string{"/": "/out", "/out": "-> http://OTHER/"}, asked: "/ /out"},
		{name: "a_seed_may_have_moved", seeds: "http://HOST/moved", opts: nil,
			pages: map[string]string{"/moved": "-> http://OTHER/"}, asked: "/moved", away: 2},
		{name: "Follow_allows_more", seeds: "http://HOST/",
			opts: []Option{Follow(func(_, to *url.URL) bool { return to.Path == "/" })},
			pages: map[string]string{
				"/":    "http://OTHER/ http://OTHER/no /out",
				"/out": "-> http://OTHER/no"}, asked: "/ /out", away: 1},
		{name: "seeds_of_both_hosts", seeds: "http://HOST/ http://OTHER/",
			pages: map[string]string{"/": "http://OTHER/more"}, asked: "/", away: 2},
		{name: "any_number_of_pages_is_one", seeds: "http://HOST/",
			opts:  []Option{MaxPages(math.MaxInt)},
			pages: map[string]string{"/": "/a", "/a": ""}, asked: "/ /a"},
		{name: "dead_links_end_nothing", seeds: "http://HOST/", pages: map[string]string{
			"/": "/dead /a", "/dead": "!404", "/a": "/b", "/b": ""}, asked: "/ /a /b /dead"},
		{name: "links_of_a_failed_page_are_not_followed", seeds: "http://HOST/",
			pages: map[string]string{"/": "!404"}, asked: "/"},
		{name: "relative_to_the_final_URL", seeds: "http://HOST/old/",
			pages: map[string]string{
				"/old/":         "-> /new/dir/",
				"/new/dir/":     "page",
				"/new/dir/page": ""}, asked: "/new/dir/ /new/dir/page /old/"},
		{name: "a_page_that_came_by_a_redirect_is_not_asked_for_again", seeds: "http://HOST/old",
			opts:  []Option{Workers(1)},
			pages: map[string]string{"/old": "-> /new", "/new": "/new /a", "/a": "/new"},
			asked: "/a /new /old"},
		{name: "a_redirect_to_a_page_that_waits_is_that_page", seeds: "http://HOST/",
			opts:  []Option{Workers(1)},
			pages: map[string]string{"/": "/old /new", "/old": "-> /new", "/new": ""},
			asked: "/ /new /old"},
		{name: "MaxPages", seeds: "http://HOST/", opts: []Option{MaxPages(2), Workers(1)},
			pages: map[string]string{"/": "/a /b /c", "/a": "/d /b"}, asked: "/ /a",
			told: "left out 3 beyond MaxPages(2)"},
		{name: "the_frontier_is_bounded", seeds: "http://HOST/", opts: []Option{MaxPages(1)},
			pages: map[string]string{"/": numbered(25)}, asked: "/",
			told: "left out 25 beyond MaxPages(1)"},
		{name: "more_seeds_than_pages", seeds: "http://HOST/a http://HOST/b http://HOST/c",
			opts:  []Option{MaxPages(1)},
			pages: map[string]string{"/a": ""}, asked: "/a", told: "left out 2 beyond MaxPages(1)"},
		{name: "MaxDepth", seeds: "http://HOST/0", opts: []Option{MaxDepth(2)},
			pages: map[string]string{"/0": "/1", "/1": "/2", "/2": "/3 /0", "/3": ""},
			asked: "/0 /1 /2", told: "left out 1 beyond MaxDepth(2)"},
		{name: "MaxDepth_of_0_asks_for_the_seeds", seeds: "http://HOST/0",
			opts:  []Option{MaxDepth(0)},
			pages: map[string]string{"/0": "/1"}, asked: "/0",
			told: "left out 1 beyond MaxDepth(0)"},
		{name: "long_links", seeds: "http://HOST/",
			pages: map[string]string{"/": long + " http://HOST" + long + " /a", "/a": ""},
			asked: "/ /a", told: "left out 2 longer than 2048 bytes"},
		{name: "no_seeds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := newWebsite(t, map[string]string{"/": "/more", "/more": "", "/no": ""}, "")
			host := newWebsite(t, c.pages, other.Listener.Addr().String())
			seeds := strings.Fields(strings.NewReplacer("HOST", host.Listener.Addr().String(),
				"OTHER", other.Listener.Addr().String()).Replace(c.seeds))
			told, results := "", 0
			for r := range Crawl(t.Context(), once(), seeds, Text, fieldsOf, c.opts...) {
				if r.URL == "" {
					told = r.Err.Error()
					if !errors.Is(r.Err, ErrLeftOut) {
						t.Errorf("%v is not ErrLeftOut", r.Err)
					}
					continue
				}
				if results++; r.Final == nil {
					t.Errorf("%s has no Final URL", r.URL)
				}
			}
			if got := strings.Join(host.asked(), " "); got != c.asked {
				t.Errorf("asked for %s, want %s", got, c.asked)
			}
			for uri, n := range host.hits {
				if n != 1 {
					t.Errorf("asked %d times for %s", n, uri)
				}
			}
			if got := len(other.asked()); got != c.away {
				t.Errorf("asked the other host for %d pages, want %d", got, c.away)
			}
			if (c.told == "") != (told == "") || !strings.Contains(told, c.told) {
				t.Errorf("told %q, want %q", told, c.told)
			}
		})
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "/%d ", i)
	}
	return b.String()
}

func TestCrawl_results_say_where_and_how_deep(t *testing.T) {
	s := newWebsite(t, map[string]string{"/": "/a#top", "/a": "/b", "/b": "-> /c", "/c": ""}, "")
	got := map[string]string{}
	for r := range Crawl(t.Context(), once(), []string{s.URL}, Text, fieldsOf) {
		got[r.URL] = fmt.Sprintf("%s %d %d", r.Final.Path, r.Depth, r.Attempts)
	}
	want := map[string]string{s.URL: " 0 1", s.URL + "/a": "/a 1 1", s.URL + "/b": "/c 2 2"}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCrawl_a_refused_redirect_says_so(t *testing.T) {
	other := newWebsite(t, nil, "")
	s := newWebsite(t, map[string]string{"/": "/out", "/out": "-> http://OTHER/?token=geheim"},
		other.Listener.Addr().String())
	for r := range Crawl(t.Context(), once(), []string{s.URL}, Text, fieldsOf) {
		if r.URL == s.URL+"/out" {
			if !errors.Is(r.Err, ErrLeftOut) || strings.Contains(r.Err.Error(), "geheim") ||
				r.Final.Path != "/out" {
				t.Errorf("got %v at %v", r.Err, r.Final)
			}
			return
		}
	}
	t.Error("no result for the page that redirects")
}

// inFlight counts the requests that are under way.
type inFlight struct{ under, most atomic.Int64 }

func (c *inFlight) RoundTrip(r *http.Request) (*http.Response, error) {
	n := c.under.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); most = c.most.Load() {
	}
	defer c.under.Add(-1)
	return http.DefaultTransport.RoundTrip(r)
}

func TestCrawl_leaving_the_loop_cancels_and_waits(t *testing.T) {
	hung := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" || r.URL.Path == "/quick" {
			fmt.Fprint(w, "/quick ", numbered(100))
			return
		}
		hung <- struct{}{}
		<-r.Context().Done()
	}))
	defer s.Close()
	var c inFlight
	client := New(WithPolicy(retry.Chain()), WithClient(&http.Client{Transport: &c}))
	for r := range Crawl(t.Context(), client, []string{s.URL + "/"}, Text, fieldsOf, Workers(4)) {
		if strings.HasSuffix(r.URL, "/quick") {
			<-hung
			<-hung // two at once
			break
		}
	}
	if c.under.Load() != 0 || c.most.Load() < 2 {
		t.Errorf("%d requests still run, of at most %d", c.under.Load(), c.most.Load())
	}
}

func TestCrawl_an_ended_context_tells_how_many_waited(t *testing.T) {
	s := newWebsite(t, map[string]string{"/": numbered(50)}, "")
	ctx, cancel := context.WithCancelCause(context.Background())
	shutdown := errors.New("shutting down")
	var last error
	for r := range Crawl(ctx, once(), []string{s.URL + "/"}, Text, func(r Result[string]) []string {
		cancel(shutdown)
		return fieldsOf(r)
	}, Workers(3)) {
		last = r.Err
	}
	var e *LeftOutError
	if !errors.As(last, &e) || e.Pages != 50 || !errors.Is(last, shutdown) ||
		!errors.Is(last, context.Canceled) {
		t.Errorf("got %v", last)
	}
	for r := range Crawl(ctx, once(), []string{s.URL + "/"}, Text, fieldsOf) {
		if !errors.Is(r.Err, shutdown) {
			t.Errorf("a crawl that never began: %v", r.Err)
		}
	}
}

func TestCrawl_panics_reach_the_loop(t *testing.T) {
	s := newWebsite(t, map[string]string{"/": "/a http://elsewhere.invalid/"}, "")
	boom := func() { panic("boom") }
	for name, c := range map[string]struct {
		decode Decoder[string]
		links  func(Result[string]) []string
		follow func(from, to *url.URL) bool
	}{
		"decode": {decode: func(*http.Response) (string, error) {
			boom()
			return "", nil
		}, links: fieldsOf},
		"links": {decode: Text, links: func(Result[string]) []string { boom(); return nil }},
		"Follow": {decode: Text, links: fieldsOf, follow: func(_, _ *url.URL) bool {
			boom()
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("recovered %v", p)
				}
			}()
			opts := []Option{Workers(2)}
			if c.follow != nil {
				opts = append(opts, Follow(c.follow))
			}
			for range Crawl(t.Context(), once(), []string{s.URL}, c.decode, c.links, opts...) {
			}
			t.Error("no panic")
		})
	}
}

func TestCrawl_mistakes_are_one_result(t *testing.T) {
	for name, c := range map[string]struct {
		c     *Client
		links func(Result[string]) []string
		opt   Option
		text  string
	}{
		"client": {links: fieldsOf, opt: Workers(1), text: "nil client"},
		"links":  {c: New(), opt: Workers(1), text: "nil links"},
		"pages": {
			c: New(), links: fieldsOf, opt: MaxPages(0), text: "MaxPages(0): must be at least 1"},
		"depth": {c: New(), links: fieldsOf, opt: MaxDepth(-1),
			text: "MaxDepth(-1): must not be negative"},
		"follow":   {c: New(), links: fieldsOf, opt: Follow(nil), text: "Follow"},
		"bad seed": {c: once(), links: fieldsOf, opt: Workers(1)},
	} {
		n := 0
		for r := range Crawl(t.Context(), c.c, []string{"http://[::1"}, Text, c.links, c.opt) {
			n++
			if c.text != "" &&
				(!errors.Is(r.Err, retry.ErrConfig) || !strings.Contains(r.Err.Error(), c.text)) ||
				r.Err == nil {
				t.Errorf("%s: %v", name, r.Err)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d results", name, n)
		}
	}
}

// One that never answers must not keep the others from being crawled.
func TestCrawl_a_host_that_hangs_leaves_a_worker_to_the_others(t *testing.T) {
	release := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprint(w, numbered(50))
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hung.Close()
	s := newWebsite(t, map[string]string{"/": numbered(20)}, "")
	n := 0
	for r := range Crawl(t.Context(), once(), []string{hung.URL + "/", s.URL + "/"}, Text, fieldsOf,
		Workers(4)) {
		if strings.HasPrefix(r.URL, s.URL) {
			if n++; n == 21 {
				close(release)
			}
		}
	}
	if n != 21 {
		t.Errorf("%d pages of the host that is well", n)
	}
}

// A site without an end: each page links to more pages than there were.
func TestCrawl_memory_is_bounded_on_an_endless_site(t *testing.T) {
	if testing.Short() || RaceEnabled {
		t.Skip("a thousand pages, and their memory")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 200 {
			fmt.Fprintf(w, "%s/%d%s ", strings.TrimRight(r.URL.Path, "/"), i,
				strings.Repeat("x", 80))
		}
	}))
	defer s.Close()
	c := New(WithPolicy(policies.Exponential()))
	var most, start runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&start)
	n, left := 0, &LeftOutError{}
	for r := range Crawl(t.Context(), c, []string{s.URL + "/"}, Text, fieldsOf, MaxPages(1000)) {
		if n++; n%200 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most.HeapAlloc = max(most.HeapAlloc, m.HeapAlloc)
		}
		_ = errors.As(r.Err, &left)
	}
	if grown := int64(most.HeapAlloc) - int64(start.HeapAlloc); n != 1001 || left.Pages < 100_000 ||
		grown > 20<<20 {
		t.Errorf("%d results, left out %d, grown by %d KiB", n, left.Pages, grown>>10)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"http://h", "HTTP://User:pw@H.:80/%7e/../a b?q=%zz#f",
		"https://[::1]:443/%2E%2e/%2f", "//h/x", "http://h/a/./../../..", "http://h/?[a]=ü|^`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var c *url.URL
		check.Fast(t, len(s), time.Second, func() {
			if u, err := parseLink(s); err == nil {
				c = canonical(u)
			}
		})
		if c == nil {
			return
		}
		again, err := url.Parse(c.String())
		if err != nil {
			t.Fatalf("%q: its canonical form %q does not parse: %v", s, c, err)
		}
		if twice := canonical(again); twice == nil || twice.String() != c.String() {
			t.Fatalf("%q: %q becomes %v", s, c, twice)
		}
	})
}

func ExampleCrawl() {
	pages := map[string]string{"/": "/a /b", "/a": "/ /c", "/b": "/c",
		"/c": "/a http://elsewhere.example/"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, pages[r.URL.Path])
	}))
	defer server.Close()

	// for HTML: htmlpage.Links
	links := func(r Result[string]) []string { return strings.Fields(r.Value) }
	for r := range Crawl(context.Background(), New(), []string{server.URL + "/"}, Text, links,
		MaxPages(100)) {
		if r.Err != nil {
			fmt.Println(r.Err)
			continue
		}
		fmt.Println(r.Depth, r.Final.Path)
	}
	// Unordered output:
	// 0 /
	// 1 /a
	// 1 /b
	// 2 /c
}

// Choosing among very many hosts, which took quadratic time, would take a minute here.
func TestQueue_of_many_hosts(t *testing.T) {
	const hosts, busy, share = 50_000, 10, 2
	q := queue{waiting: map[string][]string{}, busy: map[string]int{}, over: true}
	for i := range 2 * hosts {
		q.addTo(fmt.Sprint("h", i%hosts), fmt.Sprint(i))
	}
	take := func(want int) string {
		raw, host, ok := q.next(share)
		if raw != fmt.Sprint(want) || !ok {
			t.Fatalf("took %q, %v, want %d", raw, ok, want)
		}
		return host
	}
	for i := range busy {
		take(i)
	}
	for i := busy; i < hosts; i++ {
		q.landed(take(i))
	}
	for i := hosts + busy; i < 2*hosts; i++ { // those that are busy come last
		q.landed(take(i))
	}
	for i := hosts; i < hosts+busy; i++ {
		take(i)
	}
	if _, _, ok := q.next(share); ok || q.size != 0 {
		t.Errorf("%d left", q.size)
	}
}
