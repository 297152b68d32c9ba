package retrytest

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Replay is a policy for the innermost place in a chain: it tries a guard, with other options, on
// an outage that really happened. The calls that reach it get, one after the other, the duration
// and the error of the calls in the record. The callee is called only if the recorded call
// succeeded, for its value. Calls beyond the record are made as they are.
//
// Make a new Replay for each run, because it keeps its position in the record. It is safe for
// concurrent use, but only calls that come one after the other are replayed in a known order.
func Replay(record *retry.Record) retry.Policy {
	var steps []Step[bool] // Value: the call is to be made
	for _, e := range record.Events() {
		if e.Kind == retry.KindCall {
			steps = append(steps, Step[bool]{Value: e.Err == nil, Err: e.Err, Took: e.Took})
		}
	}
	steps = append(steps, Step[bool]{Value: true})
	script := NewScript(steps...)
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		begun := time.Now()
		makeIt, err := script.Call(ctx)
		if err != nil || !makeIt {
			emitCall(ctx, begun, err)
			return err
		}
		return next.Do(ctx)
	})
}

// emitCall tells observers of a call that was replayed and not made.
func emitCall(ctx context.Context, begun time.Time, err error) {
	retry.Emit(ctx, retry.Event{Kind: retry.KindCall, Took: time.Since(begun), Err: err})
}
