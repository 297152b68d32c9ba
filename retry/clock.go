package retry

import "time"

// epoch makes reading the clock cheap: a difference needs the monotonic reading only. It lies so
// far back that the readings are positive in a testing/synctest bubble too, where it is the year
// 2000.
var epoch = time.Now().Add(-century)

const century = 100 * 365 * 24 * time.Hour

// At hands a reading of the clock on, of [Next.Clock] by a policy that calls next right after it:
// the policy that stands next in the chain need not read it again. It holds for that policy alone
// and not for those further in, because time may pass in between: in a queue, or in a policy that
// does not hand the clock on.
func (n Next) At(clock time.Duration) Next {
	n.at = -clock
	return n
}

// Clock is a reading of the monotonic clock, for differences to other readings. It is the reading
// that the policy around has just made, if that stands next to this one and handed it on by At, or
// a new one.
func (n Next) Clock() time.Duration {
	if n.at > 0 {
		return n.at
	}
	return time.Since(epoch)
}

// Now is [TimeOf] Clock.
func (n Next) Now() time.Time { return TimeOf(n.Clock()) }

// TimeOf is the time of a reading of Next.Clock, with a monotonic reading. If the wall clock was
// set since the program began its date differs from that of time.Now.
func TimeOf(clock time.Duration) time.Time { return epoch.Add(clock) }
