package policies

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/retry"
)

// Fallback makes a call that asks instead for the answer if call fails: from a cache, from another
// region, or a default. instead gets call's error. If instead fails too, its value comes back with
// an error that Is both failures. The marks are those of call, because the policies around guard
// that callee: a rejection inside instead is not one to them.
//
// It does not run when the caller has cancelled, because nobody waits for the answer, nor after a
// configuration error, which it would hide. After the caller's deadline it runs, with that context:
// an answer at hand is still of use. But no policy lets a call in under a context that has ended,
// so a guarded call inside instead needs context.WithoutCancel, and should have its own time limit.
//
// A nil function is a [retry.ErrConfig] of every call. retry.Validate sees policies only, so not
// this.
func Fallback[T any](
	call func(context.Context) (T, error), instead func(context.Context, error) (T, error),
) func(context.Context) (T, error) {
	var m mistakes
	m.check(call != nil && instead != nil, "nil function")
	return guarded(m.in("Fallback"), func(ctx context.Context) (T, error) {
		value, err := call(ctx)
		if err == nil || errors.Is(err, retry.ErrConfig) || ctx.Err() == context.Canceled {
			return value, err
		}
		value, failed := instead(ctx, err)
		if failed == nil || errors.Is(failed, err) {
			return value, failed
		}
		return value, fmt.Errorf("fallback: %w, after: %w", retry.Unmark(failed), err)
	})
}
