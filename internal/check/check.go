// Package check holds what the tests of several packages assert. Only tests import it.
package check

import (
	"errors"
	"testing"
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
