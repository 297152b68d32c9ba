package field

import "strings"

// ContentRange is a Content-Range field in bytes (RFC 9110, section 14.4): first to last, both
// included, of size bytes in all. size is -1 if the server does not know it; first and last are -1
// in an unsatisfied range, as sent with a 416.
type ContentRange struct{ First, Last, Size int64 }

// ParseContentRange reads "bytes 0-499/1234", "bytes 0-499/*" and "bytes */1234". A range that ends
// before it begins or beyond the size is malformed.
func ParseContentRange(s string) (ContentRange, bool) {
	unit, rest, ok := strings.Cut(Trim(s), " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return ContentRange{}, false
	}
	span, total, ok := strings.Cut(rest, "/")
	if !ok {
		return ContentRange{}, false
	}
	r := ContentRange{First: -1, Last: -1, Size: -1}
	if total != "*" {
		if r.Size, ok = Digits(total); !ok {
			return ContentRange{}, false
		}
	}
	if span == "*" {
		return r, r.Size >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	var okFirst, okLast bool
	r.First, okFirst = Digits(first)
	r.Last, okLast = Digits(last)
	if !okFirst || !okLast || r.Last < r.First || r.Size >= 0 && r.Last >= r.Size {
		return ContentRange{}, false
	}
	return r, true
}
