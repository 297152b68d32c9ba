// Package redact takes the secrets of URLs out of errors and texts.
package redact

import (
	"errors"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/retry"
)

const hidden = "xxxxx" // as url.URL.Redacted writes it

// URL prints u for errors and logs: without userinfo and fragment, and with the values of its query hidden. A query
// part without a value is hidden whole: it may be a token, as in ?c2VjcmV0.
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	c := *u
	c.User, c.Fragment, c.RawFragment = nil, "", ""
	if c.Opaque != "" && (c.Host == "" || strings.ContainsAny(c.Opaque, "@?")) {
		c.Opaque = hidden
	}
	if c.RawQuery != "" {
		parts := strings.Split(c.RawQuery, "&")
		for i, p := range parts {
			key, value, _ := strings.Cut(p, "=")
			if parts[i] = hidden; strings.Trim(value, "=") != "" { // only padding: the "key" is the end of a base64 token
				parts[i] = key + "=" + hidden
			}
		}
		c.RawQuery = strings.Join(parts, "&")
	}
	return c.String()
}

// Text is URL for an URL that may be malformed. Where it cannot be told apart, everything after the scheme goes.
func Text(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err == nil:
		return URL(u)
	case !strings.ContainsAny(raw, "@?#"):
		return raw
	case !strings.Contains(raw, "@"):
		return raw[:strings.IndexAny(raw, "?#")] + "?" + hidden
	}
	if i := strings.Index(raw, "://"); i > 0 && !strings.ContainsAny(raw[:i], "@?#") {
		return raw[:i+3] + hidden
	}
	return hidden
}

// What the text of an error may hold that carries no *url.Error: an URL (the punctuation after it is not its), what net/url quotes
// of a password and net/textproto of a header, a Location that does not parse together with the reason.
var (
	urlInText  = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"<>]*[^\s"<>:;,.)]`)
	quotedText = regexp.MustCompile(`(invalid port|malformed MIME header[a-z :]*) "([\w-]+:)?(?:[^"\\]|\\.)*"`)
	unparsed   = regexp.MustCompile(`(failed to parse Location header).*`)
)

// Error removes the secrets of URLs from err, at every depth of its tree, for printing and for errors.As alike: each
// *url.Error becomes one with a redacted URL, and texts that quote an URL are rewritten. Everything else that errors.Is and
// errors.As found they still find, and the marks of package retry stay. An error without secrets comes back as it is, and
// err itself is never changed: it may be another call's too.
func Error(err error) error {
	if err == nil {
		return nil
	}
	return redactTree(err, secrets(err))
}

// secrets are the raw URLs in err's tree, each followed by its replacement.
func secrets(err error) (pairs []string) {
	walk(err, func(e error) {
		var u *url.Error
		if errors.As(e, &u) { // and not a type assertion: retry.Unmark hides its tree from a walk
			if clean := Text(u.URL); clean != u.URL {
				quoted, cleanQuoted := strconv.Quote(u.URL), strconv.Quote(clean)
				pairs = append(pairs, quoted[1:len(quoted)-1], cleanQuoted[1:len(cleanQuoted)-1], u.URL, clean)
			}
		}
	})
	return pairs
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

func redactTree(err error, pairs []string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := strings.NewReplacer(pairs...).Replace(text)
	clean = urlInText.ReplaceAllStringFunc(clean, Text)
	clean = quotedText.ReplaceAllString(clean, `$1 "${2}`+hidden+`"`)
	clean = unparsed.ReplaceAllString(clean, `$1 "`+hidden+`"`)
	if clean == text && len(secrets(err)) == 0 { // this part of the tree holds none
		return err
	}
	switch e := err.(type) {
	case *url.Error:
		return &url.Error{Op: e.Op, URL: Text(e.URL), Err: redactTree(e.Err, pairs)}
	case *retry.Error:
		c := *e
		c.Reason, c.Last = redactTree(e.Reason, pairs), redactTree(e.Last, pairs)
		return &c
	case *retry.Rejection:
		c := *e
		c.Reason, c.Cause = redactTree(e.Reason, pairs), redactTree(e.Cause, pairs)
		return &c
	}
	r := &redacted{err: err, text: clean}
	for _, child := range children(err) {
		if child != nil {
			r.tree = append(r.tree, redactTree(child, pairs))
		}
	}
	if t, ok := err.(interface{ Timeout() bool }); ok && t.Timeout() {
		return remark(Timeout(r), err)
	}
	return remark(r, err)
}

// Timeout makes a net.Error of err, which is what *url.Error looks for in what it holds and no further.
func Timeout(err error) error { return &timedOut{err} }

type timedOut struct{ error }

func (t *timedOut) Unwrap() error   { return t.error }
func (t *timedOut) Timeout() bool   { return true }
func (t *timedOut) Temporary() bool { return true }

// remark puts onto clean the marks that err itself carries: they live in a type that only package retry can make.
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

// redacted stands for one node of a tree, under a text without secrets. It is what the node is, its tree is clean.
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
	// An interface that any error meets is this one's to give, or the text would come back.
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

// Most is how much text of a server an error shows, in bytes.
const Most = 1 << 10

// Cut bounds a text of a server to Most bytes.
func Cut(text string) string {
	if len(text) <= Most {
		return text
	}
	return strings.ToValidUTF8(text[:Most-3], "") + "..."
}

// Server is Error for an error that holds text of a server.
func Server(err error) error { return Error(err) }
