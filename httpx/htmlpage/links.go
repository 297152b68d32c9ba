package htmlpage

import (
	"context"
	"iter"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// LinkOption says which links [Links] returns.
type LinkOption func(*linker)

// SkipNofollow leaves out links whose rel has nofollow, ugc or sponsored, and all links of a page
// whose robots meta element says nofollow or none. (X-Robots-Tag is a field of the response's
// header: Links does not see it.)
func SkipNofollow() LinkOption {
	return func(l *linker) {
		l.obey = true
		l.skip = append(l.skip, "nofollow", "ugc", "sponsored")
	}
}

// SkipRel leaves out links whose rel has one of values.
func SkipRel(values ...string) LinkOption {
	return func(l *linker) { l.skip = append(l.skip, lower(values)...) }
}

// OnlyRel returns only links whose rel has one of values, such as next. Those of link elements are
// returned too.
func OnlyRel(values ...string) LinkOption {
	return func(l *linker) { l.only = append(l.only, lower(values)...) }
}

// Until makes [Links] return what it has found when ctx ends. A page of some megabytes may have a
// million links, which take a second.
func Until(ctx context.Context) LinkOption {
	return func(l *linker) { l.ctx = ctx }
}

func lower(values []string) []string {
	values = slices.Clone(values)
	for i, v := range values {
		values[i] = strings.ToLower(v)
	}
	return values
}

type linker struct {
	ctx        context.Context // nil: without an end
	nodes      int             // looked at
	obey       bool
	skip, only []string
	base       *url.URL
	found      []string
	seen       map[string]bool
}

// Links returns the http and https links of a page, each once, in the order of the page: those of
// a, area, frame and iframe elements and of a refresh by meta. They are resolved against the page's
// base element, and that against base, the URL that the page came from: Final of an httpx.Result.
// Fragments are dropped. As in browsers, white space and backslashes in links do no harm; what is
// still not a URL is left out. If base is nil, links stay relative unless the page's base element
// is absolute. URLs of more than 64 KiB are left out.
func Links(doc *html.Node, base *url.URL, opts ...LinkOption) []string {
	if doc == nil {
		return nil
	}
	l := &linker{base: base, seen: map[string]bool{}}
	for _, o := range opts {
		if o != nil {
			o(l)
		}
	}
	for n := range l.within(doc) { // the first base element holds for what comes before it too
		if n.Type == html.ElementNode && n.DataAtom == atom.Base {
			if href, ok := attr(n, "href"); ok {
				if u := l.resolve(href); u != nil {
					l.base = u
				}
				break
			}
		}
	}
	if l.obey && l.saysNofollow(doc) {
		return nil
	}
	for n := range l.within(doc) {
		if n.Type == html.ElementNode {
			l.visit(n)
		}
	}
	return l.found
}

// within are the nodes below doc, as far as the context lasts.
func (l *linker) within(doc *html.Node) iter.Seq[*html.Node] {
	return func(yield func(*html.Node) bool) {
		for n := range doc.Descendants() {
			if l.nodes++; l.nodes%64 == 0 && l.ctx != nil && l.ctx.Err() != nil || !yield(n) {
				return
			}
		}
	}
}

func (l *linker) visit(n *html.Node) {
	key := "href"
	switch n.DataAtom {
	case atom.A, atom.Area:
	case atom.Link:
		if len(l.only) == 0 {
			return
		}
	case atom.Frame, atom.Iframe:
		key = "src"
	case atom.Meta:
		equiv, _ := attr(n, "http-equiv")
		if !strings.EqualFold(strings.TrimSpace(equiv), "refresh") || len(l.only) > 0 {
			return
		}
		content, _ := attr(n, "content")
		if to := refreshOf(content); to != "" {
			l.add(to)
		}
		return
	default:
		return
	}
	rel, _ := attr(n, "rel")
	values := strings.Fields(strings.ToLower(rel))
	has := func(v string) bool { return slices.Contains(values, v) }
	if slices.ContainsFunc(l.skip, has) || len(l.only) > 0 && !slices.ContainsFunc(l.only, has) {
		return
	}
	if to, ok := attr(n, key); ok {
		l.add(to)
	}
}

func (l *linker) add(raw string) {
	u := l.resolve(raw)
	if u == nil || u.IsAbs() && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return
	}
	u.Fragment, u.RawFragment = "", ""
	if text := u.String(); !l.seen[text] {
		l.seen[text] = true
		l.found = append(l.found, text)
	}
}

// resolve reads a link by the WHATWG's URL standard (section 4.4), as far as net/url can.
func (l *linker) resolve(raw string) *url.URL {
	raw = strings.TrimFunc(raw, func(r rune) bool { return r <= ' ' })
	if isOther(raw) || len(raw) > mostLink {
		return nil
	}
	raw = lineBreaks.Replace(raw)
	raw, _, _ = strings.Cut(raw, "#")
	path, query, asks := strings.Cut(raw, "?")
	path = escaped(strings.ReplaceAll(path, `\`, "/"))
	if raw = path; asks {
		raw += "?" + escaped(query)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	if l.base != nil {
		u = l.base.ResolveReference(u)
	}
	return u
}

// mostLink bounds a URL, in bytes. Longer ones take long to read, and servers refuse them.
const mostLink = 64 << 10

var lineBreaks = strings.NewReplacer("\t", "", "\n", "", "\r", "")

// isOther tells whether a link has another scheme than http and https, so that a long data: URL is
// not parsed.
func isOther(raw string) bool {
	i := strings.IndexAny(raw[:min(len(raw), 32)], ":/?#")
	if i <= 0 || raw[i] != ':' {
		return false
	}
	scheme := strings.ToLower(raw[:i])
	return scheme != "http" && scheme != "https"
}

// escaped escapes spaces, control characters, and each % that does not begin an escape: net/url
// refuses them.
func escaped(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '%' || r == 0x7f }) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])):
			b.WriteString("%25")
		case c == ' ':
			b.WriteString("%20")
		case c < ' ' || c == 0x7f:
			b.WriteByte('%')
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// refreshOf is the URL in "5; url='/next'".
func refreshOf(content string) string {
	_, rest, ok := strings.Cut(content, ";")
	if !ok {
		return ""
	}
	rest = strings.TrimSpace(rest)
	if len(rest) >= 3 && strings.EqualFold(rest[:3], "url") {
		if after, ok := strings.CutPrefix(strings.TrimSpace(rest[3:]), "="); ok {
			rest = strings.TrimSpace(after)
		}
	}
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		rest, _, _ = strings.Cut(rest[1:], rest[:1])
	}
	return rest
}

func (l *linker) saysNofollow(doc *html.Node) bool {
	for n := range l.within(doc) {
		if n.Type != html.ElementNode || n.DataAtom != atom.Meta {
			continue
		}
		if name, _ := attr(n, "name"); !strings.EqualFold(strings.TrimSpace(name), "robots") {
			continue
		}
		content, _ := attr(n, "content")
		isBreak := func(r rune) bool { return r == ',' || r <= ' ' }
		for _, v := range strings.FieldsFunc(strings.ToLower(content), isBreak) {
			if v == "nofollow" || v == "none" {
				return true
			}
		}
	}
	return false
}

func attr(n *html.Node, key string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == key && (a.Namespace == "" || a.Namespace == "xlink") {
			return a.Val, true
		}
	}
	return "", false
}
