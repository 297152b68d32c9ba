package httpx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// How long a call waits that is answered once by a status with a Retry-After field; the own
// back-off is 7 s.
func TestRetryAfterAndTheOwnBackOff(t *testing.T) {
	const own, no = 7 * time.Second, -1
	for _, c := range []struct {
		method string
		code   int
		field  string
		wait   time.Duration
	}{
		{"POST", 413, "", no}, // too large for good
		{"POST", 413, "0", own},
		{"POST", 413, "9", 9 * time.Second},
		{"POST", 413, "3", own},
		{"POST", 413, "Sat, 01 Jan 2000 00:00:11 GMT", 11 * time.Second},
		{"POST", 413, "Sat, 01 Jan 2000 00:00:00 GMT", own},
		{"POST", 413, "Fri, 31 Dec 1999 23:59:00 GMT", own},
		{"POST", 429, "0", own},
		{"POST", 429, "-1", own},
		{"POST", 429, "9", 9 * time.Second},
		{"POST", 408, "9", 9 * time.Second},
		{"POST", 503, "9", no}, // it may have acted
		{"GET", 503, "0", own},
		{"GET", 503, "soon", own},
		{"GET", 503, " 9\t", 9 * time.Second},
		{"GET", 503, "9, 8", 9 * time.Second},
		{"GET", 404, "9", no},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			rt := roundTripper(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 200, http.NoBody)
				if n++; n == 1 {
					resp = answer(r, c.code, io.NopCloser(strings.NewReader("later")))
					if c.field != "" {
						resp.Header.Set("Retry-After", c.field)
					}
				}
				return resp, nil
			})
			start := time.Now()
			req, _ := http.NewRequestWithContext(t.Context(), c.method, "http://h/",
				strings.NewReader("x"))
			resp, err := over(rt, httpx.WithPolicy(policies.Constant(own))).Do(req)
			code, _ := read(t, resp, err)
			got := time.Since(start)
			if n == 1 {
				got = no
			}
			if got != c.wait || (code == 200) != (n == 2) {
				t.Errorf("%s %d, %q: %d after %v, want %v", c.method, c.code, c.field, code, got,
					c.wait)
			}
		})
	}
}

// A redirect's Retry-After is waited for before the next hop, by the loop if there is one.
func TestARedirectIsFollowedWhenItsWaitIsOver(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name   string
		policy retry.Policy
		field  string
		limit  time.Duration // of the call
		wait   time.Duration
		err    error
	}{
		{"none", policies.Constant(0), "", time.Hour, 0, nil},
		{"over", policies.Constant(0), "0", time.Hour, 0, nil},
		{"by the loop", policies.Constant(0), "7", time.Hour, 7 * s, nil},
		{"without a loop", retry.Chain(), "7", time.Hour, 7 * s, nil},
		{"no attempts left", policies.Constant(0, policies.Attempts(1)),
			"7", time.Hour, 7 * s, nil},
		{"over the cap", policies.Constant(0, policies.HintCap(5*s)), "7",
			time.Hour, 0, retry.ErrExhausted},
		{"past the deadline", policies.Constant(0), "7", 5 * s, 0, context.DeadlineExceeded},
		{"past the deadline, without a loop", retry.Chain(), "7",
			5 * s, 0, context.DeadlineExceeded},
	} {
		for _, fetch := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var log []string
				rt := roundTripper(func(r *http.Request) (*http.Response, error) {
					log = append(log, r.URL.Path)
					resp := answer(r, 200, io.NopCloser(strings.NewReader("here")))
					if r.URL.Path == "/" {
						resp.StatusCode = 302
						resp.Header.Set("Location", "/b")
						resp.Header.Set("Retry-After", c.field)
					}
					return resp, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				client := over(rt, httpx.WithPolicy(c.policy))
				start := time.Now()
				var err error
				if fetch {
					_, err = httpx.Fetch(ctx, client, "http://h/", httpx.Text)
				} else {
					var resp *http.Response
					if resp, err = client.Get(ctx, "http://h/"); err == nil {
						read(t, resp, nil)
					}
				}
				hops := map[bool]int{true: 2, false: 1}[c.err == nil]
				if took := time.Since(start); took != c.wait || !errors.Is(err, c.err) ||
					len(log) != hops {
					t.Errorf("%s, Fetch %v: %v after %v and %q", c.name, fetch, err, took, log)
				}
			})
		}
	}
}

// A loop waits for what the server's quota fields say, where it refused and named no other time.
func TestARefusalWaitsForTheQuotasReset(t *testing.T) {
	const own, s = 100 * time.Millisecond, time.Second
	for _, c := range []struct {
		name   string
		code   int
		fields []string
		wait   time.Duration
	}{
		{"429", 429, []string{"X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", "3"}, 3 * s},
		{"the longest of several", 429,
			[]string{"Ratelimit", `"a";r=0;t=3, "b";r=0;t=5, "c";r=9;t=60`}, 5 * s},
		{"Retry-After wins", 429, []string{"Ratelimit", `"a";r=0;t=3`, "Retry-After", "1"}, s},
		{"something is left", 429, []string{"Ratelimit", `"a";r=1;t=3`}, own},
		{"a gauge says no time", 429, []string{"X-Shop-Call-Limit", "40/40"}, own},
		{"a 503 is no refusal", 503, []string{"Ratelimit", `"a";r=0;t=3`}, own},
		{"a 403 that is one", 403, []string{"Ratelimit", `"a";r=0;t=3`}, 3 * s},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
				if n++; n > 1 {
					return answer(r, 200, http.NoBody), nil
				}
				resp := answer(r, c.code, http.NoBody)
				for i := 0; i < len(c.fields); i += 2 {
					resp.Header.Set(c.fields[i], c.fields[i+1])
				}
				return resp, nil
			}), httpx.WithPolicy(policies.Constant(own)), httpx.Refused(httpx.Status(403)))
			start := time.Now()
			resp, err := client.Get(t.Context(), "http://h/")
			if code, _ := read(t, resp, err); code != 200 || time.Since(start) != c.wait {
				t.Errorf("%s: %d after %v, want %v", c.name, code, time.Since(start), c.wait)
			}
		})
	}
}
