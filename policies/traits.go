package policies

import (
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Traits is for retry.Lint.
func (l *loop) Traits() retry.Traits {
	t := retry.Traits{Loop: true, Attempts: l.attempts, Patience: l.patience, OutermostOnly: l.outermost}
	if l.err != nil {
		return t
	}
	var schedule progress
	if l.begin != nil {
		schedule = l.begin()
	}
	var wait time.Duration
	for range max(1, l.attempts-1) {
		wait, schedule = l.step(schedule)
		if wait < 0 || l.attempts == 1 || t.Delays > unbounded-wait {
			break
		}
		t.Delays += wait
	}
	return t
}

// Traits is for retry.Lint.
func (t *timeout) Traits() retry.Traits { return retry.Traits{Timeout: t.d} }

// Traits is for retry.Lint.
func (c *classifier) Traits() retry.Traits { return retry.Traits{Classifier: true} }
