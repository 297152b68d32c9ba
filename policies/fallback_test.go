package policies_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestFallback(t *testing.T) {
	call := func(err error) func(context.Context) (int, error) {
		return func(context.Context) (int, error) { return 1, err }
	}
	instead := func(err error) func(context.Context, error) (int, error) {
		return func(_ context.Context, cause error) (int, error) {
			wantIs(t, cause, errBoom)
			return 2, err
		}
	}
	if v, err := policies.Fallback(call(nil), instead(nil))(t.Context()); v != 1 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	if v, err := policies.Fallback(call(errBoom), instead(nil))(t.Context()); v != 2 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	v, err := policies.Fallback(call(errBoom), instead(errOpen))(t.Context())
	if wantIs(t, err, errBoom, errOpen); v != 2 {
		t.Errorf("value %d", v)
	}
	_, err = policies.Fallback[int](nil, nil)(t.Context())
	wantIs(t, err, retry.ErrConfig)
}

// A refusal of instead says nothing of the callee: a loop around the two tries again, and
// counts.
func TestFallbackThatIsRefusedIsAFailureOfTheCall(t *testing.T) {
	n := 0
	both := policies.Fallback(
		func(context.Context) (int, error) { n++; return n, errBoom },
		func(context.Context, error) (int, error) {
			return 0, retry.Permanent(&retry.Rejection{Reason: errOpen})
		},
	)
	_, err := retry.Do(t.Context(), policies.Constant(0), both)
	wantIs(t, err, retry.ErrExhausted, errBoom, errOpen)
	if n != 3 {
		t.Errorf("%d calls", n)
	}
}
