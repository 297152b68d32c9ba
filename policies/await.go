package policies

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// await returns when turn is closed or ctx has ended, or after patience if that is positive. ended
// is what ended ctx. The observers are told of the wait; e gives its Policy and Wait.
func await(
	ctx context.Context, e retry.Event, turn <-chan struct{}, patience time.Duration,
) (ended error) {
	began := now()
	var late <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-turn:
	case <-ctx.Done():
	case <-late:
	}
	e.Kind, e.Took, e.Err = retry.KindWait, now()-began, retry.Ended(ctx)
	retry.Emit(ctx, e)
	return e.Err
}
