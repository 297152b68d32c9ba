package httpx_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

const delayed = "User-agent: *\nCrawl-delay: 2\n"

func TestACrawlDelayIsKept(t *testing.T) {
	for _, c := range []struct {
		name string
		opts []httpx.Option
		page int
	}{
		{"by the option alone", nil, 200},
		{"between attempts", nil, 503},
		{"whatever a hook does",
			[]httpx.Option{httpx.EachAttempt(func(int, *http.Request) error { return nil })}, 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, delayed)
			w.page = func(r *http.Request) (*http.Response, error) {
				return respondWith(r, c.page, "", nil), nil
			}
			client := over(w, append(c.opts, httpx.Polite("bot"))...)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := get(t, client, "http://h/"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			want := 5
			if c.page == 503 {
				want = 15
			}
			gaps := w.gaps()
			if len(gaps) != want || slices.ContainsFunc(gaps,
				func(d time.Duration) bool { return d != 2*time.Second }) {
				t.Errorf("%s: %v", c.name, gaps)
			}
			time.Sleep(time.Hour)
			begun := time.Now()
			if get(t, client, "http://h/"); c.page == 200 && time.Since(begun) != 0 {
				t.Errorf("%s: after an hour there is still a wait of %v", c.name, time.Since(begun))
			}
		})
	}
}

// The wait for a turn does not count as a wait for the server's headers.
func TestTheDefaultClientIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: *\nCrawl-delay: 20")
		c := httpx.New(httpx.WithClient(&http.Client{Transport: w}), httpx.Polite("bot"))
		urls := slices.Values(strings.Fields(strings.Repeat("http://h/ ", 8)))
		for r := range httpx.FetchAll(t.Context(), c, urls, httpx.Text) {
			if r.Err != nil || r.Attempts != 1 {
				t.Error(r.Err, r.Attempts)
			}
		}
		if gaps := w.gaps(); len(gaps) != 8 || slices.Min(gaps) != 20*time.Second ||
			slices.Max(gaps) != 20*time.Second {
			t.Error(gaps)
		}
	})
}

func TestAHooksOwnHostHasItsOwnTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, delayed)
		w.robots = func(r *http.Request) (int, string, http.Header) {
			if r.URL.Host == "h" {
				return 404, "", nil
			}
			return 200, delayed, nil
		}
		c := over(w, httpx.Polite("bot"),
			httpx.EachAttempt(func(_ int, r *http.Request) error {
				r.URL.Host = "elsewhere"
				return nil
			}))
		for range 3 {
			if err := get(t, c, "http://h/"); err != nil {
				t.Error(err)
			}
		}
		got := w.gaps()
		if !slices.Equal(got,
			[]time.Duration{0, 2 * time.Second, 2 * time.Second, 2 * time.Second}) {
			t.Error(got)
		}
	})
}

func TestACrawlDelayFeedsThePacer(t *testing.T) {
	for name, guard := range map[string]func() retry.Policy{
		"pacer":   func() retry.Policy { return ratelimit.NewPacer() },
		"limiter": func() retry.Policy { return ratelimit.New(100, 100) },
		"pacer by host": func() retry.Policy {
			return policies.Keyed(httpx.Host, func(string) retry.Policy {
				return ratelimit.NewPacer()
			})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, delayed)
			w.page = func(r *http.Request) (*http.Response, error) {
				time.Sleep(100 * time.Millisecond)
				return respondWith(r, 200, "",
					http.Header{"X-Ratelimit-Remaining": {"1000"},
						"X-Ratelimit-Reset": {"10"}}), nil
			}
			var waits sync.Map
			var inLine atomic.Int64
			observe := retry.Observe(func(_ context.Context, e retry.Event) {
				if e.Kind == retry.KindWait {
					n, _ := waits.LoadOrStore(e.Policy, new(atomic.Int64))
					n.(*atomic.Int64).Add(int64(e.Took))
					inLine.Add(int64(e.Took))
				}
			})
			c := over(w, httpx.WithPolicy(retry.Chain(observe, policies.Constant(0), guard())),
				httpx.Polite("bot"))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 10 {
						if err := get(t, c, "http://h/"); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			gaps := w.gaps()
			if short := slices.Min(gaps); len(gaps) != 40 || short < 2*time.Second {
				t.Errorf("%s: %d gaps, the shortest %v", name, len(gaps), short)
			}
			crawl, _ := waits.LoadOrStore("crawl-delay", new(atomic.Int64))
			all, own := time.Duration(inLine.Load()), time.Duration(crawl.(*atomic.Int64).Load())
			if longest := slices.Max(gaps); longest > 3*time.Second || own > all/10 {
				t.Errorf("%s: the longest gap %v; waited %v, of that %v not "+
					"where the policies make them",
					name, longest, all, own)
			}
		})
	}
}

func TestTheStricterOfTwoQuotasIsReported(t *testing.T) {
	for _, c := range []struct {
		delay  string
		header http.Header
		want   retry.Quota
	}{
		{"0", http.Header{"X-Ratelimit-Limit": {"100"}, "X-Ratelimit-Remaining": {"5"}},
			retry.Quota{Limit: 100, Remaining: 5}},
		{"0", http.Header{"Ratelimit-Policy": {`"a";q=5;w=10`}},
			retry.Quota{Limit: 5, Remaining: 5, Window: 10 * time.Second}},
		{"2", http.Header{},
			retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit-Policy": {`"a";q=5;w=10`}},
			retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit-Policy": {`"a";q=1;w=10`}},
			retry.Quota{Limit: 1, Remaining: 1, Window: 10 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=5;t=10`}},
			retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=5;t=11`}},
			retry.Quota{Remaining: 5, Reset: 11 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=0;t=1`}},
			retry.Quota{Limit: 1, Window: 2 * time.Second, Reset: 2 * time.Second}},
		{"2", http.Header{"Ratelimit": {`"a";r=0;t=60`}}, retry.Quota{Reset: time.Minute}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, "User-agent: *\nCrawl-delay: "+c.delay)
			w.page = func(r *http.Request) (*http.Response, error) {
				return respondWith(r, 200, "", c.header), nil
			}
			var got retry.Quota
			listen := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				begun := time.Now()
				err := next.Do(ctx)
				got, _ = retry.Reported(ctx, begun)
				return err
			})
			err := get(t, over(w, httpx.WithPolicy(listen), httpx.Polite("bot")), "http://h/")
			if err != nil || got != c.want {
				t.Errorf("%s %v: %+v, want %+v (%v)", c.delay, c.header, got, c.want, err)
			}
		})
	}
}

func TestAWaitForATurnThatDoesNotFitIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: *\nCrawl-delay: 10\n")
		c := over(w, httpx.WithPolicy(retry.Chain()), httpx.Polite("bot"))
		if err := get(t, c, "http://h/"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 1000 { // a call that gives up leaves no trace
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() {
				if _, err := c.Get(ctx, "http://h/"); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
			time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
		}
		time.Sleep(900 * time.Millisecond)
		_, err := c.Get(deadline(t, 15*time.Second), "http://h/")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, retry.ErrRejected) {
			t.Errorf("behind a hundred: %v", err)
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		_, err = c.Get(ctx, "http://h/")
		var r *retry.Rejection
		if !errors.As(err, &r) || !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(begun) != 0 || r.RetryAfter != 10*time.Second-999*time.Millisecond ||
			r.Policy != "crawl-delay" {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if err := get(t, c, "http://h/"); err != nil ||
			time.Since(begun) != 10*time.Second-999*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		// A loop around a timeout of each attempt comes back when it is time.
		c = c.With(httpx.WithPolicy(retry.Chain(policies.Constant(0,
			policies.Patience(time.Minute)), policies.Timeout(time.Second))))
		if err := get(t, c, "http://h/"); err != nil ||
			time.Since(begun) != 20*time.Second-999*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
