package retry_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestVerdictOf(t *testing.T) {
	refused := &retry.Rejection{Policy: "p", Reason: errBoom, RetryAfter: time.Second,
		Cause: retry.Permanent(errBoom)}
	wait := func(err error, s int) error { return retry.After(err, time.Duration(s)*time.Second) }
	loop := func(attempts int, reason, last error) error {
		return &retry.Error{Reason: reason, Attempts: attempts, Last: last}
	}
	for name, tc := range map[string]struct {
		err  error
		want retry.Verdict
	}{
		"nil":   {nil, retry.Verdict{}},
		"plain": {errBoom, retry.Verdict{}},
		"permanent, wrapped": {
			fmt.Errorf("x: %w", retry.Permanent(errBoom)), retry.Verdict{Permanent: true}},
		"both marks": {
			retry.Permanent(retry.Neutral(errBoom)), retry.Verdict{Permanent: true, Neutral: true}},
		"a mark in a join": {
			errors.Join(errBoom, retry.Neutral(errBoom)), retry.Verdict{Neutral: true}},
		"behind Unmark": {retry.Unmark(retry.Permanent(refused)), retry.Verdict{}},
		"a hint": {
			wait(errBoom, 3), retry.Verdict{Refused: true, After: 3 * time.Second,
				Hinted: true, Hint: 3 * time.Second}},
		"the largest of hints": {
			errors.Join(wait(errBoom, 3), wait(errBoom, 5)),
			retry.Verdict{Refused: true, After: 5 * time.Second,
				Hinted: true, Hint: 5 * time.Second}},
		"a hint of unknown time": {wait(errBoom, 0), retry.Verdict{Refused: true, Hinted: true}},
		"a rejection": {
			refused, retry.Verdict{Refused: true, After: time.Second,
				Rejection: refused, Unreached: true}},
		"a hint beside one": {
			errors.Join(refused, wait(errBoom, 9)),
			retry.Verdict{Refused: true, After: 9 * time.Second, Rejection: refused,
				Hinted: true, Hint: 9 * time.Second}},
		"after calls of a loop": {
			loop(2, refused, errBoom),
			retry.Verdict{Refused: true, After: time.Second, Rejection: refused}},
		"a loop without calls": {
			loop(0, refused, nil), retry.Verdict{Refused: true, After: time.Second,
				Rejection: refused, Unreached: true}},
		"a loop's hint": {
			loop(1, retry.ErrExhausted, wait(errBoom, 2)),
			retry.Verdict{Refused: true, After: 2 * time.Second,
				Hinted: true, Hint: 2 * time.Second}},
		"a later permanent": {loop(2, retry.ErrPermanent, errBoom), retry.Verdict{Permanent: true}},
		"configuration": {fmt.Errorf("x: %w", retry.ConfigErrorf("p", "bad")),
			retry.Verdict{Config: true, Unreached: true}},
		"bare ErrConfig": {retry.ErrConfig, retry.Verdict{Config: true, Unreached: true}},
	} {
		if got := retry.VerdictOf(tc.err); got != tc.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
}

func TestARejectionCarriesTheLongerWaitOfAMarkAroundIt(t *testing.T) {
	refused := &retry.Rejection{Policy: "p", Reason: errBoom, RetryAfter: time.Second}
	v := retry.VerdictOf(retry.After(refused, time.Minute))
	if v.Rejection == refused || v.Rejection.RetryAfter != time.Minute || v.Hinted || !v.Unreached {
		t.Errorf("%+v", v)
	}
	if v := retry.VerdictOf(fmt.Errorf("x: %w", retry.ErrRejected)); v.Rejection == nil ||
		v.Rejection.RetryAfter != 0 {
		t.Errorf("a bare ErrRejected: %+v", v)
	}
}

func TestOneWalkReadsAnErrorWithoutAllocating(t *testing.T) {
	err := error(&retry.Error{Reason: retry.ErrExhausted, Attempts: 3,
		Last: fmt.Errorf("x: %w", retry.Neutral(errBoom))})
	if n := testing.AllocsPerRun(100, func() { _ = retry.VerdictOf(err) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTree(t *testing.T) {
	a, b, hidden := errors.New("a"), errors.New("b"), errors.New("hidden")
	var texts []string
	for err := range retry.Tree(fmt.Errorf("top: %w", errors.Join(a, retry.Unmark(hidden), b))) {
		texts = append(texts, err.Error())
	}
	want := []string{"top: a\nhidden\nb", "a\nhidden\nb", "a", "hidden", "b"}
	if !slices.Equal(texts, want) {
		t.Errorf("%q", texts)
	}
	for err := range retry.Tree(errors.Join(a, hidden, b)) {
		if errors.Is(err, hidden) && err == hidden {
			break
		}
		if err == b {
			t.Error("went on after the loop was left")
		}
	}
}

// A nil pointer of one of the package's error types, returned as an error, is a failure that says
// nothing, as any other nil pointer is.
func TestNilPointersOfOurErrorTypesSayNothing(t *testing.T) {
	for _, err := range []error{(*retry.Error)(nil), (*retry.Rejection)(nil)} {
		for _, tree := range []error{
			err, fmt.Errorf("w: %w", err), errors.Join(errBoom, err), retry.Neutral(err),
		} {
			if v := retry.VerdictOf(tree); v.Permanent || v.Refused || v.Rejection != nil {
				t.Errorf("%v: %+v", tree, v)
			}
			if errors.Is(tree, retry.ErrRejected) || errors.Is(tree, retry.ErrExhausted) {
				t.Errorf("%v is of a family", tree)
			}
			if retry.Brief(tree).Error() == "" {
				t.Error("no text")
			}
		}
	}
}
