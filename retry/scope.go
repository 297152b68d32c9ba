package retry

import (
	"context"
	"sync/atomic"
)

// scope is the node that Do and every attempt put into the context. It answers who is around a call: the loops, the
// observers, and what the callee reported of its limits. It is a context of our own and not context.WithValue because it
// shares the one allocation of Do, and because a report travels outward, against the flow of a context.
type scope struct {
	context.Context
	state atomic.Pointer[state] // nil: no loop, no observer, no report
}

// state is never changed once it can be seen; a new one is swapped in.
type state struct {
	attempt int    // of the innermost loop, 0 without a loop
	depth   int    // loops around
	watch   *watch // observers around, innermost first
	report  *report
}

// first is the state in the first attempt of an outermost loop: nearly all calls, so it costs no allocation.
var first = &state{attempt: 1, depth: 1}

var none = &state{}

type scopeKey struct{}

func (s *scope) Value(key any) any {
	if key == (scopeKey{}) {
		return s
	}
	return s.Context.Value(key)
}

func scopeOf(ctx context.Context) *scope {
	if s, ok := ctx.(*scope); ok {
		return s
	}
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

func (s *scope) load() *state {
	if s != nil {
		if st := s.state.Load(); st != nil {
			return st
		}
	}
	return none
}

// open puts s below ctx. What is around ctx is around s, but a report made before s was opened is not heard in it.
func (s *scope) open(ctx context.Context) {
	s.Context = ctx
	outer := scopeOf(ctx)
	if outer == nil {
		return
	}
	st := outer.state.Load()
	if st != nil && st.report != nil {
		st = &state{attempt: st.attempt, depth: st.depth, watch: st.watch}
	}
	if st != nil {
		s.state.Store(st)
	}
}

// Try runs the rest of the chain as the given attempt of a retry loop: [Attempt] tells the number, [Depth] is one more, and
// observers see both. Attempts count from 1.
func (n Next) Try(ctx context.Context, attempt int) error {
	outer := scopeOf(ctx)
	if attempt == 1 && outer != nil && outer.state.CompareAndSwap(nil, first) {
		// Nobody but this loop is in the scope: the mark stands in it while the attempt runs, and no node is allocated.
		defer outer.leave()
		return n.Do(ctx)
	}
	around := outer.load()
	in := &struct {
		scope
		st state
	}{st: state{attempt: attempt, depth: around.depth + 1, watch: around.watch}}
	in.Context = ctx
	in.state.Store(&in.st)
	return n.Do(&in.scope)
}

// leave takes the mark of the first attempt off and keeps a report that was made under it.
func (s *scope) leave() {
	for {
		st := s.state.Load()
		var left *state
		if st.report != nil {
			left = &state{report: st.report}
		}
		if s.state.CompareAndSwap(st, left) {
			return
		}
	}
}

// Attempt returns the number of the attempt that ctx belongs to, of the innermost loop: 1 on the first attempt and without a
// loop.
func Attempt(ctx context.Context) int {
	return max(1, scopeOf(ctx).load().attempt)
}

// Depth returns how many retry loops ctx is inside of: 0 outside of any.
func Depth(ctx context.Context) int {
	return scopeOf(ctx).load().depth
}
