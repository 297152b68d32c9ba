package policies_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type status int

func (s status) Error() string   { return fmt.Sprint("status ", int(s)) }
func (s status) StatusCode() int { return int(s) }

func TestClassify(t *testing.T) {
	other := errors.New("other")
	type marks struct{ permanent, neutral bool }
	finally, none := marks{true, true}, marks{}
	for _, c := range []struct {
		name  string
		rules []policies.Rule
		err   error
		want  marks
	}{
		{"no rule", nil, errBoom, none},
		{"listed status", []policies.Rule{policies.Statuses(404)}, status(404), none},
		{"other 4xx", []policies.Rule{policies.Statuses(404)}, status(400), finally},
		{"other 5xx", []policies.Rule{policies.Statuses(404)}, status(500), marks{permanent: true}},
		{"no status", []policies.Rule{policies.Statuses(404)}, errBoom, none},
		{"wrapped status", []policies.Rule{policies.ServerErrors()}, errors.Join(other, fmt.Errorf("x: %w", status(404))), finally},
		{"server error", []policies.Rule{policies.ServerErrors()}, status(503), none},
		{"listed error", []policies.Rule{policies.OnError(other, errBoom)}, errBoom, none},
		{"unlisted error", []policies.Rule{policies.OnError(other)}, errBoom, marks{permanent: true}},
		{"status beside On", []policies.Rule{policies.OnError(other)}, status(404), none},
		{"type", []policies.Rule{policies.FinalType[status]()}, status(503), finally},
		{"first rule wins", []policies.Rule{policies.OnMatch(func(error) bool { return true }), policies.FinalError(errBoom)}, errBoom, none},
		{"final status", []policies.Rule{policies.FinalStatuses(503), policies.ServerErrors()}, status(503), finally},
		{"final only", []policies.Rule{policies.FinalMatch(func(err error) bool { return err == other })}, errBoom, none},
		{"neutral", []policies.Rule{policies.NeutralStatuses(429), policies.ServerErrors()}, status(429), marks{neutral: true}},
		{"neutral type", []policies.Rule{policies.NeutralType[status]()}, status(500), marks{neutral: true}},
		{"rejection", []policies.Rule{policies.OnError(other)}, &retry.Rejection{Reason: errOpen}, none},
	} {
		err := retry.Run(t.Context(), policies.Classify(c.rules...), func(context.Context) error { return c.err })
		if got := (marks{retry.IsPermanent(err), retry.IsNeutral(err)}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		wantIs(t, err, c.err)
	}
}
