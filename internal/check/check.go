// Package check holds what the tests of several packages assert. Only tests import it.
package check

import (
	"errors"
	"testing"
	"time"
)

// Is fails t for each of targets that err is not.
func Is(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("%v is not %v", err, target)
		}
	}
}

// Not fails t for each of targets that err is.
func Not(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if errors.Is(err, target) {
			t.Errorf("%v is %v", err, target)
		}
	}
}

// Fast fails t if f, which reads so many bytes, takes longer than most each time of ten: others use
// the machine too, which may stall for a second.
func Fast(t testing.TB, bytes int, most time.Duration, f func()) {
	t.Helper()
	took := time.Duration(0)
	for tries := 0; tries < 10 && took < time.Minute; tries++ {
		start := time.Now()
		f()
		if took = time.Since(start); took <= most {
			return
		}
	}
	t.Errorf("%d bytes took %v", bytes, took)
}

// OneOf fails t if each of so many tries has a problem: one alone proves little of what is drawn,
// or of what a busy machine delays.
func OneOf(t testing.TB, tries int, try func() (problem string)) {
	t.Helper()
	problem := ""
	for range tries {
		if problem = try(); problem == "" {
			return
		}
		t.Log(problem)
	}
	t.Error(problem)
}
