package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// services are services by their host: a RoundTripper that calls their handlers, as over a wire.
// Nothing of the client's context is seen but its end.
type services map[string]http.Handler

func (n services) RoundTrip(r *http.Request) (*http.Response, error) {
	h := n[r.URL.Host]
	if h == nil {
		return nil, errors.New("no such host: " + r.URL.Host)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	in := httptest.NewRequestWithContext(ctx, r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	if from := r.Header.Get("Test-From"); from != "" {
		in.RemoteAddr = from
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func TestPropagateTellsTheHostsNamedAndNoOther(t *testing.T) {
	for _, tc := range []struct {
		hosts []string
		url   string
		told  bool
	}{
		{[]string{"api.internal"}, "http://api.internal/", true},
		{[]string{"api.internal"}, "http://api.internal:8080/", true},
		{[]string{"API.internal."}, "http://Api.Internal/", true},
		{[]string{"api.internal:8080"}, "http://api.internal:8080/", true},
		{[]string{"api.internal:08080"}, "http://api.internal:8081/", false},
		{[]string{"api.internal:80"}, "http://api.internal/", true},
		{[]string{"other", "*.internal"}, "http://a.b.internal/", true},
		{[]string{"*.internal"}, "http://internal/", false},
		{[]string{"*.internal"}, "http://evilinternal/", false},
		{[]string{"*.internal:80"}, "http://api.internal:81/", false},
		{[]string{"internal"}, "http://api.internal/", false},
		{[]string{"api.internal"}, "http://api.internal.evil.example/", false},
		{[]string{"::1", "192.0.2.1"}, "http://[0:0::1]/", true},
		{[]string{"[::1]:80"}, "http://[::1]/", true},
		{[]string{"api.internal:443"}, "https://api.internal/", true},
		{[]string{"api.internal:80"}, "https://api.internal/", false},
		{[]string{"api.internal:80"}, "http://api.internal:0080/", true},
		{[]string{"192.0.2.1"}, "http://192.0.2.2/", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got http.Header
			rt := roundTripper(func(r *http.Request) (*http.Response, error) {
				got = r.Header
				return answer(r, 200, http.NoBody), nil
			})
			ctx, cancel := context.WithTimeout(retry.WithPriority(t.Context(), retry.Critical),
				90*time.Minute)
			defer cancel()
			// What a stranger has put into the request does not travel on as ours.
			resp, err := over(rt).Get(ctx, tc.url, httpx.Propagate(tc.hosts...),
				httpx.Header("Reprise-Attempt", "7"))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			want := " 7 "
			if tc.told {
				want = "3600000 1 100"
			}
			fields := []string{got.Get("Reprise-Deadline-Ms"), got.Get("Reprise-Attempt"),
				got.Get("Reprise-Priority")}
			if text := strings.Join(fields, " "); text != want {
				t.Errorf("%v, %s: told %q, want %q", tc.hosts, tc.url, text, want)
			}
		})
	}
}

func TestPropagateTellsOfEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			got = append(got,
				fmt.Sprint(r.Header["Reprise-Attempt"], r.Header["Reprise-Deadline-Ms"],
					r.Header["Reprise-Priority"]))
			return answer(r, 503, http.NoBody), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		header := http.Header{"Own": {"field"}}
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://a/", nil)
		req.Header = header
		loop := policies.Constant(time.Second, policies.Attempts(2))
		for _, p := range []retry.Policy{loop, retry.Chain(loop, policies.Timeout(3*time.Second)),
			retry.Chain()} {
			resp, err := over(rt, httpx.WithPolicy(p), httpx.Propagate("a")).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		want := []string{"[1] [10000] []", "[2] [9000] []", "[1] [3000] []", "[2] [3000] []",
			"[] [8000] []"}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(header) != 1 {
			t.Errorf("told %q, the caller's header has become %v", got, header)
		}
	})
}

func TestPropagateTellsNothingAfterARedirectToAnotherHost(t *testing.T) {
	var told []string
	note := func(r *http.Request) {
		told = append(told,
			fmt.Sprint(r.URL.Host, r.URL.Path, " ", r.Header.Get("Reprise-Attempt")))
	}
	n := services{
		"a.internal": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note(r)
			switch r.URL.Path {
			case "/1":
				http.Redirect(w, r, "http://a.internal/2", http.StatusFound)
			case "/2":
				http.Redirect(w, r, "http://b.internal/3", http.StatusFound)
			}
		}),
		"b.internal": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note(r)
			if r.URL.Path == "/3" {
				http.Redirect(w, r, "http://b.internal/4", http.StatusFound)
				return
			}
			http.Redirect(w, r, "http://a.internal/5", http.StatusFound)
		}),
	}
	resp, err := over(n).Get(t.Context(), "http://a.internal/1", httpx.Propagate("*.internal"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	want := "a.internal/1 1, a.internal/2 1, b.internal/3 , b.internal/4 , a.internal/5 "
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestPropagateReplacesWhatTheRequestSaysOfItself(t *testing.T) {
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		for _, key := range []string{"Reprise-Deadline-Ms", "Reprise-Attempt", "Reprise-Priority"} {
			if told, ok := r.Header[key]; ok {
				t.Errorf("%s: told %q by a caller with no deadline, loop or priority", key, told)
			}
		}
		return answer(r, 200, http.NoBody), nil
	})
	c := over(rt, httpx.WithPolicy(retry.Chain()), httpx.Propagate("a"),
		httpx.Header("Reprise-Deadline-Ms", "5"), httpx.Header("Reprise-Attempt",
			"7"), httpx.Header("Reprise-Priority", "100"))
	resp, err := c.Get(t.Context(), "http://a/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestOnlyAServersFailureSaysThatItsRetriesAreSpent(t *testing.T) {
	for code, want := range map[int]bool{500: true, 503: true, 429: false, 404: false} {
		said := &httpx.StatusError{Code: code, Header: http.Header{"Reprise-Retries": {"spent"}}}
		other := &httpx.StatusError{Code: code, Header: http.Header{"Reprise-Retries": {"1"}}}
		if retry.Spent(said) != want || retry.Spent(other) {
			t.Errorf("%d: spent is %v, and of another value %v", code, retry.Spent(said),
				retry.Spent(other))
		}
	}
}

func TestPropagateWithoutASensibleHostIsAConfigurationError(t *testing.T) {
	for _, hosts := range [][]string{{}, {""}, {"*"}, {"*."}, {"*.*.x"}, {"http://a"}, {"a/b"},
		{"a:0"}, {"a:99999"}, {"a:x"}, {"user@a"}, {"ok", "a b"}, {".internal"}} {
		err := httpx.New(httpx.Propagate(hosts...)).Validate()
		if !errors.Is(err, retry.ErrConfig) || !strings.Contains(err.Error(), "httpx: Propagate(") {
			t.Errorf("%q: %v", hosts, err)
		}
	}
}

// middle is a service that gets its answer from the next one, with three attempts.
func middle(n services, next string, opts ...httpx.GuardOption) http.Handler {
	c := over(n, httpx.WithPolicy(policies.Constant(time.Second, policies.Attempts(3))),
		httpx.Propagate("*.internal"))
	return httpx.Guard(nil, opts...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := httpx.Fetch(r.Context(), c, "http://"+next, httpx.Text)
		if err != nil {
			http.Error(w, "no answer from "+next, http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
}

func TestThreeHopsOfThreeAttemptsCallADeadLeafAtMostFourTimes(t *testing.T) {
	for name, opts := range map[string][]httpx.GuardOption{"trusted": {everybody},
		"not trusted": nil} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			n := services{}
			n["leaf.internal"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			n["b.internal"] = middle(n, "leaf.internal", opts...)
			n["a.internal"] = middle(n, "b.internal", opts...)
			edge := over(n, httpx.WithPolicy(policies.Constant(time.Second, policies.Attempts(3))),
				httpx.Propagate("*.internal"))
			_, err := httpx.Fetch(t.Context(), edge, "http://a.internal/", httpx.Text)
			var status *httpx.StatusError
			if !errors.As(err, &status) || status.Code != http.StatusBadGateway ||
				calls.Load() < 3 || calls.Load() > 4 {
				t.Errorf("%s: %d calls of the leaf, %v", name, calls.Load(), err)
			}
		})
	}
}

func TestASpentServerIsNotAskedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		inner retry.Policy // of the service
		code  int          // what it makes of a failure
		outer int          // calls it gets
		spent bool
	}{
		"its loop is spent":  {policies.Constant(0, policies.Attempts(2)), 503, 1, true},
		"it has no loop":     {retry.Chain(), 503, 3, false},
		"it repeats nothing": {policies.Constant(0, policies.Attempts(1)), 503, 3, false},
		"it has an answer all the same": {
			policies.Constant(0, policies.Attempts(2)), 200, 1, false},
		"its answer is not its failure": {
			policies.Constant(0, policies.Attempts(2)), 404, 1, false},
		"a policy of its refuses": {
			retry.Chain(policies.Constant(0, policies.Attempts(2)),
				refusing(&retry.Rejection{Reason: policies.ErrFull})), 503, 3, false},
		"its callee's answer is final": {
			policies.Constant(0, policies.RetryIf(func(error) bool { return false })),
			503, 3, false},
		"its loop was stopped, not done": {
			policies.Constant(time.Hour, policies.Attempts(2), policies.MaxElapsed(time.Minute)),
			503, 3, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n, asked := services{}, 0
			n["a"] = httpx.Guard(nil)(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked++
					_ = retry.Run(r.Context(), tc.inner, func(context.Context) error {
						return errors.New("down")
					})
					w.WriteHeader(tc.code)
				}))
			resp, err := over(n,
				httpx.WithPolicy(policies.Constant(0,
					policies.Attempts(3)))).Get(t.Context(), "http://a/")
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if spent := resp.Header.Get("Reprise-Retries") == "spent"; resp.StatusCode != tc.code ||
				asked != tc.outer || spent != tc.spent {
				t.Errorf("%s: %d, asked %d times, says it is spent: %v", name, resp.StatusCode,
					asked, spent)
			}
		})
	}
}

func TestNoWorkIsBegunThatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begunLate, begun int
		n := services{}
		n["a"] = httpx.Guard(policies.NewBulkhead(1, 100),
			everybody)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun++
			if r.Context().Err() != nil {
				begunLate++
			}
			time.Sleep(300 * time.Millisecond)
		}))
		c := over(n, httpx.WithPolicy(retry.Chain()), httpx.Propagate("a"))
		for range 10 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if resp, err := c.Get(ctx, "http://a/"); err == nil {
					_ = resp.Body.Close()
				}
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if begun != 4 || begunLate != 0 {
			t.Errorf("%d begun, %d of them too late", begun, begunLate)
		}
	})
}
