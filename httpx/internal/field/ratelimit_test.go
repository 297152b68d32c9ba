package field

import (
	"net/http"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func fields(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestQuotaIsReadInEveryForm(t *testing.T) {
	q := func(limit, remaining int, window, reset time.Duration) retry.Quota {
		return retry.Quota{Limit: limit, Remaining: remaining, Window: window, Reset: reset}
	}
	none := retry.Quota{}
	const s = time.Second
	for name, c := range map[string]struct {
		h    http.Header
		want retry.Quota
	}{
		"structured":                {fields("RateLimit", `"default";r=50;t=30`, "RateLimit-Policy", `"default";q=100;w=60`), q(100, 50, 60*s, 30*s)},
		"structured, spaces":        {fields("RateLimit", ` "default" ; r=50 ; t=30 `, "RateLimit-Policy", `"default"; q=100; w=60`), q(100, 50, 60*s, 30*s)},
		"structured, tokens":        {fields("RateLimit", `default;r=50;t=30`, "RateLimit-Policy", `default;q=100;w=60`), q(100, 50, 60*s, 30*s)},
		"structured, alone":         {fields("RateLimit", `"default";r=50;t=30`), q(0, 50, 0, 30*s)},
		"structured, no t":          {fields("RateLimit", `"default";r=0`, "RateLimit-Policy", `"default";q=9;w=60`), q(9, 0, 60*s, 0)},
		"least left binds":          {fields("RateLimit", `"day";r=900;t=9000, "minute";r=5;t=30`, "RateLimit-Policy", `"day";q=1000;w=86400, "minute";q=10;w=60`), q(10, 5, 60*s, 30*s)},
		"equal: longest reset":      {fields("RateLimit", `"day";r=0;t=9000, "minute";r=0;t=30`), q(0, 0, 0, 9000*s)},
		"two fields are one list":   {fields("RateLimit", `"day";r=9;t=9`, "RateLimit", `"minute";r=1;t=3`), q(0, 1, 0, 3*s)},
		"comma inside a name":       {fields("RateLimit", `"a,b;\"c";r=1;t=3`), q(0, 1, 0, 3*s)},
		"bytes are not requests":    {fields("RateLimit", `"b";r=1;t=3, "r";r=7;t=4`, "RateLimit-Policy", `"b";q=5;qu="content-bytes", "r";q=8;qu="requests";w=9`), q(8, 7, 9*s, 4*s)},
		"policy alone: all is left": {fields("RateLimit-Policy", `"day";q=1000;w=86400, "second";q=10;w=1`), q(1000, 1000, 86400*s, 0)},

		"-07":               {fields("RateLimit", `limit=100, remaining=50, reset=30`, "RateLimit-Policy", `10;w=1, 100;w=60`), q(100, 50, 60*s, 30*s)},
		"-07, nothing left": {fields("RateLimit", `limit=100,remaining=0,reset=30`), q(100, 0, 0, 30*s)},

		"-07, epoch s":        {fields("RateLimit", `limit=100, remaining=0, reset=1772452890`), q(100, 0, 0, 90*s)},
		"-07, epoch ms":       {fields("RateLimit", `limit=100, remaining=0, reset=1772452800250`), q(100, 0, 0, s/4)},
		"structured, epoch s": {fields("RateLimit", `"default";r=0;t=1772452890`), q(0, 0, 0, 90*s)},
		"structured, epoch, by the server clock": {fields("RateLimit", `"default";r=0;t=1772452890`, "Date", "Mon, 02 Mar 2026 12:01:00 GMT"),
			q(0, 0, 0, 30*s)},
		"-07, restored by now": {fields("RateLimit", `limit=100, remaining=0, reset=1772452800`), none},

		"three":              {fields("RateLimit-Limit", "100", "RateLimit-Remaining", "50", "RateLimit-Reset", "30"), q(100, 50, 0, 30*s)},
		"three with windows": {fields("RateLimit-Limit", `100, 10;w=1, 100;w=60;comment="x"`, "RateLimit-Remaining", "50", "RateLimit-Reset", "30"), q(100, 50, 60*s, 30*s)},

		"x, epoch s":          {fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772452890"), q(5000, 0, 0, 90*s)},
		"x, epoch ms":         {fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772452800250"), q(5000, 0, 0, s/4)},
		"x, delta":            {fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "9999999"), q(5000, 1, 0, 9999999*s)},
		"x, fraction":         {fields("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1.5"), q(0, 1, 0, 3*s/2)},
		"x-rate-limit":        {fields("X-Rate-Limit-Limit", "15", "X-Rate-Limit-Remaining", "3", "X-Rate-Limit-Reset", "60"), q(15, 3, 0, 60*s)},
		"by the server clock": {fields("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1772452890", "Date", "Mon, 02 Mar 2026 12:01:00 GMT"), q(0, 1, 0, 30*s)},
		"malformed new form, good old one": {fields("RateLimit", `"open;r=1`, "X-RateLimit-Remaining", "3", "X-RateLimit-Reset", "60"),
			q(0, 3, 0, 60*s)},

		"nothing":                 {fields(), none},
		"limit alone":             {fields("X-RateLimit-Limit", "100"), none},
		"limit and reset":         {fields("X-RateLimit-Limit", "100", "X-RateLimit-Reset", "9"), none},
		"zero of nothing":         {fields("X-RateLimit-Remaining", "0"), none},
		"restored by now":         {fields("X-RateLimit-Limit", "9", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772452800"), none},
		"negative":                {fields("X-RateLimit-Limit", "9", "X-RateLimit-Remaining", "-1", "X-RateLimit-Reset", "5"), none},
		"junk":                    {fields("RateLimit", "soon"), none},
		"unclosed":                {fields("RateLimit", `"default;r=50;t=30`), none},
		"empty member":            {fields("RateLimit", `"a";r=1;t=1,,`), none},
		"fractional remaining":    {fields("RateLimit", `"a";r=1.5;t=1`), none},
		"policy without a window": {fields("RateLimit-Policy", `"a";q=5`), none},
	} {
		got, ok := Quota(c.h, noon)
		if got != c.want || ok != (c.want != none) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, c.want)
		}
	}
}

func FuzzParseQuota(f *testing.F) {
	f.Add(`"default";r=50;t=30`, `"default";q=100;w=60`, "", "", "")
	f.Add(`limit=100, remaining=50, reset=30`, `100;w=60`, "100, 100;w=60", "50", "1772452890")
	f.Add(`"a\"`, ";;", ",", "99999999999999999999999", "1e400")
	f.Fuzz(func(t *testing.T, all, policy, limit, remaining, reset string) {
		for _, prefix := range []string{"RateLimit-", "X-Rate-Limit-"} {
			q, ok := Quota(fields("RateLimit", all, "RateLimit-Policy", policy, prefix+"Limit", limit,
				prefix+"Remaining", remaining, prefix+"Reset", reset), noon)
			if q.Limit < 0 || q.Remaining < 0 || q.Window < 0 || q.Reset < 0 {
				t.Errorf("negative: %+v", q)
			}
			if ok == (q == retry.Quota{}) {
				t.Errorf("%+v, %v", q, ok)
			}
		}
	})
}
