package httpx

import (
	"fmt"
	"testing"
)

func TestContentRange(t *testing.T) {
	for _, c := range []struct {
		s    string
		want contentRange
		ok   bool
	}{
		{"bytes 0-499/1234", contentRange{0, 499, 1234}, true},
		{"Bytes 500-1233/1234", contentRange{500, 1233, 1234}, true},
		{"bytes 0-0/1", contentRange{0, 0, 1}, true},
		{"bytes 42-99/*", contentRange{42, 99, -1}, true},
		{"bytes */1234", contentRange{-1, -1, 1234}, true},
		{"bytes */*", contentRange{}, false},
		{"bytes 5-4/10", contentRange{}, false},
		{"bytes 5-10/10", contentRange{}, false},
		{"bytes -5/10", contentRange{}, false},
		{"bytes 5-/10", contentRange{}, false},
		{"bytes 5/10", contentRange{}, false},
		{"bytes 0-4", contentRange{}, false},
		{"bytes 0-4/", contentRange{}, false},
		{"bytes 0 - 4/5", contentRange{}, false},
		{"bytes=0-4/5", contentRange{}, false},
		{"items 0-4/5", contentRange{}, false},
		{"bytes -1-4/5", contentRange{}, false},
		{"", contentRange{}, false},
	} {
		if got, ok := parseContentRange(c.s); ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %+v, %v", c.s, got, ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 0-499/1234")
	f.Add("bytes */7")
	f.Add("bytes 0-99999999999999999999/*")
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := parseContentRange(s)
		if !ok {
			return
		}
		again := fmt.Sprintf("bytes %d-%d/%d", r.first, r.last, r.size)
		switch {
		case r.first < 0:
			again = fmt.Sprintf("bytes */%d", r.size)
		case r.size < 0:
			again = fmt.Sprintf("bytes %d-%d/*", r.first, r.last)
		}
		if back, ok := parseContentRange(again); !ok || back != r {
			t.Errorf("%q: %+v, again %q: %+v, %v", s, r, again, back, ok)
		}
	})
}
