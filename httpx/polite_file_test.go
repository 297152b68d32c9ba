package httpx

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestWhatIsKnownOfSitesIsBounded(t *testing.T) {
	text := "User-agent: *\nDisallow: /no\n"
	asked := map[string]int{}
	rt := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/robots.txt" {
			asked[r.URL.Host]++
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	for _, c := range []struct {
		text  string
		sites int
		most  int
	}{
		{text, mostSites + 100, mostSites},
		{"User-agent: *\n" + strings.Repeat("Disallow: /"+strings.Repeat("x", 1000)+"\n", 500), 200, mostBytes / (500 * 1000)},
	} {
		text = c.text
		clear(asked)
		o := Polite("bot")
		client := New(WithClient(&http.Client{Transport: rt}), o)
		visit := func(i int) {
			resp, err := client.Get(t.Context(), fmt.Sprintf("http://h%d/", i))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
		for i := range c.sites {
			visit(i)
			visit(0) // is in use, and so remembered
		}
		p := client.cfg.polite
		size := 0
		for _, s := range p.sites {
			size += s.file.size()
		}
		if len(p.sites) > c.most || len(p.sites) < c.most*9/10 || p.recent.Len() != len(p.sites) || p.size != size || p.size > mostBytes {
			t.Errorf("%d sites, %d in order, %d bytes and not %d", len(p.sites), p.recent.Len(), size, p.size)
		}
		if visit(1); asked["h0"] != 1 || asked["h1"] != 2 {
			t.Errorf("h0 was asked %d times, h1 %d", asked["h0"], asked["h1"])
		}
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
