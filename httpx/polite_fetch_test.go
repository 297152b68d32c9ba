package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestARefusedRobotsTxtIsNone(t *testing.T) {
	captcha := func(r *http.Response) bool {
		b, _ := io.ReadAll(r.Body)
		return string(b) == "are you a robot?"
	}
	w := saying(200, "are you a robot?")
	err := get(t, over(w, httpx.Polite("bot"), httpx.Refused(captcha)), "http://h/")
	if !unknown(err) || len(w.sent) != 3 {
		t.Error(err, len(w.sent))
	}
}

// A 403 for robots.txt is a file that is not there, also to a client that takes other 403s for
// bans. A challenge does not count as one.
func TestABanIsNotReadFromRobotsTxt(t *testing.T) {
	for _, c := range []struct {
		name    string
		header  http.Header
		asked   int
		allowed bool
	}{
		{"no file", nil, 1, true},
		{"a challenge", http.Header{"Cf-Mitigated": {"challenge"}}, 3, false},
	} {
		w := &web{robots: func(*http.Request) (int, string, http.Header) {
			return 403, "", c.header
		}}
		err := get(t, over(w, httpx.Polite("bot"), httpx.Refused(httpx.Status(403), httpx.Blocked)),
			"http://h/")
		if (err == nil) != c.allowed || !c.allowed && !unknown(err) ||
			len(w.urls(true)) != c.asked {
			t.Errorf("%s: %v after %d", c.name, err, len(w.urls(true)))
		}
	}
}

// unknown tells of a rejection because a robots.txt could not be read: it comes with a time and is
// not final, and it does not say that the page is disallowed.
func unknown(err error) bool {
	var e *httpx.RobotsError
	v := retry.VerdictOf(err)
	return errors.As(err, &e) && e.Cause != nil && !errors.Is(err, httpx.ErrDisallowed) &&
		v.Rejection != nil && v.Rejection.RetryAfter > 0 && !v.Permanent
}

func TestWhatTheStatusOfRobotsTxtMeans(t *testing.T) {
	const all = "User-agent: *\nDisallow: /"
	for _, c := range []struct {
		code    int
		text    string
		allowed bool
		asked   int
	}{
		{200, all, false, 1}, {206, all, false, 1}, {204, "", true, 1}, {200, "", true, 1},
		{200, "<!DOCTYPE html>", true, 1},
		{304, "", true, 1}, {400, all, true, 1}, {401, all, true, 1}, {403, all, true, 1},
		{404, all, true, 1}, {410, all, true, 1}, {429, all, false, 3},
		{500, "", false, 3}, {501, "", false, 1}, {503, "", false, 3},
		{599, "", false, 3}, {0, "", false, 3},
	} {
		w := saying(c.code, c.text)
		err := get(t, over(w, httpx.Polite("bot")), "http://h/x")
		if (err == nil) != c.allowed ||
			err != nil && c.code/100 == 2 != errors.Is(err, httpx.ErrDisallowed) ||
			c.code/100 != 2 && err != nil != unknown(err) || len(w.urls(true)) != c.asked ||
			(len(w.urls(false)) == 1) != c.allowed {
			t.Errorf("%d: %v, %d requests", c.code, err, len(w.urls(true)))
		}
		var e *httpx.RobotsError
		if errors.As(err, &e) && (e.Cause == nil) != (c.code/100 == 2) {
			t.Errorf("%d: cause %v", c.code, e.Cause)
		}
		if errors.As(err, new(*httpx.StatusError)) {
			t.Errorf("%d: the status of robots.txt passes for that of the page: %v", c.code, err)
		}
	}
}

func TestRobotsTxtIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "User-agent: *\nDisallow: /no")
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return w.RoundTrip(r)
		})
		polite := httpx.Polite("bot")
		c := over(slow, polite)
		var wg sync.WaitGroup
		for i, c := range slices.Repeat([]*httpx.Client{c, c.With(httpx.Header("A", "b")),
			over(slow, polite)}, 20) {
			wg.Go(func() {
				if i%2 == 0 {
					_, err := httpx.Fetch(t.Context(), c, "http://h/no", httpx.JSON[int])
					if !errors.Is(err, httpx.ErrDisallowed) {
						t.Error(err)
					}
				} else if err := get(t, c, "http://H:80/yes"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(w.urls(true)) != 1 || len(w.urls(false)) != 30 {
			t.Errorf("%d of robots.txt, %d pages", len(w.urls(true)), len(w.urls(false)))
		}
		// origins of their own
		for _, u := range []string{"https://h/yes", "http://h:8080/yes", "http://other/yes"} {
			if err := get(t, c, u); err != nil {
				t.Error(err)
			}
		}
		got := w.urls(true)[1:]
		if !slices.Equal(got, []string{"https://h/robots.txt", "http://h:8080/robots.txt",
			"http://other/robots.txt"}) {
			t.Error(got)
		}
	})
}

func TestHowLongRobotsTxtIsKept(t *testing.T) {
	for _, c := range []struct {
		code    int
		control string
		kept    time.Duration
	}{
		{200, "", 24 * time.Hour}, {404, "", 24 * time.Hour}, {200, "max-age=3600", time.Hour},
		{200, `public, Max-Age="90"`, 90 * time.Second},
		{404, "max-age=3600", time.Hour}, {200, "max-age=31536000", 24 * time.Hour},
		{200, "max-age=99999999999999999999", 24 * time.Hour},
		{200, "max-age=0", time.Minute}, {200, "no-store", time.Minute},
		{200, "no-cache, max-age=3600", time.Minute}, {200, "max-age=junk", 24 * time.Hour},
		{429, "", time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &web{robots: func(*http.Request) (int, string, http.Header) {
				return c.code, "", http.Header{"Cache-Control": {c.control}}
			}}
			cl := over(w, httpx.Polite("bot"), httpx.WithPolicy(retry.Chain()))
			get(t, cl, "http://h/")
			time.Sleep(c.kept - 1)
			get(t, cl, "http://h/")
			before := len(w.urls(true))
			time.Sleep(time.Nanosecond)
			get(t, cl, "http://h/")
			if after := len(w.urls(true)); before != 1 || after != 2 {
				t.Errorf("%d %q: %d requests, then %d", c.code, c.control, before, after)
			}
		})
	}
}

func TestAnUnreachableRobotsTxtDisallowsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code, hint := 200, ""
		w := &web{robots: func(*http.Request) (int, string, http.Header) {
			return code, "User-agent: *\nDisallow: /no", http.Header{"Retry-After": {hint}}
		}}
		c := over(w, httpx.Polite("bot"), httpx.WithPolicy(retry.Chain()))
		expect := func(what string, fetches int, yes, no bool) {
			t.Helper()
			before := len(w.urls(true))
			for path, want := range map[string]bool{"yes": yes, "no": no} {
				if err := get(t, c, "http://h/"+path); (err == nil) != want ||
					err != nil && !errors.Is(err, httpx.ErrDisallowed) && !unknown(err) {
					t.Errorf("%s: /%s: %v", what, path, err)
				}
			}
			if n := len(w.urls(true)) - before; n != fetches {
				t.Errorf("%s: %d fetches, want %d", what, n, fetches)
			}
		}
		expect("a good copy", 1, true, false)
		time.Sleep(24 * time.Hour)
		code = 503
		expect("down", 1, false, false)
		var r *retry.Rejection
		if err := get(t, c, "http://h/"); !errors.As(err, &r) || r.RetryAfter != time.Minute {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Minute - 1)
		expect("not asked again at once", 0, false, false)
		time.Sleep(time.Nanosecond)
		code = 200
		expect("up again", 1, true, false)
		time.Sleep(24 * time.Hour)
		code = 0
		expect("no network", 1, false, false)
		time.Sleep(30*24*time.Hour - 1)
		expect("for long", 1, false, false)
		time.Sleep(time.Minute)
		expect("for too long: the last good copy", 1, true, false)
		code, hint = 503, "600"
		time.Sleep(time.Minute)
		expect("a hint", 1, true, false)
		time.Sleep(10*time.Minute - 1)
		expect("a hint is heeded", 0, true, false)
		code, hint = 503, "86400"
		time.Sleep(time.Nanosecond)
		expect("a hint of a day", 1, true, false)
		time.Sleep(time.Hour - 1)
		expect("is heeded for an hour", 0, true, false)
		code = 404
		time.Sleep(time.Nanosecond)
		expect("no file any more", 1, true, true)
	})
}

func TestRedirectsOfRobotsTxt(t *testing.T) {
	for _, c := range []struct {
		hops    int
		allowed bool
	}{{1, false}, {5, false}, {6, true}, {100, true}} {
		w := &web{robots: func(r *http.Request) (int, string, http.Header) {
			n := 0
			fmt.Sscanf(r.URL.Host, "h%d", &n)
			if n == c.hops {
				return 200, "User-agent: *\nDisallow: /", nil
			}
			return 302, "", http.Header{"Location": {fmt.Sprintf("http://h%d/robots.txt", n+1)}}
		}}
		if err := get(t, over(w, httpx.Polite("bot")), "http://h0/"); (err == nil) != c.allowed {
			t.Errorf("%d: %v", c.hops, err)
		}
		if n := len(w.urls(true)); n != min(c.hops, 5)+1 {
			t.Errorf("%d: %d requests", c.hops, n)
		}
	}
	down := &web{robots: func(r *http.Request) (int, string, http.Header) {
		return 301, "", http.Header{"Location": {"http://" + r.URL.Host + "/robots.txt"}}
	}}
	err := get(t, over(down, httpx.Polite("bot"), httpx.NoDowngrade()), "https://h/")
	if !errors.Is(err, httpx.ErrDowngrade) || len(down.sent) != 1 {
		t.Error(err, len(down.sent))
	}
}

// A fetch that waited for what its own caller holds would never end.
func TestRobotsTxtPassesTheChainWithoutADeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := hosts()
		w.page = func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return respondWith(r, 503, "", nil), nil
		}
		var mu sync.Mutex
		through := map[string]int{}
		count := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			mu.Lock()
			through[httpx.Host(ctx)]++
			mu.Unlock()
			return next.Do(ctx)
		})
		for _, guard := range []retry.Policy{
			retry.Chain(policies.NewBulkhead(1, 1000), policies.Constant(0, policies.Attempts(2)),
				count),
			retry.Chain(policies.Constant(0, policies.Attempts(2)), policies.NewBulkhead(1, 1000),
				count),
		} {
			clear(through)
			c := over(w, httpx.WithPolicy(guard), httpx.Polite("bot"))
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					opts := []httpx.Option{httpx.Alternates(fmt.Sprintf("http://h%d/", i%3),
						"http://other/")}
					if err := get(t, c, "http://a/", opts...); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if through["h0"]+through["h1"]+through["h2"] != 20+3 || through["other"] != 20 {
				t.Error(through)
			}
		}
	})
}

// A file that gets out of date while a request waits in the chain is the next request's business.
func TestTheFetchIsSeenByTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &web{robots: func(*http.Request) (int, string, http.Header) {
			return 200, "", http.Header{"Cache-Control": {"max-age=60"}}
		}}
		w.page = func(r *http.Request) (*http.Response, error) {
			return respondWith(r, 503, "", nil), nil
		}
		seen := 0
		count := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			seen++
			return next.Do(ctx)
		})
		c := over(w, httpx.WithPolicy(retry.Chain(policies.Constant(time.Hour), count)),
			httpx.Polite("bot"))
		if err := get(t, c, "http://h/"); err != nil || seen != len(w.sent) || seen != 4 {
			t.Errorf("%v, %d of %d", err, seen, len(w.sent))
		}
	})
}

func TestAPolicysRefusalOfTheFetchIsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 200
		w := &web{robots: func(*http.Request) (int, string, http.Header) {
			return code, "User-agent: *\nDisallow: /no", nil
		}}
		b := breaker.New("b")
		c := over(w, httpx.WithPolicy(b), httpx.Polite("bot"))
		if err := get(t, c, "http://h/"); err != nil {
			t.Error(err)
		}
		time.Sleep(24 * time.Hour)
		b.Isolate()
		if err := get(t, c, "http://h/"); !errors.Is(err, breaker.ErrOpen) ||
			errors.Is(err, httpx.ErrDisallowed) || len(w.sent) != 2 {
			t.Error(err, len(w.sent))
		}
		b.Release()
		code = 0 // what was known before is not forgotten over it
		get(t, c, "http://h/")
		time.Sleep(30 * 24 * time.Hour)
		if err := get(t, c, "http://h/yes"); err != nil {
			t.Error(err)
		}
		if err := get(t, c, "http://h/no"); !errors.Is(err, httpx.ErrDisallowed) {
			t.Error(err)
		}
	})
}

func TestOneCallersEndDoesNotEndTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		w := saying(200, "")
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
				ended <- r.Context().Err()
				return nil, r.Context().Err()
			}
			return w.RoundTrip(r)
		})
		c := over(slow, httpx.Polite("bot"))
		call := func(timeout time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			begun := time.Now()
			resp, err := c.Get(ctx, "http://h/")
			if err == nil {
				_ = resp.Body.Close()
			} else if took := time.Since(begun); took != timeout {
				t.Errorf("a timeout of %v took %v", timeout, took)
			}
			return err
		}
		var wg sync.WaitGroup
		wg.Go(func() { // the one whose fetch it is
			if err := call(time.Second); !errors.Is(err, context.DeadlineExceeded) ||
				errors.Is(err, httpx.ErrDisallowed) {
				t.Error(err)
			}
		})
		time.Sleep(time.Millisecond)
		wg.Go(func() {
			if err := call(time.Minute); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if len(w.urls(true)) != 1 || len(ended) != 0 {
			t.Error(w.urls(true), len(ended))
		}
		// When no caller waits any more the fetch ends, and counts for nothing.
		c = over(slow, httpx.Polite("bot"))
		if err := call(time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		synctest.Wait()
		if len(ended) != 1 {
			t.Error("the fetch goes on")
		}
		if err := call(time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestAnAbandonedFetchDoesNotDisturbTheNext(t *testing.T) {
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := saying(200, "")
			// to the end of its context
			deaf := roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/robots.txt" {
					w.RoundTrip(r)
					time.Sleep(10 * time.Second)
					if fails && r.Context().Err() != nil {
						return nil, r.Context().Err()
					}
				}
				return respondWith(r, 200, "", nil), nil
			})
			c := over(deaf, httpx.Polite("bot"))
			_, err := c.Get(deadline(t, time.Second), "http://h/")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			var wg sync.WaitGroup
			// before its end at 9 s, and after
			for _, at := range []time.Duration{0, 9500 * time.Millisecond} {
				wg.Go(func() {
					time.Sleep(at)
					if err := get(t, c, "http://h/"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := len(w.urls(true)); n != 2 {
				t.Errorf("%d fetches, want 2", n)
			}
		})
	}
}

func TestAnAttemptsTimeoutSaysNothingOfRobotsTxt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := saying(200, "")
		slow := time.Minute
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "slow" {
				select {
				case <-time.After(slow):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			}
			return w.RoundTrip(r)
		})
		c := over(rt, httpx.Polite("bot"), httpx.WithPolicy(policies.Timeout(time.Second)),
			httpx.EachAttempt(func(_ int, r *http.Request) error {
				r.URL.Host = "slow"
				return nil
			}))
		if err := get(t, c, "http://h/"); !errors.Is(err, policies.ErrTimeout) ||
			errors.Is(err, httpx.ErrDisallowed) {
			t.Error(err)
		}
		slow = time.Millisecond
		if err := get(t, c, "http://h/"); err != nil {
			t.Error(err)
		}
	})
}

func TestARobotsTxtThatDripsIsGivenUp(t *testing.T) {
	spotless(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			drip(w, r)
		}
	}, func(b *bubble) {
		c := httpx.New(httpx.WithClient(&http.Client{Transport: b.tr}), httpx.Polite("bot"))
		start := time.Now()
		if _, err := c.Get(b.Context(), inBubble); !unknown(err) || b.hits.Load() != 3 ||
			time.Since(start).Round(time.Second) > 92*time.Second {
			b.Errorf("%v after %d in %v", err, b.hits.Load(), time.Since(start))
		}
	})
}

func TestAFetchThatEndsItsGoroutineIsAnError(t *testing.T) {
	w := &web{robots: func(*http.Request) (int, string, http.Header) {
		runtime.Goexit()
		return 0, "", nil
	}}
	if err := get(t, over(w, httpx.Polite("bot")), "http://h/"); err == nil ||
		errors.Is(err, httpx.ErrDisallowed) || len(w.urls(false)) != 0 {
		t.Error(err)
	}
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := saying(200, "")
	_, err := over(w, httpx.Polite("bot")).Get(ctx, "http://h/")
	if !errors.Is(err, context.Canceled) || len(w.sent) != 0 {
		t.Error(err, len(w.sent))
	}
}

func TestAPanicInTheFetchReachesTheCaller(t *testing.T) {
	w := &web{robots: func(*http.Request) (int, string, http.Header) { panic("boom") }}
	defer func() {
		if p := recover(); p != "boom" {
			t.Error(p)
		}
	}()
	get(t, over(w, httpx.Polite("bot")), "http://h/")
}
