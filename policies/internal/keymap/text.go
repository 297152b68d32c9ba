package keymap

import "strings"

// text is how a table keeps a string: the bytes of a short one in the place itself, which is a
// cache line of 64 bytes with it. So to compare them takes no further touch of memory, which would
// be half of what a hit costs.
type text struct {
	long  string // "" of a short one
	short [23]byte
	len   uint8
}

// keepText copies the string: often it is a part of a longer one, which would be kept with it.
func keepText(s string) (t text) {
	if len(s) > len(t.short) {
		t.long = strings.Clone(s)
		return t
	}
	t.len = uint8(copy(t.short[:], s))
	return t
}

func (t *text) String() string {
	if t.long != "" {
		return t.long
	}
	return string(t.short[:t.len])
}

func (t *text) is(s string) bool {
	if len(s) > len(t.short) {
		return t.long == s
	}
	return t.long == "" && string(t.short[:t.len]) == s
}
