package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

// source is where a [Limiter] gets its tokens: a [bucket] of this process, or this process's part
// of a limit that a fleet shares. The line, pauses, refunds, Shadow and the counts belong to the
// Limiter and work over every source.
//
// The duties of an implementation:
//
//   - A Limiter calls it with its mutex held, and several Limiters may share one source (in an
//     [All]). So it guards its own state, never blocks, and never calls a Limiter from inside one
//     of these methods. What it has to report (see wants) it reports from its own goroutine,
//     without holding a mutex.
//   - A time that is earlier than the last one seen is not an error: see follow.
//   - With a limit of [rate.Inf] it gives every token and keeps no count.
type source interface {
	// take takes n tokens. If they are not there it returns false and takes nothing. A call that
	// does not get its tokens counts as demand, even if it does not wait afterwards.
	take(now time.Time, n int) bool

	// add puts n tokens back, up to the burst. A negative n takes tokens whether they are there or
	// not: what is missing is a debt that later calls wait for, at most an hour of the limit. At
	// a limit of rate.Inf it does nothing.
	add(now time.Time, n int)

	// when is the time, not before start, at which there will be n tokens if no other call takes
	// any. It may be an estimate: calls wait until then and try again. If take has just failed at
	// start, it is later than start. It returns false if n tokens will never be there, or if a call
	// should not wait for them; the time is then when it is worth asking again, zero if unknown. n
	// may be more than the burst, because a whole line may want it.
	when(start time.Time, n int) (time.Time, bool)

	// tokens is how many there are, negative in debt, for Quota, Idle and String.
	tokens(now time.Time) float64

	limit() rate.Limit
	burst() int

	// set changes limit and burst. The limit is neither NaN nor -Inf; another value that makes no
	// sense is kept, and the Limiter fails every call until it is set right.
	set(now time.Time, limit rate.Limit, burst int)

	// follow tells that the clock now shows this time, which may be earlier than before (a
	// testing/synctest bubble begins in the year 2000): for the source no time has passed.
	follow(now time.Time)

	// wants tells that l's line waits for n tokens in all, 0 if no call waits any more. A source
	// that gets tokens without the Limiter knowing calls l.look when they have come, and l.changed
	// when its limit or burst has changed.
	wants(l listener, n int)

	// hold tells that no call may go before until, as the callee or Pause said. A source that hears
	// the same from elsewhere calls l.held for every Limiter that it was made for.
	hold(until time.Time)

	// String is a few words: "10/s, burst 5", and anything unusual.
	String() string
}

// listener waits for a source's tokens: a [Limiter], or a [Pacer]'s place in its fleet. A source
// calls it from its own goroutine, without holding a mutex.
type listener interface {
	look()                   // tokens have come
	changed()                // limit or burst has changed
	held(until time.Time)    // others say that nobody may go before
	mostHeld() time.Duration // the longest pause that a hint may cause
}
