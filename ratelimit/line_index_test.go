package ratelimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// plainQueue is a line that looks at everybody at each step: the oracle. A waiter fits while no
// more tokens and no more calls come before it than it was given.
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

// reap takes out the calls that do not fit.
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
func TestALineOfPrioritiesTurnsAwayExactlyTheCallsThatNoLongerFit(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var q line[int]
		model := &plainQueue{most: map[*waiter[int]]room{}}
		priorities := 1 + rng.IntN(5)
		rejected := 0
		for step := range 2500 {
			switch op := rng.IntN(20); {
			case op < 9:
				w := &waiter[int]{n: 1 + rng.IntN(4),
					priority: retry.Priority(rng.IntN(priorities))}
				k, before := model.place(w)
				if gotK, gotBefore := q.ahead(w, model); gotK != k || gotBefore != before {
					t.Fatalf("seed %d, step %d: %d ahead with %d tokens, want %d with %d", seed,
						step, gotK, gotBefore, k, before)
				}
				model.most[w] = room{before + w.n + rng.IntN(60), k + rng.IntN(30)}
				if rng.IntN(4) == 0 {
					model.most[w] = room{2 * boundless, 2 * boundless}
				}
				model.order = slices.Insert(model.order, k, w)
				model.reap()
				q.join(w, model)
			case op < 15 && q.head != nil:
				if q.head != model.order[0] {
					t.Fatalf("seed %d, step %d: another head", seed, step)
				}
				i := max(0, rng.IntN(len(model.order)+8)-8) // most often the head
				w := model.order[i]
				if i > 0 {
					q.indexed(model) // or nobody looks whether those before it still fit
				}
				model.order = slices.Delete(slices.Clone(model.order), i, i+1)
				model.shift(room{-w.n, -1}) // less to come, and less before those behind it
				model.reap()
				q.release(w, 0)
				q.reap(model)
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
	if !slices.Equal(got, want) || !slices.Equal(back, want) || q.len != len(want) ||
		q.tokens != tokens {
		t.Fatalf("%d in line, %d backwards, len %d, %d of %d tokens, want %d", len(got), len(back),
			q.len, q.tokens, tokens, len(want))
	}
	if q.index != nil &&
		(q.index.root == nil || q.index.root.len != len(want) || q.index.root.tokens != tokens) {
		t.Fatal("the index has lost count")
	}
}

// Whatever comes, leaves, overtakes, pauses, is charged, given back or changed: after each step
// everybody in line can be served in time, nobody is admitted after its deadline, and in the end
// nothing is left.
func TestACallInLineCanBeServedInTime(t *testing.T) {
	refused := 0
	seeds := uint64(60)
	if RaceEnabled {
		seeds = 15
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			var opts []Option
			if rng.IntN(2) == 0 {
				opts = append(opts, MaxWait(time.Duration(1+rng.IntN(8000))*time.Millisecond))
			}
			burst := 1 + rng.IntN(6)
			slow := New(rate.Limit(1+rng.Float64()*20), burst, opts...)
			l := slow
			if seed%3 == 0 {
				l = All(slow, New(rate.Limit(1+rng.Float64()*20), burst+rng.IntN(6)))
			}
			var wg sync.WaitGroup
			for step := range 400 {
				switch op := rng.IntN(14); {
				case op == 0:
					time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
				case op == 1:
					l.Pause(time.Duration(rng.IntN(1500)) * time.Millisecond)
				case op == 2:
					l.Charge(rng.IntN(2*burst+2) - burst/2)
				case op == 3 && l == slow:
					l.SetLimit(rate.Limit(1 + rng.Float64()*20))
				default:
					join(t, rng, l, &wg)
				}
				synctest.Wait()
				l.mu.Lock()
				k, before := 0, 0
				for w := l.line.head; w != nil; w = w.next {
					if _, reason := l.turn(w, k, before); reason != nil {
						t.Errorf("seed %d, step %d: waiter %d of %d: %v", seed, step, k, l.line.len,
							reason)
					}
					k, before = k+1, before+w.n
				}
				l.mu.Unlock()
			}
			wg.Wait()
			refused += l.Counts().Refused
			time.Sleep(2 * time.Hour)
			if !l.Idle() {
				t.Errorf("seed %d: something is left: %v", seed, l)
			}
		})
	}
	if refused < 1000 {
		t.Errorf("only %d were refused: the test shows nothing", refused)
	}
}

// join makes a call of random priority, patience, price and outcome.
func join(t *testing.T, rng *rand.Rand, l *Limiter, wg *sync.WaitGroup) {
	ctx := retry.WithPriority(t.Context(), retry.Priority(rng.IntN(4)))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+rng.IntN(6000))*time.Millisecond)
	n, rejected := 1+rng.IntN(l.Burst()), rng.IntN(8) == 0
	if rng.IntN(6) == 0 {
		time.AfterFunc(time.Duration(rng.IntN(3000))*time.Millisecond, cancel)
	}
	wg.Go(func() {
		defer cancel()
		_ = retry.Run(ctx, l.N(n), func(ctx context.Context) error {
			if ctx.Err() != nil {
				t.Error("a call was made after its context had ended")
			}
			if rejected {
				return &retry.Rejection{Policy: "breaker"}
			}
			return nil
		})
	})
}
