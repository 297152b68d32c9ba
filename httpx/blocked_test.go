package httpx_test

import (
	"net/http"
	"testing"

	"github.com/reprise-go/reprise/httpx"
)

func TestBlockedKnowsTheFieldsAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name    string
		code    int
		header  http.Header
		blocked bool
	}{
		{"Cloudflare", 403, http.Header{"Cf-Mitigated": {"challenge"}}, true},
		{"Cloudflare, 503", 503, http.Header{"Cf-Mitigated": {"challenge"}}, true},
		{"AWS challenge", 202, http.Header{"X-Amzn-Waf-Action": {"challenge"}}, true},
		{"AWS captcha", 405, http.Header{"X-Amzn-Waf-Action": {"captcha"}}, true},
		{"Vercel challenge", 429, http.Header{"X-Vercel-Mitigated": {"challenge"}}, true},
		{"Vercel deny", 403, http.Header{"X-Vercel-Mitigated": {"deny"}}, true},
		{"DataDome", 403, http.Header{"X-Datadome": {"protected"}}, true},
		{"DataDome, JSON", 403, http.Header{"X-Dd-B": {"1"}}, true},
		{"a page of a site that DataDome protects", 200,
			http.Header{"X-Datadome": {"protected"}}, false},
		{"a dead link there", 404, http.Header{"X-Datadome": {"protected"}}, false},
		{"a page behind Cloudflare", 200,
			http.Header{"Cf-Ray": {"x"}, "Server": {"cloudflare"}}, false},
		{"another value", 403,
			http.Header{"Cf-Mitigated": {"no"}, "X-Amzn-Waf-Action": {"count"}}, false},
		{"a site's own 403", 403, http.Header{}, false},
	} {
		got := httpx.Blocked(&http.Response{StatusCode: c.code, Header: c.header})
		if got != c.blocked {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
