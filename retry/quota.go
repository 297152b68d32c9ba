package retry

import (
	"context"
	"time"
)

// Quota is what a callee says of its own limit, as RateLimit header fields do. A zero field was not said, but Remaining 0
// beside a Limit or a Reset means that nothing is left.
type Quota struct {
	Limit     int           // calls allowed per Window
	Remaining int           // calls left until Reset
	Window    time.Duration // the length of the callee's window
	Reset     time.Duration // from now until Remaining is restored
}

type report struct {
	quota Quota
	at    time.Time
}

// Report tells the limiters and pacers around a call, in this Do and in the ones around it, what the callee said of its
// limit; also a successful call may. The newest report counts. Outside of a Do it does nothing.
func Report(ctx context.Context, q Quota) {
	s := scopeOf(ctx)
	if s == nil || q == (Quota{}) {
		return
	}
	r := &report{q, time.Now()}
	for ; s != nil; s = scopeOf(s.Context) {
		s.hear(r)
	}
}

func (s *scope) hear(r *report) {
	for {
		old := s.state.Load()
		st := state{report: r}
		if old != nil {
			st = *old
			st.report = r
		}
		if s.state.CompareAndSwap(old, &st) {
			return
		}
	}
}

// Reported returns the newest quota that was reported from inside ctx at or after since. Its Reset is counted from now. A
// limiter asks after its next has returned, with the context it passed to it: a report is read with the outcome of the call
// it came with, and nothing has to be registered on the way in.
func Reported(ctx context.Context, since time.Time) (Quota, bool) {
	r := scopeOf(ctx).load().report
	if r == nil || r.at.Before(since) {
		return Quota{}, false
	}
	q := r.quota
	if q.Reset > 0 {
		q.Reset = max(0, q.Reset-time.Since(r.at))
	}
	return q, true
}
