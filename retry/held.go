package retry

import (
	"context"
	"iter"
	"sync/atomic"
)

// Held marks, in the context of a call, that the call has a place of a policy: a slot or a permit.
// A policy with a bounded number of places needs it. Without it a call made from inside a call
// through the same policy would wait for a place that its own caller holds. One nested call at a
// time may share the place instead.
//
// The mark stands in the context that [Do] made, so it allocates nothing if the policy keeps its
// Helds and uses them again. Without a Do around there is no mark. The zero Held is ready for use.
// A Held serves one call at a time.
type Held struct {
	policy any
	state  atomic.Uint64 // how often it was left, shifted by one, and whether the place is shared
	outer  atomic.Pointer[Held]
	in     *scope // nil: there is no mark
}

const heldShared = 1

// Enter marks ctx, the context that policy passes on: calls made with it are inside a call of
// policy. It must not be called again before Leave. It returns the Do or the attempt that is marked
// now, for [Holder], or nil.
func (h *Held) Enter(ctx context.Context, policy any) (in any) {
	s := scopeOf(ctx)
	if s == nil {
		return nil
	}
	if h.policy == nil { // a Held that is used again keeps its policy: somebody may be reading it
		h.policy = policy
	}
	for {
		outer := s.held.Load()
		if h.outer.Load() != outer { // a load costs less
			h.outer.Store(outer)
		}
		if s.held.CompareAndSwap(outer, h) {
			h.in = s
			return s
		}
	}
}

// Stay is Enter without a Leave, for half of their cost: the mark stays when the call is over. So
// the policy itself must know in which Do h has a place at the moment, and tell it in [Holder]. If
// there has been another mark in that Do it does nothing and returns nil. h may be used again, by
// Stay alone.
func (h *Held) Stay(ctx context.Context, policy any) (in any) {
	s := scopeOf(ctx)
	if s == nil {
		return nil
	}
	none := s.held.Load()
	if none != nil && none != &furtherOut {
		return nil
	}
	if h.policy == nil {
		h.policy = policy
	}
	if !s.held.CompareAndSwap(none, h) {
		return nil
	}
	return s
}

// Leave takes the mark off. Without an Enter before it does nothing.
func (h *Held) Leave() {
	s := h.in
	if s == nil {
		return
	}
	h.in = nil
	h.state.Store((h.state.Load() | heldShared) + 1)
	outer := h.outer.Load()
	if s.held.CompareAndSwap(h, outer) {
		return
	}
	for in := s.held.Load(); in != nil; in = in.outer.Load() {
		if in.outer.CompareAndSwap(h, outer) {
			return
		}
	}
}

// furtherOut ends a scope's list of Helds if there are scopes around it, in which the search goes
// on. A scope with none around it has a nil list at first, which ends the search.
var furtherOut Held

// holders iterates over the places that the calls around ctx have, and the scopes marked with them,
// innermost first.
func holders(ctx context.Context) iter.Seq2[*Held, *scope] {
	return func(yield func(*Held, *scope) bool) {
		for s := scopeOf(ctx); s != nil; s = scopeOf(s.Context) {
			h := s.held.Load()
			if h == nil {
				return
			}
			for ; h != nil; h = h.outer.Load() {
				if h.policy != nil && !yield(h, s) {
					return
				}
			}
		}
	}
}

// Holder returns the innermost policy of which the calls around ctx have a place and for which is
// returns true, and the Do or attempt that is marked with it; nil if there is none. It is for a
// policy that keeps its own record of who shares a place. Such a policy gives Enter or Stay the
// value that it wants to find again, and asks once more under its lock whether that has its place
// in there, because the call around may be over by then.
func Holder(ctx context.Context, is func(policy, in any) bool) (policy, in any) {
	if s := scopeOf(ctx); s == nil || s.held.Load() == nil { // nothing is around: the usual case
		return nil, nil
	}
	for h, s := range holders(ctx) {
		if is(h.policy, s) {
			return h.policy, s
		}
	}
	return nil, nil
}

// Inside reports whether ctx belongs to a call that has a place of policy. If no other nested call
// shares that place at the moment, the call of ctx now does, and calls unshare once it is over. If
// the place is shared already unshare is nil.
func Inside(ctx context.Context, policy any) (inside bool, unshare func()) {
	for h := range holders(ctx) {
		if h.policy != policy {
			continue
		}
		state := h.state.Load()
		if state&heldShared == 0 && h.state.CompareAndSwap(state, state|heldShared) {
			return true, func() { h.state.CompareAndSwap(state|heldShared, state) }
		}
		inside = true // and go on: perhaps a nested call that shares is itself around ctx
	}
	return inside, nil
}
