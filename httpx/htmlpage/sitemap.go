package htmlpage

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/retry"
)

// Map is what a sitemap says: the pages of a site, or in an index, the sitemaps where they are.
type Map struct {
	Pages []Entry
	Maps  []Entry
	// entries that are not a URL of the web, are longer than 2048 bytes, or are beyond the 50,000th
	LeftOut int
}

// Entry is one page or one sitemap.
type Entry struct {
	URL      string
	Modified time.Time // zero: not said
	Changes  string    // always, hourly, daily, weekly, monthly, yearly, never; empty: not said
	Priority float64   // 0 to 1; not said: 0.5
}

// Next gives the URLs of m.Maps, as httpx.Crawl wants them to read an index and all that is in it.
func (m Map) Next() []string {
	var urls []string
	for _, e := range m.Maps {
		urls = append(urls, e.URL)
	}
	return urls
}

// The bounds of the protocol (sitemaps.org), for a file that is unpacked.
const (
	maxSitemap = 50 << 20
	maxEntries = 50_000
	maxURL     = 2048
	maxNesting = 64
)

var _ httpx.Decoder[Map] = Sitemap

// Sitemap reads a sitemap or an index of sitemaps, as sitemaps.org describes them: XML, RSS, Atom,
// or plain text with one URL a line, each of them packed by gzip or not, whatever the header says
// of it. It forgives relative URLs, missing namespaces, charsets other than UTF-8, and dates that
// it cannot read.
//
// It reads at most 50 MiB, unpacked, and keeps 50,000 entries: a longer file is an error, a longer
// list is counted in LeftOut. Something that is not a sitemap, as a page that says "not found", is
// an error. Both are marked Permanent and Neutral: asking again would not help. What could be read
// comes with an error.
func Sitemap(r *http.Response) (Map, error) {
	s := &sitemap{}
	if r.Request != nil {
		s.base = r.Request.URL
	}
	err := s.read(r.Body)
	if err != nil {
		err = fmt.Errorf("reading a sitemap: %w", err)
	}
	return s.Map, err
}

type sitemap struct {
	Map
	base *url.URL
}

func final(err error) error { return retry.Permanent(retry.Neutral(err)) }

var errTooLong = errors.New("more than 50 MiB")

// bounded fails once there is more than the bound, instead of pretending that it is the end.
type bounded struct {
	io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.Reader.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, final(errTooLong)
	}
	return n, err
}

func (s *sitemap) read(body io.Reader) error {
	in := bufio.NewReader(body)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte("\x1f\x8b")) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		in = bufio.NewReader(unpacked)
	}
	start, _ := in.Peek(3)
	marked := bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) ||
		bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff"))
	in = bufio.NewReader(transform.NewReader(&bounded{in, maxSitemap},
		unicode.BOMOverride(transform.Nop)))
	for { // white space before an XML declaration is wrong, and common
		b, err := in.ReadByte()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if b > ' ' {
			_ = in.UnreadByte()
			if b == '<' {
				return s.readXML(in, marked)
			}
			return s.readText(in)
		}
	}
}

func (s *sitemap) readText(in *bufio.Reader) error {
	s.base = nil // here URLs are absolute, or something else
	var line []byte
	for {
		more, prefix, err := in.ReadLine()
		if err != nil && err != io.EOF {
			return err
		}
		if line = append(line, more[:min(len(more), maxURL+1-min(len(line), maxURL+1))]...); prefix {
			continue
		}
		if text := strings.TrimSpace(string(line)); text != "" {
			s.add(&s.Pages, Entry{URL: text, Priority: 0.5})
		}
		if line = line[:0]; err == io.EOF {
			break
		}
	}
	if len(s.Pages) == 0 && s.LeftOut > 0 {
		return final(errors.New("plain text without a URL"))
	}
	return nil
}

func (s *sitemap) readXML(in *bufio.Reader, marked bool) error {
	d := xml.NewDecoder(in)
	d.Strict, d.Entity = false, xml.HTMLEntity
	d.CharsetReader = func(label string, r io.Reader) (io.Reader, error) {
		if marked { // it is UTF-8 by now
			return r, nil
		}
		return charset.NewReaderLabel(label, r)
	}
	var path []string
	var entry Entry
	var text strings.Builder
	for {
		t, err := d.RawToken()
		switch {
		case err == io.EOF && len(path) > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			name := t.Name.Local
			if len(path) == 0 && !roots[name] {
				return final(fmt.Errorf("its root is <%.40s>", name))
			}
			if len(path) >= maxNesting {
				return final(fmt.Errorf("nested deeper than %d levels", maxNesting))
			}
			path = append(path, name)
			text.Reset()
			if items[name] {
				entry = Entry{Priority: 0.5}
			}
			if name == "link" && inside(path, "entry") {
				entry.atom(t.Attr)
			}
		case xml.CharData:
			if text.Len() <= maxURL+64 { // enough to see that it is too long
				text.Write(t[:min(len(t), 2*maxURL)])
			}
		case xml.EndElement:
			at := len(path) - 1
			for at >= 0 && path[at] != t.Name.Local {
				at--
			}
			if at < 0 {
				continue // the end of what did not begin
			}
			path = path[:at+1]
			s.end(path, &entry, strings.TrimSpace(text.String()))
			path = path[:at]
			text.Reset()
		}
	}
}

var (
	roots = map[string]bool{"urlset": true, "sitemapindex": true, "rss": true, "RDF": true,
		"feed": true}
	items = map[string]bool{"url": true, "sitemap": true, "item": true, "entry": true}
)

func inside(path []string, parent string) bool {
	return len(path) > 1 && path[len(path)-2] == parent
}

// end takes what an element says that ends here.
func (s *sitemap) end(path []string, e *Entry, text string) {
	name := path[len(path)-1]
	switch {
	case items[name]:
		to := &s.Pages
		if name == "sitemap" {
			to = &s.Maps
		}
		s.add(to, *e)
		*e = Entry{Priority: 0.5}
	case len(path) < 2 || !items[path[len(path)-2]]: // as an image's loc within a url
	case name == "loc", name == "link" && text != "" && !inside(path, "entry"):
		e.URL = text
	case name == "lastmod", name == "updated", name == "pubDate", name == "date":
		if at, ok := parseDate(text); ok {
			e.Modified = at
		}
	case name == "changefreq":
		e.Changes = strings.ToLower(text)
	case name == "priority":
		if p, err := strconv.ParseFloat(text, 64); err == nil && p >= 0 && p <= 1 {
			e.Priority = p
		}
	}
}

// atom takes the link of an entry: the one that has no rel, or alternate.
func (e *Entry) atom(attrs []xml.Attr) {
	href, rel := "", "alternate"
	for _, a := range attrs {
		switch a.Name.Local {
		case "href":
			href = a.Value
		case "rel":
			rel = a.Value
		}
	}
	if rel == "alternate" && e.URL == "" {
		e.URL = strings.TrimSpace(href)
	}
}

func (s *sitemap) add(to *[]Entry, e Entry) {
	u, err := url.Parse(e.URL[:min(len(e.URL), maxURL+1)])
	if err == nil && s.base != nil && e.URL != "" {
		u = s.base.ResolveReference(u)
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		len(s.Pages)+len(s.Maps) >= maxEntries {
		s.LeftOut++
		return
	}
	u.Fragment, u.RawFragment = "", ""
	if e.URL = u.String(); len(e.URL) > maxURL {
		s.LeftOut++
		return
	}
	*to = append(*to, e)
}

// The forms of W3C's Datetime note, those that are met besides, and RSS's.
var dates = []string{
	time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006", "2006-01-02T15:04:05",
	"2006-01-02 15:04:05", "2006-01-02T15:04:05Z0700", time.RFC1123Z, time.RFC1123,
	"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST",
}

func parseDate(s string) (time.Time, bool) {
	if len(s) > 64 {
		return time.Time{}, false
	}
	for _, layout := range dates {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
