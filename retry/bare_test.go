package retry_test

import (
	"fmt"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

func TestBareTakesOffTheMarksAroundAnErrorOnly(t *testing.T) {
	within := fmt.Errorf("x: %w", retry.Permanent(errBoom))
	for i, tc := range []struct{ err, want error }{
		{nil, nil},
		{errBoom, errBoom},
		{retry.After(retry.Neutral(retry.Permanent(errBoom)), 1), errBoom},
		{retry.Neutral(within), within},
		{retry.Permanent(retry.Unmark(retry.Neutral(within))), within},
	} {
		if got := retry.Bare(tc.err); got != tc.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
