package field

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter reads how long the server asks the client to wait, from now on. Servers use more forms
// than RFC 9110, section 10.2.3, has:
//
//	Retry-After: 120                            delay-seconds; a fraction is rounded up to the ms
//	Retry-After: Mon, 02 Mar 2026 12:01:00 GMT  any HTTP-date, also with UTC or a numeric zone
//	Retry-After: 2026-03-02T12:01:00Z           RFC 3339
//	Retry-After: 1772452860                     seconds or milliseconds since 1970, if that is
//	                                            within a year of the response's time
//	Retry-After-Ms: 2500                        milliseconds, if Retry-After is absent; also
//	                                            X-Ms-Retry-After-Ms (Azure) and
//	                                            X-Amz-Retry-After (AWS)
//
// A date is compared with the response's own Date if that is within a day of now, so that a wrong
// clock on one side does no harm. (0, true) is a time that has passed. (0, false) means that there
// is no field, or none that can be read. Of several fields the first counts, also if a proxy has
// joined them. A wait too long for a Duration is the largest Duration.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if value := bounded(h.Get("Retry-After")); value != "" {
		now = serverTime(h, now)
		if d, ok := parseDelay(value, now); ok {
			return d, true
		}
	}
	for _, key := range [...]string{"Retry-After-Ms", "X-Ms-Retry-After-Ms", "X-Amz-Retry-After"} {
		if v := h[key]; len(v) > 0 {
			if d, ok := parseDecimal(first(bounded(v[0])), time.Millisecond); ok {
				return d, true
			}
		}
	}
	return 0, false
}

func parseDelay(value string, now time.Time) (time.Duration, bool) {
	number := first(value)
	if d, ok := parseDecimal(number, time.Second); ok {
		whole, _, _ := strings.Cut(number, ".")
		n, _ := Digits(whole)
		for _, at := range [...]time.Time{time.Unix(n, int64(d%time.Second)), time.UnixMilli(n)} {
			if now.Sub(at).Abs() < 365*24*time.Hour {
				return max(0, at.Sub(now)), true
			}
		}
		return d, true
	}
	at, ok := parseTime(value, now)
	if !ok {
		return 0, false
	}
	return max(0, at.Sub(now)), true // Sub saturates
}

// most is how much of a value is read, in bytes. No meaningful time or number is longer.
const most = 128

func bounded(value string) string {
	value = Trim(value[:min(len(value), 4*most)])
	return value[:min(len(value), most)]
}

// first is the first of two values that a proxy joined.
func first(value string) string {
	value, _, _ = strings.Cut(value, ",")
	return Trim(value)
}

// serverTime is the time by the server's clock: its Date, unless that is missing or absurd.
func serverTime(h http.Header, now time.Time) time.Time {
	date, ok := parseHTTPDate(bounded(h.Get("Date")), now)
	if !ok || now.Sub(date).Abs() > 24*time.Hour {
		return now
	}
	return date
}

// parseTime reads an HTTP-date or an RFC 3339 time, or the first of two.
func parseTime(s string, now time.Time) (time.Time, bool) {
	for _, s := range [...]string{s, upTo(s, 1), upTo(s, 2)} {
		if t, ok := parseHTTPDate(s, now); ok {
			return t, true
		}
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// upTo cuts s before its nth comma.
func upTo(s string, n int) string {
	end := 0
	for ; n > 0; n-- {
		i := strings.IndexByte(s[end:], ',')
		if i < 0 {
			return ""
		}
		end += i + 1
	}
	return Trim(s[:end-1])
}

// parseHTTPDate reads IMF-fixdate, RFC 850 and asctime dates, each also with UTC or a numeric zone
// for GMT. http.ParseTime is not used: it reads any zone as GMT, accepts a fraction of a second,
// and always reads the RFC 850 year 70 as 1970.
func parseHTTPDate(s string, now time.Time) (time.Time, bool) {
	if len(s) < len(time.ANSIC)-1 || strings.Contains(s, ".") ||
		strings.LastIndexByte(s, ',') > len("Wednesday") {
		return time.Time{}, false
	}
	bare, ahead, zoned := cutZone(s)
	if t, err := time.ParseInLocation(time.ANSIC, bare, time.UTC); err == nil {
		return t.Add(-ahead), true
	}
	if !zoned {
		return time.Time{}, false
	}
	if t, err := time.ParseInLocation("Mon, 02 Jan 2006 15:04:05", bare, time.UTC); err == nil {
		return t.Add(-ahead), true
	}
	t, err := time.ParseInLocation("Monday, 02-Jan-06 15:04:05", bare, time.UTC)
	if err != nil {
		return time.Time{}, false
	}
	// RFC 9110, section 5.6.7: more than 50 years in the future means the most recent past year
	// with these two digits.
	year := now.UTC().Year()/100*100 + t.Year()%100
	switch {
	case year > now.UTC().Year()+50:
		year -= 100
	case year < now.UTC().Year()-49:
		year += 100
	}
	return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0,
		time.UTC).Add(-ahead), true
}

// cutZone cuts the zone off the end of a date: GMT, UTC, +hhmm or +hh:mm. ahead is how far its
// clocks are ahead of UTC.
func cutZone(s string) (bare string, ahead time.Duration, ok bool) {
	i := strings.LastIndexByte(s, ' ')
	if i < 0 {
		return s, 0, false
	}
	switch zone := s[i+1:]; {
	case zone == "GMT" || zone == "UTC":
		return s[:i], 0, true
	case len(zone) >= 5 && (zone[0] == '+' || zone[0] == '-'):
		digits := strings.Replace(zone[1:], ":", "", 1)
		n, isNumber := Digits(digits)
		if !isNumber || len(digits) != 4 || n%100 >= 60 {
			return s, 0, false
		}
		ahead = time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
		if zone[0] == '-' {
			ahead = -ahead
		}
		return s[:i], ahead, true
	}
	return s, 0, false
}

// parseDecimal reads 1*DIGIT [ "." 1*DIGIT ] in units, rounded up to the ms. A number that is too
// large becomes the largest.
func parseDecimal(s string, unit time.Duration) (time.Duration, bool) {
	whole, fraction, dotted := strings.Cut(s, ".")
	n, ok := Digits(whole)
	if !ok {
		return 0, false
	}
	d := times(n, unit)
	if !dotted {
		return d, true
	}
	if _, ok := Digits(fraction); !ok {
		return 0, false
	}
	part, _ := strconv.ParseFloat("0."+fraction, 64)
	ms := math.Ceil(part*float64(unit)/float64(time.Millisecond) - 1e-6)
	if more := time.Duration(ms) * time.Millisecond; d < math.MaxInt64-more {
		d += more
	}
	return d, true
}

// Seconds reads 1*DIGIT. A number that is too large becomes the largest Duration.
func Seconds(s string) (time.Duration, bool) {
	n, ok := Digits(s)
	if !ok {
		return 0, false
	}
	return times(n, time.Second), true
}

func times(n int64, unit time.Duration) time.Duration {
	if n > math.MaxInt64/int64(unit) {
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}

// Digits reads 1*DIGIT, without sign or space. A number that is too large becomes the largest.
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

// Trim trims optional white space as RFC 9110 defines it: spaces and tabs only.
func Trim(s string) string { return strings.Trim(s, " \t") }
