package field

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Named is a quota to be told, under the name of its policy.
type Named struct {
	Name string
	retry.Quota
}

// SamePolicy reports whether q and other have the same Policy.
func (q Named) SamePolicy(other Named) bool {
	return q.Name == other.Name && q.Limit == other.Limit && q.Window == other.Window
}

// mostNumber is the largest integer of a structured field: RFC 9651, section 3.3.1.
const mostNumber = 999_999_999_999_999

// Policy is the member of RateLimit-Policy for q, as draft-ietf-httpapi-ratelimit-headers-10 has
// it: "default";q=100;w=60. The window is in whole seconds. One that is not is told as the same
// rate over the next whole seconds.
func (q Named) Policy() string {
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

// Left is the member of RateLimit for q: "default";r=50;t=30. There is no t if nothing is to be
// restored, or so soon that whole seconds would be wrong by more than half of one.
func (q Named) Left() string {
	b := append(make([]byte, 0, 64), '"')
	b = append(append(b, q.Name...), `";r=`...)
	b = strconv.AppendInt(b, min(max(int64(q.Remaining), 0), mostNumber), 10)
	if q.Reset >= time.Second/2 {
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, Ceil(q.Reset), 10)
	}
	return string(b)
}

// wholeSeconds tells limit calls per window as a limit over whole seconds.
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

// Share is the part of q that one of n has: of what remains, and of the limit, whose window grows
// if whole calls would else lose more than a hundredth of it.
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
	if calls == 0 { // one in as long as it takes
		best, calls = math.Ceil(1/rate), 1
	}
	q.Limit, q.Window = int(calls), time.Duration(min(best, mostWindow))*time.Second
	return q
}

const mostWindow = 100 * 365 * 24 * 3600 // s

// Token makes a name fit for a structured field's string: what is not printable ASCII, and its
// quotes and backslashes, are left out. At most 64 bytes.
func Token(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, name[:min(len(name), 64)])
}
