package ratelimit

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// line is the queue of those who wait at a [Limiter] or a [Pacer], first in first out. Nobody in it holds anything: what he waits
// for, a T, is taken when the head's turn has come. So an abandoned wait is a removed waiter and nothing has to be given back
// (x/time reserves in advance and refunds by estimate). One timer serves the whole line, set for its head.
//
// Its methods require that the owner's mutex is held.
type line[T any] struct {
	head, tail *waiter[T]
	len        int
	tokens     int // that they want
	timer      *time.Timer
	wakeAt     time.Time // what timer is set for; zero: nothing
}

// waiter is one of them. It is kept within 128 bytes, so that a wait costs no more than a timer of one's own would.
type waiter[T any] struct {
	prev, next *waiter[T]
	n          int // tokens he wants
	arrived    time.Time
	deadline   time.Time  // of the context; zero: none
	done       chan error // nil: go, with the ticket
	ticket     T
}

// owner is who a line belongs to. Its methods must not be called with its mutex held.
type owner[T any] interface {
	leave(*waiter[T]) bool // takes him out of the line, and is false if he is not in it any more
	giveBack(*T)           // of one whose turn came too late
	wake()                 // the timer
}

var (
	_ owner[ticket] = (*Limiter)(nil)
	_ owner[pass]   = (*Pacer)(nil)
)

func (q *line[T]) push(w *waiter[T]) {
	w.prev = q.tail
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.len++
	q.tokens += w.n
}

// remove takes w out of the line, and is false if he is not in it.
func (q *line[T]) remove(w *waiter[T]) bool {
	if w.prev == nil && q.head != w {
		return false
	}
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	q.len--
	q.tokens -= w.n
	return true
}

// release lets w go.
func (q *line[T]) release(w *waiter[T], ticket T) {
	q.remove(w)
	w.ticket = ticket
	w.done <- nil
}

// turnAway refuses w.
func (q *line[T]) turnAway(w *waiter[T], err error) {
	q.remove(w)
	w.done <- err
}

// alarm has o woken at the given time, and then only.
func (q *line[T]) alarm(now, at time.Time, o owner[T]) {
	if q.timer == nil {
		q.timer = time.AfterFunc(at.Sub(now), o.wake)
	} else if !at.Equal(q.wakeAt) {
		q.timer.Reset(at.Sub(now))
	}
	q.wakeAt = at
}

// silence ends the alarm.
func (q *line[T]) silence() {
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil // the next line may be in another synctest bubble
	}
}

// forgetTimer has the next alarm make a timer of its own. The old one is not stopped: it may be of another synctest bubble, and one
// that comes for nothing does no harm.
func (q *line[T]) forgetTimer() { q.timer, q.wakeAt = nil, time.Time{} }

// misfit is why a wait that ends at the given time is too long; nil if it is not.
func (w *waiter[T]) misfit(at time.Time, maxWait time.Duration) error {
	switch {
	case !w.deadline.IsZero() && !at.Before(w.deadline):
		return errLimitedByDeadline
	case maxWait >= 0 && at.After(w.arrived.Add(maxWait)):
		return ErrLimited
	}
	return nil
}

// slack is how much later than at the given time his turn may come.
func (w *waiter[T]) slack(at time.Time, maxWait time.Duration) time.Duration {
	d := forever
	if !w.deadline.IsZero() {
		d = w.deadline.Sub(at) - 1
	}
	if maxWait >= 0 {
		d = min(d, w.arrived.Add(maxWait).Sub(at))
	}
	return d
}

// stand waits until w, who has been put in line, is let go or refused, or ctx ends. Observers are told that wait was expected.
func stand[T any](ctx context.Context, o owner[T], w *waiter[T], policy string, wait time.Duration) (ticket T, err error) {
	granted, handed := false, false
	defer func() {
		if granted && !handed { // its context ended, or an observer panicked
			o.giveBack(&w.ticket)
		}
	}()
	select {
	case err = <-w.done:
		granted = err == nil
	case <-ctx.Done():
		if !o.leave(w) {
			err = <-w.done
			granted = err == nil
		}
	}
	if err == nil {
		err = retry.Ended(ctx)
	} else {
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: policy, Err: err})
	}
	retry.Emit(ctx, retry.Event{Kind: retry.KindWait, Policy: policy, Wait: wait, Took: time.Since(w.arrived), Err: err})
	handed = err == nil
	return w.ticket, err
}
