package redact

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/retry"
)

func TestRedactedURLKeepsNoSecret(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h.example/a?b=c":                    "https://h.example/a?b=xxxxx",
		"https://user:SECRET@h.example:8443/a":       "https://h.example:8443/a",
		"https://SECRET@h.example/a":                 "https://h.example/a",
		"https://h.example/a?token=SECRET&k=SECRET2": "https://h.example/a?token=xxxxx&k=xxxxx",
		"https://h.example/a?SECRET":                 "https://h.example/a?xxxxx",
		"https://h.example/a?U0VDUkVU==":             "https://h.example/a?xxxxx",
		"https://h.example/a?k=SECRET=SECRET;x=1":    "https://h.example/a?k=xxxxx",
		"https://h.example/a#access_token=SECRET":    "https://h.example/a",
		"https://h.example/a%2Fb":                    "https://h.example/a%2Fb",
		"mailto:SECRET@h.example":                    "mailto:xxxxx",
		"/a?b=SECRET":                                "/a?b=xxxxx",
		// A password that holds a # or ? or / ends the host for a parser.
		"https://user:12#34@h.example/":         "https://xxxxx",
		"https://user:12?34@h.example/":         "https://xxxxx",
		"https://user:12/34@h.example/":         "https://xxxxx",
		"https://SECRET#1@h.example/":           "https://xxxxx",
		"https://SECRET?1@h.example/":           "https://xxxxx",
		"http:/user:SECRET@h.example/":          "http://xxxxx",
		"http:///user:SECRET@h.example/":        "http://xxxxx",
		"https://h.example/http://a:SECRET@b/c": "https://xxxxx",
		// What only looks like it stays readable.
		"https://h.example:8443/@scope/pkg":      "https://h.example:8443/@scope/pkg",
		"https://h.example/a@b":                  "https://h.example/a@b",
		"https://h.example?mail=SECRET@b":        "https://h.example?mail=xxxxx",
		"https://h.example:8443/x?mail=SECRET@b": "https://h.example:8443/x?mail=xxxxx",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := URL(u); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
	if URL(nil) != "" {
		t.Error("nil")
	}
}

var errBoom = errors.New("boom")

type custom struct{ err error }

func (c *custom) Error() string { return "custom: " + c.err.Error() }
func (c *custom) Unwrap() error { return c.err }

func TestRedactedErrorKeepsItsMeaningAndNoSecret(t *testing.T) {
	secret := func(err error) error {
		return &url.Error{Op: "Get", URL: "https://user:SECRET@h.example/a?token=SECRET", Err: err}
	}
	for name, err := range map[string]error{
		"plain":     secret(errBoom),
		"nested":    secret(secret(errBoom)),
		"wrapped":   fmt.Errorf("loading: %w", secret(errBoom)),
		"joined":    errors.Join(errors.New("other"), secret(errBoom)),
		"two verbs": fmt.Errorf("%w and %w", secret(errBoom), secret(errors.New("x"))),
		"custom":    &custom{secret(errBoom)},
		"retry error": &retry.Error{Reason: retry.ErrExhausted, Attempts: 3,
			Last: fmt.Errorf("last: %w", secret(errBoom))},
		"rejection": &retry.Rejection{Policy: "p", Reason: secret(errBoom),
			Cause: secret(errors.New("cause"))},
		"marked":   retry.Permanent(secret(errBoom)),
		"unmarked": retry.Unmark(fmt.Errorf("inner: %w", secret(errBoom))),
		"text and child": fmt.Errorf("at https://u:SECRET@h.example/?k=SECRET: %w",
			secret(errBoom)),
	} {
		t.Run(name, func(t *testing.T) {
			before := err.Error()
			got := Error(err)
			if s := fmt.Sprintf("%v %+v %q", got, got, got); strings.Contains(s, "SECRET") {
				t.Error("text:", s)
			}
			walk(got, func(e error) {
				if strings.Contains(e.Error(), "SECRET") {
					t.Errorf("node %T: %v", e, e)
				}
			})
			var u *url.Error
			if !errors.As(got, &u) || strings.Contains(u.URL, "SECRET") ||
				strings.Contains(u.Error(), "SECRET") {
				t.Errorf("As: %+v", u)
			}
			if !errors.Is(got, errBoom) {
				t.Error("Is lost the cause")
			}
			if !strings.Contains(got.Error(), "h.example/a?token=xxxxx") {
				t.Error("not to be recognized any more:", got)
			}
			if err.Error() != before {
				t.Error("the original was changed")
			}
		})
	}
}

func TestRedactedErrorIsStillOfItsTypes(t *testing.T) {
	inner := &url.Error{Op: "Get", URL: "http://h/?k=SECRET", Err: context.DeadlineExceeded}
	var c *custom
	if err := Error(&custom{inner}); !errors.As(err, &c) ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Error("custom type or deadline lost")
	}
	var timeout interface{ Timeout() bool }
	if err := Error(fmt.Errorf("x: %w", inner)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error("timeout lost")
	}
	marked := retry.Neutral(retry.Permanent(retry.After(inner, time.Second)))
	got := Error(fmt.Errorf("x: %w", marked))
	if d, ok := retry.RetryAfter(got); !ok || d != time.Second || !retry.IsPermanent(got) ||
		!retry.IsNeutral(got) {
		t.Error("marks lost:", got)
	}
	if got := Error(retry.Unmark(marked)); retry.IsPermanent(got) || retry.IsNeutral(got) {
		t.Error("marks came back from below Unmark")
	}
	r, ok := retry.Rejected(
		Error(&retry.Rejection{Policy: "p", Reason: inner, RetryAfter: time.Second}))
	if !ok || r.RetryAfter != time.Second {
		t.Error("rejection lost")
	}
}

func TestErrorWithoutSecretsComesBackAsItIs(t *testing.T) {
	for _, err := range []error{
		nil, errBoom, &custom{errBoom}, &url.Error{Op: "Get", URL: "https://h.example/a",
			Err: errBoom},
		errors.New("GET http://h.example/?k=xxxxx: 503"),
		errors.New("(see http://h.example/?k=xxxxx), again"),
		errors.New("at http://h.example/?xxxxx."),
		errors.New(`malformed MIME header line: "Set-Cookie:xxxxx"`),
		errors.New(`failed to parse Location header "xxxxx"`),
	} {
		if got := Error(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestParseErrorsKeepNoSecret(t *testing.T) {
	for _, raw := range []string{
		"http://user:SECRET@h.example:port/",
		"http://user:SEC%zzSECRET@h.example/",
		"http://user:SECRET/SECRET@h.example/",
		"http://user:SECRET?@h.example/",
		"http://h.example/%zz?token=SECRET",
		"http://h.example/%zz?mail=a@SECRET",
		"http://h.example/%zz#SECRET",
		"http://h.example/\x7f?token=SECRET",
		"://user:SECRET@h.example",
		"http://[::1/?k=SECRET",
		"https://user:SECRET#1@h.example/",
		"https://SEC RET#1@h.example/",
		"https://user:SECRET[#1@h.example/",
		"https://user:SECRET%#1@h.example/",
		"https://user:SECRET /1@h.example/",
	} {
		_, err := http.NewRequest(http.MethodGet, raw, nil)
		if err == nil {
			t.Fatalf("%q parses", raw)
		}
		got := Error(err)
		var u *url.Error
		if strings.Contains(got.Error(), "SECRET") || strings.Contains(got.Error(), "SEC RET") ||
			!errors.As(got, &u) || u.Op != "parse" || strings.Contains(u.URL, "SECRET") {
			t.Errorf("%q: %v", raw, got)
		}
	}
}

func TestQuotedLocationKeepsNoSecret(t *testing.T) {
	for _, location := range []string{"/%zz?token=SECRET", ":foo?token=SECRET",
		"//user:SECRET@ho st/", "//user:SECRET@h:port/?token=SECRET", "http://[::1/?SECRET"} {
		_, why := url.Parse(location)
		err := &url.Error{Op: "Get", URL: "http://h.example/",
			Err: fmt.Errorf("failed to parse Location header %q: %v", location, why)}
		if got := Error(err); strings.Contains(got.Error(), "SECRET") || why == nil {
			t.Error(got)
		}
	}
}

func TestQuotedHeaderKeepsNoSecret(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`broken: malformed MIME header line: "Set-Cookie: k=\"SECRET\"\x01"`,
			`broken: malformed MIME header line: "Set-Cookie:xxxxx"`},
		{`malformed MIME header: missing colon: "Set-Cookie k=SECRET"; retrying`,
			`malformed MIME header: missing colon: "xxxxx"; retrying`},
		{`malformed MIME header initial line: " SECRET"`,
			`malformed MIME header initial line: "xxxxx"`},
	} {
		if got := Error(errors.New(c.text)).Error(); got != c.want {
			t.Errorf("%s: %s", c.text, got)
		}
	}
}

// http.Client makes a text of the error that its Timeout cut off.
func TestATimeoutIsOneWithoutItsSecrets(t *testing.T) {
	err := Error(&url.Error{Op: "Get", URL: "http://h.example/",
		Err: &slowError{"GET http://u:SECRET@h.example/ (Client.Timeout exceeded)"}})
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() ||
		strings.Contains(err.Error()+timeout.Error(), "SECRET") {
		t.Errorf("%v, %v", err, timeout)
	}
	err = Error(fmt.Errorf("x: %w", &slowError{"at http://u:SECRET@h.example/"}))
	if !errors.As(err, &timeout) || !timeout.Timeout() ||
		strings.Contains(timeout.Error(), "SECRET") {
		t.Errorf("%v, %v", err, timeout)
	}
}

type slowError struct{ text string }

func (e *slowError) Error() string { return e.text }
func (*slowError) Timeout() bool   { return true }
func (*slowError) Temporary() bool { return true }

func FuzzRedact(f *testing.F) {
	f.Add("http://user:", "@h.example/")
	f.Add("http://h.example/?k=", "&x=@%zz")
	f.Add("//", "@")
	f.Fuzz(func(t *testing.T, before, after string) {
		// Only what stands where userinfo, a query value or a fragment is, is a secret.
		if u, err := url.Parse(before + "S3CR3T" + after); err != nil ||
			strings.Contains(u.Host+u.Path+u.Opaque+u.Scheme, "S3CR3T") {
			return
		} else if key, _, _ := strings.Cut(u.RawQuery, "S3CR3T"); u.User == nil &&
			u.Fragment == "" && strings.LastIndex(key, "&") >= strings.LastIndex(key, "=") {
			return // a key
		}
		raw := before + "S3CR3T" + after
		var got error
		check.Fast(t, len(raw), time.Second, func() {
			got = Error(fmt.Errorf("x: %w", &url.Error{Op: "Get", URL: raw, Err: errBoom}))
		})
		if strings.Contains(got.Error(), "S3CR3T") {
			t.Errorf("%q: %v", raw, got)
		}
	})
}

// A megabyte of a server's costs no time and no memory in an error, and what is left of it holds no
// secret.
func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("SECRET%20/", 100_000)
	parts := strings.Repeat("k=SECRET&", 100_000)
	for name, tc := range map[string]struct {
		err    error
		server bool
	}{
		"location": {
			fmt.Errorf("failed to parse Location header %q: %w", ":"+long, errBoom), false},
		"URL": {
			&url.Error{Op: "Get", URL: "http://h.example/" + strings.Repeat("a/", 1<<19),
				Err: errBoom}, false},
		"query": {
			&url.Error{Op: "Get", URL: "http://h.example/?" + parts, Err: errBoom}, false},
		"malformed": {
			&url.Error{Op: "Get", URL: "http://user:" + long + "@h.example/", Err: errBoom}, false},
		"nested": {
			&url.Error{Op: "Get", URL: "http://h/", Err: fmt.Errorf("x: %w",
				&url.Error{Op: "Get", URL: "http://h.example/?" + parts, Err: errBoom})}, false},
		"header": {
			fmt.Errorf("malformed MIME header line: %q: %w", "Set-Cookie: "+long, errBoom), true},
		"URL over the edge": {
			fmt.Errorf("%s http://user:SECRET%s@h.example/: %w",
				strings.Repeat("x", Most-30), long, errBoom), true},
		"many URLs": {
			fmt.Errorf("%s: %w", strings.Repeat("http://u:SECRET@h/?k=SECRET ", 50_000), errBoom),
			true},
		"status": {
			fmt.Errorf("malformed HTTP response %q: %w",
				strings.Repeat("x", 1<<20), errBoom), true},
	} {
		clean, most := Error, 4*Most
		if tc.server {
			clean, most = Server, Most+100
		}
		var got error
		took := time.Hour
		const enough = time.Second                             // it was several
		for tries := 0; tries < 10 && took > enough; tries++ { // others use the machine too
			start := time.Now()
			got = clean(tc.err)
			took = min(took, time.Since(start))
		}
		text := got.Error()
		if len(text) > most || strings.Contains(text, "SECRET") || !errors.Is(got, errBoom) {
			t.Errorf("%s: %d bytes: %.200s", name, len(text), text)
		}
		if took > enough {
			t.Errorf("%s: took %v", name, took)
		}
		var u *url.Error
		if errors.As(got, &u) && len(u.URL) > Most {
			t.Errorf("%s: a URL of %d bytes", name, len(u.URL))
		}
	}
}
