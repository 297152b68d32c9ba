package breaker

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
	"github.com/sony/gobreaker/v2"
)

// clock is a breaker's time, counted from its making. Read with the breaker's lock held and passed
// through present it never goes back, though what it is read from may: a testing/synctest bubble
// begins in the year 2000, whatever was before.
type clock struct {
	born time.Duration // by the clock of retry.Next
	lag  atomic.Int64  // how far the clock has gone back in all, in nanoseconds
}

func (c *clock) raw() time.Duration   { return retry.Next{}.Clock() - c.born }
func (c *clock) shift() time.Duration { return time.Duration(c.lag.Load()) }
func (c *clock) now() time.Duration   { return c.raw() + c.shift() }

// wall is when a moment was or will be, for people.
func (c *clock) wall(at time.Duration) time.Time { return retry.TimeOf(c.born + at - c.shift()) }

// after is the moment so much later than at, which is not negative, or the last one there is.
func after(at, d time.Duration) time.Duration { return at + min(d, math.MaxInt64-at) }

// present makes now the latest moment seen. An earlier one was read before the lock was taken, and
// is read again; if the clock has gone back, time goes on from the latest moment. b.mu is held.
func (b *Breaker) present(now time.Duration) time.Duration {
	if now < b.latest {
		now = b.again()
	}
	b.latest = now
	return now
}

func (b *Breaker) again() time.Duration {
	now := b.now()
	if now >= b.latest {
		return now
	}
	b.lag.Add(int64(b.latest - now))
	// gobreaker has its own clock.
	if e := b.era.Load(); e.opening != nil && e.opening.State() == gobreaker.StateOpen {
		e.opening = newOpening(b.probes, e.until-b.latest)
	}
	return b.latest
}
