package htmlpage

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/reprise-go/reprise/retry"
)

func sitemapOf(body string) (Map, error) {
	r := response("application/xml", body)
	u, _ := url.Parse("https://h/maps/sitemap.xml.gz")
	r.Request = &http.Request{URL: u}
	return Sitemap(r)
}

func packed(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

const urlset = `<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://h/a?x=1&amp;y=2 </loc><lastmod>2025-01-02</lastmod><changefreq>Weekly</changefreq><priority>0.8</priority>
    <image:image><image:loc>https://h/i.png</image:loc></image:image></url>
  <url><loc><![CDATA[https://h/b#x]]></loc><lastmod>2025-01-02T03:04:05+02:00</lastmod></url>
</urlset>`

func TestSitemap(t *testing.T) {
	utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	for _, c := range []struct{ name, body, pages, maps string }{
		{name: "pages", body: urlset, pages: "https://h/a?x=1&y=2 https://h/b"},
		{name: "packed", body: packed(urlset), pages: "https://h/a?x=1&y=2 https://h/b"},
		{name: "index", body: `<sitemapindex><sitemap><loc>https://h/1.xml.gz</loc></sitemap>` +
			`<sitemap><loc>2.xml</loc><lastmod>junk</lastmod></sitemap></sitemapindex>`,
			maps: "https://h/1.xml.gz https://h/maps/2.xml"},
		{name: "plain_text", body: "\ufeffhttps://h/a\r\n\r\n  https://h/b  \nnonsense\n",
			pages: "https://h/a https://h/b"},
		{name: "plain_text_packed", body: packed("https://h/a\nhttps://h/b"),
			pages: "https://h/a https://h/b"},
		{name: "a_prefix",
			body:  `<sm:urlset xmlns:sm="x"><sm:url><sm:loc>/a</sm:loc></sm:url></sm:urlset>`,
			pages: "https://h/a"},
		{name: "white_space_before_the_declaration", body: "\n\n" + urlset,
			pages: "https://h/a?x=1&y=2 https://h/b"},
		{name: "another_charset",
			body: encoded(t, charmap.Windows1251,
				`<?xml version="1.0" encoding="windows-1251"?><urlset><url><loc>/чай</loc></url>`+
					`</urlset>`), pages: "https://h/%D1%87%D0%B0%D0%B9"},
		{name: "UTF-16",
			body: encoded(t, utf16,
				`<?xml version="1.0" encoding="UTF-16"?><urlset><url><loc>/a</loc></url></urlset>`),
			pages: "https://h/a"},
		{name: "a_bare_ampersand", body: `<urlset><url><loc>/a?b&c=1</loc></url></urlset>`,
			pages: "https://h/a?b&c=1"},
		{name: "ends_that_are_missing",
			body:  `<urlset><url><loc>/a</url><url><loc>/b</loc></url></x></urlset>`,
			pages: "https://h/b"},
		{name: "RSS",
			body: `<rss><channel><link>https://h/</link><item><title>x</title>` +
				`<link>https://h/a</link><pubDate>Thu, 02 Jan 2025 00:00:00 GMT</pubDate></item>` +
				`</channel></rss>`, pages: "https://h/a"},
		{name: "Atom",
			body: `<feed><link href="https://h/"/><entry><link rel="self" href="/no"/>` +
				`<link href="/a"/><updated>2025-01-02T00:00:00Z</updated></entry></feed>`,
			pages: "https://h/a"},
		{name: "no_entries", body: `<urlset/>`},
		{name: "empty", body: ""},
	} {
		m, err := sitemapOf(c.body)
		if pages, maps := locs(m.Pages), strings.Join(m.Next(), " "); err != nil ||
			pages != c.pages || maps != c.maps {
			t.Errorf("%s: pages %q, maps %q, %v", c.name, pages, maps, err)
		}
	}
}

func locs(entries []Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.URL)
	}
	return strings.Join(all, " ")
}

func TestSitemap_what_it_says_of_a_page(t *testing.T) {
	m, err := sitemapOf(urlset)
	if err != nil || len(m.Pages) != 2 {
		t.Fatal(m, err)
	}
	a, b := m.Pages[0], m.Pages[1]
	if a.Changes != "weekly" || a.Priority != 0.8 ||
		!a.Modified.Equal(time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", a)
	}
	if b.Changes != "" || b.Priority != 0.5 ||
		!b.Modified.Equal(time.Date(2025, 1, 2, 1, 4, 5, 0, time.UTC)) {
		t.Errorf("got %+v", b)
	}
}

func TestSitemap_bounds(t *testing.T) {
	if raceEnabled {
		t.Skip("reads 100 MiB, in one goroutine")
	}
	many := &strings.Builder{}
	many.WriteString("<urlset>")
	for i := range maxEntries + 10 {
		fmt.Fprintf(many, "<url><loc>/%d</loc></url>", i)
	}
	many.WriteString("<url><loc>/" + strings.Repeat("x", maxURL) +
		"</loc></url><url/><url><loc>mailto:a@b</loc></url></urlset>")
	m, err := sitemapOf(many.String())
	if err != nil || len(m.Pages) != maxEntries || m.LeftOut != 13 {
		t.Errorf("%d pages, %d left out, %v", len(m.Pages), m.LeftOut, err)
	}
	for _, c := range []struct {
		name, body string
		final      bool
		pages      int
	}{
		{"a_bomb",
			packed("<urlset><url><loc>/a</loc></url>" + strings.Repeat(" ", maxSitemap)), true, 1},
		{"a_bomb_of_plain_text", packed("/a" + strings.Repeat("x", maxSitemap)), true, 0},
		{"nested_without_end", "<urlset>" + strings.Repeat("<a>", 1000), true, 0},
		{"a_page_that_says_not_found",
			"<!DOCTYPE html><html><body>Not found</body></html>", true, 0},
		{"text_that_says_not_found", "not found", true, 0},
		{"cut", "<urlset><url><loc>/a</loc></url><url><loc>/b</lo", false, 1},
		{"packed_and_cut", packed(urlset)[:120], false, 0},
	} {
		m, err := sitemapOf(c.body)
		if err == nil || retry.IsPermanent(err) != c.final || retry.IsNeutral(err) != c.final ||
			len(m.Pages) != c.pages {
			t.Errorf("%s: %d pages, %v", c.name, len(m.Pages), err)
		}
	}
	r := response("", "")
	r.Body = io.NopCloser(
		io.MultiReader(strings.NewReader("<urlset><url><loc>https://h/a</loc></url>"), errReader{}))
	if m, err := Sitemap(r); !errors.Is(err, io.ErrUnexpectedEOF) || len(m.Pages) != 1 {
		t.Errorf("a body that is cut: %v, %v", m, err)
	}
}

func FuzzSitemap(f *testing.F) {
	f.Add([]byte(urlset))
	f.Add([]byte(packed(urlset)))
	f.Add([]byte("<rss><item><link>https://h/a"))
	f.Add([]byte("https://h/a\nhttps://h/b"))
	f.Fuzz(func(t *testing.T, body []byte) {
		fast(t, len(body), 100*time.Microsecond, func() {
			m, _ := sitemapOf(string(body))
			for _, e := range append(m.Pages, m.Maps...) {
				if u, err := url.Parse(e.URL); err != nil ||
					u.Scheme != "http" && u.Scheme != "https" || len(e.URL) > maxURL {
					t.Fatalf("%q, %v", e.URL, err)
				}
			}
		})
	})
}
