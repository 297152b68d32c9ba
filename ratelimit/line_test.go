package ratelimit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// The next size class of the allocator is 144.
func TestAWaiterFitsIn128Bytes(t *testing.T) {
	if n := unsafe.Sizeof(waiter[ticket]{}); n > 128 {
		t.Errorf("a limiter's takes %d bytes", n)
	}
	if n := unsafe.Sizeof(waiter[pass]{}); n > 128 {
		t.Errorf("a pacer's takes %d bytes", n)
	}
}

// The line beside a slice that does the same.
func TestLineIsAQueueThatAnybodyMayLeave(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var q line[int]
	var want, gone []*waiter[int]
	for step := range 2000 {
		switch {
		case len(want) == 0 || rng.IntN(2) == 0:
			w := &waiter[int]{n: rng.IntN(4), done: make(chan error, 1)}
			q.push(w)
			want = append(want, w)
		case rng.IntN(5) == 0 && len(gone) > 0:
			if q.remove(gone[rng.IntN(len(gone))]) {
				t.Fatalf("step %d: one who is gone was in line", step)
			}
		default:
			i := rng.IntN(len(want))
			w := want[i]
			if !q.remove(w) {
				t.Fatalf("step %d: one who waits was not in line", step)
			}
			want, gone = slices.Delete(want, i, i+1), append(gone, w)
		}
		var got, back []*waiter[int]
		tokens := 0
		for w := q.head; w != nil; w = w.next {
			got = append(got, w)
			tokens += w.n
		}
		for w := q.tail; w != nil; w = w.prev {
			back = append(back, w)
		}
		slices.Reverse(back)
		if !slices.Equal(got, want) || !slices.Equal(back, want) || q.len != len(want) || q.tokens != tokens {
			t.Fatalf("step %d: %d in line, %d backwards, len %d, %d of %d tokens, want %d", step, len(got), len(back), q.len, q.tokens, tokens, len(want))
		}
	}
}
