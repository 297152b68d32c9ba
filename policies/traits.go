package policies

import (
	"time"

	"github.com/reprise-go/reprise/retry"
)

const looked = 1000 // waits of a schedule

// Traits is for retry.Lint.
func (l *loop) Traits() retry.Traits {
	t := retry.Traits{
		Loop: true, Attempts: l.attempts, Patience: l.patience, OutermostOnly: l.outermost,
	}
	if l.err != nil {
		return t
	}
	var at progress
	var wait time.Duration
	more := max(1, l.attempts-1)
	for range min(more, looked) {
		wait, at = l.step(at)
		if wait < 0 || l.attempts == 1 {
			return t
		}
		t.Delays += min(wait, unbounded-t.Delays)
	}
	if rest := int64(max(0, more-looked)); wait > 0 { // no schedule grows for longer
		fits := int64((unbounded - t.Delays) / wait)
		t.Delays += time.Duration(min(rest, fits) * int64(wait))
	}
	return t
}

// Traits is for retry.Lint.
func (t *timeout) Traits() retry.Traits { return retry.Traits{Timeout: t.d} }

// Traits is for retry.Lint.
func (c *classifier) Traits() retry.Traits { return retry.Traits{Classifier: true} }
