package ratelimit

import (
	"math"
	"slices"
	"time"
)

// stock is the tokens that a member holds. Each may be spent from when it is due until it is void.
// Times are those of the member.
type stock struct {
	blocks []block
	left   int // tokens that are not spent; some may be void by now
}

// block is a row of tokens of which each is due a step after the one before it.
type block struct {
	due, void time.Duration // of token 0
	step      float64       // ns
	next, end int           // the tokens next to end-1 are left
	borrowed  bool          // not from the store: the member's own part while the store is away
}

func (b *block) at(i int) time.Duration { return time.Duration(float64(i) * b.step) }

// dueBy is the index of the first token that is not due.
func (b *block) dueBy(now time.Duration) int { return b.upTo(now - b.due) }

// upTo is the index of the first token whose time is more than d after that of token 0.
func (b *block) upTo(d time.Duration) int {
	switch {
	case d < 0:
		return b.next
	case b.step == 0:
		return b.end
	}
	return min(b.end, max(b.next, int(math.Min(float64(d)/b.step, maxCount))+1))
}

// put adds a block, and forgets those that are spent, except the last.
func (s *stock) put(b block) {
	if b.end <= 0 {
		return
	}
	i, last := 0, len(s.blocks)-1
	s.blocks = slices.DeleteFunc(s.blocks, func(b block) bool {
		i++
		return b.next == b.end && i <= last
	})
	s.blocks = append(s.blocks, b)
	s.left += b.end
}

// take takes n tokens that are due, the oldest first, or none. void is how many have become void,
// not counting borrowed ones.
func (s *stock) take(now time.Duration, n int) (ok bool, void int) {
	if s.left == 0 {
		return false, 0
	}
	if n == 1 { // the usual case
		for i := range s.blocks {
			b := &s.blocks[i]
			if b.next == b.end {
				continue
			}
			if d := b.at(b.next); b.due+d <= now && now < b.void+d {
				b.next++
				s.left--
				return true, 0
			}
			break
		}
	}
	void = s.expire(now)
	if s.due(now) < n {
		return false, void
	}
	for i := range s.blocks {
		b := &s.blocks[i]
		k := min(n, b.dueBy(now)-b.next)
		b.next += k
		s.left -= k
		n -= k
	}
	return true, void
}

// due is how many tokens may be spent now.
func (s *stock) due(now time.Duration) (n int) {
	for i := range s.blocks {
		n += s.blocks[i].dueBy(now) - s.blocks[i].next
	}
	return n
}

// expire drops the tokens that are void, and counts those that were not borrowed.
func (s *stock) expire(now time.Duration) (void int) {
	for i := range s.blocks {
		b := &s.blocks[i]
		if b.next == b.end || now < b.void+b.at(b.next) {
			continue
		}
		k := b.upTo(now-b.void) - b.next
		b.next += k
		s.left -= k
		if !b.borrowed {
			void += k
		}
	}
	return void
}

// undo puts back the token that was taken last, unless it is void by now.
func (s *stock) undo(now time.Duration) bool {
	for i := len(s.blocks) - 1; i >= 0; i-- {
		b := &s.blocks[i]
		if b.next > 0 && now < b.void+b.at(b.next-1) {
			b.next--
			s.left++
			return true
		}
	}
	return false
}

// seize takes up to n tokens, due or not, and returns how many it took.
func (s *stock) seize(n int) (taken int) {
	for i := range s.blocks {
		b := &s.blocks[i]
		k := min(n-taken, b.end-b.next)
		b.next += k
		taken += k
	}
	s.left -= taken
	return taken
}

// drop forgets the blocks for which f is true, and counts the tokens that were left in them.
func (s *stock) drop(f func(*block) bool) (n int) {
	s.blocks = slices.DeleteFunc(s.blocks, func(b block) bool {
		if !f(&b) {
			return false
		}
		n += b.end - b.next
		return true
	})
	s.left -= n
	return n
}

// cut forgets the tokens that are due after the given time and not borrowed, and counts them.
func (s *stock) cut(after time.Duration) (n int) {
	for i := range s.blocks {
		b := &s.blocks[i]
		if keep := b.dueBy(after); keep < b.end && !b.borrowed {
			n += b.end - keep
			b.end = keep
		}
	}
	s.left -= n
	return n
}

// when is the time at which n tokens are due, or all that there are, and how many of the n are
// missing. A token counts unless it is void by start.
func (s *stock) when(start time.Duration, n int) (at time.Duration, missing int) {
	for i := range s.blocks {
		b := &s.blocks[i]
		from := b.next
		if from < b.end && start >= b.void+b.at(from) {
			from = b.upTo(start - b.void)
		}
		k := min(n, b.end-from)
		if k > 0 {
			at = max(at, b.due+b.at(from+k-1))
			n -= k
		}
	}
	return at, n
}

// last is when the last token is due.
func (s *stock) last() (at time.Duration) {
	for i := range s.blocks {
		if b := &s.blocks[i]; b.next < b.end {
			at = max(at, b.due+b.at(b.end-1))
		}
	}
	return at
}
