package htmlpage

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
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

// Map is a sitemap: the pages of a site or, in an index, further sitemaps.
type Map struct {
	Pages []Entry
	Maps  []Entry
	// entries that are not an http or https URL, are longer than 2048 bytes, or come after 50,000
	LeftOut int
}

// Entry is one page or one sitemap.
type Entry struct {
	URL      string
	Modified time.Time // zero: not said
	Changes  string    // always, hourly, daily, weekly, monthly, yearly, never; empty: not said
	Priority float64   // 0 to 1; not said: 0.5
}

// Next returns the URLs of m.Maps, which lets httpx.Crawl read an index and all the sitemaps in it.
func (m Map) Next() []string {
	var urls []string
	for _, e := range m.Maps {
		urls = append(urls, e.URL)
	}
	return urls
}

// The bounds of the protocol (sitemaps.org), for an unpacked file.
const (
	maxSitemap = 50 << 20
	maxEntries = 50_000
	maxURL     = 2048
	maxNesting = 64
)

var _ httpx.Decoder[Map] = Sitemap

// Sitemap reads a sitemap or an index of sitemaps, as sitemaps.org describes them: XML, RSS, Atom,
// or plain text with one URL a line. It unpacks gzip, whatever the header says. Relative URLs,
// missing namespaces, charsets other than UTF-8, and unreadable dates are not errors.
//
// It reads at most 50 MiB, unpacked, and keeps 50,000 entries: a longer file is an error, further
// entries are counted in LeftOut. Something that is not a sitemap, such as a page that says "not
// found", is an error. Both errors are marked Permanent and Neutral, because asking again would not
// help. Beside an error comes what could be read. Sitemap ends with the request's context, also
// when the body is there and only has to be unpacked and read.
func Sitemap(r *http.Response) (Map, error) {
	s := &sitemap{ctx: contextOf(r)}
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
	ctx  context.Context
	base *url.URL
}

func final(err error) error { return retry.Permanent(retry.Neutral(err)) }

var errTooLong = errors.New("more than 50 MiB")

// bounded fails when there is more than the bound, where an io.LimitedReader would pretend that the
// text ends.
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
	in = bufio.NewReader(transform.NewReader(&bounded{&during{s.ctx, in}, maxSitemap},
		unicode.BOMOverride(transform.Nop)))
	for { // skip white space before an XML declaration, which is wrong but common
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
	s.base = nil // a line that is not an absolute URL is some other text
	var line []byte
	for {
		more, prefix, err := in.ReadLine()
		if err != nil && err != io.EOF {
			return err
		}
		room := maxURL + 1 - min(len(line), maxURL+1)
		if line = append(line, more[:min(len(more), room)]...); prefix {
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
	e := &elements{sitemap: s}
	for {
		t, err := d.RawToken()
		switch {
		case err == io.EOF && len(e.path) > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := e.begin(t); err != nil {
				return err
			}
		case xml.CharData:
			if e.text.Len() <= maxURL+64 { // enough to see that it is too long
				e.text.Write(t[:min(len(t), 2*maxURL)])
			}
		case xml.EndElement:
			e.end(t.Name.Local)
		}
	}
}

// elements are the open elements of an XML sitemap.
type elements struct {
	*sitemap
	path  []string // their names, the root first
	entry Entry    // as far as it was read
	text  strings.Builder
}

func (e *elements) begin(t xml.StartElement) error {
	name := t.Name.Local
	if len(e.path) == 0 && !roots[name] {
		return final(fmt.Errorf("its root is <%.40s>", name))
	}
	if len(e.path) >= maxNesting {
		return final(fmt.Errorf("nested deeper than %d levels", maxNesting))
	}
	e.path = append(e.path, name)
	e.text.Reset()
	if items[name] {
		e.entry = Entry{Priority: 0.5}
	}
	if name == "link" && inside(e.path, "entry") {
		e.entry.atom(t.Attr)
	}
	return nil
}

// end ends the innermost element of this name, and all inside it. An end without a beginning is
// ignored.
func (e *elements) end(name string) {
	at := len(e.path) - 1
	for at >= 0 && e.path[at] != name {
		at--
	}
	if at < 0 {
		return
	}
	e.path = e.path[:at+1]
	e.take(strings.TrimSpace(e.text.String()))
	e.path = e.path[:at]
	e.text.Reset()
}

var (
	roots = map[string]bool{"urlset": true, "sitemapindex": true, "rss": true, "RDF": true,
		"feed": true}
	items = map[string]bool{"url": true, "sitemap": true, "item": true, "entry": true}
)

func inside(path []string, parent string) bool {
	return len(path) > 1 && path[len(path)-2] == parent
}

// take reads the text of the innermost element.
func (e *elements) take(text string) {
	name := e.path[len(e.path)-1]
	switch {
	case items[name]:
		to := &e.Pages
		if name == "sitemap" {
			to = &e.Maps
		}
		e.add(to, e.entry)
		e.entry = Entry{Priority: 0.5}
	case len(e.path) < 2 || !items[e.path[len(e.path)-2]]: // such as the loc of an image in a url
	case name == "loc", name == "link" && text != "" && !inside(e.path, "entry"):
		e.entry.URL = text
	case name == "lastmod", name == "updated", name == "pubDate", name == "date":
		if at, ok := parseDate(text); ok {
			e.entry.Modified = at
		}
	case name == "changefreq":
		e.entry.Changes = strings.ToLower(text)
	case name == "priority":
		if p, err := strconv.ParseFloat(text, 64); err == nil && p >= 0 && p <= 1 {
			e.entry.Priority = p
		}
	}
}

// atom reads a link element of Atom. The URL of an entry is the link without a rel or with rel
// alternate.
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

// The forms of W3C's Datetime note, other forms that sites use, and RSS's.
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
