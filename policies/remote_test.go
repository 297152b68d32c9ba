package policies_test

import (
	"context"
	"errors"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestLoopsLeaveTheRetryingToALoopOfAnotherProcess(t *testing.T) {
	loop := policies.Constant(0, policies.Attempts(3))
	for name, p := range map[string]retry.Policy{"one": loop, "nested": retry.Chain(loop, loop)} {
		calls := 0
		boom := errors.New("boom")
		err := retry.Run(retry.WithRemoteAttempt(t.Context(), 2), p, func(context.Context) error {
			calls++
			return boom
		})
		if calls != 1 || err != boom {
			t.Errorf("%s: %v after %d calls", name, err, calls)
		}
	}
}
