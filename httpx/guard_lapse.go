package httpx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lapse is a context.WithDeadline that makes its timer only when Done is called: most requests are
// answered long before their deadline, by handlers that never wait.
type lapse struct {
	context.Context
	deadline time.Time // before that of Context

	mu    sync.Mutex
	timed atomic.Pointer[timed]
	phase atomic.Int32
}

// The phases of a lapse.
const (
	running int32 = iota // the clock tells
	fresh                // the clock has just been read, and the first question comes at once
	over                 // the request has been answered
)

// timed is the context that context.WithDeadline has made.
type timed struct {
	context.Context
	cancel context.CancelFunc
}

func (l *lapse) Deadline() (time.Time, bool) { return l.deadline, true }

func (l *lapse) Done() <-chan struct{} { return l.real().Done() }

// Err needs no timer as long as it returns nil. Its first error comes from the context that has the
// timer, and stays.
func (l *lapse) Err() error {
	t := l.timed.Load()
	if t == nil {
		phase := l.phase.Load()
		if phase != over && l.Context.Err() == nil {
			if phase == fresh && l.phase.CompareAndSwap(fresh, running) ||
				time.Until(l.deadline) > 0 {
				return nil
			}
		}
		t = l.real()
	}
	return t.Err()
}

// Value asks the context that has the timer, so that contexts derived from l are cancelled by it
// without a goroutine.
func (l *lapse) Value(key any) any {
	if t := l.timed.Load(); t != nil {
		return t.Value(key)
	}
	return l.Context.Value(key)
}

func (l *lapse) real() *timed {
	if t := l.timed.Load(); t != nil {
		return t
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.timed.Load()
	if t == nil {
		t = &timed{}
		t.Context, t.cancel = context.WithDeadline(l.Context, l.deadline)
		if l.phase.Load() == over {
			t.cancel()
		}
		l.timed.Store(t)
	}
	return t
}

// end cancels l.
func (l *lapse) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase.Store(over)
	if t := l.timed.Load(); t != nil {
		t.cancel()
	}
}
