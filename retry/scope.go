package retry

import (
	"context"
	"math"
	"sync/atomic"
)

// scope is the node that Do and every attempt put into the context. It tells what is around a call:
// the loops, the observers, and what the callee reported of its limits. It is a context of our own
// and not context.WithValue because it shares the one allocation of Do, and because a report
// travels outward, against the flow of a context.
type scope struct {
	context.Context
	state atomic.Pointer[state] // nil: no loop, no observer, no report
	held  atomic.Pointer[Held]  // the innermost policy that the call has a place in; see furtherOut
}

// state is never changed once others can see it: a new one is swapped in.
type state struct {
	attempt int32  // of the innermost loop, 0 without a loop
	depth   int32  // loops around
	watch   *watch // observers around, innermost first
	report  *report

	at place // where the attempt was begun

	extra  int32 // hedges made so far inside the loop whose attempts begin in this scope
	hedged int32 // the depth of that loop
	before int32 // hedges that were made before this attempt

	tries *[8]state // the states of the first attempts that begin in this state: see mark
	under *state    // of a state in tries: the state that it was put in place of
}

// place is where an attempt was begun, seen from the scope that tells of it.
type place uint8

const (
	here   place = iota + 1 // begun in this very scope: see Try
	below                   // begun in the scope around, with which the loop was called
	beside                  // begun further out: this scope is that of an Observe or a hedge
)

// alone are the states of the first attempts of an outermost loop. Nearly all calls are such, so
// they cost no allocation.
var alone = triesOver(nil)

func triesOver(under *state) (tries [8]state) {
	for i := range tries {
		tries[i] = state{attempt: narrow(i + 1), depth: 1, at: here, under: under}
		if under != nil {
			tries[i].watch = under.watch
		}
	}
	return tries
}

var none = &state{}

type (
	scopeKey struct{} // answered by the innermost scope
	doKey    struct{} // answered by the scope of the innermost Do
)

func (s *scope) Value(key any) any {
	switch key.(type) { // by type, which is quicker than by value
	case scopeKey, doKey:
		return s
	}
	return s.Context.Value(key)
}

// inner is the scope of an attempt, an Observe or a hedge: part of the Do around it.
type inner struct {
	scope
	st state
}

func (n *inner) Value(key any) any {
	if _, ok := key.(scopeKey); ok {
		return &n.scope
	}
	return n.Context.Value(key)
}

// within puts an inner scope below ctx.
func within(ctx context.Context, st state) *inner {
	n := &inner{st: st}
	n.put(ctx)
	return n
}

func (n *inner) put(ctx context.Context) {
	n.Context = ctx
	n.held.Store(&furtherOut)
	n.state.Store(&n.st)
}

// scopeOf returns the innermost scope of ctx, or nil. It is small enough to be inlined for the
// common cases, the contexts that Do makes.
func scopeOf(ctx context.Context) *scope {
	switch c := ctx.(type) {
	case *scope:
		return c
	case *watched:
		return &c.scope
	}
	return scopeAround(ctx)
}

func scopeAround(ctx context.Context) *scope {
	if n, ok := ctx.(*inner); ok {
		return &n.scope
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

// change swaps in what edit makes of a copy of the state.
func (s *scope) change(edit func(*state)) {
	for {
		old := s.state.Load()
		st := state{}
		if old != nil {
			st = *old
			st.tries = nil
		}
		edit(&st)
		if s.state.CompareAndSwap(old, &st) {
			return
		}
	}
}

// open tells s, the scope of a Do, of the innermost scope around it. What is around that is around
// s too, but not a report that was made before s was opened.
func (s *scope) open(outer *scope) {
	s.held.Store(&furtherOut)
	around := outer.load()
	switch {
	case around == none:
	case around.report == nil && around.extra == 0:
		s.state.Store(around)
	default:
		s.state.Store(&state{
			attempt: around.attempt, depth: around.depth, watch: around.watch,
			at: beside, before: around.before,
		})
	}
}

// narrow is n, or the largest number that a state holds.
func narrow(n int) int32 { return int32(min(n, math.MaxInt32)) }

// mark makes s itself say which attempt of a loop runs, so that the attempt needs no node. It
// reports false if s holds more than that loop and perhaps an Observe.
func (s *scope) mark(attempt int) bool {
	st, tries := s.state.Load(), &alone
	if st != nil {
		tries = st.tries
	}
	i := uint(attempt - 1)
	return tries != nil && i < uint(len(tries)) && s.state.CompareAndSwap(st, &tries[i])
}

// leave takes off the mark of an attempt, and keeps the report and the hedges made under it.
func (s *scope) leave() {
	for {
		st := s.state.Load()
		left := st.under
		if st.report != nil || st.extra > 0 {
			kept := state{}
			if left != nil {
				kept = *left
			}
			kept.tries, kept.report, kept.extra, kept.hedged = nil, st.report, st.extra, st.hedged
			left = &kept
		}
		if s.state.CompareAndSwap(st, left) {
			return
		}
	}
}

// begin is the state of the given attempt of a loop whose attempts begin in s.
func (s *scope) begin(attempt int) state {
	around := s.load()
	st := state{attempt: narrow(attempt), depth: around.depth + 1, watch: around.watch, at: below}
	if around.extra == 0 || around.hedged != st.depth {
		return st
	}
	if attempt == 1 { // those hedges were made in another run of a loop
		s.change(func(l *state) { l.extra = 0 })
		return st
	}
	st.before = around.extra
	st.attempt += st.before
	return st
}

// loop is the scope in which the innermost loop around s begins its attempts.
func (s *scope) loop() *scope {
	for {
		st, outer := s.load(), scopeOf(s.Context)
		switch {
		case outer == nil:
			return s
		case st.at == beside || st == outer.load(): // equal in a Do inside an attempt
			s = outer
		case st.at == below:
			return outer
		default:
			return s
		}
	}
}

// Hedged returns a context for the n-th extra call, counted from 1, that is made beside the first
// call of the same attempt. [Attempt] counts it, there and in the attempts that follow. It is for a
// wrapper that makes calls in parallel, as policies.Hedge does; ctx is the context with which the
// wrapper itself was called.
func Hedged(ctx context.Context, n int) context.Context {
	s := scopeOf(ctx)
	around := s.load()
	st := state{depth: around.depth, watch: around.watch, at: beside}
	if s != nil {
		s.loop().change(func(l *state) {
			if l.hedged != around.depth {
				l.extra, l.hedged = 0, around.depth
			}
			l.extra++
			n = int(l.extra)
		})
	}
	st.attempt = max(1, around.attempt) - around.before + narrow(n)
	return within(ctx, st)
}

// Attempt returns the number of the attempt that ctx belongs to, of the innermost loop: 1 on the
// first attempt and without a loop. Hedges inside a loop are counted with its attempts.
func Attempt(ctx context.Context) int {
	return max(1, int(scopeOf(ctx).load().attempt))
}

// Depth returns how many retry loops ctx is inside: 0 outside any.
func Depth(ctx context.Context) int {
	return int(scopeOf(ctx).load().depth)
}
