package httpx_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// served is a handler that counts and answers with a status.
type served struct {
	calls atomic.Int32
	code  int
}

func (s *served) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.calls.Add(1)
	if s.code != 0 {
		w.WriteHeader(s.code)
	}
	_, _ = io.WriteString(w, "done")
}

// request sends one to h, from the address, with header fields by pairs.
func request(h http.Handler, from string, fields ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "http://service/", nil)
	if from != "" {
		r.RemoteAddr = from
	}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

var everybody = httpx.GuardTrust(func(*http.Request) bool { return true })

// refusing is a policy that never lets anybody in.
func refusing(err error) retry.Policy {
	return retry.PolicyFunc(func(context.Context, retry.Next) error { return err })
}

func TestGuardAnswersARejectionByItsKind(t *testing.T) {
	isolated := breaker.New("db")
	isolated.Isolate()
	for name, tc := range map[string]struct {
		policy retry.Policy
		code   int
		after  string
	}{
		"a limit": {
			refusing(&retry.Rejection{Policy: "limiter x", Reason: ratelimit.ErrLimited,
				RetryAfter: 1200 * time.Millisecond, Quota: retry.Quota{Limit: 1}}), 429, "2"},
		"a limit, by marks": {
			refusing(fmt.Errorf("wrapped: %w",
				&retry.Rejection{Quota: retry.Quota{Limit: 1}, RetryAfter: time.Minute})),
			429, "60"},
		"a limit's reset": {
			refusing(&retry.Rejection{Quota: retry.Quota{Limit: 1, Reset: 3 * time.Second}}),
			429, "3"},
		"no limit": {
			refusing(&retry.Rejection{Policy: "limiter x", Reason: ratelimit.ErrLimited,
				RetryAfter: time.Millisecond}), 503, "1"},
		"a breaker": {isolated, 503, "1"},
		"an open breaker": {
			refusing(&retry.Rejection{Reason: breaker.ErrOpen, RetryAfter: 30 * time.Second}),
			503, "30"},
		"a full bulkhead":   {refusing(&retry.Rejection{Reason: policies.ErrFull}), 503, "1"},
		"a plain error":     {refusing(errors.New("not today")), 503, ""},
		"nothing, uncalled": {refusing(nil), 503, ""},
		"a broken chain":    {policies.Timeout(-1), 500, ""},
		"broken on the way": {
			refusing(fmt.Errorf("wrapped: %w", retry.ConfigErrorf("x", "must not be"))), 500, ""},
		"a limiter that has": {ratelimit.New(rate.Every(time.Minute), 0), 0, ""},
	} {
		s := &served{}
		resp := request(httpx.Guard(tc.policy)(s), "")
		if tc.code == 0 {
			continue
		}
		if resp.StatusCode != tc.code || resp.Header.Get("Retry-After") != tc.after ||
			s.calls.Load() != 0 {
			t.Errorf("%s: %d, Retry-After %q, %d calls", name, resp.StatusCode,
				resp.Header.Get("Retry-After"), s.calls.Load())
		}
	}
}

func TestGuardTellsTheLimitAndTheReaderHearsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &served{}
		h := httpx.Guard(ratelimit.New(rate.Every(time.Minute), 3, ratelimit.MaxWait(0)))(s)
		for i, tc := range []struct {
			wait         time.Duration
			code         int
			policy, left string
			after        string
		}{
			{0, 200, `"default";q=3;w=180`, `"default";r=2;t=60`, ""},
			{0, 200, `"default";q=3;w=180`, `"default";r=1;t=60`, ""},
			{30 * time.Second, 200, `"default";q=3;w=180`, `"default";r=0;t=30`, ""},
			{10 * time.Second, 429, `"default";q=3;w=180`, `"default";r=0;t=20`, "20"},
			{20 * time.Second, 200, `"default";q=3;w=180`, `"default";r=0;t=60`, ""},
		} {
			time.Sleep(tc.wait)
			resp := request(h, "")
			policy, left := resp.Header.Get("RateLimit-Policy"), resp.Header.Get("RateLimit")
			if resp.StatusCode != tc.code || policy != tc.policy || left != tc.left ||
				resp.Header.Get("Retry-After") != tc.after {
				t.Errorf("%d: %d %s %s %v", i, resp.StatusCode, policy, left, resp.Header)
			}
			if q := field.Quotas(resp.Header, time.Now()); len(q) != 1 || q[0].Limit != 3 ||
				q[0].Window != 3*time.Minute || q[0].Reset == 0 {
				t.Errorf("%d: read back as %+v", i, q)
			}
		}
		if s.calls.Load() != 4 {
			t.Errorf("%d calls", s.calls.Load())
		}
	})
}

func TestGuardTellsEachClientItsPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := httpx.Guard(ratelimit.New(rate.Every(6*time.Second), 10,
			ratelimit.Named("shared")))(&served{})
		for i, tc := range []struct {
			wait         time.Duration
			from         string
			policy, left string
		}{
			{0, "192.0.2.1:1", `"shared";q=10;w=60`, `"shared";r=9;t=6`},
			{0, "192.0.2.2:1", `"shared";q=5;w=60`, `"shared";r=4;t=6`},
			{0, "192.0.2.2:999", `"shared";q=5;w=60`, `"shared";r=3;t=6`},
			{0, "[2001:db8:1:2::1]:1", `"shared";q=10;w=180`, `"shared";r=2;t=6`},
			{0, "[2001:db8:1:2:ffff::1]:1", `"shared";q=10;w=180`, `"shared";r=1;t=6`},
			{0, "[::ffff:192.0.2.1]:1", `"shared";q=10;w=180`, `"shared";r=1;t=6`},
			// The others have gone.
			{61 * time.Second, "192.0.2.1:1", `"shared";q=10;w=60`, `"shared";r=9;t=6`},
		} {
			time.Sleep(tc.wait)
			resp := request(h, tc.from, "X-Forwarded-For", fmt.Sprint("10.0.0.", i))
			policy, left := resp.Header.Get("RateLimit-Policy"), resp.Header.Get("RateLimit")
			if policy != tc.policy || left != tc.left {
				t.Errorf("%d: %s %s", i, policy, left)
			}
		}
	})
}

func TestGuardWithALimiterForEachClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		each := policies.Keyed(httpx.ClientKey, func(string) retry.Policy {
			return ratelimit.New(rate.Every(time.Second), 4, ratelimit.MaxWait(0))
		})
		account := func(r *http.Request) string { return r.Header.Get("Account") }
		h := httpx.Guard(retry.Chain(ratelimit.New(rate.Every(time.Second), 100,
			ratelimit.Named("all")), each), httpx.GuardKey(account))(
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, httpx.ClientKey(r.Context()))
			}))
		for i, tc := range []struct{ who, left string }{
			{"a", `"all";r=99;t=1|"default";r=3;t=1`},
			{"a", `"all";r=98;t=1|"default";r=2;t=1`},
			{"b", `"all";r=48;t=1|"default";r=3;t=1`}, // its own, and half of what all share
		} {
			resp := request(h, "", "Account", tc.who)
			body, _ := io.ReadAll(resp.Body)
			if left := strings.Join(resp.Header.Values("RateLimit"), "|"); left != tc.left ||
				string(body) != tc.who {
				t.Errorf("%d: %s, client %s", i, left, body)
			}
		}
		if each.Len() != 2 || httpx.ClientKey(t.Context()) != "" {
			t.Errorf("%d keys", each.Len())
		}
	})
}

// The limiter is full again sooner than the client's part of it: others could have come.
func TestGuardTellsNoMoreThanTheClientsPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := httpx.Guard(ratelimit.New(rate.Every(6*time.Second), 10,
			ratelimit.MaxWait(0)))(&served{})
		for range 10 {
			request(h, "192.0.2.1:1")
		}
		for range 5 { // refusals take nothing of it
			request(h, "192.0.2.1:1")
		}
		request(h, "192.0.2.2:1")
		time.Sleep(30 * time.Second)
		// Half of 5 tokens have come in for it, and one is taken; the limiter has 4, half of which
		// are 2.
		if got := request(h, "192.0.2.1:1").Header.Get("RateLimit"); got != `"default";r=1;t=6` {
			t.Errorf("told %s", got)
		}
	})
}

// A limiter in a container is a client's own only if the client's key leads to it.
func TestGuardKnowsWhoseALimiterIs(t *testing.T) {
	perMinute := func(name string) *ratelimit.Limiter {
		return ratelimit.New(rate.Every(6*time.Second), 10, ratelimit.Named(name))
	}
	keyed := func(key func(context.Context) string) retry.Policy {
		return policies.Keyed(key, func(string) retry.Policy { return perMinute("each") })
	}
	used := keyed(httpx.ClientKey)
	_ = retry.Run(t.Context(), used, func(context.Context) error { return nil })
	for name, tc := range map[string]struct {
		policy retry.Policy
		want   string // told to the second client
	}{
		"the chain's, behind a client's own": {
			retry.Chain(keyed(httpx.ClientKey), perMinute("all")),
			`"each";q=10;w=60 "all";q=5;w=60`},
		"of another key than the client's": {
			keyed(func(context.Context) string { return "all" }), `"each";q=5;w=60`},
		"a client's own, in use before guard": {used, `"each";q=10;w=60`},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := httpx.Guard(tc.policy)(&served{})
			request(h, "192.0.2.1:1")
			resp := request(h, "192.0.2.2:1")
			if got := strings.Join(resp.Header.Values("RateLimit-Policy"), " "); got != tc.want {
				t.Errorf("%s: told %s, want %s", name, got, tc.want)
			}
		})
	}
}

func TestGuardKeyOfAnAddress(t *testing.T) {
	var key string
	h := httpx.Guard(nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		key = httpx.ClientKey(r.Context())
	}))
	for from, want := range map[string]string{
		"192.0.2.1:1":              "192.0.2.1",
		"192.0.2.1":                "192.0.2.1",
		"[::ffff:192.0.2.1]:1":     "192.0.2.1",
		"[2001:db8:1:2:3::1]:1":    "2001:db8:1:2::/64",
		"2001:db8:1:2:3::1":        "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1":         "fe80::/64",
		"@":                        "@",
		"/run/service/client.sock": "/run/service/client.sock",
	} {
		if request(h, from); key != want {
			t.Errorf("%s: %s, want %s", from, key, want)
		}
	}
}

// What a limiter of the handler's own calls says is not for the client.
func TestGuardTellsOfItsOwnLimitersOnly(t *testing.T) {
	own := ratelimit.New(100, 100, ratelimit.Named("own"))
	h := httpx.Guard(nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = retry.Run(r.Context(), own, func(context.Context) error { return nil })
	}))
	if resp := request(h, ""); len(resp.Header) != 0 {
		t.Errorf("%v", resp.Header)
	}
}

func TestGuardCountsTheHandlersFailures(t *testing.T) {
	for code, want := range map[int]breaker.State{0: breaker.Closed, 200: breaker.Closed,
		404: breaker.Closed, 429: breaker.Closed, 500: breaker.Open, 503: breaker.Open} {
		b := breaker.New("b", breaker.ConsecutiveFailures(2))
		s := &served{code: code}
		h := httpx.Guard(b)(s)
		for range 2 {
			if resp := request(h, ""); code != 0 && resp.StatusCode != code {
				t.Errorf("%d became %d", code, resp.StatusCode)
			}
		}
		if b.State() != want {
			t.Errorf("%d: %v", code, b.State())
		}
		if resp := request(h, ""); want == breaker.Open &&
			(resp.StatusCode != 503 || s.calls.Load() != 2 ||
				resp.Header.Get("Retry-After") != "30") {
			t.Errorf("%d: then %d after %d calls, %v", code, resp.StatusCode, s.calls.Load(),
				resp.Header)
		}
	}
}

func TestGuardBeginsNoWorkAfterTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &served{}
		late, cancel := context.WithTimeout(t.Context(), 0)
		defer cancel()
		w := httptest.NewRecorder()
		httpx.Guard(nil)(s).ServeHTTP(w,
			httptest.NewRequest(http.MethodGet, "/", nil).WithContext(late))
		if w.Code != 503 || s.calls.Load() != 0 {
			t.Errorf("passed on arrival: %d, %d calls", w.Code, s.calls.Load())
		}

		unasked := retry.PolicyFunc(func(context.Context, retry.Next) error {
			t.Error("the policy is asked")
			return nil
		})
		for _, h := range []http.Handler{httpx.Guard(unasked, everybody)(s),
			httpx.Guard(nil, everybody)(s)} {
			if resp := request(h, "", "Reprise-Deadline-Ms", "0"); resp.StatusCode != 503 ||
				s.calls.Load() != 0 {
				t.Errorf("none left: %d, %d calls", resp.StatusCode, s.calls.Load())
			}
		}

		slow := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			time.Sleep(time.Second)
			return next.Do(ctx)
		})
		b := breaker.New("b", breaker.ConsecutiveFailures(1))
		h := httpx.Guard(retry.Chain(b, slow), everybody)(s)
		if resp := request(h, "", "Reprise-Deadline-Ms", "900"); resp.StatusCode != 503 ||
			s.calls.Load() != 0 || b.State() != breaker.Closed {
			t.Errorf("passed in a queue: %d, %d calls, %v", resp.StatusCode, s.calls.Load(),
				b.State())
		}
		if resp := request(h, "", "Reprise-Deadline-Ms", "1100"); resp.StatusCode != 200 {
			t.Errorf("in time: %d", resp.StatusCode)
		}
	})
}

func TestGuardBelievesOnlyWhomItTrusts(t *testing.T) {
	type seen struct {
		left           time.Duration
		attempt, depth int
		priority       retry.Priority
	}
	nothing := seen{0, 1, 0, 0}
	for name, tc := range map[string]struct {
		opts                        []httpx.GuardOption
		deadline, attempt, priority string
		want                        seen
	}{
		"a stranger": {nil, "1000", "2", "100", nothing},
		"one that is not": {
			[]httpx.GuardOption{
				httpx.GuardTrust(func(r *http.Request) bool {
					return r.Header.Get("Token") != ""
				})}, "1000", "2", "100", nothing},
		"a friend": {
			[]httpx.GuardOption{everybody}, "1000", "2", "100", seen{time.Second, 2, 1, 100}},
		"says nothing":   {[]httpx.GuardOption{everybody}, "", "", "", nothing},
		"talks nonsense": {[]httpx.GuardOption{everybody}, "-1", "0", "high", nothing},
		"talks more":     {[]httpx.GuardOption{everybody}, "1e3", "99999999999", " ", nothing},
		"waits for ever": {
			[]httpx.GuardOption{everybody}, "2000000000", "1", "-100", seen{time.Hour, 1, 1, -100}},
		"waits for longer": {[]httpx.GuardOption{everybody}, "99999999999999999999", "",
			"99999999999", seen{time.Hour, 1, 0, 0}},
		"says it in a list": {[]httpx.GuardOption{everybody}, "1000, 2000", "1,2", "", nothing},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got seen
			h := httpx.Guard(nil, tc.opts...)(
				http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					ctx := r.Context()
					if deadline, ok := ctx.Deadline(); ok {
						got.left = time.Until(deadline)
					}
					got.attempt, got.depth, got.priority = retry.Attempt(ctx), retry.Depth(ctx),
						retry.PriorityOf(ctx)
				}))
			request(h, "", "Reprise-Deadline-Ms", tc.deadline, "Reprise-Attempt", tc.attempt,
				"Reprise-Priority", tc.priority)
			if got != tc.want {
				t.Errorf("%s: %+v, want %+v", name, got, tc.want)
			}
		})
	}
}

func TestGuardThatIsMisconfiguredSaysSo(t *testing.T) {
	loop := policies.Exponential()
	for name, tc := range map[string]struct {
		guard func(http.Handler) http.Handler
		text  string
	}{
		"a loop": {httpx.Guard(loop), "httpx.Guard: exponential"},
		"a loop inside": {httpx.Guard(retry.Chain(breaker.New("b"), retry.Chain(loop))),
			"must not run the handler twice"},
		"a bad policy": {httpx.Guard(retry.Chain(policies.Timeout(-1))), "must be positive"},
		"no key": {
			httpx.Guard(nil, httpx.GuardKey(nil)), "httpx.Guard: GuardKey(nil): must not be nil"},
		"no trust": {httpx.Guard(nil, httpx.GuardTrust(nil)),
			"httpx.Guard: GuardTrust(nil): must not be nil"},
		"no option": {httpx.Guard(nil, nil), "httpx.Guard: GuardOption(nil): must not be nil"},
		"a custom repeats": {
			httpx.Guard(retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				_ = next.Do(ctx)
				return next.Do(ctx)
			})), ""},
	} {
		s := &served{}
		h := tc.guard(s)
		resp := request(h, "")
		body, _ := io.ReadAll(resp.Body)
		err := h.(interface{ Validate() error }).Validate()
		if tc.text == "" { // its second call does not run the handler, whose answer stands
			if resp.StatusCode != 200 || s.calls.Load() != 1 || err != nil {
				t.Errorf("%s: %d after %d calls, %v", name, resp.StatusCode, s.calls.Load(), err)
			}
			continue
		}
		if resp.StatusCode != 500 || !strings.Contains(string(body), tc.text) ||
			s.calls.Load() != 0 || !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: %d %s (%v), %d calls", name, resp.StatusCode, body, err, s.calls.Load())
		}
	}
	err := httpx.Guard(nil)(nil).(interface{ Validate() error }).Validate()
	if !errors.Is(err, retry.ErrConfig) {
		t.Errorf("no handler: %v", err)
	}
}

func TestTheSecondCallOfNextIsAConfigurationError(t *testing.T) {
	var second error
	twice := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		second = next.Do(ctx)
		return second
	})
	s := &served{code: 500}
	resp := request(httpx.Guard(twice)(s), "")
	if !errors.Is(second, retry.ErrConfig) || s.calls.Load() != 1 || resp.StatusCode != 500 {
		t.Errorf("%v, %d calls, %d", second, s.calls.Load(), resp.StatusCode)
	}
}

func TestGuardAnswersForASilentHandlerThatWasCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := httpx.Guard(policies.Timeout(time.Second))(
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				if r.Method == http.MethodPost {
					w.WriteHeader(504)
				}
			}))
		if resp := request(h, ""); resp.StatusCode != 503 {
			t.Errorf("silent: %d", resp.StatusCode)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
		if w.Code != 504 {
			t.Errorf("its own answer: %d", w.Code)
		}
	})
}

// able is a ResponseWriter of a server: a connection can be had from it, and a push.
type able struct{ *httptest.ResponseRecorder }

func (able) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }

type pushing struct{ *httptest.ResponseRecorder }

func (pushing) Push(string, *http.PushOptions) error { return nil }

func TestAnAnswerThatHasBegunStandsWhateverThePoliciesSay(t *testing.T) {
	failing := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		_ = next.Do(ctx)
		return errors.New("too late")
	})
	for name, tc := range map[string]struct {
		begin func(http.ResponseWriter)
		code  int
		body  string
	}{
		"by its status":  {func(w http.ResponseWriter) { w.WriteHeader(204) }, 204, ""},
		"by a failure":   {func(w http.ResponseWriter) { w.WriteHeader(500) }, 500, ""},
		"by its upgrade": {func(w http.ResponseWriter) { w.WriteHeader(101) }, 101, ""},
		"by its body":    {func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) }, 200, "x"},
		"by a string": {
			func(w http.ResponseWriter) { _, _ = w.(io.StringWriter).WriteString("x") }, 200, "x"},
		"by a reader": {
			func(w http.ResponseWriter) {
				_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
			}, 200, "x"},
		"by a flush": {func(w http.ResponseWriter) { w.(http.Flusher).Flush() }, 200, ""},
		"by taking over": {
			func(w http.ResponseWriter) { _, _, _ = w.(http.Hijacker).Hijack() }, 200, ""},
		"not at all": {func(http.ResponseWriter) {}, 503, "Service Unavailable\n"},
	} {
		w := able{httptest.NewRecorder()}
		h := httpx.Guard(failing)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			tc.begin(w)
		}))
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != tc.code || w.Body.String() != tc.body {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
}

func TestAnEarlyHintIsNotTheStatus(t *testing.T) {
	b := breaker.New("b", breaker.ConsecutiveFailures(1))
	s := httptest.NewServer(
		httpx.Guard(b)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusBadGateway)
		})))
	defer s.Close()
	resp, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if b.State() != breaker.Open {
		t.Errorf("%d after a hint: %v", resp.StatusCode, b.State())
	}
}

func TestGuardKeepsThePushOfAResponseWriter(t *testing.T) {
	h := httpx.Guard(nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p, ok := w.(http.Pusher)
		if !ok || p.Push("/", nil) != nil {
			t.Error("it cannot push")
		}
	}))
	h.ServeHTTP(pushing{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestGuardPassesPanicsAndGivesBack(t *testing.T) {
	bulkhead := policies.NewBulkhead(1, 0)
	h := httpx.Guard(bulkhead)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	}))
	for range 2 {
		func() {
			defer func() {
				if r := recover(); r != http.ErrAbortHandler {
					t.Errorf("recovered %v", r)
				}
			}()
			request(h, "")
		}()
	}
	if bulkhead.Running() != 0 {
		t.Error("a slot is lost")
	}
}

func TestGuardKeepsWhatAResponseWriterCan(t *testing.T) {
	guard := httpx.Guard(policies.NewBulkhead(10, 0))
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/control", func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		_, reads := w.(io.ReaderFrom)
		fmt.Fprint(w, c.SetWriteDeadline(time.Now().Add(time.Minute)), c.EnableFullDuplex(), reads,
			c.Flush())
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "f.txt", time.Time{}, strings.NewReader("a file"))
	})
	mux.HandleFunc("/hint", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = buffered.WriteString(
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
		_ = buffered.Flush()
	})
	s := httptest.NewServer(guard(mux))
	defer s.Close()

	for path, want := range map[string]string{"/control": "<nil> <nil> true <nil>",
		"/file": "a file", "/hint": ""} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != want || path == "/hint" && resp.StatusCode != http.StatusTeapot {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/flush", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Errorf("%q, %v", first, err)
	}
	cancel()
	_ = resp.Body.Close()

	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /hijack HTTP/1.1\r\nHost: x\r\n\r\n")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	if !strings.Contains(line, "101") {
		t.Errorf("%q", line)
	}
}

// A writer that can do little is not made to promise more.
func TestGuardAddsNoPowersToAResponseWriter(t *testing.T) {
	type little struct{ http.ResponseWriter }
	h := httpx.Guard(nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, pusher := w.(http.Pusher)
		if flusher || hijacker || pusher {
			t.Error("it promises what it cannot do")
		}
	}))
	h.ServeHTTP(little{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
}

func TestGuardWithHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(
		httpx.Guard(ratelimit.New(rate.Every(time.Hour), 10))(
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, hijacker := w.(http.Hijacker)
				_, flusher := w.(http.Flusher)
				fmt.Fprint(w, r.Proto, " ", hijacker, " ", flusher)
			})))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "HTTP/2.0 false true" ||
		resp.Header.Get("RateLimit") != `"default";r=9;t=3600` {
		t.Errorf("%s %v", body, resp.Header)
	}
}

// net/http removes the files of a form when the request is over: of the request that it has made.
func TestGuardLeavesNoFilesOfAFormBehind(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := httptest.NewServer(
		httpx.Guard(nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(0); err != nil {
				t.Error(err)
			}
			files, _ := os.ReadDir(os.TempDir())
			fmt.Fprint(w, len(files))
		})))
	defer s.Close()
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	file, _ := m.CreateFormFile("f", "f")
	_, _ = file.Write(make([]byte, 64<<10))
	_ = m.Close()
	resp, err := http.Post(s.URL, m.FormDataContentType(), &form)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	s.Close() // waits for the request to be over
	files, _ := os.ReadDir(os.TempDir())
	if string(body) != "1" || len(files) != 0 {
		t.Errorf("%s files while it ran, %d afterwards", body, len(files))
	}
}

func TestGuardServesThePriorityFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		h := httpx.Guard(policies.NewBulkhead(1, 10),
			everybody)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			order = append(order, r.Header.Get("Reprise-Priority"))
		}))
		for _, p := range []string{"0", "-100", "7", "100"} {
			go request(h, "", "Reprise-Priority", p)
			synctest.Wait()
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := strings.Join(order, " "); got != "0 100 7 -100" {
			t.Error(got)
		}
	})
}

func TestGuardNamesLimitersThatAreAlike(t *testing.T) {
	a := ratelimit.New(rate.Every(time.Hour), 10, ratelimit.Named("a"))
	b := ratelimit.New(rate.Every(time.Hour), 10, ratelimit.Named("b"))
	resp := request(httpx.Guard(retry.Chain(a, b))(&served{}), "")
	got := strings.Join(resp.Header.Values("RateLimit-Policy"), " ")
	if got != `"a";q=10;w=36000 "b";q=10;w=36000` {
		t.Error(got)
	}
}

func TestGuardNames(t *testing.T) {
	two := retry.Chain(ratelimit.New(rate.Every(time.Hour), 10),
		ratelimit.New(rate.Every(time.Hour), 5), ratelimit.New(rate.Every(time.Hour), 3,
			ratelimit.Named(`a "b"`)))
	resp := request(httpx.Guard(two)(httpx.Guard(two)(&served{})), "")
	var names []string
	for _, m := range resp.Header.Values("RateLimit-Policy") {
		name, _, _ := strings.Cut(m, ";")
		names = append(names, name)
	}
	got := strings.Join(names, " ")
	if got != `"default" "default2" "a b" "default3" "default4" "a b2"` {
		t.Error(got)
	}
}
