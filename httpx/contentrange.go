package httpx

import "strings"

// contentRange is a Content-Range field in bytes (RFC 9110, section 14.4): first to last, both included, of size bytes in
// all. size is -1 where the server does not know it; first and last are -1 in an unsatisfied range, as a 416 sends.
type contentRange struct{ first, last, size int64 }

// parseContentRange reads "bytes 0-499/1234", "bytes 0-499/*" and "bytes */1234". A range that ends before it begins or
// beyond the size is malformed.
func parseContentRange(s string) (contentRange, bool) {
	unit, rest, ok := strings.Cut(trimOWS(s), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, total, ok := strings.Cut(rest, "/")
	if !ok {
		return contentRange{}, false
	}
	r := contentRange{first: -1, last: -1, size: -1}
	if total != "*" {
		if r.size, ok = parseDigits(total); !ok {
			return contentRange{}, false
		}
	}
	if span == "*" {
		return r, r.size >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	var okFirst, okLast bool
	r.first, okFirst = parseDigits(first)
	r.last, okLast = parseDigits(last)
	if !okFirst || !okLast || r.last < r.first || r.size >= 0 && r.last >= r.size {
		return contentRange{}, false
	}
	return r, true
}
