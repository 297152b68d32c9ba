package keymap

import (
	"strings"
	"testing"
)

func TestTextIsComparedByAllOfIt(t *testing.T) {
	long := strings.Repeat("x", 22)
	texts := []string{"", "\x00", "a", "a\x00", long, long + "y", long + "\x00", long + "yy", long +
		"yz", long + long}
	for _, a := range texts {
		kept := keepText(a)
		if kept.String() != a {
			t.Errorf("%q became %q", a, kept.String())
		}
		for _, b := range texts {
			if kept.is(b) != (a == b) {
				t.Errorf("%q and %q: %v", a, b, a != b)
			}
		}
	}
}
