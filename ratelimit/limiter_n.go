package ratelimit

import (
	"context"
	"fmt"

	"github.com/reprise-go/reprise/retry"
)

// N is a policy whose calls take n tokens each, for calls that cost more than others. If n is more
// than the burst no wait would ever be enough: the rejection names both and is marked
// [retry.Permanent], so that no loop repeats it. n below 1 is a configuration error.
func (l *Limiter) N(n int) retry.Policy { return weighted{l, n} }

type weighted struct {
	l *Limiter
	n int
}

func (w weighted) Do(ctx context.Context, next retry.Next) error {
	if w.n < 1 {
		return w.Validate()
	}
	return w.l.do(ctx, next, w.n)
}

func (w weighted) Validate() error {
	if w.n < 1 {
		return retry.ConfigErrorf("ratelimit", "N(%d): must be at least 1", w.n)
	}
	return w.l.Validate()
}

func (w weighted) Idle() bool           { return w.l.Idle() }
func (w weighted) Name() string         { return w.l.Name() }
func (w weighted) Stats() []retry.Stat  { return w.l.Stats() }
func (w weighted) Unwrap() retry.Policy { return w.l }

func (w weighted) String() string {
	if err := w.Validate(); err != nil {
		return err.Error()
	}
	return w.l.describe(fmt.Sprintf(", %d tokens a call", w.n))
}

// tooMany is the reason of a rejection that no wait would help.
type tooMany struct{ n, burst int }

func (e tooMany) Error() string {
	return fmt.Sprintf("%d tokens are more than the burst of %d", e.n, e.burst)
}

func (e tooMany) Is(target error) bool { return target == ErrLimited }
