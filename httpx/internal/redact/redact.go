// Package redact takes the secrets of URLs out of errors and texts.
package redact

import (
	"errors"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/retry"
)

const hidden = "xxxxx" // as url.URL.Redacted writes it

// How much text an error shows, in bytes.
const (
	Most     = 1 << 10  // of a server's text, and of a URL
	mostText = 16 << 10 // of any text
)

// URL prints u for errors and logs: without userinfo and fragment, with the values of its query
// hidden, and at most [Most] bytes. A query part without a value is hidden whole, because it may be
// a token, as in ?c2VjcmV0.
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	c := *u
	misread(&c)
	c.User, c.Fragment, c.RawFragment = nil, "", ""
	if c.Opaque != "" && (c.Host == "" || strings.ContainsAny(c.Opaque, "@?")) {
		c.Opaque = hidden
	}
	if len(c.Path) > Most {
		c.Path, c.RawPath = c.Path[:Most], ""
	}
	if c.RawQuery != "" {
		parts := strings.Split(c.RawQuery[:min(len(c.RawQuery), Most)], "&")
		for i, p := range parts {
			key, value, _ := strings.Cut(p, "=")
			// if only padding follows the =, the "key" is the end of a base64 token
			if parts[i] = hidden; strings.Trim(value, "=") != "" {
				parts[i] = key + "=" + hidden
			}
		}
		c.RawQuery = strings.Join(parts, "&")
	}
	clean := c.String()
	if len(clean) > Most {
		clean = strings.ToValidUTF8(clean[:Most-3], "") + "..."
	}
	return clean
}

// misread hides a secret that net/url takes for a host or a path, because the password has a / or ?
// or # that is not escaped: in https://user:12#34@host/ the parser sees the host "user" with port
// 12.
func misread(u *url.URL) {
	suspect := u.Host == "" && strings.Contains(u.Path, "@") // http:/user:password@host
	if u.Path == "" {
		before, _, at := strings.Cut(u.RawQuery, "@")
		suspect = strings.Contains(u.Fragment, "@") ||
			at && (u.Port() != "" || !strings.Contains(before, "="))
	}
	for rest := u.Path[:min(len(u.Path), 64<<10)]; !suspect && rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		before, _, at := strings.Cut(segment, "@")
		suspect = at && before != "" && (u.Port() != "" || strings.Contains(before, ":"))
	}
	if suspect {
		u.Host, u.Path, u.RawPath = hidden, "", ""
		u.RawQuery, u.ForceQuery = "", false
	}
}

// Text is URL for a text that may be malformed. If its parts cannot be told apart, everything after
// the scheme is hidden.
func Text(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err == nil:
		return URL(u)
	// before the test for @ and #: net/url cuts at a #, in https://user:secret#1@host/ too
	case badHost(raw):
		scheme, _, _ := strings.Cut(raw, "://")
		return cut(scheme, Most) + "://" + hidden
	case !strings.ContainsAny(raw, "@?#"):
		return cut(raw, Most)
	case !strings.Contains(raw, "@"):
		return cut(raw[:strings.IndexAny(raw, "?#")], Most) + "?" + hidden
	}
	if i := strings.Index(raw[:min(len(raw), Most)], "://"); i > 0 &&
		!strings.ContainsAny(raw[:i], "@?#") {
		return raw[:i+3] + hidden
	}
	return hidden
}

// badHost tells whether a URL is malformed because of its host, which may then be the beginning of
// the userinfo.
func badHost(raw string) bool {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || strings.ContainsAny(scheme, "@?#/") {
		return false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	_, err := url.Parse("//" + rest)
	return err != nil
}

// Cut cuts a server's text to [Most] bytes.
func Cut(text string) string { return cut(text, Most) }

// cut cuts text to most bytes. A URL at the cut is hidden, because it may be cut within a password.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	text = text[:most-3]
	if word := strings.LastIndexAny(text, " \t\r\n\"<>") + 1; word < len(text) {
		if i := strings.Index(text[word:], "://"); i >= 0 {
			text = text[:word+i+3] + hidden
		}
	}
	return strings.ToValidUTF8(text, "") + "..."
}

// The secrets in the texts of errors that are not a *url.Error: a URL (without the punctuation
// after it), a password that net/url quotes, a header that net/textproto quotes, and a Location
// that does not parse, with the reason.
var (
	urlInText  = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"<>]*[^\s"<>:;,.)]`)
	quotedText = regexp.MustCompile(`(invalid port|malformed MIME header[a-z :]*) ` +
		`"([\w-]+:)?(?:[^"\\]|\\.)*(?:"|\\?$)`)
	unparsed = regexp.MustCompile(`(failed to parse Location header).*`)
)

// Error removes the secrets of URLs from err, at every depth of its tree, both from what it prints
// and from what errors.As finds: each *url.Error becomes one with a redacted URL, and texts that
// quote a URL are rewritten and cut to 16 KiB. Everything else that errors.Is and errors.As find
// stays, and so do the marks of package retry. An error without secrets comes back as it is. err
// itself is never changed, because other calls may hold it too.
func Error(err error) error { return bounded(err, mostText) }

// Server is Error for an error with text of a server: it shows at most [Most] bytes.
func Server(err error) error { return bounded(err, Most) }

func bounded(err error, most int) error {
	if err == nil {
		return nil
	}
	clean, _ := (&cleaner{root: err, most: most}).tree(err)
	return clean
}

// cleaner rewrites the texts of one tree.
type cleaner struct {
	root   error
	most   int
	urls   []quote // those with secrets, found when first needed
	looked bool
}

// quote is a URL that a text may quote, and what replaces it.
type quote struct{ raw, clean string }

func (q quote) replace(text string) string {
	if len(text) < len(q.raw) {
		return text
	}
	raw, clean := strconv.Quote(q.raw), strconv.Quote(q.clean)
	text = strings.ReplaceAll(text, raw[1:len(raw)-1], clean[1:len(clean)-1])
	return strings.ReplaceAll(text, q.raw, q.clean)
}

func (c *cleaner) text(text string) string {
	if !c.looked {
		c.urls, c.looked = quotes(c.root), true
	}
	for _, q := range c.urls {
		text = q.replace(text)
	}
	if len(text) > c.most { // cut before the patterns, which are slow on long texts
		text = cut(unparsed.ReplaceAllString(cut(text, 2*c.most), `$1 "`+hidden+`"`), c.most)
	}
	if strings.Contains(text, "://") {
		text = urlInText.ReplaceAllStringFunc(text, Text)
	}
	text = quotedText.ReplaceAllString(text, `$1 "${2}`+hidden+`"`)
	return unparsed.ReplaceAllString(text, `$1 "`+hidden+`"`)
}

func quotes(err error) (found []quote) {
	walk(err, func(e error) {
		var u *url.Error
		known := func(q quote) bool { return q.raw == u.URL }
		if errors.As(e, &u) && !slices.ContainsFunc(found, known) {
			// errors.As and not a type assertion: retry.Unmark hides its tree from a walk
			if clean := Text(u.URL); clean != u.URL {
				found = append(found, quote{u.URL, clean})
			}
		}
	})
	return found
}

func walk(err error, visit func(error)) {
	visit(err)
	for _, child := range children(err) {
		walk(child, visit)
	}
}

func children(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if child := e.Unwrap(); child != nil {
			return []error{child}
		}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// tree returns err without secrets, and whether it differs from err.
func (c *cleaner) tree(err error) (error, bool) {
	switch e := err.(type) {
	case nil:
		return nil, false
	case *url.Error:
		raw := Text(e.URL)
		inner, changed := c.tree(e.Err)
		if !changed && raw == e.URL {
			return err, false
		}
		return &url.Error{Op: e.Op, URL: raw, Err: inner}, true
	case *retry.Error:
		r := *e
		var reason, last bool
		r.Reason, reason = c.tree(e.Reason)
		r.Last, last = c.tree(e.Last)
		if !reason && !last {
			return err, false
		}
		return &r, true
	case *retry.Rejection:
		r := *e
		var reason, cause bool
		r.Reason, reason = c.tree(e.Reason)
		r.Cause, cause = c.tree(e.Cause)
		if !reason && !cause {
			return err, false
		}
		return &r, true
	}
	return c.node(err)
}

// node is tree for an error of any other type: it is replaced by one that stands for it.
func (c *cleaner) node(err error) (error, bool) {
	r := &redacted{err: err}
	changed := false
	for _, child := range children(err) {
		if child != nil {
			clean, other := c.tree(child)
			r.tree, changed = append(r.tree, clean), changed || other
		}
	}
	text := err.Error()
	if r.text = c.text(text); r.text != text {
		changed = true
	}
	if !changed && len(r.tree) == 0 { // it may hide its tree, as retry.Unmark does
		var u *url.Error
		changed = errors.As(err, &u) && Text(u.URL) != u.URL
	}
	if !changed {
		return err, false
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		return remark(Timeout(r), err), true
	}
	return remark(r, err), true
}

// Timeout wraps err in an error whose Timeout method says true. *url.Error looks for that in the
// error that it holds, and no deeper.
func Timeout(err error) error { return &timedOut{err} }

type timedOut struct{ error }

func (t *timedOut) Unwrap() error   { return t.error }
func (t *timedOut) Timeout() bool   { return true }
func (t *timedOut) Temporary() bool { return true }

// remark puts the marks of err onto clean: they are in a type that only package retry can make.
func remark(clean, err error) error {
	if retry.IsPermanent(err) && !retry.IsPermanent(clean) {
		clean = retry.Permanent(clean)
	}
	if retry.IsNeutral(err) && !retry.IsNeutral(clean) {
		clean = retry.Neutral(clean)
	}
	if after, ok := retry.RetryAfter(err); ok {
		if have, had := retry.RetryAfter(clean); !had || have < after {
			clean = retry.After(clean, after)
		}
	}
	return clean
}

// redacted stands for one node of a tree: it matches what the node matches, but its text and its
// tree have no secrets.
type redacted struct {
	err  error
	text string
	tree []error
}

func (r *redacted) Error() string   { return r.text }
func (r *redacted) Unwrap() []error { return r.tree }

func (r *redacted) Is(target error) bool {
	if reflect.TypeOf(r.err).Comparable() && r.err == target {
		return true
	}
	x, ok := r.err.(interface{ Is(error) bool })
	return ok && x.Is(target)
}

func (r *redacted) As(target any) bool {
	to := reflect.ValueOf(target).Elem()
	// For an interface that every error has, such as error itself, r is the answer: r.err would
	// bring the secret text back.
	if reflect.TypeOf(r.err).AssignableTo(to.Type()) && !reflect.TypeOf(r).AssignableTo(to.Type()) {
		to.Set(reflect.ValueOf(r.err))
		return true
	}
	x, ok := r.err.(interface{ As(any) bool })
	if !ok || !x.As(target) {
		return false
	}
	if u, ok := target.(**url.Error); ok { // from below a node that hides its tree
		*u, _ = Error(*u).(*url.Error)
	}
	return true
}
