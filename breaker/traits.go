package breaker

import "github.com/reprise-go/reprise/retry"

// Traits is for retry.Lint.
func (b *Breaker) Traits() retry.Traits {
	t := retry.Traits{Breaker: true}
	if b != nil {
		t.Failures = b.consecutive
	}
	return t
}
