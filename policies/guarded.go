package policies

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// guarded is call behind what all wrappers ask first: whether they were made right, and whether the
// caller's context lives.
func guarded[T any](
	mistake error, call func(context.Context) (T, error),
) func(context.Context) (T, error) {
	return func(ctx context.Context) (value T, err error) {
		if mistake != nil {
			return value, mistake
		}
		if err := retry.Ended(ctx); err != nil {
			return value, err
		}
		return call(ctx)
	}
}
