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

func TestTimeout(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", errBoom, ctx.Err())
	}
	bubble(t, "ends the call", func(t *testing.T) {
		wantIs(t, retry.Run(t.Context(), policies.Timeout(time.Second), hang), policies.ErrTimeout,
			context.DeadlineExceeded, errBoom)
	})
	bubble(t, "is not the caller's deadline or cancellation", func(t *testing.T) {
		wantNot(t, retry.Run(within(t, ms), policies.Timeout(time.Second), hang),
			policies.ErrTimeout)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(ms, cancel)
		err := retry.Run(ctx, policies.Timeout(time.Second), hang)
		wantIs(t, err, context.Canceled)
		wantNot(t, err, policies.ErrTimeout)
	})
	bubble(t, "a late success is a success", func(t *testing.T) {
		v, err := retry.Do(t.Context(), policies.Timeout(ms), func(context.Context) (int, error) {
			time.Sleep(time.Second)
			return 7, nil
		})
		if v != 7 || err != nil {
			t.Errorf("%d, %v", v, err)
		}
	})
	bubble(t, "a wait beyond it is not begun", func(t *testing.T) {
		start := time.Now()
		err := retry.Run(t.Context(),
			retry.Chain(policies.Timeout(time.Second), policies.Constant(time.Hour)), fail)
		wantIs(t, err, policies.ErrTimeout, context.DeadlineExceeded, errBoom)
		if time.Since(start) != 0 {
			t.Errorf("returned after %v", time.Since(start))
		}
		err = retry.Run(within(t, ms),
			retry.Chain(policies.Timeout(time.Second), policies.Constant(time.Hour)), fail)
		wantNot(t, err, policies.ErrTimeout)
	})
	bubble(t, "a refusal beside another's deadline is not a timeout", func(t *testing.T) {
		driver := fmt.Errorf("driver: %w", context.DeadlineExceeded)
		err := retry.Run(t.Context(), policies.Timeout(time.Second), func(context.Context) error {
			return errors.Join(refuse(time.Minute), driver)
		})
		wantIs(t, err, errOpen, driver)
		wantNot(t, err, policies.ErrTimeout)
	})
	bubble(t, "of an attempt is retried", func(t *testing.T) {
		start := time.Now()
		err := retry.Run(t.Context(),
			retry.Chain(policies.Constant(0), policies.Timeout(time.Second)), hang)
		wantIs(t, err, retry.ErrExhausted, policies.ErrTimeout)
		if time.Since(start) != 3*time.Second {
			t.Errorf("took %v", time.Since(start))
		}
	})
}
