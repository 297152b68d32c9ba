package field

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// RetryAfter reads the Retry-After field (RFC 9110, section 10.2.3): how long the server asks to be left alone, from
// now on. It takes delay-seconds and all three forms of an HTTP-date. A date is compared with the response's own Date where
// that is within a day of now, so that a wrong clock on one side does no harm.
//
// (0, true) is a server that names a time which is already over: come back after your own back-off. (0, false) is no field,
// or none that can be read: negative, fractional, empty or junk. Of several fields the first counts. A number too large for
// a Duration is the largest Duration; the result is never negative.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := Trim(h.Get("Retry-After"))
	number, _, _ := strings.Cut(value, ",") // two fields that a proxy joined
	if d, ok := Seconds(Trim(number)); ok {
		return d, true
	}
	at, ok := parseHTTPDate(value, now)
	if !ok {
		return 0, false
	}
	return max(0, at.Sub(serverTime(h, now))), true // Sub saturates
}

// serverTime is the time by the server's clock: its Date, unless that is missing or absurd.
func serverTime(h http.Header, now time.Time) time.Time {
	date, ok := parseHTTPDate(Trim(h.Get("Date")), now)
	if !ok || now.Sub(date).Abs() > 24*time.Hour {
		return now
	}
	return date
}

// parseHTTPDate reads IMF-fixdate, RFC 850 and asctime dates. http.ParseTime is not used: it takes any zone for GMT's, a
// fraction of a second, and puts the RFC 850 year 70 always into 1970.
func parseHTTPDate(s string, now time.Time) (time.Time, bool) {
	if len(s) < len(time.ANSIC)-1 || strings.Contains(s, ".") || strings.LastIndexByte(s, ',') > len("Wednesday") {
		return time.Time{}, false
	}
	if t, err := time.ParseInLocation(http.TimeFormat, s, time.UTC); err == nil {
		return t, true
	}
	if t, err := time.ParseInLocation(time.ANSIC, s, time.UTC); err == nil {
		return t, true
	}
	t, err := time.ParseInLocation("Monday, 02-Jan-06 15:04:05 GMT", s, time.UTC)
	if err != nil {
		return time.Time{}, false
	}
	// RFC 9110, section 5.6.7: more than 50 years in the future means the most recent past year with these two digits.
	year := now.UTC().Year()/100*100 + t.Year()%100
	switch {
	case year > now.UTC().Year()+50:
		year -= 100
	case year < now.UTC().Year()-49:
		year += 100
	}
	return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC), true
}

// Seconds reads 1*DIGIT. What overflows saturates.
func Seconds(s string) (time.Duration, bool) {
	n, ok := Digits(s)
	if !ok {
		return 0, false
	}
	return seconds(n), true
}

func seconds(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Second
}

// Digits reads 1*DIGIT: no sign, no space. What overflows saturates.
func Digits(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		d := int64(s[i]) - '0'
		if d < 0 || d > 9 {
			return 0, false
		}
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
			continue
		}
		n = n*10 + d
	}
	return n, true
}

// Trim trims optional white space as RFC 9110 defines it: spaces and tabs, no other.
func Trim(s string) string { return strings.Trim(s, " \t") }
