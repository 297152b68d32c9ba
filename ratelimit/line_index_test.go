package ratelimit

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

// plainQueue is a line that looks at everybody at each step: the oracle. A waiter fits while no more
// tokens and no more calls come before it than it was given.
type plainQueue struct {
	order []*waiter[int]
	most  map[*waiter[int]]room
	gone  []*waiter[int]
}

func (q *plainQueue) fits(w *waiter[int], k, before int) bool {
	return before+w.n <= q.most[w].tokens && k <= q.most[w].calls
}
func (*plainQueue) reject(*waiter[int], int, int) error { return errors.New("does not fit") }
func (*plainQueue) leave(*waiter[int]) bool             { return false }
func (*plainQueue) giveBack(*int)                       {}
func (*plainQueue) gaveUp(error) error                  { return nil }
func (*plainQueue) wake()                               {}

func (q *plainQueue) place(w *waiter[int]) (i, before int) {
	for i < len(q.order) && q.order[i].priority >= w.priority {
		before += q.order[i].n
		i++
	}
	return i, before
}

// reap takes those out who do not fit.
func (q *plainQueue) reap() {
	k, before, stay := 0, 0, []*waiter[int]{}
	for _, w := range q.order {
		if q.fits(w, k, before) {
			stay = append(stay, w)
			k++
			before += w.n
		} else {
			q.gone = append(q.gone, w)
		}
	}
	q.order = stay
}

// shift changes what all in line were given.
func (q *plainQueue) shift(by room) {
	for _, w := range q.order {
		q.most[w] = q.most[w].plus(by)
	}
}

// The line beside a plain queue, through whatever comes.
func TestALineOfPrioritiesTurnsAwayExactlyThoseWhoNoLongerFit(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var q line[int]
		model := &plainQueue{most: map[*waiter[int]]room{}}
		priorities := 1 + rng.IntN(5)
		rejected := 0
		for step := range 2500 {
			switch op := rng.IntN(20); {
			case op < 9:
				w := &waiter[int]{n: 1 + rng.IntN(4), priority: retry.Priority(rng.IntN(priorities))}
				k, before := model.place(w)
				if gotK, gotBefore := q.ahead(w, model); gotK != k || gotBefore != before {
					t.Fatalf("seed %d, step %d: %d ahead with %d tokens, want %d with %d", seed, step, gotK, gotBefore, k, before)
				}
				model.most[w] = room{before + w.n + rng.IntN(60), k + rng.IntN(30)}
				if rng.IntN(4) == 0 {
					model.most[w] = room{2 * boundless, 2 * boundless}
				}
				model.order = slices.Insert(model.order, k, w)
				model.reap()
				q.join(w, model)
			case op < 15 && q.head != nil:
				head := q.head
				if head != model.order[0] {
					t.Fatalf("seed %d, step %d: another head", seed, step)
				}
				model.order = model.order[1:]
				model.shift(room{-head.n, -1}) // less before them, and less to come
				q.release(head, 0)
			case op < 18 && q.head != nil:
				i := rng.IntN(len(model.order))
				w := model.order[i]
				model.order = slices.Delete(slices.Clone(model.order), i, i+1)
				if !q.remove(w) || q.remove(w) {
					t.Fatalf("seed %d, step %d: not in line, or twice", seed, step)
				}
			case op == 18:
				n := rng.IntN(4)
				model.shift(room{-n, -1})
				model.reap()
				q.passed(n, model)
			default:
				n := rng.IntN(10)
				if q.head != nil {
					model.shift(room{-n, 0})
					model.reap()
				}
				q.longer(room{tokens: n}, model)
			}
			for _, w := range model.gone {
				select {
				case <-w.done:
					rejected++
				default:
					t.Fatalf("seed %d, step %d: one who does not fit still waits", seed, step)
				}
			}
			model.gone = nil
			check(t, &q, model.order)
		}
		if priorities > 1 && rejected < 20 {
			t.Errorf("seed %d: only %d rejected: the test shows nothing", seed, rejected)
		}
	}
}

// check compares the line with the order it should have.
func check(t *testing.T, q *line[int], want []*waiter[int]) {
	t.Helper()
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
		t.Fatalf("%d in line, %d backwards, len %d, %d of %d tokens, want %d", len(got), len(back), q.len, q.tokens, tokens, len(want))
	}
	if q.index != nil && (q.index.root == nil || q.index.root.len != len(want) || q.index.root.tokens != tokens) {
		t.Fatal("the index has lost count")
	}
}
