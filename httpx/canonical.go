package httpx

import (
	"net/url"
	"strings"
)

// canonical returns u in the normal form of RFC 3986, section 6.2.2, for the web: scheme and host
// in lower case; no default port, dot segments or fragment; percent-encoding only where needed, in
// capital letters; a path of at least "/". It returns nil if u is not an http or https URL with a
// host.
func canonical(u *url.URL) *url.URL {
	host := hostOf(u)
	if u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" || host == "" ||
		host[0] == ':' ||
		strings.HasSuffix(u.Hostname(), "..") || host[0] == '.' {
		return nil
	}
	path := "/" + strings.TrimPrefix(withoutDots(normalEscapes(u.EscapedPath())), "/")
	c := &url.URL{Scheme: u.Scheme, User: u.User, Host: host, RawPath: path,
		RawQuery: normalEscapes(u.RawQuery), ForceQuery: u.ForceQuery}
	var err error
	if c.Path, err = url.PathUnescape(path); err != nil {
		return nil
	}
	return c
}

// normalEscapes decodes what need not be encoded, encodes what must be (a space or a letter that is
// not ASCII, as browsers do), and writes escapes in capital letters. A % that does not begin an
// escape becomes %25.
func normalEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
			if unreserved(c) {
				b.WriteByte(c)
				continue
			}
		} else if c != '%' && c > ' ' && c < 0x7f && !strings.ContainsRune("\"<>\\^`{|}", rune(c)) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

const upperHex = "0123456789ABCDEF"

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// unreserved tells whether c is an unreserved character of RFC 3986, section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// withoutDots removes the segments . and .. (RFC 3986, section 5.2.4).
func withoutDots(path string) string {
	if !strings.Contains(path, "/.") {
		return path
	}
	parts := strings.Split(path, "/")
	kept := parts[:1]
	for i, p := range parts[1:] {
		last := i == len(parts)-2
		switch p {
		case "..":
			kept = kept[:max(1, len(kept)-1)]
		case ".":
		default:
			kept = append(kept, p)
			continue
		}
		if last { // what is left is a directory
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/")
}

// parseLink reads a link of a page: it ignores white space around it, and takes a % that does not
// begin an escape as a character.
func parseLink(raw string) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	if err == nil || !strings.Contains(raw, "%") {
		return u, err
	}
	var b strings.Builder
	for i := range len(raw) {
		b.WriteByte(raw[i])
		if raw[i] == '%' && (i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2])) {
			b.WriteString("25")
		}
	}
	return url.Parse(b.String())
}
