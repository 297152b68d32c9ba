package policies_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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
		{"listed status", []policies.Rule{policies.On(policies.Status(404))}, status(404), none},
		{"other 4xx", []policies.Rule{policies.On(policies.Status(404))}, status(400), finally},
		{"other 5xx", []policies.Rule{policies.On(policies.Status(404))}, status(500), marks{permanent: true}},
		{"no status", []policies.Rule{policies.On(policies.Status(404))}, errBoom, none},
		{"any of several statuses", []policies.Rule{policies.On(policies.ServerErrors)}, errors.Join(status(404), retry.Unmark(fmt.Errorf("x: %w", status(503)))), none},
		{"final among several statuses", []policies.Rule{policies.Final(policies.Status(503)), policies.On(policies.Status(404))}, errors.Join(status(404), status(503)), finally},
		{"several other 4xx", []policies.Rule{policies.On(policies.Status(429))}, errors.Join(status(404), status(400)), finally},
		{"a 4xx beside a 5xx", []policies.Rule{policies.On(policies.Status(429))}, errors.Join(status(404), status(503)), marks{permanent: true}},
		{"gRPC's status", []policies.Rule{policies.On(policies.Status(0, 14, 1006))}, status(14), none},
		{"other gRPC status", []policies.Rule{policies.On(policies.Status(14))}, status(5), marks{permanent: true}},
		{"wrapped status", []policies.Rule{policies.On(policies.ServerErrors)}, errors.Join(other, fmt.Errorf("x: %w", status(404))), finally},
		{"server error", []policies.Rule{policies.On(policies.ServerErrors)}, status(503), none},
		{"listed error", []policies.Rule{policies.On(policies.Is(other, errBoom))}, errBoom, none},
		{"unlisted error", []policies.Rule{policies.On(policies.Is(other))}, errBoom, marks{permanent: true}},
		{"status beside On", []policies.Rule{policies.On(policies.Is(other))}, status(404), none},
		{"type", []policies.Rule{policies.Final(policies.As[status]())}, status(503), finally},
		{"first rule wins", []policies.Rule{policies.On(policies.Func(func(error) bool { return true })), policies.Final(policies.Is(errBoom))}, errBoom, none},
		{"final status", []policies.Rule{policies.Final(policies.Status(503)), policies.On(policies.ServerErrors)}, status(503), finally},
		{"final only", []policies.Rule{policies.Final(policies.Func(func(err error) bool { return err == other }))}, errBoom, none},
		{"neutral", []policies.Rule{policies.Neutral(policies.Status(429)), policies.On(policies.ServerErrors)}, status(429), marks{neutral: true}},
		{"neutral type", []policies.Rule{policies.Neutral(policies.As[status]())}, status(500), marks{neutral: true}},
		{"rejection", []policies.Rule{policies.On(policies.Is(other))}, &retry.Rejection{Reason: errOpen}, none},
		{"rejection with a status", []policies.Rule{policies.On(policies.ServerErrors)}, &retry.Rejection{Reason: status(404)}, none},
		{"final rejection", []policies.Rule{policies.Final(policies.Is(errOpen))}, &retry.Rejection{Reason: errOpen}, finally},
		{"configuration", []policies.Rule{policies.Final(policies.Is(retry.ErrConfig))}, retry.ConfigErrorf("x", "bad"), none},
	} {
		err := retry.Run(t.Context(), policies.Classify(c.rules...), func(context.Context) error { return c.err })
		if got := (marks{retry.IsPermanent(err), retry.IsNeutral(err)}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		wantIs(t, err, c.err)
	}
}

// The end of a call's time is no answer, and left alone; but a rule that speaks of it decides.
func TestClassifyTheEndOfTheContext(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	refused := &retry.Rejection{Reason: errOpen}
	all := func(error) bool { return true }
	timed := retry.Chain(policies.Constant(0), policies.Timeout(time.Second))
	for name, c := range map[string]struct {
		around retry.Policy
		rule   policies.Rule
		call   func(context.Context) error
		within time.Duration
		calls  int
	}{
		"no rule for a timeout":     {timed, policies.On(policies.Is(errBoom)), hang, time.Hour, 3},
		"in other words":            {timed, policies.On(policies.Is(errBoom)), func(ctx context.Context) error { <-ctx.Done(); return errOpen }, time.Hour, 3},
		"a rule for it":             {timed, policies.Final(policies.Is(context.DeadlineExceeded)), hang, time.Hour, 1},
		"neutral":                   {timed, policies.Neutral(policies.Is(context.DeadlineExceeded)), hang, time.Hour, 3},
		"the caller's end is final": {policies.Constant(0), policies.On(policies.Func(all)), hang, time.Second, 1},
		"a refusal is no failure":   {policies.Constant(0), policies.On(policies.Is(errOpen)), func(context.Context) error { return refused }, time.Hour, 1},
	} {
		bubble(t, name, func(t *testing.T) {
			n := 0
			err := retry.Run(within(t, c.within), retry.Chain(c.around, policies.Classify(c.rule)), func(ctx context.Context) error { n++; return c.call(ctx) })
			if n != c.calls || err == nil {
				t.Errorf("%d calls, want %d: %v", n, c.calls, err)
			}
		})
	}
}
