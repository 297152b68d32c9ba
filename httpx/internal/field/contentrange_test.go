package field

import (
	"fmt"
	"testing"

	"github.com/reprise-go/reprise/internal/check"
)

func TestContentRange(t *testing.T) {
	for _, c := range []struct {
		s    string
		want ContentRange
		ok   bool
	}{
		{"bytes 0-499/1234", ContentRange{0, 499, 1234}, true},
		{"Bytes 500-1233/1234", ContentRange{500, 1233, 1234}, true},
		{"bytes 0-0/1", ContentRange{0, 0, 1}, true},
		{"bytes 42-99/*", ContentRange{42, 99, -1}, true},
		{"bytes */1234", ContentRange{-1, -1, 1234}, true},
		{"bytes */*", ContentRange{}, false},
		{"bytes 5-4/10", ContentRange{}, false},
		{"bytes 5-10/10", ContentRange{}, false},
		{"bytes -5/10", ContentRange{}, false},
		{"bytes 5-/10", ContentRange{}, false},
		{"bytes 5/10", ContentRange{}, false},
		{"bytes 0-4", ContentRange{}, false},
		{"bytes 0-4/", ContentRange{}, false},
		{"bytes 0 - 4/5", ContentRange{}, false},
		{"bytes=0-4/5", ContentRange{}, false},
		{"items 0-4/5", ContentRange{}, false},
		{"bytes -1-4/5", ContentRange{}, false},
		{"", ContentRange{}, false},
	} {
		if got, ok := ParseContentRange(c.s); ok != c.ok || ok && got != c.want {
			t.Errorf("%q: %+v, %v", c.s, got, ok)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	f.Add("bytes 0-499/1234")
	f.Add("bytes */7")
	f.Add("bytes 0-99999999999999999999/*")
	f.Fuzz(func(t *testing.T, s string) {
		var r ContentRange
		var ok bool
		check.Fast(t, len(s), fuzzTime, func() { r, ok = ParseContentRange(s) })
		if !ok {
			return
		}
		again := fmt.Sprintf("bytes %d-%d/%d", r.First, r.Last, r.Size)
		switch {
		case r.First < 0:
			again = fmt.Sprintf("bytes */%d", r.Size)
		case r.Size < 0:
			again = fmt.Sprintf("bytes %d-%d/*", r.First, r.Last)
		}
		if back, ok := ParseContentRange(again); !ok || back != r {
			t.Errorf("%q: %+v, again %q: %+v, %v", s, r, again, back, ok)
		}
	})
}
