package ratelimit

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// The next size class of the allocator is 144.
func TestAWaiterFitsIn128Bytes(t *testing.T) {
	if n := unsafe.Sizeof(waiter[ticket]{}); n > 128 {
		t.Errorf("a limiter's takes %d bytes", n)
	}
	if n := unsafe.Sizeof(waiter[queued]{}); n > 128 {
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
			q.join(w, boundlessOwner{})
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
		check(t, &q, want)
	}
}

// When a pause grows longer, waiting calls that no longer fit their deadline are rejected at that
// moment, and at no other.
func TestALongerPauseRejectsExactlyTheCallsThatNoLongerFit(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			opts := []Option{MaxWait(time.Duration(rng.IntN(30)) * time.Second)}
			l := New(rate.Limit(1+rng.Float64()*20), 1+rng.IntN(5), opts[:rng.IntN(2)]...)
			defer l.SetLimit(-1) // sends the waiting calls away
			l.Pause(time.Second)
			for step := range 300 {
				switch rng.IntN(4) {
				case 0:
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
				case 1, 2:
					ctx, cancel := context.WithTimeout(t.Context(),
						time.Duration(1+rng.IntN(40_000))*time.Millisecond)
					n := 1 + rng.IntN(l.Burst())
					go func() { defer cancel(); _ = retry.Run(ctx, l.N(n), pass1) }()
					synctest.Wait()
				default:
					waiting, refused := l.line.len, l.Counts().Refused
					l.Pause(
						time.Until(l.pause.until) + time.Duration(rng.IntN(500))*time.Millisecond)
					synctest.Wait()
					k, before := 0, 0
					for w := l.line.head; w != nil; w = w.next {
						if _, reason := l.turn(w, k, before); reason != nil {
							t.Fatalf("seed %d, step %d: waiter %d: %v", seed, step, k, reason)
						}
						k, before = k+1, before+w.n
					}
					if gone := l.Counts().Refused - refused; gone != waiting-k {
						t.Fatalf("seed %d, step %d: %d are gone, %d were refused", seed, step,
							waiting-k, gone)
					}
				}
			}
		})
	}
}

// Thousands in flight may all bring a later end, and thousands wait.
func TestALongerPauseLooksAtTheLineOnlyIfACallMayNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(rate.Inf, 1)
		l.Pause(time.Minute)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var err error
		go func() { err = retry.Run(ctx, l, pass1) }()
		synctest.Wait()
		for range 49 {
			time.Sleep(time.Second)
			l.Pause(time.Minute + 10*time.Second)
			if !l.checked.Equal(began) {
				t.Fatalf("looked at the line after %v", time.Since(began))
			}
		}
		l.Pause(2*time.Minute - 49*time.Second)
		synctest.Wait()
		if !errors.Is(err, errLimitedByDeadline) || l.line.len != 0 {
			t.Errorf("a pause to the deadline: %v", err)
		}
	})
}

// boundlessOwner is an owner whose waiters have all the time in the world.
type boundlessOwner struct{ owner[int] }

func (boundlessOwner) fits(*waiter[int], int, int) bool { return true }
