package retrytest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Step is what a [Script] does when it is called.
type Step[T any] struct {
	Value T
	Err   error
	Took  time.Duration // how long the call takes; it ends early if its context does
	Hang  bool          // the call ends only with its context
	Deaf  bool          // the call does not heed its context
	Panic any           // not nil: the call panics with it
	Times int           // how often in a row; 0 is once
}

// Script is a callee that does what its steps say, one after the other; the last one is repeated.
// Give its method Call to retry.Do. It is safe for concurrent use.
type Script[T any] struct {
	mu    sync.Mutex
	steps []Step[T]
	done  int // how often the present step was taken
	calls []Call
}

// Call is one call of a [Script].
type Call struct {
	Attempt int // retry.Attempt
	At      time.Time
	Took    time.Duration // 0 until it has returned
	Err     error
}

// NewScript makes a callee. Without steps it returns the zero value and no error.
func NewScript[T any](steps ...Step[T]) *Script[T] {
	return &Script[T]{steps: append([]Step[T](nil), steps...)}
}

// Call takes the next step.
func (s *Script[T]) Call(ctx context.Context) (T, error) {
	step, n := s.next(ctx)
	start := time.Now()
	err := step.wait(ctx)
	s.mu.Lock()
	s.calls[n].Took, s.calls[n].Err = time.Since(start), err
	s.mu.Unlock()
	if step.Panic != nil {
		panic(step.Panic)
	}
	return step.Value, err
}

func (s *Script[T]) next(ctx context.Context) (step Step[T], n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.steps) > 0 {
		step = s.steps[0]
		if s.done++; s.done >= max(1, step.Times) && len(s.steps) > 1 {
			s.steps, s.done = s.steps[1:], 0
		}
	}
	s.calls = append(s.calls, Call{Attempt: retry.Attempt(ctx), At: time.Now()})
	return step, len(s.calls) - 1
}

func (s Step[T]) wait(ctx context.Context) error {
	done := ctx.Done()
	if s.Deaf {
		done = nil
	}
	var over <-chan time.Time
	switch {
	case s.Hang && done == nil:
		return fmt.Errorf("retrytest: a step that hangs and is deaf would never end")
	case s.Hang:
	case s.Took <= 0:
		return s.Err
	default:
		timer := time.NewTimer(s.Took)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return s.Err
	case <-done:
		return context.Cause(ctx)
	}
}

// Calls returns the calls so far, in the order they began.
func (s *Script[T]) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Count returns how often the script was called.
func (s *Script[T]) Count() int { return len(s.Calls()) }
