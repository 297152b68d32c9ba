package field

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
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
		"structured": {
			fields("RateLimit", `"default";r=50;t=30`, "RateLimit-Policy", `"default";q=100;w=60`),
			q(100, 50, 60*s, 30*s)},
		"structured, spaces": {
			fields("RateLimit", ` "default" ; r=50 ; t=30 `,
				"RateLimit-Policy", `"default"; q=100; w=60`), q(100, 50, 60*s, 30*s)},
		"structured, tokens": {
			fields("RateLimit", `default;r=50;t=30`, "RateLimit-Policy", `default;q=100;w=60`),
			q(100, 50, 60*s, 30*s)},
		"structured, alone": {
			fields("RateLimit", `"default";r=50;t=30`), q(0, 50, 0, 30*s)},
		"structured, no t": {
			fields("RateLimit", `"default";r=0`, "RateLimit-Policy", `"default";q=9;w=60`),
			q(9, 0, 60*s, 0)},
		"least left binds": {
			fields("RateLimit", `"day";r=900;t=9000, "minute";r=5;t=30`,
				"RateLimit-Policy", `"day";q=1000;w=86400, "minute";q=10;w=60`),
			q(10, 5, 60*s, 30*s)},
		"equal: longest reset": {
			fields("RateLimit", `"day";r=0;t=9000, "minute";r=0;t=30`), q(0, 0, 0, 9000*s)},
		"two fields are one list": {
			fields("RateLimit", `"day";r=9;t=9`, "RateLimit", `"minute";r=1;t=3`), q(0, 1, 0, 3*s)},
		"comma inside a name": {fields("RateLimit", `"a,b;\"c";r=1;t=3`), q(0, 1, 0, 3*s)},
		"bytes are not requests": {
			fields("RateLimit", `"b";r=1;t=3, "r";r=7;t=4`,
				"RateLimit-Policy", `"b";q=5;qu="content-bytes", "r";q=8;qu="requests";w=9`),
			q(8, 7, 9*s, 4*s)},
		"policy alone: all is left": {
			fields("RateLimit-Policy", `"day";q=1000;w=86400, "second";q=10;w=1`),
			q(1000, 1000, 86400*s, 0)},

		"-07": {
			fields("RateLimit", `limit=100, remaining=50, reset=30`,
				"RateLimit-Policy", `10;w=1, 100;w=60`), q(100, 50, 60*s, 30*s)},
		"-07, nothing left": {
			fields("RateLimit", `limit=100,remaining=0,reset=30`), q(100, 0, 0, 30*s)},

		"-07, epoch s": {
			fields("RateLimit", `limit=100, remaining=0, reset=1772452890`), q(100, 0, 0, 90*s)},
		"-07, epoch ms": {
			fields("RateLimit", `limit=100, remaining=0, reset=1772452800250`), q(100, 0, 0, s/4)},
		"structured, epoch s": {
			fields("RateLimit", `"default";r=0;t=1772452890`), q(0, 0, 0, 90*s)},
		"structured, epoch, by the server clock": {
			fields("RateLimit", `"default";r=0;t=1772452890`,
				"Date", "Mon, 02 Mar 2026 12:01:00 GMT"),
			q(0, 0, 0, 30*s)},
		"-07, restored by now": {
			fields("RateLimit", `limit=100, remaining=0, reset=1772452800`), none},

		"three": {
			fields("RateLimit-Limit", "100", "RateLimit-Remaining", "50", "RateLimit-Reset", "30"),
			q(100, 50, 0, 30*s)},
		"three with windows": {
			fields("RateLimit-Limit", `100, 10;w=1, 100;w=60;comment="x"`,
				"RateLimit-Remaining", "50", "RateLimit-Reset", "30"), q(100, 50, 60*s, 30*s)},

		"x, epoch s": {
			fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0",
				"X-RateLimit-Reset", "1772452890"), q(5000, 0, 0, 90*s)},
		"x, epoch ms": {
			fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "0",
				"X-RateLimit-Reset", "1772452800250"), q(5000, 0, 0, s/4)},
		"x, delta": {
			fields("X-RateLimit-Limit", "5000", "X-RateLimit-Remaining", "1",
				"X-RateLimit-Reset", "9999999"), q(5000, 1, 0, 9999999*s)},
		"x, fraction": {
			fields("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1.5"), q(0, 1, 0, 3*s/2)},
		"x-rate-limit": {
			fields("X-Rate-Limit-Limit", "15", "X-Rate-Limit-Remaining", "3",
				"X-Rate-Limit-Reset", "60"), q(15, 3, 0, 60*s)},
		"by the server clock": {
			fields("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1772452890",
				"Date", "Mon, 02 Mar 2026 12:01:00 GMT"), q(0, 1, 0, 30*s)},
		"malformed new form, good old one": {
			fields("RateLimit", `"open;r=1`, "X-RateLimit-Remaining", "3",
				"X-RateLimit-Reset", "60"),
			q(0, 3, 0, 60*s)},

		"nothing":     {fields(), none},
		"limit alone": {fields("X-RateLimit-Limit", "100"), none},
		"limit and reset": {
			fields("X-RateLimit-Limit", "100", "X-RateLimit-Reset", "9"), none},
		"zero of nothing": {fields("X-RateLimit-Remaining", "0"), none},
		"restored by now": {
			fields("X-RateLimit-Limit", "9", "X-RateLimit-Remaining", "0",
				"X-RateLimit-Reset", "1772452800"), none},
		"negative": {
			fields("X-RateLimit-Limit", "9", "X-RateLimit-Remaining", "-1",
				"X-RateLimit-Reset", "5"), none},
		"junk":         {fields("RateLimit", "soon"), none},
		"unclosed":     {fields("RateLimit", `"default;r=50;t=30`), none},
		"empty member": {fields("RateLimit", `"a";r=1;t=1,,`), none},
		"policy's name is not a family": {
			fields("X-Delimiter", "5", "X-Limit", "5", "Some-Ratelimited", "0"), none},
		"gauge, malformed": {fields("X-Shopify-Shop-Api-Call-Limit", "40"), none},
		"gauge of nothing": {fields("X-Shopify-Shop-Api-Call-Limit", "0/0"), none},
		"reset is negative": {
			fields("X-RateLimit-Remaining-Requests", "0", "X-RateLimit-Reset-Requests", "-2s"),
			none},

		"floor of a fraction": {fields("RateLimit", `"a";r=1.5;t=1`), q(0, 1, 0, s)},
		"fraction of zero": {
			fields("X-RateLimit-Remaining", "0.0", "X-RateLimit-Reset", "5"), q(0, 0, 0, 5*s)},
		"joined by a proxy": {
			fields("X-RateLimit-Limit", "5, 5", "X-RateLimit-Remaining", "0, 0",
				"X-RateLimit-Reset", "7, 7"), q(5, 0, 0, 7*s)},
		"reset as 2s": {
			fields("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "2s"), q(0, 0, 0, 2*s)},
		"reset in RFC 3339": {
			fields("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "2026-03-02T12:01:30Z"),
			q(0, 0, 0, 90*s)},
		"reset as a date": {
			fields("X-RateLimit-Remaining", "0",
				"X-RateLimit-Reset", "Mon, 02 Mar 2026 12:01:30 GMT"), q(0, 0, 0, 90*s)},
		"reset after": {
			fields("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1772452890",
				"X-RateLimit-Reset-After", "88.5"), q(0, 0, 0, 88500*time.Millisecond)},
		"of requests": {
			fields("X-RateLimit-Limit-Requests", "60", "X-RateLimit-Remaining-Requests", "0",
				"X-RateLimit-Reset-Requests", "6m0s"), q(60, 0, 0, 360*s)},
		"of requests and tokens": {
			fields("X-RateLimit-Remaining-Requests", "59", "X-RateLimit-Reset-Requests", "1s",
				"X-RateLimit-Limit-Tokens", "150000", "X-RateLimit-Remaining-Tokens", "0",
				"X-RateLimit-Reset-Tokens", "12ms"), q(150000, 0, 0, 12*time.Millisecond)},
		"vendor in front": {
			fields("Anthropic-RateLimit-Requests-Limit", "50",
				"Anthropic-RateLimit-Requests-Remaining", "0",
				"Anthropic-RateLimit-Requests-Reset", "2026-03-02T12:00:30Z"), q(50, 0, 0, 30*s)},
		"another vendor": {
			fields("X-HubSpot-RateLimit-Max", "100", "X-HubSpot-RateLimit-Remaining", "3"),
			q(100, 3, 0, 0)},
		"limit by itself": {
			fields("X-Rate-Limit", "700", "X-Rate-Limit-Remaining", "3"), q(700, 3, 0, 0)},
		"windows in both": {
			fields("RateLimit-Limit", "100;w=21600", "RateLimit-Remaining", "98;w=21600"),
			q(100, 98, 21600*s, 0)},
		"gauge": {
			fields("X-Shopify-Shop-Api-Call-Limit", "32/40"), q(40, 8, 0, 0)},
		"gauge, full": {
			fields("X-Shopify-Shop-Api-Call-Limit", "40/40"), q(40, 0, 0, 0)},
		"two spellings": {
			fields("X-RateLimit-Remaining", "5", "X-RateLimit-Reset", "9",
				"X-Rate-Limit-Remaining", "1", "X-Rate-Limit-Reset", "9"), q(0, 1, 0, 9*s)},
		"policy without a window": {fields("RateLimit-Policy", `"a";q=5`), none},
	} {
		got, ok := tightest(Quotas(c.h, noon))
		if got != c.want || ok != (c.want != none) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, c.want)
		}
	}
}

// tightest is the quota with the least left, of equal ones the one that is restored last.
func tightest(quotas []retry.Quota) (tightest retry.Quota, found bool) {
	for _, q := range quotas {
		if !found || q.Remaining < tightest.Remaining ||
			q.Remaining == tightest.Remaining && q.Reset > tightest.Reset {
			tightest, found = q, true
		}
	}
	return tightest, found
}

func TestEachQuotaIsHeard(t *testing.T) {
	h := fields("RateLimit", `"day";r=900;t=9000, "minute";r=5;t=30`,
		"X-RateLimit-Remaining-Requests", "1", "X-RateLimit-Reset-Requests", "1s",
		"X-RateLimit-Remaining-Tokens", "2", "X-RateLimit-Reset-Tokens", "1s")
	if got := Quotas(h, noon); len(got) != 4 {
		t.Errorf("%+v", got)
	}
}

// A hostile server gets no more than 16 KiB read, whatever it sends, and in linear time.
func TestQuotasAreReadInLinearTime(t *testing.T) {
	many := func(format string) string { return strings.Repeat(format, 320<<10/len(format)) }
	keys := http.Header{}
	for i := range 50_000 {
		keys[fmt.Sprintf("X-%d-Ratelimit-Remaining", i)] = []string{"5"}
		keys[fmt.Sprintf("X-%d-Ratelimit-Reset", i)] = []string{"5"}
	}
	var policies strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&policies, `"p%d";q=5;w=60,`, i)
	}
	for name, tc := range map[string]struct {
		h    http.Header
		most int
	}{
		"members": {
			fields("RateLimit", many("a;r=1,")+"a;r=1",
				"RateLimit-Policy", many("a;q=1;w=1,")+"a;q=1;w=1"), 16},
		"names": {
			fields("RateLimit", many("a;r=1,")+"a;r=1", "RateLimit-Policy", policies.String()+"x"),
			16},
		"parameters": {fields("RateLimit", `"a"`+many(";r=1")), 1},
		"limits": {
			fields("RateLimit-Limit", many("1;w=1,")+"1", "RateLimit-Remaining", "1"), 1},
		"fields": {keys, 16},
		"digits": {fields("X-RateLimit-Remaining", many("9"), "X-RateLimit-Reset", many("9")), 1},
		"quotes": {fields("RateLimit", many(`"\"`)), 1},
		"values": {http.Header{"Ratelimit": slices.Repeat([]string{"a;r=1;t=1"}, 100_000)}, 16},
		"units":  {fields("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", many("1h")), 1},
	} {
		took := time.Hour
		const most = 250 * time.Millisecond                  // it was a minute
		for tries := 0; tries < 10 && took > most; tries++ { // others use the machine too
			start := time.Now()
			if got := Quotas(tc.h, noon); len(got) > tc.most {
				t.Errorf("%s: %d quotas", name, len(got))
			}
			took = min(took, time.Since(start))
		}
		if took > most {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func FuzzQuotas(f *testing.F) {
	f.Add(`"default";r=50;t=30`, `"default";q=100;w=60`, "", "", "")
	f.Add(`limit=100, remaining=50, reset=30`, `100;w=60`, "100, 100;w=60", "50", "1772452890")
	f.Add(`"a\"`, ";;", ",", "99999999999999999999999", "1e400")
	f.Add("", "", "32/40", "0.0", "6m0s")
	f.Fuzz(func(t *testing.T, all, policy, limit, remaining, reset string) {
		for _, c := range [][3]string{{"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"},
			{"X-A-Call-Limit", "X-Rate-Limit-Remaining-B", "X-Rate-Limit-Reset-B"}} {
			h := fields("RateLimit", all, "RateLimit-Policy", policy, c[0], limit, c[1], remaining,
				c[2], reset)
			var quotas []retry.Quota
			check.Fast(t, len(all)+len(policy)+len(limit)+len(remaining)+len(reset), fuzzTime,
				func() { quotas = Quotas(h, noon) })
			for _, q := range quotas {
				if q.Limit < 0 || q.Remaining < 0 || q.Window < 0 || q.Reset < 0 ||
					q == (retry.Quota{}) {
					t.Errorf("%+v", q)
				}
			}
		}
	})
}
