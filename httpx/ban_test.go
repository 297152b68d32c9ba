package httpx_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// scraper is the client of the package's documentation over rt.
func scraper(rt http.RoundTripper, pacer ...ratelimit.Option) *httpx.Client {
	return httpx.New(
		httpx.WithClient(&http.Client{Transport: rt}),
		httpx.WithPolicy(scraping(5, pacer...)),
		httpx.Refused(httpx.Status(403), httpx.Blocked),
	)
}

func scraping(attempts int, pacer ...ratelimit.Option) retry.Policy {
	return retry.Chain(
		policies.Exponential(policies.Attempts(attempts), policies.Patience(10*time.Minute)),
		policies.Keyed(httpx.Host, func(host string) retry.Policy {
			return retry.Chain(ratelimit.NewPacer(append(pacer, ratelimit.Careful())...),
				breaker.New(host))
		}),
	)
}

// guardedSite answers after 30 ms. It permits rate requests a second with a burst, and bans
// for a while a client that asks for more. The pages that dead names do not exist.
type guardedSite struct {
	rate, burst float64
	ban         time.Duration
	dead        func(path string) bool

	mu       sync.Mutex
	tokens   float64
	last     time.Time
	banned   time.Time
	violated int // requests that began a ban
	during   int // requests into one
	asked    int
}

func (s *guardedSite) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(30 * time.Millisecond)
	code := s.answer(r.URL.Path)
	return answer(r, code, http.NoBody), nil
}

func (s *guardedSite) answer(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	now := time.Now()
	if s.last.IsZero() {
		s.tokens = s.burst
	} else {
		s.tokens = min(s.burst, s.tokens+s.rate*now.Sub(s.last).Seconds())
	}
	s.last = now
	if now.Before(s.banned) {
		s.during++
		return 403
	}
	if s.ban > 0 {
		if s.tokens < 1 {
			s.banned, s.violated = now.Add(s.ban), s.violated+1
			return 403
		}
		s.tokens--
	}
	if s.dead != nil && s.dead(path) {
		return 404
	}
	return 200
}

func crawl(t *testing.T, c *httpx.Client, pages int) (took time.Duration, lost int) {
	var urls []string
	for i := range pages {
		urls = append(urls, fmt.Sprintf("http://h/%d", i))
	}
	start := time.Now()
	for r := range httpx.FetchAll(t.Context(), c, slices.Values(urls), httpx.Text,
		httpx.Workers(32)) {
		if r.Err != nil {
			lost++
		}
	}
	return time.Since(start), lost
}

func TestABanLosesNoPage(t *testing.T) {
	drawn(t, func(t *testing.T) (problem string) {
		s := &guardedSite{rate: 15, burst: 10, ban: 20 * time.Second}
		took, lost := crawl(t, scraper(s), 300)
		t.Logf("300 pages in %v: %d bans, %d requests into them, %d in all", took, s.violated,
			s.during, s.asked)
		if lost > 0 || s.during > 8 {
			return fmt.Sprintf("%d pages lost, %d requests into %d bans", lost, s.during,
				s.violated)
		}
		return ""
	})
}

// drawn tries a crawl in a bubble. Its pacer and its waits are drawn, so it may go wrong once.
func drawn(t *testing.T, try func(t *testing.T) (problem string)) {
	t.Helper()
	check.OneOf(t, 3, func() (problem string) {
		synctest.Test(t, func(t *testing.T) { problem = try(t) })
		return problem
	})
}

func TestABriefOutageLosesNoPage(t *testing.T) {
	drawn(t, func(t *testing.T) (problem string) {
		start := time.Now()
		var asked int
		s := &guardedSite{}
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			if down := time.Since(start); down > 2*time.Second && down < 42*time.Second {
				asked++
				return answer(r, 503, http.NoBody), nil
			}
			return s.RoundTrip(r)
		})
		took, lost := crawl(t, scraper(rt, ratelimit.MaxRate(20)), 300)
		t.Logf("300 pages in %v, %d requests into the outage", took, asked)
		if lost > 0 || asked > 60 || took > 3*time.Minute {
			return fmt.Sprintf("%d pages lost, %d requests into the outage, %v", lost, asked, took)
		}
		return ""
	})
}

// Links that lead nowhere are the pages' business: they neither open the host's breaker nor slow
// its pacer. Retried they cost their own requests: 60 more than 300 are 1.2 times, and the last one
// has waits of 1.5 s in all behind it. The waits are drawn, so each figure is that of five crawls.
func TestDeadLinksDoNotHoldUpTheOthers(t *testing.T) {
	const crawls, pages = 5, 300
	retried := httpx.RetryOn(httpx.Status(404))
	for _, c := range []struct {
		name string
		opts []httpx.Option
		most float64
	}{
		{"404 not retried", nil, 1.02},
		{"3 attempts", []httpx.Option{
			retried, httpx.WithPolicy(scraping(3, ratelimit.MaxRate(20))),
		}, 1.2},
		{"5 attempts", []httpx.Option{retried}, 1.3},
	} {
		check.OneOf(t, 4, func() (problem string) {
			var took [2]time.Duration
			for i, every := range []int{0, 20} {
				for range crawls {
					synctest.Test(t, func(t *testing.T) {
						s := &guardedSite{dead: func(path string) bool {
							var n int
							_, _ = fmt.Sscanf(path, "/%d", &n)
							return every > 0 && n%every == 1
						}}
						client := scraper(s, ratelimit.MaxRate(20)).With(c.opts...)
						one, lost := crawl(t, client, pages)
						took[i] += one
						if every > 0 && lost != pages/every || every == 0 && lost > 0 {
							t.Errorf("%s: %d lost of %d", c.name, lost, pages)
						}
					})
				}
			}
			ratio := took[1].Seconds() / took[0].Seconds()
			t.Logf("%s: %v, with 5 %% dead links %.2f times that", c.name, took[0]/crawls, ratio)
			if ratio > c.most {
				return fmt.Sprintf("%s: with 5 %% dead links %.2f times what it takes without",
					c.name, ratio)
			}
			return ""
		})
	}
}

// Pages that are refused whenever they are asked for say nothing of the rate, because the others
// come meanwhile.
func TestPagesThatAreAlwaysRefusedDoNotHoldUpTheOthers(t *testing.T) {
	const pages = 300
	client := func(rt http.RoundTripper) *httpx.Client {
		return over(rt, httpx.Refused(httpx.Status(403)), httpx.WithPolicy(retry.Chain(
			policies.Exponential(policies.Attempts(5), policies.Patience(10*time.Minute)),
			ratelimit.NewPacer(ratelimit.MaxRate(20)))))
	}
	drawn(t, func(t *testing.T) (problem string) {
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(30 * time.Millisecond)
			n, code := 0, 200
			if _, _ = fmt.Sscanf(r.URL.Path, "/%d", &n); n%100 == 7 {
				code = 403
			}
			return answer(r, code, http.NoBody), nil
		})
		took, lost := crawl(t, client(rt), pages)
		t.Logf("%d pages in %v, %d refused", pages, took, lost)
		if lost != pages/100 || took > 25*time.Second { // 15 s at 20 pages a second
			return fmt.Sprintf("%d lost in %v", lost, took)
		}
		return ""
	})
}
