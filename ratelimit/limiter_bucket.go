package ratelimit

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// bucket is a token bucket of x/time as a source.
type bucket struct{ *rate.Limiter }

func (b bucket) take(now time.Time, n int) bool { return b.AllowN(now, n) }

// add takes a negative number of tokens: that adds to a bucket, up to its burst, and does nothing
// else. (Reservation.Cancel would subtract what was reserved since.)
func (b bucket) add(now time.Time, n int) {
	if n < 0 {
		b.owe(now, -n)
		return
	}
	b.ReserveN(now, -n)
}

// owe takes n tokens, whether they are there or not. A bucket grants no more than its burst at a
// time, so for more the burst is raised meanwhile.
func (b bucket) owe(now time.Time, n int) {
	limit, burst := b.Limit(), b.Burst()
	if limit == rate.Inf {
		return
	}
	if most := b.TokensAt(now) + float64(limit)*time.Hour.Seconds(); float64(n) > most {
		n = int(max(0, most))
	}
	if n <= burst {
		b.ReserveN(now, n)
		return
	}
	b.SetBurstAt(now, n)
	b.ReserveN(now, n)
	b.SetBurstAt(now, burst)
}

func (b bucket) when(start time.Time, n int) (time.Time, bool) {
	limit := b.Limit()
	if limit == rate.Inf {
		return start, true
	}
	short := float64(n) - b.TokensAt(start)
	switch {
	case short <= 0:
		return start, true
	case limit <= 0:
		return time.Time{}, false
	}
	return start.Add(timeFor(short, limit)), true
}

// timeFor is how long limit takes to bring so many tokens, in nanoseconds rounded up, so that
// nobody comes too early, except for float error. (x/time rounds down: a token taken at .1 s makes
// the next one come at 999.999999 ms.)
func timeFor(tokens float64, limit rate.Limit) time.Duration {
	d := tokens / float64(limit) * float64(time.Second)
	if d >= float64(rate.InfDuration) {
		return rate.InfDuration
	}
	return time.Duration(math.Ceil(d - 1e-3))
}

func (b bucket) tokens(now time.Time) float64 { return b.TokensAt(now) }
func (b bucket) limit() rate.Limit            { return b.Limit() }
func (b bucket) burst() int                   { return b.Burst() }

func (b bucket) set(now time.Time, limit rate.Limit, burst int) {
	if limit != b.Limit() {
		b.SetLimitAt(now, limit)
	}
	if burst != b.Burst() {
		b.SetBurstAt(now, burst)
	}
}

// follow makes the bucket continue from now. Otherwise it would stand still until the latest time
// that it has seen comes again.
func (b bucket) follow(now time.Time) { b.ReserveN(now, 0) }

func (b bucket) wants(listener, int) {}
func (b bucket) hold(time.Time)      {}

func (b bucket) String() string {
	if b.Limit() == rate.Inf {
		return "no limit"
	}
	return fmt.Sprintf("%.4g/s, burst %d", float64(b.Limit()), b.Burst())
}
