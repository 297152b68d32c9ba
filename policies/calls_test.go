package policies_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestNestedLoops(t *testing.T) {
	three := func(opts ...policies.Option) retry.Policy { return policies.Constant(0, opts...) }
	calls := func(ps ...retry.Policy) (n int, err error) {
		_, err = retry.Do(t.Context(), retry.Chain(ps...), func(context.Context) (int, error) { n++; return n, errBoom })
		return n, err
	}
	for _, c := range []struct {
		name string
		want int
		ps   []retry.Policy
	}{
		{"as written", 27, []retry.Policy{three(), three(), three()}},
		{"outermost only", 3, []retry.Policy{three(), three(policies.OutermostOnly()), three(policies.OutermostOnly())}},
		{"outermost only, alone", 3, []retry.Policy{three(policies.OutermostOnly())}},
		{"at most 5", 5, []retry.Policy{three(policies.MaxCalls(5)), three(), three()}},
		{"at most 1", 1, []retry.Policy{three(policies.MaxCalls(1)), three(), three()}},
		{"inner cap", 6, []retry.Policy{three(), three(policies.MaxCalls(2)), three()}},
		{"both caps", 5, []retry.Policy{three(policies.MaxCalls(5)), three(policies.MaxCalls(2)), three()}},
		{"cap not reached", 27, []retry.Policy{three(policies.MaxCalls(100)), three(), three()}},
	} {
		n, err := calls(c.ps...)
		if n != c.want {
			t.Errorf("%s: %d calls at the leaf, want %d", c.name, n, c.want)
		}
		wantIs(t, err, retry.ErrExhausted, errBoom)
	}
}
