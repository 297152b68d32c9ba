package retry

import (
	"context"
	"iter"
	"math"
	"time"
)

// Quota is what a callee says of its own limit, as RateLimit header fields do. A zero field is one
// that the callee did not state, except that Remaining 0 beside a Limit or a Reset means that
// nothing is left.
type Quota struct {
	Limit     int           // calls allowed per Window
	Remaining int           // calls left until Reset
	Window    time.Duration // the length of the callee's window
	Reset     time.Duration // from now until Remaining is restored
}

// report is one call of Report, and a link to those before it in the same call.
type report struct {
	quota  Quota
	at     time.Time
	by     *scope // the innermost scope around the call that reported
	number int    // how many are before it in the list
	before *report
}

// maxReports bounds how many reports of one call are kept: beyond it the list begins anew.
const maxReports = 16

// Report tells the limiters and pacers around a call what the callee said of its limit. A
// successful call may report too. Of several reports of one call the tightest holds; those of a
// later call replace those of an earlier one. Limiters outside the innermost Do, or outside a
// policies.Keyed in it, also serve other callees and do not hear the report. Outside a Do it does
// nothing.
func Report(ctx context.Context, q Quota) {
	by := scopeOf(ctx)
	if by == nil || q == (Quota{}) {
		return
	}
	notice()
	at := time.Now()
	for s := range scopesOfDo(ctx) {
		s.change(func(st *state) {
			r := &report{quota: q, at: at, by: by}
			if old := st.report; old != nil && old.by == by && old.number < maxReports {
				r.before, r.number = old, old.number+1
			}
			st.report = r
		})
	}
}

// scopesOfDo iterates over the scopes around ctx that belong to the innermost Do, innermost first.
func scopesOfDo(ctx context.Context) iter.Seq[*scope] {
	return func(yield func(*scope) bool) {
		last, _ := ctx.Value(doKey{}).(*scope)
		for s := scopeOf(ctx); s != nil && yield(s) && s != last; {
			s = scopeOf(s.Context)
		}
	}
}

// Reported returns the quota that was reported from inside ctx at or after since. Its Reset is
// counted from now. A limiter asks after next has returned, with the context that it passed to
// next. So it reads a report together with the outcome of its call, and has nothing to register
// before the call.
func Reported(ctx context.Context, since time.Time) (binding Quota, ok bool) {
	for r := scopeOf(ctx).load().report; r != nil && !r.at.Before(since); r = r.before {
		q := r.quota
		if q.Reset > 0 {
			q.Reset = max(0, q.Reset-time.Since(r.at))
		}
		if !ok || q.pace() < binding.pace() ||
			q.pace() == binding.pace() && q.Reset > binding.Reset {
			binding, ok = q, true
		}
	}
	return binding, ok
}

// pace is how many calls a second q leaves.
func (q Quota) pace() float64 {
	switch {
	case q.Reset > 0:
		return float64(q.Remaining) / q.Reset.Seconds()
	case q.Limit > 0 && q.Remaining <= 0:
		return 0
	case q.Limit > 0 && q.Window > 0:
		return float64(q.Limit) / q.Window.Seconds()
	}
	return math.Inf(1)
}

// Shield hides from the policies further out what was reported inside ctx. A container of policies
// for several callees, as policies.Keyed, calls it when its inner policy has returned: what one
// callee says of its limit does not concern the others.
func Shield(ctx context.Context) {
	if scopeOf(ctx).load().report == nil { // every report from inside ctx is kept here too
		return
	}
	for s := range scopesOfDo(ctx) {
		if s.load().report != nil {
			s.change(func(st *state) { st.report = nil })
		}
	}
}
