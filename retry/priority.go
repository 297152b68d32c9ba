package retry

import "context"

// Priority orders calls in the queues of limiters, pacers, bulkheads and adaptive limits: the
// higher goes first, calls of one priority in the order they came. Under overload the lower is shed
// first. Any value between and beyond the three named ones is fine.
type Priority int

// The usual priorities. The zero Priority is Normal.
const (
	Sheddable Priority = -100 // prefetching, batch jobs: nobody waits for it
	Normal    Priority = 0
	Critical  Priority = 100 // checkout, login: the last to be given up
)

type priorityKey struct{}

// WithPriority returns a context whose calls have priority p in every queue they meet.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

// PriorityOf returns the priority of ctx, [Normal] if none was given.
func PriorityOf(ctx context.Context) Priority {
	p, _ := ctx.Value(priorityKey{}).(Priority)
	return p
}
