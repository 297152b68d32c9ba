package ratelimit

import (
	"math/rand/v2"

	"github.com/reprise-go/reprise/retry"
)

// index finds, in logarithmic time, a newcomer's place in a line of several priorities, and the
// calls that no longer fit because others go first. It is a treap over the waiters in their order.
// For each waiter it keeps the room that is left; a newcomer takes room from all behind it in one
// step.
type index[T any] struct {
	root *seat[T]
	last uint64
}

// seat is a waiter's node.
type seat[T any] struct {
	w           *waiter[T]
	number      uint64 // in the order of arrival
	weight      uint32 // random; the heaviest is the root
	left, right *seat[T]

	len, tokens int  // in the subtree
	room, least room // its own, and the smallest in the subtree
	owed        room // what the seats below have yet to be given
}

// room is how much more may come before a waiter until its turn is too late: tokens, because the
// sources need time to supply them, and calls, because a ramp spreads them out.
type room struct{ tokens, calls int }

func (r room) plus(x room) room { return room{r.tokens + x.tokens, r.calls + x.calls} }
func (r room) times(k int) room { return room{k * r.tokens, k * r.calls} }
func (r room) overdrawn() bool  { return r.tokens < 0 || r.calls < 0 }

// boundless is more than ever comes before a waiter, and small enough to be added to without
// overflow on 32 bits.
const boundless = 1 << 29

// roomOf is the room of w behind k others that want so many tokens.
func roomOf[T any](o owner[T], w *waiter[T], k, before int) room {
	return room{
		tokens: last(func(more int) bool { return o.fits(w, k, before+more) }),
		calls:  last(func(more int) bool { return o.fits(w, k+more, before) }),
	}
}

// last is the largest number for which ok is true, at most boundless. It is true for 0.
func last(ok func(int) bool) int {
	if ok(boundless) {
		return boundless
	}
	lo, hi := 0, 1
	for ok(hi) {
		lo, hi = hi, 2*hi
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; ok(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// join gives w its place, behind all of its priority, and returns the call before it.
func (x *index[T]) join(w *waiter[T], o owner[T]) (after *waiter[T]) {
	k, before := x.ahead(w.priority)
	x.last++
	w.seat = &seat[T]{w: w, number: x.last, weight: rand.Uint32(), room: roomOf(o, w, k, before)}
	w.seat.sum()
	first, rest := split(x.root, func(s *seat[T]) bool { return s.w.priority >= w.priority })
	rest.grow(room{-w.n, -1})
	if first != nil {
		end := first
		for end.right != nil {
			end = end.right
		}
		after = end.w
	}
	x.root = merge(merge(first, w.seat), rest)
	return after
}

// leave takes s out and gives its room to those behind.
func (x *index[T]) leave(s *seat[T]) {
	first, rest := x.cut(s)
	rest.grow(room{s.w.n, 1})
	x.root = merge(first, rest)
}

// serve takes out s, which is let go. Those behind keep their room: see release.
func (x *index[T]) serve(s *seat[T]) {
	first, rest := x.cut(s)
	first.grow(room{-s.w.n, -1})
	x.root = merge(first, rest)
}

// amend sets the room of s.
func (x *index[T]) amend(s *seat[T], r room) {
	first, rest := x.cut(s)
	s.room = r
	s.sum()
	x.root = merge(merge(first, s), rest)
}

// cut takes s out of the tree and returns what is before and behind it.
func (x *index[T]) cut(s *seat[T]) (first, rest *seat[T]) {
	first, rest = split(x.root, func(t *seat[T]) bool { return t.precedes(s) })
	_, rest = split(rest, func(t *seat[T]) bool { return t == s })
	return first, rest
}

func (s *seat[T]) precedes(t *seat[T]) bool {
	if s.w.priority != t.w.priority {
		return s.w.priority > t.w.priority
	}
	return s.number < t.number
}

// ahead is how many have at least priority p, and how many tokens they want.
func (x *index[T]) ahead(p retry.Priority) (k, tokens int) {
	return x.root.first(func(s *seat[T]) bool { return s.w.priority >= p })
}

// before is how many are before s, and how many tokens they want.
func (x *index[T]) before(s *seat[T]) (k, tokens int) {
	return x.root.first(func(t *seat[T]) bool { return t.precedes(s) })
}

// first counts those for which in is true. It must be true for all up to some place and false from
// there on.
func (s *seat[T]) first(in func(*seat[T]) bool) (k, tokens int) {
	for s != nil {
		if !in(s) {
			s = s.left
			continue
		}
		k += s.len
		tokens += s.tokens
		if s.right != nil {
			k -= s.right.len
			tokens -= s.right.tokens
		}
		s = s.right
	}
	return k, tokens
}

// overdue is the first one whose room is overdrawn; nil if there is none.
func (s *seat[T]) overdue() *seat[T] {
	if s == nil || !s.least.overdrawn() {
		return nil
	}
	s.pay()
	if found := s.left.overdue(); found != nil {
		return found
	}
	if s.room.overdrawn() {
		return s
	}
	return s.right.overdue()
}

// grow gives all in the subtree more room.
func (s *seat[T]) grow(by room) {
	if s == nil {
		return
	}
	s.room, s.least, s.owed = s.room.plus(by), s.least.plus(by), s.owed.plus(by)
}

// pay gives the seats below what they have yet to be given.
func (s *seat[T]) pay() {
	if s.owed != (room{}) {
		s.left.grow(s.owed)
		s.right.grow(s.owed)
		s.owed = room{}
	}
}

// sum counts the subtree anew.
func (s *seat[T]) sum() {
	s.len, s.tokens, s.least = 1, s.w.n, s.room
	for _, c := range [...]*seat[T]{s.left, s.right} {
		if c != nil {
			s.len += c.len
			s.tokens += c.tokens
			s.least.tokens = min(s.least.tokens, c.least.tokens)
			s.least.calls = min(s.least.calls, c.least.calls)
		}
	}
}

// split parts a tree into those for which in is true and the rest: see first.
func split[T any](s *seat[T], in func(*seat[T]) bool) (first, rest *seat[T]) {
	if s == nil {
		return nil, nil
	}
	s.pay()
	if in(s) {
		s.right, rest = split(s.right, in)
		s.sum()
		return s, rest
	}
	first, s.left = split(s.left, in)
	s.sum()
	return first, s
}

// merge joins two trees, all of the first before all of the second.
func merge[T any](a, b *seat[T]) *seat[T] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.weight > b.weight:
		a.pay()
		a.right = merge(a.right, b)
		a.sum()
		return a
	}
	b.pay()
	b.left = merge(a, b.left)
	b.sum()
	return b
}
