package retry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

type response struct{ body []byte }

func (*response) Error() string { return "503" }
func (*response) Bulky() bool   { return true }

func TestBriefKeepsTheTextOfWhatIsLarge(t *testing.T) {
	page := &response{make([]byte, 1<<20)}
	long := errors.New(strings.Repeat("ä", 10_000))
	small := fmt.Errorf("x: %w", errBoom)
	for name, tc := range map[string]struct {
		err   error
		text  string
		whole bool
	}{
		"small":           {small, "x: boom", true},
		"nil":             {nil, "", true},
		"bulky":           {page, "503", false},
		"bulky, wrapped":  {fmt.Errorf("get: %w", retry.Neutral(page)), "get: 503", false},
		"bulky, joined":   {errors.Join(errBoom, page), "boom\n503", false},
		"bulky, unmarked": {retry.Unmark(page), "503", false},
		"cause of another": {&retry.Rejection{Policy: "p", Reason: errBoom, Cause: page},
			"p: boom (last failure: 503)", false},
		"a loop's last one": {&retry.Error{Reason: retry.ErrExhausted, Last: page}, "", false},
		"long":              {long, "", false},
	} {
		got := retry.Brief(tc.err)
		if (got == tc.err) != tc.whole {
			t.Errorf("%s: kept whole: %v", name, got == tc.err)
		}
		if got == nil {
			continue
		}
		if tc.text != "" && got.Error() != tc.text || len(got.Error()) > 8<<10 ||
			errors.As(got, new(*response)) {
			t.Errorf("%s: %d bytes: %.60q", name, len(got.Error()), got.Error())
		}
	}
}
