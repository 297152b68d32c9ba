package field

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Named is a quota to write into a response, under the name of its policy.
type Named struct {
	Name string
	retry.Quota
}

// SamePolicy reports whether q and other have the same Policy.
func (q *Named) SamePolicy(other *Named) bool {
	return q.Name == other.Name && q.Limit == other.Limit && q.Window == other.Window
}

// mostNumber is the largest integer of a structured field: RFC 9651, section 3.3.1.
const mostNumber = 999_999_999_999_999

// Policy is the member of RateLimit-Policy for q, as draft-ietf-httpapi-ratelimit-headers-10 has
// it: "default";q=100;w=60. The window is in whole seconds. Another window is rounded up, and the
// limit grows with it, so that the rate stays.
func (q *Named) Policy() string {
	b := append(make([]byte, 0, 64), '"')
	b = append(append(b, q.Name...), `";q=`...)
	limit, seconds := wholeSeconds(q.Limit, q.Window)
	b = strconv.AppendInt(b, min(limit, mostNumber), 10)
	if seconds > 0 {
		b = append(b, ";w="...)
		b = strconv.AppendInt(b, seconds, 10)
	}
	return string(b)
}

// Left is the member of RateLimit for q: "default";r=50;t=30. There is no t if Reset is below half
// a second, which whole seconds cannot tell.
func (q *Named) Left() string {
	b := append(make([]byte, 0, 64), '"')
	b = append(append(b, q.Name...), `";r=`...)
	b = strconv.AppendInt(b, min(max(int64(q.Remaining), 0), mostNumber), 10)
	if seconds := q.ResetSeconds(); seconds > 0 {
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, seconds, 10)
	}
	return string(b)
}

// ResetSeconds is the t of Left, 0 if there is none.
func (q *Named) ResetSeconds() int64 {
	if q.Reset < time.Second/2 {
		return 0
	}
	return Ceil(q.Reset)
}

// wholeSeconds converts limit calls per window to a limit over whole seconds.
func wholeSeconds(limit int, window time.Duration) (calls, seconds int64) {
	if window <= 0 {
		return int64(limit), 0
	}
	seconds = Ceil(window)
	if longer := float64(seconds) / window.Seconds(); longer > 1.001 {
		return max(1, int64(float64(limit)*longer)), seconds
	}
	return int64(limit), seconds
}

// Ceil is d in seconds, rounded up.
func Ceil(d time.Duration) int64 {
	seconds := int64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	return seconds
}

// Share is the part of q that each of n clients has: of what remains, and of the limit. Parts are
// whole calls; if rounding would lose more than a hundredth of the limit, its window grows.
func Share(q retry.Quota, n int) retry.Quota {
	if n <= 1 {
		return q
	}
	q.Remaining /= n
	if q.Window <= 0 {
		q.Limit = max(1, q.Limit/n)
		return q
	}
	rate := float64(q.Limit) / q.Window.Seconds() / float64(n)
	seconds := math.Ceil(q.Window.Seconds())
	best, calls, loss := 0., 0., 1.
	for times := 1.; times <= 16 && loss > .01; times++ {
		exact := rate * seconds * times
		if off := 1 - math.Floor(exact)/exact; off < loss {
			best, calls, loss = seconds*times, math.Floor(exact), off
		}
	}
	if calls == 0 { // less than one call in any of these windows: one in a longer one
		best, calls = math.Ceil(1/rate), 1
	}
	q.Limit, q.Window = int(calls), time.Duration(min(best, mostWindow))*time.Second
	return q
}

const mostWindow = 100 * 365 * 24 * 3600 // s

// Token makes name fit for a structured field's string: it drops quotes, backslashes and everything
// that is not printable ASCII, and keeps at most 64 bytes.
func Token(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, name[:min(len(name), 64)])
}
