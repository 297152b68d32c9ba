package breaker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// bypass embeds a breaker and lets some calls go past it.
type bypass struct {
	*breaker.Breaker
	all bool
}

func (b bypass) Do(ctx context.Context, next retry.Next) error {
	if b.all {
		return next.Do(ctx)
	}
	return b.Breaker.Do(ctx, next)
}

// An open breaker refuses before Do of a policy is called, but for itself only.
func TestRefuse(t *testing.T) {
	open, shadow := breaker.New("open"), breaker.New("shadow", breaker.Shadow())
	open.Trip(nil)
	shadow.Trip(nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		p     retry.Policy
		want  error
		calls int
	}{
		{"open", t.Context(), open, breaker.ErrOpen, 0},
		{"closed", t.Context(), breaker.New("closed"), nil, 1},
		{"a shadow lets all through", t.Context(), shadow, nil, 1},
		{"embedded, and passed by", t.Context(), bypass{open, true}, nil, 1},
		{"embedded, and asked", t.Context(), bypass{open, false}, breaker.ErrOpen, 0},
		{"the end of the context comes first", ended, open, context.Canceled, 0},
		{"zero", t.Context(), &breaker.Breaker{}, retry.ErrConfig, 0},
		{"nil", t.Context(), (*breaker.Breaker)(nil), retry.ErrConfig, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls := 0
			_, err := retry.Do(tc.ctx, tc.p, func(context.Context) (int, error) { calls++; return 0, nil })
			if !errors.Is(err, tc.want) || calls != tc.calls || tc.want == context.Canceled && errors.Is(err, breaker.ErrOpen) {
				t.Errorf("%v and %d calls, want %v and %d", err, calls, tc.want, tc.calls)
			}
			err = retry.Run(tc.ctx, tc.p, func(context.Context) error { return nil })
			if !errors.Is(err, tc.want) {
				t.Errorf("Run: %v, want %v", err, tc.want)
			}
		})
	}
}
