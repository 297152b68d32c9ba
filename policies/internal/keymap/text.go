package keymap

import "strings"

// text is how a table keeps a string. The bytes of a short one are in the place itself, which with
// them is a cache line of 64 bytes. So comparing them needs no further memory access, which would
// be half of the cost of a hit.
type text struct {
	long  string // "": the string is short
	short [23]byte
	len   uint8
}

// keepText copies the string, because it is often a part of a longer one, which would be kept too.
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
