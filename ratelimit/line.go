package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// line is the queue of the calls that wait at a [Limiter] or a [Pacer]: the higher priority first,
// and first in first out within one. A waiter in it holds nothing: what it waits for, a T, is taken
// when it is the head and its turn has come. So a waiter that gives up is removed and has nothing
// to give back (x/time reserves in advance and refunds by estimate). One timer serves the whole
// line, set for its head.
//
// While all in it have one priority the line is a plain list. The first call that overtakes another
// makes an index over it, which lasts until the line is empty.
//
// Its methods require that the owner's mutex is held.
type line[T any] struct {
	head, tail *waiter[T]
	len        int
	tokens     int // that all in it want
	index      *index[T]
	timer      *time.Timer
	wakeAt     time.Time // what timer is set for; zero: it is not set
}

// waiter is a call in a line. It is kept within 128 bytes, so that a wait costs no more than a
// timer per call would.
type waiter[T any] struct {
	prev, next *waiter[T]
	seat       *seat[T] // in the index, if there is one
	n          int      // tokens it wants
	priority   retry.Priority
	arrived    time.Time
	patience   time.Duration // from arrived to the context's deadline; forever: it has none
	done       chan error    // nil: go, with the ticket
	ticket     T
}

// newWaiter makes a waiter for the call of ctx, which arrived at the given time. It calls methods
// of ctx, which may be anybody's code, so it must not be called with a mutex held. ended is ctx's
// Done channel.
func newWaiter[T any](
	ctx context.Context, n int, arrived time.Time,
) (w *waiter[T], ended <-chan struct{}) {
	w = &waiter[T]{n: n, arrived: arrived, patience: forever}
	if deadline, ok := ctx.Deadline(); ok {
		w.patience = deadline.Sub(arrived)
	}
	w.priority = retry.PriorityOf(ctx)
	return w, ctx.Done()
}

// owner is what a line belongs to.
type owner[T any] interface {
	// Called with the owner's mutex held:

	// fits reports whether w can be served in time behind k others that want so many tokens.
	fits(w *waiter[T], k, before int) bool
	// reject returns the rejection of a call that does not fit, and counts it.
	reject(w *waiter[T], k, before int) error

	// Called without it:

	leave(*waiter[T]) bool     // takes it out of the line; false if it is not in it any more
	giveBack(*T)               // gives back what came too late for its call
	gaveUp(reason error) error // the rejection of a call that left
	wake()                     // called by the timer
}

var (
	_ owner[ticket] = (*Limiter)(nil)
	_ owner[queued] = (*Pacer)(nil)
)

// ahead is how many in line would go before w, which is not in it yet, and how many tokens they
// want.
func (q *line[T]) ahead(w *waiter[T], o owner[T]) (k, tokens int) {
	if !q.overtakes(w) {
		return q.len, q.tokens
	}
	q.indexed(o)
	return q.index.ahead(w.priority)
}

func (q *line[T]) overtakes(w *waiter[T]) bool {
	return q.tail != nil && w.priority > q.tail.priority
}

// join puts w into the line. Those behind wait longer, and any of them that no longer fits is
// turned away.
func (q *line[T]) join(w *waiter[T], o owner[T]) {
	w.done = make(chan error, 1)
	overtakes := q.overtakes(w)
	if overtakes {
		q.indexed(o)
	}
	after := q.tail
	if q.index != nil {
		after = q.index.join(w, o)
	}
	q.insert(w, after)
	if overtakes {
		q.reap(o)
	}
}

// passed is called when a call went ahead of all in line. They wait longer, and any of them that no
// longer fits is turned away.
func (q *line[T]) passed(n int, o owner[T]) { q.longer(room{n, 1}, o) }

// longer makes all in line wait for so much more, and turns away any that no longer fits.
func (q *line[T]) longer(by room, o owner[T]) {
	if q.head == nil {
		return
	}
	q.indexed(o)
	q.index.root.grow(by.times(-1))
	q.reap(o)
}

// indexed makes the index.
func (q *line[T]) indexed(o owner[T]) {
	if q.index != nil {
		return
	}
	q.index = &index[T]{}
	for w := q.head; w != nil; w = w.next {
		q.index.join(w, o)
	}
}

// forgetIndex is called when waits have changed although the line has not. The next call that
// overtakes makes a new index.
func (q *line[T]) forgetIndex() { q.index = nil }

// reap turns away the calls that no longer fit. Each of them shortens the wait of those behind it.
func (q *line[T]) reap(o owner[T]) {
	for q.index != nil {
		s := q.index.root.overdue()
		if s == nil {
			return
		}
		k, before := q.index.before(s)
		if o.fits(s.w, k, before) { // it has more room than the index knew of
			q.index.amend(s, roomOf(o, s.w, k, before))
			continue
		}
		q.turnAway(s.w, o.reject(s.w, k, before))
	}
}

func (q *line[T]) insert(w, after *waiter[T]) {
	w.prev, w.next = after, q.head
	if after != nil {
		w.next = after.next
		after.next = w
	} else {
		q.head = w
	}
	if w.next != nil {
		w.next.prev = w
	} else {
		q.tail = w
	}
	q.len++
	q.tokens += w.n
}

// remove takes w out of the line, and is false if it is not in it.
func (q *line[T]) remove(w *waiter[T]) bool {
	if w.prev == nil && q.head != w {
		return false
	}
	if q.index != nil {
		q.index.leave(w.seat)
	}
	q.unlink(w)
	return true
}

func (q *line[T]) unlink(w *waiter[T]) {
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
	w.prev, w.next, w.seat = nil, nil, nil
	q.len--
	q.tokens -= w.n
	if q.head == nil {
		q.index = nil
	}
}

// release lets w go. Those behind it keep their room: one call less is before them, but what it
// waited for has been taken. Those before it, if it is not the head, wait longer.
func (q *line[T]) release(w *waiter[T], ticket T) {
	if q.index != nil {
		q.index.serve(w.seat)
	}
	q.unlink(w)
	w.ticket = ticket
	w.done <- nil
}

// turnAway rejects w with err.
func (q *line[T]) turnAway(w *waiter[T], err error) {
	q.remove(w)
	w.done <- err
}

// atOnce is the shortest time that a timer is set to. In a testing/synctest bubble a timer that is
// already due runs on the goroutine that sets it, and there Go 1.26 sometimes crashes under the
// race detector.
const atOnce = time.Nanosecond

// alarm sets the timer: it wakes o at the given time and at no other.
func (q *line[T]) alarm(now, at time.Time, o owner[T]) {
	if q.timer == nil {
		q.timer = time.AfterFunc(max(at.Sub(now), atOnce), o.wake)
	} else if !at.Equal(q.wakeAt) {
		q.timer.Reset(max(at.Sub(now), atOnce))
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

// forgetTimer makes the next alarm make its own timer. The old one is not stopped, because it may
// belong to another synctest bubble; that it fires for nothing does no harm.
func (q *line[T]) forgetTimer() { q.timer, q.wakeAt = nil, time.Time{} }

// misfit is why a wait that ends at the given time is too long; nil if it is not.
func (w *waiter[T]) misfit(at time.Time, maxWait time.Duration) error {
	switch wait := at.Sub(w.arrived); {
	case w.patience != forever && wait >= w.patience:
		return errLimitedByDeadline
	case maxWait >= 0 && wait > maxWait:
		return ErrLimited
	}
	return nil
}

// slack is how much later than the given time w's turn may come.
func (w *waiter[T]) slack(at time.Time, maxWait time.Duration) time.Duration {
	d, wait := forever, at.Sub(w.arrived)
	if w.patience != forever {
		d = w.patience - wait - 1
	}
	if maxWait >= 0 {
		d = min(d, maxWait-wait)
	}
	return d
}

// stand waits until w, which has been put in line, is let go or rejected, or its context ends.
// Observers are told that wait was expected. Methods of ctx and observers may panic: whatever was
// granted and is not handed on is given back.
func stand[T any](
	ctx context.Context, o owner[T], w *waiter[T], ended <-chan struct{},
	policy string, wait time.Duration,
) (ticket T, err error) {
	granted, handed := false, false
	defer func() {
		if granted && !handed {
			o.giveBack(&w.ticket)
		}
	}()
	left := false
	select {
	case err = <-w.done:
	case <-ended:
		if left = o.leave(w); !left {
			err = <-w.done
		}
	}
	granted = !left && err == nil
	if err == nil {
		err = abandoned(ctx, o, left)
	}
	if err != nil {
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: policy, Err: err})
	}
	retry.Emit(ctx, retry.Event{
		Kind: retry.KindWait, Policy: policy, Wait: wait, Took: time.Since(w.arrived), Err: err,
	})
	handed = err == nil
	return w.ticket, err
}

// abandoned is the rejection of a waiter whose context has ended, nil if it has not. Being a
// rejection, it tells the policies further out that the callee was not reached.
func abandoned[T any](ctx context.Context, o owner[T], left bool) error {
	end := retry.Ended(ctx)
	if end == nil {
		if !left {
			return nil
		}
		end = context.Canceled // Done is closed, whatever Err says
	}
	return o.gaveUp(fmt.Errorf("%w: the wait was given up: %w", ErrLimited, end))
}
