package htmlpage

import (
	"testing"
	"time"
)

// fast fails t if f, which reads so many bytes, takes too long: more than a second
// plus the time each for every byte. Five tries are made, because the machine may stall for a
// second.
func fast(t *testing.T, bytes int, each time.Duration, f func()) {
	t.Helper()
	took := time.Duration(0)
	for tries := 0; tries < 5 && took < time.Minute; tries++ {
		start := time.Now()
		f()
		if took = time.Since(start); took <= time.Second+time.Duration(bytes)*each {
			return
		}
	}
	t.Errorf("%d bytes took %v", bytes, took)
}
