package policies_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type status int

func (s status) Error() string   { return fmt.Sprint("status ", int(s)) }
func (s status) StatusCode() int { return int(s) }

type smithy int // as the AWS SDK's response errors

func (s smithy) Error() string       { return fmt.Sprint("api error ", int(s)) }
func (s smithy) HTTPStatusCode() int { return int(s) }

type sqlState string // as pgx's and lib/pq's errors

func (s sqlState) Error() string    { return "SQLSTATE " + string(s) }
func (s sqlState) SQLState() string { return string(s) }

type grpcError int // has a status, but no method that says it

func (g grpcError) Error() string { return fmt.Sprint("rpc error: code ", int(g)) }

func grpcCode(err error) (int, bool) {
	g, ok := errors.AsType[grpcError](err)
	return int(g), ok
}

// A status rule that finds no status did not decide, and the error says so.
func TestClassifyTellsThatItFoundNoStatus(t *testing.T) {
	const note = " (no status found: see StatusOf)"
	onUnavailable := policies.On(policies.Status(14))
	for _, c := range []struct {
		name  string
		rules []policies.Rule
		err   error
		noted bool
		calls int
	}{
		{"an error without one", []policies.Rule{onUnavailable}, grpcError(3), true, 3},
		{"in the rule of another verdict",
			[]policies.Rule{policies.Final(policies.Status(404))}, errBoom, true, 3},
		{"final by Else", []policies.Rule{onUnavailable, policies.Else(policies.Fatal)},
			grpcError(3), true, 1},
		{"matched otherwise", []policies.Rule{onUnavailable, policies.On(policies.As[grpcError]())},
			grpcError(3), false, 3},
		{"a way to read it", []policies.Rule{policies.StatusOf(grpcCode), onUnavailable},
			grpcError(3), false, 1},
		{"a way that finds none",
			[]policies.Rule{policies.StatusOf(grpcCode), onUnavailable}, errBoom, false, 3},
		{"no status rule", []policies.Rule{policies.Final(policies.Is(errOpen))}, grpcError(3),
			false, 3},
		{"a rejection", []policies.Rule{onUnavailable},
			&retry.Rejection{Policy: "p", Reason: errOpen}, false, 1},
	} {
		n := 0
		err := retry.Run(t.Context(),
			retry.Chain(policies.Constant(0),
				policies.Classify(c.rules...)), func(context.Context) error { n++; return c.err })
		if noted := strings.Contains(fmt.Sprint(err), note); noted != c.noted || n != c.calls {
			t.Errorf("%s: %d calls, want %d: %v", c.name, n, c.calls, err)
		}
		wantIs(t, err, c.err)
	}
}

func TestClassifyMistakes(t *testing.T) {
	for want, rules := range map[string][]policies.Rule{
		"policies.Classify: rule 1 is the zero Rule":   {{}},
		"policies.Classify: On(): must have a matcher": {policies.On()},
		"policies.Classify: Fatal: the zero Matcher matches nothing": {
			policies.Fatal(policies.Matcher{})},
		"policies.Classify: Is(): must name an error": {policies.On(policies.Is())},
		"policies.Classify: Is(nil): must not be nil": {policies.On(policies.Is(errBoom, nil))},
		"policies.Classify: Func(nil): must not be nil": {
			policies.Neutral(policies.Func(nil))},
		"policies.Classify: Status(): must name a status": {policies.Final(policies.Status())},
		"policies.Classify: Status(-1): must not be negative": {
			policies.Final(policies.Status(404, -1))},
		`policies.Classify: SQLState("4000"): must be five characters, or two for a class`: {
			policies.Final(policies.SQLState("4000"))},
		"policies.Classify: StatusOf(nil): must not be nil": {policies.StatusOf(nil)},
		"policies.Classify: StatusOf: must be first in the list": {
			policies.On(policies.Status(1)), policies.StatusOf(grpcCode)},
		"policies.Classify: Else(nil): must be On, Neutral, Final or Fatal": {policies.Else(nil)},
		"policies.Classify: Else: must be given once": {
			policies.Else(policies.On), policies.Else(policies.Final)},
	} {
		if err := retry.Validate(policies.Classify(rules...)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The rules for a database: a serialization failure is retried and nobody's fault, a lost
// connection is retried and the database's fault, a unique violation is an answer.
func TestClassifySQLStates(t *testing.T) {
	p := policies.Classify(policies.Neutral(policies.SQLState("40001")),
		policies.Final(policies.SQLState("23505")))
	for err, want := range map[error]retry.Verdict{
		sqlState("40001"): {Neutral: true}, errBoom: {}, sqlState("23505"): {Permanent: true,
			Neutral: true},
	} {
		got := retry.VerdictOf(retry.Run(t.Context(), p, func(context.Context) error {
			return err
		}))
		if got != want {
			t.Errorf("%v: %+v, want %+v", err, got, want)
		}
	}
}

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
		{"other 5xx", []policies.Rule{policies.On(policies.Status(404))},
			status(500), marks{permanent: true}},
		{"no status", []policies.Rule{policies.On(policies.Status(404))}, errBoom, none},
		{"any of several statuses", []policies.Rule{policies.On(policies.ServerErrors)},
			errors.Join(status(404), retry.Unmark(fmt.Errorf("x: %w", status(503)))), none},
		{"final among several statuses",
			[]policies.Rule{policies.Final(policies.Status(503)),
				policies.On(policies.Status(404))}, errors.Join(status(404), status(503)), finally},
		{"several other 4xx", []policies.Rule{policies.On(policies.Status(429))},
			errors.Join(status(404), status(400)), finally},
		{"a 4xx beside a 5xx", []policies.Rule{policies.On(policies.Status(429))},
			errors.Join(status(404), status(503)), marks{permanent: true}},
		{"gRPC's status", []policies.Rule{policies.On(policies.Status(0, 14, 1006))},
			status(14), none},
		{"other gRPC status", []policies.Rule{policies.On(policies.Status(14))},
			status(5), marks{permanent: true}},
		{"wrapped status", []policies.Rule{policies.On(policies.ServerErrors)},
			errors.Join(other, fmt.Errorf("x: %w", status(404))), finally},
		{"server error", []policies.Rule{policies.On(policies.ServerErrors)}, status(503), none},
		{"listed error", []policies.Rule{policies.On(policies.Is(other, errBoom))}, errBoom, none},
		{"unlisted error", []policies.Rule{policies.On(policies.Is(other))},
			errBoom, marks{permanent: true}},
		{"status beside On", []policies.Rule{policies.On(policies.Is(other))}, status(404), none},
		{"type", []policies.Rule{policies.Final(policies.As[status]())}, status(503), finally},
		{"first rule wins",
			[]policies.Rule{policies.On(policies.Func(func(error) bool { return true })),
				policies.Final(policies.Is(errBoom))}, errBoom, none},
		{"final status", []policies.Rule{policies.Final(policies.Status(503)),
			policies.On(policies.ServerErrors)}, status(503), finally},
		{"final only",
			[]policies.Rule{policies.Final(
				policies.Func(func(err error) bool { return err == other }))}, errBoom, none},
		{"neutral", []policies.Rule{policies.Neutral(policies.Status(429)),
			policies.On(policies.ServerErrors)}, status(429), marks{neutral: true}},
		{"neutral type", []policies.Rule{policies.Neutral(policies.As[status]())},
			status(500), marks{neutral: true}},
		{"rejection", []policies.Rule{policies.On(policies.Is(other))},
			&retry.Rejection{Reason: errOpen}, none},
		{"rejection with a status", []policies.Rule{policies.On(policies.ServerErrors)},
			&retry.Rejection{Reason: status(404)}, none},
		{"final rejection", []policies.Rule{policies.Final(policies.Is(errOpen))},
			&retry.Rejection{Reason: errOpen}, finally},
		{"fatal", []policies.Rule{policies.Fatal(policies.As[status]())},
			status(404), marks{permanent: true}},
		{"HTTPStatusCode", []policies.Rule{policies.On(policies.Status(404))},
			fmt.Errorf("x: %w", smithy(503)), marks{permanent: true}},
		{"HTTPStatusCode listed",
			[]policies.Rule{policies.On(policies.ServerErrors)}, smithy(503), none},
		{"a state among matchers",
			[]policies.Rule{policies.Neutral(policies.Is(other), policies.SQLState("40001"))},
			fmt.Errorf("x: %w", sqlState("40001")), marks{neutral: true}},
		{"another state", []policies.Rule{policies.Neutral(policies.SQLState("40001"))},
			sqlState("40P01"), none},
		{"a class of states", []policies.Rule{policies.Final(policies.SQLState("23"))},
			sqlState("23505"), finally},
		{"the class of a state that only looks like it",
			[]policies.Rule{policies.Final(policies.SQLState("23"))}, sqlState("2"), none},
		{"a state behind Unmark", []policies.Rule{policies.Final(policies.SQLState("23505"))},
			retry.Unmark(sqlState("23505")), finally},
		{"unlisted, beside a listed state",
			[]policies.Rule{policies.On(policies.SQLState("40001"))},
			errBoom, marks{permanent: true}},
		{"a status by StatusOf",
			[]policies.Rule{policies.StatusOf(grpcCode), policies.On(policies.Status(14))},
			grpcError(3), marks{permanent: true}},
		{"listed by StatusOf", []policies.Rule{policies.StatusOf(grpcCode),
			policies.On(policies.Status(14))}, grpcError(14), none},
		{"StatusOf beside a method",
			[]policies.Rule{policies.StatusOf(grpcCode), policies.On(policies.ServerErrors)},
			status(404), finally},
		{"else fatal", []policies.Rule{policies.Else(policies.Fatal),
			policies.On(policies.Is(other))}, errBoom, marks{permanent: true}},
		{"else final", []policies.Rule{policies.On(policies.ServerErrors),
			policies.Else(policies.Final)}, status(503), none},
		{"else final, no status",
			[]policies.Rule{policies.On(policies.ServerErrors), policies.Else(policies.Final)},
			errBoom, finally},
		{"else neutral", []policies.Rule{policies.Else(policies.Neutral)},
			errBoom, marks{neutral: true}},
		{"else on", []policies.Rule{policies.On(policies.Status(404)), policies.Else(policies.On)},
			status(400), none},
		{"else spares rejections", []policies.Rule{policies.Else(policies.Final)},
			&retry.Rejection{Reason: errOpen}, none},
		{"configuration", []policies.Rule{policies.Final(policies.Is(retry.ErrConfig))},
			retry.ConfigErrorf("x", "bad"), none},
	} {
		err := retry.Run(t.Context(), policies.Classify(c.rules...), func(context.Context) error {
			return c.err
		})
		if got := (marks{retry.IsPermanent(err), retry.IsNeutral(err)}); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		wantIs(t, err, c.err)
	}
}

// The end of a call's time is not an answer and is left alone, unless a rule names it.
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
		"no rule for a timeout": {timed, policies.On(policies.Is(errBoom)), hang, time.Hour, 3},
		"in other words": {
			timed, policies.On(policies.Is(errBoom)), func(ctx context.Context) error {
				<-ctx.Done()
				return errOpen
			}, time.Hour, 3},
		"a rule for it": {
			timed, policies.Final(policies.Is(context.DeadlineExceeded)), hang, time.Hour, 1},
		"neutral": {
			timed, policies.Neutral(policies.Is(context.DeadlineExceeded)), hang, time.Hour, 3},
		"the caller's end is final": {
			policies.Constant(0), policies.On(policies.Func(all)), hang, time.Second, 1},
		"a refusal is no failure": {
			policies.Constant(0), policies.On(policies.Is(errOpen)),
			func(context.Context) error { return refused }, time.Hour, 1},
	} {
		bubble(t, name, func(t *testing.T) {
			n := 0
			err := retry.Run(within(t, c.within), retry.Chain(c.around, policies.Classify(c.rule)),
				func(ctx context.Context) error { n++; return c.call(ctx) })
			if n != c.calls || err == nil {
				t.Errorf("%d calls, want %d: %v", n, c.calls, err)
			}
		})
	}
}
