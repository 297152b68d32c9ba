package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestMarks(t *testing.T) {
	const s = time.Second
	rejection := &retry.Rejection{Policy: "p", Reason: errBoom, RetryAfter: 3 * s,
		Cause: retry.Permanent(retry.After(fs.ErrClosed, 9*s))}
	for _, tc := range []struct {
		name               string
		err                error
		permanent, neutral bool
		after              time.Duration
		refused            bool
	}{
		{"nil", nil, false, false, 0, false},
		{"plain", errBoom, false, false, 0, false},
		{"permanent", retry.Permanent(errBoom), true, false, 0, false},
		{"neutral", retry.Neutral(errBoom), false, true, 0, false},
		{"both", retry.Neutral(retry.Permanent(errBoom)), true, true, 0, false},
		{"after", retry.After(errBoom, s), false, false, s, true},
		{"after, time unknown", retry.After(errBoom, 0), false, false, 0, true},
		{"negative is absent", retry.After(errBoom, -s), false, false, 0, false},
		{"wrapped", fmt.Errorf("user 7: %w", retry.Permanent(errBoom)), true, false, 0, false},
		{"joined", errors.Join(errBoom, retry.Neutral(errBoom), retry.Permanent(errBoom)),
			true, true, 0, false},
		{"largest hint", errors.Join(retry.After(errBoom, s),
			retry.After(retry.After(errBoom, 2*s), s)), false, false, 2 * s, true},
		{"rejection, not its cause", rejection, false, false, 3 * s, true},
		{"bare rejection", fmt.Errorf("quota: %w", retry.ErrRejected), false, false, 0, true},
		{"told by an inner loop",
			&retry.Error{Reason: retry.ErrPermanent, Last: errBoom}, true, false, 0, false},
		{"marks of the last failure",
			&retry.Error{Reason: retry.ErrExhausted, Last: retry.After(errBoom, s)},
			false, false, s, true},
		{"unmarked", retry.Unmark(retry.Neutral(retry.Permanent(retry.After(errBoom, s)))),
			false, false, 0, false},
		{"unmarked rejection", retry.Unmark(rejection), false, false, 0, false},
		{"marked anew", retry.Permanent(retry.Unmark(retry.Neutral(errBoom))),
			true, false, 0, false},
		{"beside an unmarked one",
			errors.Join(retry.Unmark(retry.Permanent(errBoom)), retry.Neutral(errBoom)),
			false, true, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := retry.IsPermanent(tc.err); got != tc.permanent {
				t.Errorf("IsPermanent = %v", got)
			}
			if got := retry.IsNeutral(tc.err); got != tc.neutral {
				t.Errorf("IsNeutral = %v", got)
			}
			if after, refused := retry.RetryAfter(tc.err); after != tc.after ||
				refused != tc.refused {
				t.Errorf("RetryAfter = %v, %v", after, refused)
			}
		})
	}
}

func TestRejectionTellsTheTimeOfTheMarksAroundIt(t *testing.T) {
	bare, full := fmt.Errorf("quota: %w", retry.ErrRejected), &retry.Rejection{Reason: errBoom}
	for i, tc := range []struct {
		err   error
		after time.Duration
		ok    bool
	}{
		{bare, 0, true},
		{retry.After(bare, time.Second), time.Second, true},
		{retry.After(fmt.Errorf("x: %w", full), time.Second), time.Second, true},
		{errors.Join(retry.After(errBoom, time.Second), full), 0, true},
		{retry.After(&retry.Rejection{Reason: errBoom, RetryAfter: time.Minute}, time.Second),
			time.Minute, true},
		{&retry.Error{Reason: bare, Last: retry.After(errBoom, time.Second)}, 0, true},
		{&retry.Rejection{Reason: bare, RetryAfter: time.Minute}, time.Minute, true},
		{retry.Unmark(bare), 0, false},
	} {
		r, ok := retry.Rejected(tc.err)
		if ok != tc.ok || ok && (r.RetryAfter != tc.after || !errors.Is(r, retry.ErrRejected)) {
			t.Errorf("%d: %+v, %v", i, r, ok)
		}
	}
}

func TestMarksOfNilAreNil(t *testing.T) {
	for i, err := range []error{retry.Permanent(nil), retry.Neutral(nil),
		retry.After(nil, time.Second), retry.Unmark(nil)} {
		if err != nil {
			t.Errorf("mark %d of nil is %v", i, err)
		}
	}
}

func TestMarksAreNotSeen(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}
	for name, err := range map[string]error{
		"permanent": retry.Permanent(cause),
		"neutral":   retry.Neutral(cause),
		"after":     retry.After(cause, 1),
		"unmarked":  retry.Unmark(retry.Permanent(cause)),
	} {
		var path *fs.PathError
		if err.Error() != cause.Error() || !errors.Is(err, fs.ErrNotExist) ||
			!errors.As(err, &path) || path != cause {
			t.Errorf("%s: %v does not pass for %v", name, err, cause)
		}
	}
	if got := fmt.Sprintf("%+q", retry.Permanent(errBoom)); got != `"boom"` {
		t.Errorf("verb: %s", got)
	}
}

func TestRejectedLooksNotBehindUnmark(t *testing.T) {
	r := &retry.Rejection{Policy: "breaker catalog", Reason: errBoom}
	if got, ok := retry.Rejected(fmt.Errorf("loading: %w", r)); !ok || got != r {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := retry.Rejected(retry.Unmark(r)); ok {
		t.Error("seen through Unmark")
	}
	if !errors.Is(retry.Unmark(r), retry.ErrRejected) {
		t.Error("errors.Is must see through Unmark")
	}
}

func TestErrorTexts(t *testing.T) {
	const ms = time.Millisecond
	rejection := &retry.Rejection{Policy: "breaker catalog", Reason: errors.New("circuit open"),
		RetryAfter: 2*time.Second + 3*ms, Cause: errBoom}
	for _, c := range []struct {
		err  error
		want string
	}{
		{&retry.Error{Reason: retry.ErrExhausted, Attempts: 4, Elapsed: 1430 * ms, Last: errBoom},
			"retries exhausted after 4 attempts in 1.43s: boom"},
		{&retry.Error{Reason: context.DeadlineExceeded, Attempts: 1, Elapsed: 20 * ms,
			Wait: time.Hour, Last: errBoom}, "context deadline exceeded after 1 attempt in 20ms, " +
			"the next wait of 1h0m0s does not fit: boom"},
		{&retry.Error{Reason: retry.ErrExhausted, Attempts: 1, Elapsed: 20 * ms,
			Wait: 10 * time.Minute, Last: errBoom}, "retries exhausted after 1 attempt in 20ms, " +
			"the next wait of 10m0s does not fit MaxElapsed: boom"},
		{rejection, "breaker catalog: circuit open, retry after 2.003s (last failure: boom)"},
		{&retry.Error{Reason: rejection, Attempts: 2, Elapsed: 300 * ms,
			Last: errors.New("timeout")}, "breaker catalog: circuit open, retry after 2.003s " +
			"(last failure: boom) after 2 attempts in 300ms: timeout"},
		{&retry.Rejection{Policy: "limiter", Reason: errors.New("full")}, "limiter: full"},
		{&retry.Error{Reason: retry.ErrExhausted}, "retries exhausted after 0 attempts in 0s"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestErrorMatchesReasonAndLast(t *testing.T) {
	err := fmt.Errorf("loading: %w",
		&retry.Error{Reason: &retry.Rejection{Policy: "p", Reason: fs.ErrClosed,
			Cause: fs.ErrExist}, Last: errBoom})
	for target, want := range map[error]bool{errBoom: true, retry.ErrRejected: true,
		fs.ErrClosed: true, fs.ErrExist: false, retry.ErrExhausted: false} {
		if got := errors.Is(err, target); got != want {
			t.Errorf("Is %v = %v", target, got)
		}
	}
	for _, e := range []*retry.Error{{}, {Last: errBoom}, {Reason: errBoom}} {
		if errors.Is(e, errBoom) != (*e != retry.Error{}) {
			t.Errorf("%#v", e)
		}
	}
}
