package policies_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestFailover(t *testing.T) {
	noRows := errors.New("no rows")
	final := retry.Permanent(retry.Neutral(noRows))
	for _, c := range []struct {
		name    string
		callees []error // what each says; its value is its number
		asked   int
		is      []error // of the error, none for a success
	}{
		{"the first answers", []error{nil, nil}, 1, nil},
		{"the next at once if one fails", []error{errBoom, nil, nil}, 2, nil},
		{"the next at once if one is refused", []error{refuse(time.Hour), nil}, 2, nil},
		{"a refusal that is final is still a refusal",
			[]error{retry.Permanent(refuse(0)), nil}, 2, nil},
		{"a final answer is an answer", []error{errBoom, final, nil}, 2, []error{errBoom, noRows}},
		{"a final answer of the first, as it is", []error{final, nil}, 1, []error{noRows}},
		{"what must not be repeated", []error{retry.Permanent(errBoom), nil}, 1, []error{errBoom}},
		{"a configuration error", []error{retry.ConfigErrorf("x", "bad"), nil}, 1,
			[]error{retry.ErrConfig}},
		{"all fail", []error{errBoom, noRows}, 2, []error{errBoom, noRows}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			asked, start := 0, time.Now()
			var calls []func(context.Context) (int, error)
			for i, err := range c.callees {
				calls = append(calls, func(context.Context) (int, error) {
					asked++
					return i + 1, err
				})
			}
			v, err := policies.Failover(calls...)(t.Context())
			if v != c.asked || asked != c.asked || (err == nil) != (c.is == nil) ||
				time.Since(start) != 0 {
				t.Errorf("value %d after %d calls, want %d: %v", v, asked, c.asked, err)
			}
			wantIs(t, err, c.is...)
			if c.asked == 1 && err != c.callees[0] {
				t.Errorf("got %v, want it as it is", err)
			}
		})
	}
	for _, calls := range [][]func(context.Context) (int, error){nil, {nil}} {
		_, err := policies.Failover(calls...)(t.Context())
		wantIs(t, err, retry.ErrConfig)
	}
}

// Around it, the last callee that was reached speaks for all, or the refusal that ends first.
func TestFailoverSpeaksForOne(t *testing.T) {
	for _, c := range []struct {
		name string
		errs []error
		want retry.Verdict
	}{
		{"a refusal, then a failure", []error{refuse(time.Hour), errBoom}, retry.Verdict{}},
		{"a failure, then a refusal", []error{errBoom, refuse(time.Hour)}, retry.Verdict{}},
		{"the last failure's marks",
			[]error{retry.After(errBoom, time.Hour), retry.Neutral(errBoom)},
			retry.Verdict{Neutral: true}},
		{"the refusal that ends first",
			[]error{refuse(time.Hour), refuse(time.Minute), refuse(time.Hour)},
			retry.Verdict{Refused: true, After: time.Minute, Unreached: true}},
		{"a known time before an unknown one", []error{refuse(0), refuse(time.Minute), refuse(0)},
			retry.Verdict{Refused: true, After: time.Minute, Unreached: true}},
	} {
		var calls []func(context.Context) (int, error)
		for _, err := range c.errs {
			calls = append(calls, func(context.Context) (int, error) { return 0, err })
		}
		_, err := policies.Failover(calls...)(t.Context())
		got := retry.VerdictOf(err)
		if r := got.Rejection; (r != nil) != c.want.Refused ||
			r != nil && r.RetryAfter != c.want.After {
			t.Errorf("%s: rejection %v", c.name, r)
		}
		if got.Rejection = nil; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		wantIs(t, err, c.errs...)
	}
}

func TestFailoverEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	call := func(context.Context) (int, error) { asked++; cancel(); return 7, errBoom }
	v, err := policies.Failover(call, call)(ctx)
	wantIs(t, err, errBoom, context.Canceled)
	if v != 7 || asked != 1 {
		t.Errorf("%d calls: %d, %v", asked, v, err)
	}
	if _, err = policies.Failover(call, call)(ctx); asked != 1 ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("%d calls: %v", asked, err)
	}
}
