package policies

import (
	"context"

	"github.com/reprise-go/reprise/retry"
)

// reject is the error of a call that the policy of that name does not let through. The observers
// are told.
func reject(ctx context.Context, policy string, reason error) error {
	r := &retry.Rejection{Policy: policy, Reason: reason}
	retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: policy, Err: r})
	return r
}
