package retry

import (
	"sync/atomic"
	"time"
)

// epoch makes reading the clock cheap: a difference needs the monotonic reading only. It lies so
// far back that the readings are positive in a testing/synctest bubble too, where it is the year
// 2000.
var epoch = time.Now().Add(-century)

const century = 100 * 365 * 24 * time.Hour

// At hands on a reading of the clock. It is for a policy that has read [Next.Clock] and calls next
// right afterwards: the next policy of the chain then need not read the clock again. The reading
// holds for that policy alone and not for those further in, because time may pass in between: in a
// queue, or in a policy that does not hand the clock on.
//
// At(0) hands on the reading that the policy itself was given, if there is one. It is for a policy
// that does not read the clock and calls next at once.
func (n Next) At(clock time.Duration) Next {
	if clock == 0 {
		clock = n.at
	}
	n.at = -clock
	return n
}

// Clock returns a reading of the monotonic clock, to be compared with other readings. If the policy
// before this one in the chain has just made a reading and handed it on by At, it is that one,
// otherwise a new one.
func (n Next) Clock() time.Duration {
	if n.at > 0 {
		return n.at
	}
	return time.Since(epoch)
}

// Now is TimeOf(n.Clock()).
func (n Next) Now() time.Time { return TimeOf(n.Clock()) }

// TimeOf is a reading of the clock as a time with a monotonic reading.
func TimeOf(clock time.Duration) time.Time {
	if d := dated.Load(); d != nil && near(clock, d.clock) {
		return d.time.Add(clock - d.clock)
	}
	return newDate(clock)
}

// date is one moment by both clocks, the monotonic and the wall clock. Other moments near it are
// dated by it, because reading both clocks costs twice as much as reading one. The wall clock may
// be set, so a date is not used for long.
type date struct {
	clock time.Duration
	time  time.Time
}

var dated atomic.Pointer[date]

func near(a, b time.Duration) bool { return uint64(a-b+time.Second) <= uint64(2*time.Second) }

// newDate is TimeOf if no date is near: it reads both clocks.
func newDate(clock time.Duration) time.Time {
	now := time.Now()
	d := date{now.Sub(epoch), now}
	if near(clock, d.clock) {
		dated.Store(new(d))
	}
	return now.Add(clock - d.clock)
}
