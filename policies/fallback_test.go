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
		return func(_ context.Context, cause error) (int, error) { wantIs(t, cause, errBoom); return 2, err }
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
