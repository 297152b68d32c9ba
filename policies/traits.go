package policies

import "github.com/reprise-go/reprise/retry"

// Traits is for retry.Lint.
func (l *loop) Traits() retry.Traits {
	t := retry.Traits{
		Loop: true, Attempts: l.attempts, Patience: l.patience, OutermostOnly: l.outermost,
	}
	if l.err != nil {
		return t
	}
	var w waits
	for range max(1, l.attempts-1) {
		w.step(l)
		if w.ahead < 0 || l.attempts == 1 || t.Delays > unbounded-w.ahead {
			break
		}
		t.Delays += w.ahead
	}
	return t
}

// Traits is for retry.Lint.
func (t *timeout) Traits() retry.Traits { return retry.Traits{Timeout: t.d} }

// Traits is for retry.Lint.
func (c *classifier) Traits() retry.Traits { return retry.Traits{Classifier: true} }
