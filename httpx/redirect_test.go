package httpx_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// told answers with the next of its steps, which are a status and, for a redirect, where to.
func told(t *testing.T, log *[]string, steps ...string) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		line := r.Method + " " + r.URL.String()
		if r.Body != nil {
			b, err := io.ReadAll(r.Body)
			if err != nil || r.Body.Close() != nil {
				t.Error(err)
			}
			if len(b) > 0 {
				line += " " + string(b)
			}
		}
		*log = append(*log, line)
		if len(*log) > len(steps) {
			t.Fatalf("too many: %q", *log)
		}
		var code int
		var to string
		_, _ = fmt.Sscan(steps[len(*log)-1], &code, &to)
		resp := answer(r, code, io.NopCloser(strings.NewReader("body of "+fmt.Sprint(code))))
		if to != "" {
			resp.Header.Set("Location", to)
		}
		return resp, nil
	}
}

func TestRedirectsSendTheBodyAgain(t *testing.T) {
	stream := func() io.Reader { return io.MultiReader(strings.NewReader("data")) }
	data := func() io.Reader { return strings.NewReader("data") }
	none := func() io.Reader { return nil }
	for _, c := range []struct {
		method string
		body   func() io.Reader
		steps  []string
		want   []string
		code   int
	}{
		{"POST", data, []string{"307 /b", "200"},
			[]string{"POST http://a/ data", "POST http://a/b data"}, 200},
		{"POST", data, []string{"308 http://b/", "200"},
			[]string{"POST http://a/ data", "POST http://b/ data"}, 200},
		{"POST", data, []string{"303 /b", "200"},
			[]string{"POST http://a/ data", "GET http://a/b"}, 200},
		{"POST", data, []string{"302 /b", "200"},
			[]string{"POST http://a/ data", "GET http://a/b"}, 200},
		{"PUT", data, []string{"301 /b", "200"},
			[]string{"PUT http://a/ data", "GET http://a/b"}, 200},
		{"HEAD", none, []string{"303 /b", "200"},
			[]string{"HEAD http://a/", "HEAD http://a/b"}, 200},
		// Without GetBody it has been sent once, and the redirect comes back.
		{"POST", stream, []string{"307 /b"}, []string{"POST http://a/ data"}, 307},
		{"PUT", stream, []string{"308 /b"}, []string{"PUT http://a/ data"}, 308},
		{"POST", stream, []string{"303 /b", "200"},
			[]string{"POST http://a/ data", "GET http://a/b"}, 200},
		// Each hop has attempts of its own, and what a GET becomes after a 303 may be repeated.
		{"PUT", data, []string{"503", "307 /b", "503", "503", "200"},
			[]string{"PUT http://a/ data", "PUT http://a/ data", "PUT http://a/b data",
				"PUT http://a/b data", "PUT http://a/b data"}, 200},
		{"POST", data, []string{"429", "307 /b", "503"},
			[]string{"POST http://a/ data", "POST http://a/ data", "POST http://a/b data"}, 503},
		{"POST", data, []string{"303 /b", "503", "200"},
			[]string{"POST http://a/ data", "GET http://a/b", "GET http://a/b"}, 200},
		// A Location alone does not make a redirect.
		{"POST", data, []string{"201 /b"}, []string{"POST http://a/ data"}, 201},
		{"GET", none, []string{"304 /b"}, []string{"GET http://a/"}, 304},
	} {
		var log []string
		req, _ := http.NewRequestWithContext(t.Context(), c.method, "http://a/", c.body())
		resp, err := over(told(t, &log, c.steps...)).Do(req)
		code, body := read(t, resp, err)
		if code != c.code || !slices.Equal(log, c.want) ||
			body != fmt.Sprintf("body of %d", code) && c.method != "HEAD" {
			t.Errorf("%s, %q: %d %q after %q", c.method, c.steps, code, body, log)
		}
	}
	// If an error is asked for, it says why.
	var log []string
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://a/", stream())
	_, err := httpx.FetchRequest(over(told(t, &log, "307 /b")), req, httpx.Text)
	_, raised := over(told(t, &log, "", "307 /b"), httpx.RaiseForStatus(true)).Post(t.Context(),
		"http://a/", stream())
	for _, err := range []error{err, raised} {
		var status *httpx.StatusError
		if !errors.As(err, &status) || status.Code != 307 ||
			!strings.Contains(err.Error(), "GetBody") || !retry.IsPermanent(err) {
			t.Error(err)
		}
	}
}

func TestRedirectsAreFollowedFromWhereTheAttemptWent(t *testing.T) {
	var log []string
	v, err := httpx.Fetch(t.Context(), over(told(t, &log, "503", "302 x", "503", "200")),
		"http://a/", httpx.Text, httpx.Alternates("http://a/1", "http://b/dir/2"))
	want := []string{"GET http://a/1", "GET http://b/dir/2",
		"GET http://b/dir/x", "GET http://b/dir/x"}
	if v != "body of 200" || err != nil || !slices.Equal(log, want) {
		t.Errorf("%q %v after %q", v, err, log)
	}
}

func TestOneKeyForAllAttemptsAndHops(t *testing.T) {
	var log []string
	keys := map[string]int{}
	next := told(t, &log, "503", "307 http://b/", "503", "200")
	c := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		keys[r.Header.Get("Idempotency-Key")]++
		return next(r)
	}), httpx.AutoIdempotencyKey())
	for range 2 {
		log = nil
		resp, err := c.Post(t.Context(), "http://a/", strings.NewReader("data"))
		read(t, resp, err)
	}
	if len(keys) != 2 || keys[""] > 0 {
		t.Errorf("two requests of four each, with keys %v", keys)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	for _, c := range []struct{ to, want string }{
		{"/b", "Bearer x|own=1; set=2||user:hunter2"},
		{"http://a.example/b", "Bearer x|own=1; set=2||"},
		{"http://b.example/b", "|||"},
		{"http://b.example:81/b", "|||"},
		{"http://a.example.b.example/b", "|||"},
		{"http://xa.example/b", "|||"},
	} {
		got := ""
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 302, http.NoBody)
			if r.URL.Path == "/b" {
				got = strings.Join([]string{r.Header.Get("Authorization"), r.Header.Get("Cookie"),
					r.Header.Get("Www-Authenticate"), r.URL.User.String()}, "|")
				resp.StatusCode = 200
				return resp, nil
			}
			if r.Header.Get("Authorization") != "Bearer x" ||
				r.Header.Get("Cookie") != "own=1" && r.Header.Get("Cookie") != "own=1; set=2" {
				t.Errorf("at home: %v", r.Header)
			}
			resp.Header.Set("Location", c.to)
			resp.Header.Set("Set-Cookie", "set=2")
			return resp, nil
		})
		client := httpx.New(httpx.WithClient(&http.Client{Transport: rt, Jar: jar}),
			httpx.Header("Authorization", "Bearer x"), httpx.Header("Cookie", "own=1"))
		resp, err := client.Get(t.Context(), "http://user:hunter2@a.example/")
		if read(t, resp, err); got != c.want {
			t.Errorf("to %s: %q, want %q", c.to, got, c.want)
		}
	}
}

func TestAnAlternateHasItsOwnCredentials(t *testing.T) {
	const me, you = "Basic bWU6cHc=", "Basic eW91OnB3"
	for _, c := range []struct {
		url, alternate, header, want string
	}{
		{"http://a/", "http://you:pw@b/", "", you},
		{"http://me:pw@a/", "http://you:pw@b/", "", you},
		{"http://a/", "http://you:pw@b/", "Bearer x", you},
		{"http://me:pw@a/", "http://b/", "", ""},
		{"http://a/", "http://b/", "Bearer x", ""},
		{"http://me:pw@a/", "http://a/2", "", me},
		{"http://me:pw@a/", "http://you:pw@a/2", "", you},
		{"https://a/", "http://a/2", "Bearer x", ""},             // not in clear text
		{"http://a/", "http://A.:080/2", "Bearer x", "Bearer x"}, // the same host
	} {
		got := "none"
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, http.NoBody)
			if r.URL.Host == "c" { // where the alternate redirects to
				if r.Header.Get("Authorization") != "" {
					t.Errorf("%+v: %v abroad", c, r.Header)
				}
				return resp, nil
			}
			got = r.Header.Get("Authorization")
			resp.StatusCode, resp.Header = 302, http.Header{"Location": {"http://c/"}}
			return resp, nil
		}), httpx.Alternates(c.alternate))
		if c.header != "" {
			client = client.With(httpx.Header("Authorization", c.header))
		}
		resp, err := client.Get(t.Context(), c.url)
		if read(t, resp, err); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// Each hop is limited and judged under its own host: if b is down that is not the fault of a, which
// redirects there.
func TestEveryHopIsJudgedUnderItsOwnHost(t *testing.T) {
	hits := map[string]int{}
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		hits[r.URL.Host]++
		resp := answer(r, 503, http.NoBody)
		if r.URL.Host == "a.example" {
			resp.StatusCode = 302
			resp.Header.Set("Location", "http://b.example/")
		}
		return resp, nil
	})
	breakers := map[string]*breaker.Breaker{}
	per := policies.Keyed(httpx.Host, func(host string) retry.Policy {
		breakers[host] = breaker.New(host, breaker.ConsecutiveFailures(2))
		return retry.Chain(ratelimit.New(0, 5), breakers[host])
	})
	c := over(rt, httpx.WithPolicy(per))
	var errs []error
	for range 6 {
		resp, err := c.Get(t.Context(), "http://a.example/")
		if err == nil {
			read(t, resp, err)
		}
		errs = append(errs, err)
	}
	if hits["a.example"] != 5 || hits["b.example"] != 2 ||
		breakers["a.example"].State() != breaker.Closed ||
		breakers["b.example"].State() != breaker.Open {
		t.Errorf("%v, breakers %v", hits, breakers)
	}
	r, ok := retry.Rejected(errs[2])
	if !ok || r.Policy != "breaker b.example" || errs[1] != nil ||
		!errors.Is(errs[4], breaker.ErrOpen) || !errors.Is(errs[5], ratelimit.ErrLimited) {
		t.Error(errs)
	}
}

func TestNoDowngradeEndToEnd(t *testing.T) {
	plain := newServer(t, codes(200))
	to := ""
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/on" {
			w.Header().Set("Location", "/down")
		} else {
			w.Header().Set("Location", to)
		}
		w.WriteHeader(307)
	}))
	defer secure.Close()
	start := newServer(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", secure.URL+"/on")
		w.WriteHeader(302)
	})
	to = plain.URL + "/?token=hunter2"
	c := httpx.New(httpx.WithClient(secure.Client()), httpx.WithPolicy(policies.Constant(0)),
		httpx.NoDowngrade())
	for name, do := range map[string]func() error{
		"Get": func() error { _, err := c.Get(t.Context(), secure.URL); return err },
		"Post": func() error {
			_, err := c.Post(t.Context(), secure.URL, strings.NewReader("secret"))
			return err
		},
		"Fetch": func() error {
			_, err := httpx.Fetch(t.Context(), c, secure.URL+"/on", httpx.Text)
			return err
		},
		"way up": func() error { _, err := c.Get(t.Context(), start.URL); return err },
		"alternate": func() error {
			_, err := c.Get(t.Context(), plain.URL, httpx.Alternates(secure.URL))
			return err
		},
		"hook": func() error {
			_, err := c.Get(t.Context(), plain.URL,
				httpx.EachAttempt(func(_ int, r *http.Request) error {
					u, err := r.URL.Parse(secure.URL)
					r.URL = u
					return err
				}))
			return err
		},
		"all": func() (err error) {
			for r := range httpx.FetchAll(t.Context(), c, slices.Values([]string{secure.URL}),
				httpx.Text) {
				err = r.Err
			}
			return err
		},
	} {
		err := do()
		if r, ok := retry.Rejected(err); !ok || !errors.Is(err, httpx.ErrDowngrade) ||
			r.RetryAfter != 0 || strings.Contains(err.Error(), "hunter2") ||
			plain.hits.Load() != 0 {
			t.Errorf("%s: %v, http was asked %d times", name, err, plain.hits.Load())
		}
	}
	resp, err := c.Get(t.Context(), plain.URL) // http to begin with is the caller's choice
	read(t, resp, err)
}

func TestAResponseWithoutItsRequest(t *testing.T) {
	for _, code := range []int{200, 304, 404} {
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: code}, nil
		})
		resp, err := over(rt).Get(t.Context(), "http://h/")
		if got, body := read(t, resp, err); got != code || body != "" {
			t.Error(got, body)
		}
		if _, err := httpx.Fetch(t.Context(), over(rt), "http://h/",
			httpx.Text); (err == nil) != (code == 200) {
			t.Error(err)
		}
	}
}

// What an alternate is and was asked for stays its own, when it redirects: http.Client knows of the
// request's URL only.
func TestAnAlternateThatRedirects(t *testing.T) {
	const you = "Basic eW91OnB3"
	for _, c := range []struct {
		name, alternate, location string
		auth, referer, at         string // of the hop
	}{
		{"stays", "http://you:pw@b/x?k=v", "/next", you, "http://b/x?k=v", "http://b/next"},
		{"by a whole URL", "http://you:pw@b/x", "http://b/next", you,
			"http://b/x", "http://b/next"},
		{"goes on", "http://you:pw@b/x", "http://c/next", "", "http://b/x", "http://c/next"},
		{"to another port", "http://you:pw@b/x", "http://b:81/next", "",
			"http://b/x", "http://b:81/next"},
		{"out of https", "https://you:pw@b/x", "http://b/next", "", "", "http://b/next"},
	} {
		var hop *http.Request
		location := ""
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, http.NoBody)
			if r.URL.Path == "/next" {
				hop = r
				return resp, nil
			}
			resp.StatusCode = 302
			resp.Header.Set("Location", c.location)
			return resp, nil
		}), httpx.Alternates(c.alternate))
		resp, err := client.Get(t.Context(), "http://a/private?token=hunter2")
		read(t, resp, err)
		if hop == nil || hop.Header.Get("Authorization") != c.auth ||
			hop.Header.Get("Referer") != c.referer || hop.URL.String() != c.at {
			t.Errorf("%s: %v %v", c.name, hop.URL, hop.Header)
		}
		stop := client.With(httpx.WithClient(
			&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 302, http.NoBody)
				resp.Header.Set("Location", c.location)
				return resp, nil
			}), CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			}}))
		if resp, err = stop.Get(t.Context(), "http://a/"); err == nil {
			location = resp.Header.Get("Location")
		}
		if location != c.at {
			t.Errorf("%s: Location %q, %v", c.name, location, err)
		}
	}
}

// Credentials that a request was given for https do not follow a redirect into clear text, nor on
// from there.
func TestCredentialsDoNotLeaveHTTPS(t *testing.T) {
	for _, c := range []struct {
		hops []string // the Location of each but the last
		want string
	}{
		{[]string{"https://a/2"}, "Bearer x|k=v"},
		{[]string{"http://a/2"}, "|"},
		{[]string{"http://a/2", "http://a/3"}, "|"},
		{[]string{"https://a/2", "http://a/3"}, "|"},
		{[]string{"http://a/2", "https://a/3"}, "Bearer x|k=v"},
		{[]string{"http://you:pw@a/2"}, "Basic eW91OnB3|"},
	} {
		for name, rt := range map[string]func(http.RoundTripper) http.RoundTripper{
			"foreign": func(rt http.RoundTripper) http.RoundTripper { return rt },
			"net/http": func(rt http.RoundTripper) http.RoundTripper {
				tr := &http.Transport{}
				tr.RegisterProtocol("http", rt)
				tr.RegisterProtocol("https", rt)
				return tr
			},
		} {
			n, got := 0, ""
			client := over(rt(roundTripper(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 200, http.NoBody)
				if got = r.Header.Get("Authorization") + "|" +
					r.Header.Get("Cookie"); n < len(c.hops) {
					resp.StatusCode = 302
					resp.Header.Set("Location", c.hops[n])
				}
				n++
				return resp, nil
			})), httpx.Header("Authorization", "Bearer x"), httpx.Header("Cookie", "k=v"))
			resp, err := client.Get(t.Context(), "https://a/")
			if read(t, resp, err); got != c.want || n != len(c.hops)+1 {
				t.Errorf("%s, %q: %q after %d", name, c.hops, got, n)
			}
		}
	}
}
