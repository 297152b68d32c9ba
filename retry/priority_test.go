package retry_test

import (
	"testing"

	"github.com/reprise-go/reprise/retry"
)

func TestPriority(t *testing.T) {
	if p := retry.PriorityOf(t.Context()); p != retry.Normal {
		t.Errorf("without one: %d", p)
	}
	ctx := retry.WithPriority(retry.WithPriority(t.Context(), retry.Critical), 7)
	if p := retry.PriorityOf(ctx); p != 7 {
		t.Errorf("the innermost counts: %d", p)
	}
}
