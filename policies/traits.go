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
	var w waits
	more := max(1, l.attempts-1)
	for range min(more, looked) {
		w.step(l)
		if w.ahead < 0 || l.attempts == 1 {
			return t
		}
		t.Delays += min(w.ahead, unbounded-t.Delays)
	}
	if rest := int64(max(0, more-looked)); w.ahead > 0 { // no schedule grows for longer
		fits := int64((unbounded - t.Delays) / w.ahead)
		t.Delays += time.Duration(min(rest, fits) * int64(w.ahead))
	}
	return t
}

// Traits is for retry.Lint.
func (t *timeout) Traits() retry.Traits { return retry.Traits{Timeout: t.d} }

// Traits is for retry.Lint.
func (c *classifier) Traits() retry.Traits { return retry.Traits{Classifier: true} }
