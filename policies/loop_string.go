package policies

import (
	"fmt"
	"strings"
)

// String tells the bounds and the schedule of the loop on one line:
//
//	exponential(4 attempts, 100ms x2, up to 30s, ±50 %)
func (l *loop) String() string {
	parts := []string{"unlimited"}
	switch {
	case l.err != nil:
		return l.name + "(misconfigured)"
	case l.attempts == 1:
		parts[0] = "1 attempt"
	case l.attempts > 1:
		parts[0] = fmt.Sprintf("%d attempts", l.attempts)
	}
	tell := func(given bool, format string, args ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	if l.text != nil {
		parts = append(parts, l.text())
	}
	tell(l.maxDelay < unbounded, "up to %v", l.maxDelay)
	tell(l.jitter != NoJitter, "%s", jitters[l.jitter].text)
	tell(l.maxElapsed > 0, "within %v", l.maxElapsed)
	tell(l.patience >= 0, "patience %v", l.patience)
	tell(l.resetAfter > 0, "reset after %v", l.resetAfter)
	tell(l.maxCalls > 0, "at most %d calls", l.maxCalls)
	tell(l.outermost, "outermost only")
	tell(l.budget != nil, "%v", l.budget)
	return l.name + "(" + strings.Join(parts, ", ") + ")"
}
