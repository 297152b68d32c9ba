package field

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
)

// fuzzTime is what reading one input may take.
const fuzzTime = time.Second

var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func TestRetryAfterReadsEveryFormAndNothingElse(t *testing.T) {
	const absent = time.Duration(-1)
	for _, c := range []struct {
		value, date string
		want        time.Duration
	}{
		{"120", "", 2 * time.Minute},
		{" \t120\t ", "", 2 * time.Minute},
		{"0", "", 0},
		{"007", "", 7 * time.Second},
		{"9223372036", "", 9223372036 * time.Second},
		{"9223372037", "", math.MaxInt64},
		{"99999999999999999999999999", "", math.MaxInt64},
		{"120, 240", "", 2 * time.Minute},

		{"Mon, 02 Mar 2026 12:01:00 GMT", "", time.Minute},
		{"Monday, 02-Mar-26 12:01:00 GMT", "", time.Minute},
		{"Mon Mar  2 12:01:00 2026", "", time.Minute},
		{"  Mon, 02 Mar 2026 12:01:00 GMT ", "", time.Minute},
		{"Mon, 02 Mar 2026 12:00:00 GMT", "", 0},
		{"Mon, 02 Mar 2026 11:00:00 GMT", "", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", math.MaxInt64},
		{"Sunday, 02-Mar-76 12:00:00 GMT", "",
			time.Date(2076, 3, 2, 12, 0, 0, 0, time.UTC).Sub(noon)},
		{"Sunday, 02-Mar-77 12:00:00 GMT", "", 0}, // 51 years ahead is 1977

		{"Mon, 02 Mar 2026 12:01:00 GMT", "Mon, 02 Mar 2026 12:00:30 GMT", 30 * time.Second},
		{"Mon, 02 Mar 2026 12:01:00 GMT", "Monday, 02-Mar-26 11:00:00 GMT", 61 * time.Minute},
		{"Mon, 02 Mar 2026 12:01:00 GMT", "Sun, 01 Mar 2026 12:00:00 GMT",
			24*time.Hour + time.Minute},
		// Over a day off.
		{"Mon, 02 Mar 2026 12:01:00 GMT", "Sun, 01 Mar 2026 11:59:59 GMT", time.Minute},
		{"Mon, 02 Mar 2026 12:01:00 GMT", "Wed, 04 Mar 2026 12:00:00 GMT", time.Minute},
		{"Mon, 02 Mar 2026 12:01:00 GMT", "soon", time.Minute},
		{"60", "Mon, 02 Mar 2026 11:00:00 GMT", time.Minute}, // seconds need no clock

		{"", "", absent},
		{"   ", "", absent},
		{"-1", "", absent},
		{"+1", "", absent},
		{"1.", "", absent},
		{".5", "", absent},
		{"1.5.2", "", absent},
		{"1.-5", "", absent},
		{"1e3", "", absent},
		{"1 2", "", absent},
		{"0x10", "", absent},
		{"\u00a05", "", absent},
		{"٣", "", absent},
		{"soon", "", absent},
		{",5", "", absent},
		{"Mon, 02 Mar 2026 12:01:00 EST", "", absent},
		{"Monday, 02-Mar-26 12:01:00 EST", "", absent},
		{"Mon, 02 Mar 2026 12:01:00.5 GMT", "", absent},
		{"Mon, 02 Mar 2026 12:01:00,5 GMT", "", absent},
		{"Mon, 32 Mar 2026 12:01:00 GMT", "", absent},
		{"Mon, 02 Mar 2026 12:01:00 +0", "", absent},
		{"Mon, 02 Mar 2026 12:01:00 +0060", "", absent},
		{"Mon, 02 Mar 2026 12:01:00", "", absent},
		{"2026-03-02", "", absent},

		{"2.0", "", 2 * time.Second},
		{"0.503", "", 503 * time.Millisecond},
		{"0.5034", "", 504 * time.Millisecond},
		{"0.0", "", 0},
		{"1.5, 2", "", 1500 * time.Millisecond},
		{"9223372036.9", "", math.MaxInt64 - 854775807 + 0},
		{"1772452860", "", time.Minute},
		{"1772452860.5", "", time.Minute + 500*time.Millisecond},
		{"1772452860000", "", time.Minute},
		{"1746136938", "", 0},
		{"1772452860", "Mon, 02 Mar 2026 12:00:30 GMT", 30 * time.Second},
		{"1903716138", "", 1903716138 * time.Second}, // four years ahead
		{"Mon, 02 Mar 2026 12:01:00 UTC", "", time.Minute},
		{"Mon, 02 Mar 2026 12:01:00 +0000", "", time.Minute},
		{"Mon, 02 Mar 2026 14:01:00 +0200", "", time.Minute},
		{"Mon, 02 Mar 2026 06:31:00 -05:30", "", time.Minute},
		{"Monday, 02-Mar-26 12:01:00 UTC", "", time.Minute},
		{"Monday, 02-Mar-26 13:01:00 +0100", "", time.Minute},
		{"Mon Mar  2 12:01:00 2026 GMT", "", time.Minute},
		{"Mon Mar  2 13:01:00 2026 +0100", "", time.Minute},
		{"2026-03-02T12:01:00Z", "", time.Minute},
		{"2026-03-02T14:01:00.5+02:00", "", time.Minute + 500*time.Millisecond},
		{"Mon, 02 Mar 2026 12:01:00 GMT, Mon, 02 Mar 2026 13:01:00 GMT", "", time.Minute},
		{"Mon, 02 Mar 2026 12:01:00 GMT, 7", "", time.Minute},
		{"2026-03-02T12:01:00Z, 7", "", time.Minute},
	} {
		h := http.Header{"Retry-After": {c.value}}
		if c.date != "" {
			h.Set("Date", c.date)
		}
		got, ok := RetryAfter(h, noon)
		if !ok {
			got--
		}
		if got != c.want {
			t.Errorf("%q with Date %q: %v, want %v", c.value, c.date, got, c.want)
		}
	}
}

func TestRetryAfterTakesTheFirstOfTwoFields(t *testing.T) {
	d, ok := RetryAfter(http.Header{"Retry-After": {"7", "9"}}, noon)
	if d != 7*time.Second || !ok {
		t.Error(d, ok)
	}
	if d, ok := RetryAfter(nil, noon); d != 0 || ok {
		t.Error("no field:", d, ok)
	}
}

func TestRetryAfterInMilliseconds(t *testing.T) {
	for i, tc := range []struct {
		h    http.Header
		want time.Duration
	}{
		{http.Header{"Retry-After-Ms": {"2500"}}, 2500 * time.Millisecond},
		{http.Header{"Retry-After-Ms": {"2500.4"}}, 2501 * time.Millisecond},
		{http.Header{"X-Ms-Retry-After-Ms": {" 10 "}}, 10 * time.Millisecond},
		{http.Header{"X-Amz-Retry-After": {"1500"}}, 1500 * time.Millisecond},
		{http.Header{"Retry-After-Ms": {"2500"}, "Retry-After": {"7"}}, 7 * time.Second},
		{http.Header{"Retry-After-Ms": {"2500"}, "Retry-After": {"junk"}}, 2500 * time.Millisecond},
		{http.Header{"Retry-After-Ms": {"junk"}, "X-Amz-Retry-After": {"5"}}, 5 * time.Millisecond},
	} {
		if d, ok := RetryAfter(tc.h, noon); d != tc.want || !ok {
			t.Errorf("%d: %v, %v", i, d, ok)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "0", "-1", "1.5", "Mon, 02 Mar 2026 12:01:00 GMT",
		"Monday, 02-Mar-26 12:01:00 GMT",
		"Mon Mar  2 12:01:00 2026", "99999999999999999999", "Mon, 02 Mar 0000 12:01:00 GMT"} {
		f.Add(s, "", int64(0))
		f.Add(s, s, int64(1)<<40)
	}
	f.Fuzz(func(t *testing.T, value, date string, unix int64) {
		var d time.Duration
		var ok bool
		check.Fast(t, len(value)+len(date), fuzzTime, func() {
			d, ok = RetryAfter(http.Header{"Retry-After": {value}, "Date": {date},
				"Retry-After-Ms": {value}}, time.Unix(unix, 0))
		})
		if d < 0 || !ok && d != 0 {
			t.Errorf("%q, %q at %d: %v, %v", value, date, unix, d, ok)
		}
	})
}
