package retry

import "strings"

const briefBytes = 8 << 10 // of text

// Brief returns what a policy may keep of a failure after its call is over, as a breaker keeps the
// last one and a pacer the last refusal. An error that holds more than its text, such as an HTTP
// status with header and body, says so with a method Bulky() bool anywhere in its tree. Of such an
// error, and of one whose text is longer than 8 KiB, Brief keeps the first 8 KiB of the text and no
// marks; any other comes back as it is. Brief(nil) is nil.
func Brief(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if len(text) <= briefBytes && !bulky(err) {
		return err
	}
	if len(text) > briefBytes {
		text = strings.ToValidUTF8(text[:briefBytes-3], "") + "..."
	}
	return &brief{strings.Clone(text)}
}

type brief struct{ text string }

func (b *brief) Error() string { return b.text }

func bulky(err error) bool {
	for e := range Tree(err) {
		switch e := e.(type) {
		case interface{ Bulky() bool }:
			if e.Bulky() {
				return true
			}
		case *unmarked:
			if bulky(e.err) {
				return true
			}
		case *Rejection:
			if e != nil && bulky(e.Cause) {
				return true
			}
		}
	}
	return false
}
