package breaker

import (
	"sync/atomic"
	"time"
)

// clock is a breaker's time, counted from its making. Read with the breaker's lock held and passed through present it never
// goes back, though what it is read from may: a testing/synctest bubble begins in the year 2000, whatever was before.
type clock struct {
	born   time.Time
	lag    atomic.Int64  // how far the clock has gone back in all, in nanoseconds
	latest time.Duration // the latest moment seen under the lock
}

// raw is cheaper than time.Now, as it does not read the wall clock.
func (c *clock) raw() time.Duration   { return time.Since(c.born) }
func (c *clock) shift() time.Duration { return time.Duration(c.lag.Load()) }
func (c *clock) now() time.Duration   { return c.raw() + c.shift() }

// wall is when a moment was or will be, for people.
func (c *clock) wall(at time.Duration) time.Time { return c.born.Add(at - c.shift()) }

// present is now for who holds the lock. Where now was read before the lock was taken, and others were faster, it is read
// again; where the clock has gone back, time goes on from the latest moment seen.
func (b *Breaker) present(now time.Duration) time.Duration {
	c := &b.clock
	if now < c.latest {
		now = c.now()
	}
	if now < c.latest {
		c.lag.Add(int64(c.latest - now))
		now = c.latest
		switch e := b.era.Load(); e.state { // the engines have clocks of their own
		case Open:
			b.engine = openedEngine(b.probes, e.cause)
		case HalfOpen:
			b.spare = openedEngine(b.probes, e.cause)
		}
	}
	c.latest = now
	return now
}
