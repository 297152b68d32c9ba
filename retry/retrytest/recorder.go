package retrytest

import (
	"context"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Recorder is a policy that records what happens inside it: see [Observe].
type Recorder struct {
	retry.Record
	observe retry.Policy
}

// Observe returns a Recorder. If t is not nil and the test fails, it logs the timeline.
func Observe(t testing.TB) *Recorder {
	r := &Recorder{}
	r.observe = retry.Observe(r.Add)
	if t != nil {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("what happened:\n%s", r.String())
			}
		})
	}
	return r
}

// Do implements retry.Policy.
func (r *Recorder) Do(ctx context.Context, next retry.Next) error { return r.observe.Do(ctx, next) }

// Count returns how many events of one kind there were, of the first and last 128 that are kept.
func (r *Recorder) Count(kind retry.Kind) int { return len(r.of(kind)) }

// Calls returns the outcome of each call that was made; nil is a success.
func (r *Recorder) Calls() (outcomes []error) {
	for _, e := range r.of(retry.KindCall) {
		outcomes = append(outcomes, e.Err)
	}
	return outcomes
}

// Waits returns how long each wait took, of loops and of queues.
func (r *Recorder) Waits() (waits []time.Duration) {
	for _, e := range r.of(retry.KindWait) {
		waits = append(waits, e.Took)
	}
	return waits
}

// Refusals returns who rejected a call, such as "breaker catalog".
func (r *Recorder) Refusals() (policies []string) {
	for _, e := range r.of(retry.KindReject) {
		policies = append(policies, e.Policy)
	}
	return policies
}

func (r *Recorder) of(kind retry.Kind) (events []retry.Event) {
	for _, e := range r.Events() {
		if e.Kind == kind {
			events = append(events, e)
		}
	}
	return events
}
