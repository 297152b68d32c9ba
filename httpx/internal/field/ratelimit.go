package field

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Quota reads what a response says of the server's limit. The first of these forms that says what is left counts:
//
//	RateLimit: "default";r=50;t=30          RateLimit-Policy: "default";q=100;w=60    draft-ietf-httpapi-ratelimit-headers-08 on
//	RateLimit: limit=100, remaining=50, reset=30          RateLimit-Policy: 100;w=60  -07
//	RateLimit-Limit: 100, 100;w=60  RateLimit-Remaining: 50  RateLimit-Reset: 30      up to -06
//	X-RateLimit-Limit: 100  X-RateLimit-Remaining: 50  X-RateLimit-Reset: 1767225600  custom, also as X-Rate-Limit-
//
// Of several policies the one with the least left binds, of equal ones the one that is restored last. What is malformed is
// ignored. In each form the reset may be an instant: servers mix them. A quota whose reset is already over says nothing, and
// neither does a limit without window or remainder.
func Quota(h http.Header, now time.Time) (retry.Quota, bool) {
	policies, _ := parseList(h.Values("RateLimit-Policy"))
	now = serverTime(h, now)
	if items, ok := parseList(h.Values("RateLimit")); ok && len(items) > 0 {
		if q, ok := structuredQuota(items, policies, now); ok {
			return q, true
		}
		if q, ok := dictionaryQuota(items, policies, now); ok {
			return q, true
		}
	}
	for _, prefix := range []string{"RateLimit-", "X-RateLimit-", "X-Rate-Limit-"} {
		limits, _ := parseList(h.Values(prefix + "Limit"))
		var s said
		if len(limits) > 0 {
			s.limit, s.hasLimit = parseCount(limits[0].value)
			s.window = windowOf(s.limit, append(limits[1:], policies...))
		}
		s.remaining, s.hasRemaining = parseCount(Trim(h.Get(prefix + "Remaining")))
		s.reset, s.hasReset = parseReset(Trim(h.Get(prefix+"Reset")), now)
		if q, ok := s.quota(); ok {
			return q, true
		}
	}
	return policyQuota(policies)
}

// said tells what was said from what was not, which a Quota cannot.
type said struct {
	limit, remaining                 int
	window, reset                    time.Duration
	hasLimit, hasRemaining, hasReset bool
}

func (s said) quota() (retry.Quota, bool) {
	q := retry.Quota{Limit: s.limit, Remaining: s.remaining, Window: s.window, Reset: s.reset}
	switch {
	case !s.hasRemaining:
		return retry.Quota{}, false // a Limit alone would read as "nothing left"
	case s.hasReset && s.reset <= 0:
		return retry.Quota{}, false // restored by now
	case s.remaining == 0 && s.limit == 0 && s.reset == 0:
		return retry.Quota{}, false // nothing left, of what and until when not said
	}
	return q, true
}

// structuredQuota reads the current form: a list of policy names with r (remaining) and t (seconds until it is restored).
func structuredQuota(items, policies []item, now time.Time) (tightest retry.Quota, found bool) {
	for _, it := range items {
		var s said
		if !it.named() {
			continue
		}
		s.remaining, s.hasRemaining = parseCount(it.param("r"))
		if t, ok := parseReset(it.param("t"), now); ok {
			s.reset, s.hasReset = t, true
		}
		counts := true
		for _, p := range policies {
			if p.named() && p.name() == it.name() {
				s.limit, s.hasLimit = parseCount(p.param("q"))
				s.window, _ = Seconds(p.param("w"))
				counts = p.countsRequests()
				break
			}
		}
		q, ok := s.quota()
		if ok && counts && (!found || q.Remaining < tightest.Remaining || q.Remaining == tightest.Remaining && q.Reset > tightest.Reset) {
			tightest, found = q, true
		}
	}
	return tightest, found
}

// dictionaryQuota reads the form of draft -07: limit=100, remaining=50, reset=30.
func dictionaryQuota(items, policies []item, now time.Time) (retry.Quota, bool) {
	var s said
	for _, it := range items {
		key, value, _ := strings.Cut(it.value, "=")
		switch strings.ToLower(key) {
		case "limit":
			s.limit, s.hasLimit = parseCount(value)
		case "remaining":
			s.remaining, s.hasRemaining = parseCount(value)
		case "reset":
			s.reset, s.hasReset = parseReset(value, now)
		}
	}
	s.window = windowOf(s.limit, policies)
	return s.quota()
}

// policyQuota reads a RateLimit-Policy that stands alone: the limit is known and what is left of it is not, so all of it.
func policyQuota(policies []item) (slowest retry.Quota, found bool) {
	for _, p := range policies {
		limit, ok := parseCount(p.param("q"))
		if !p.named() {
			limit, ok = parseCount(p.value)
		}
		window, okWindow := Seconds(p.param("w"))
		if !ok || !okWindow || limit == 0 || window == 0 || !p.countsRequests() {
			continue
		}
		q := retry.Quota{Limit: limit, Remaining: limit, Window: window}
		if !found || float64(q.Limit)/float64(q.Window) < float64(slowest.Limit)/float64(slowest.Window) {
			slowest, found = q, true
		}
	}
	return slowest, found
}

// windowOf finds the window of the policy that has this limit, as 100 in 100;w=60.
func windowOf(limit int, policies []item) time.Duration {
	for _, p := range policies {
		n, ok := parseCount(p.value)
		if w, okWindow := Seconds(p.param("w")); ok && okWindow && n == limit {
			return w
		}
	}
	return 0
}

func parseCount(s string) (int, bool) {
	n, ok := Digits(s)
	return int(min(n, math.MaxInt)), ok
}

// parseReset reads seconds from now, seconds since 1970 or milliseconds since 1970, told apart by their magnitude: 1e7 s is
// four months, 1e11 s is the year 5138. A fraction is taken, as Discord sends one.
func parseReset(s string, now time.Time) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return 0, false
	case n < 1e7:
		return time.Duration(n * float64(time.Second)), true
	case n >= 1e18: // past what can be an instant
		return math.MaxInt64, true
	case n >= 1e11:
		n /= 1000
	}
	whole, fraction := math.Modf(n)
	return max(0, time.Unix(int64(whole), int64(fraction*1e9)).Sub(now)), true
}

// item is a member of a structured field's list (RFC 9651): its value as it was written, and its parameters.
type item struct {
	value  string
	params []param
}

type param struct{ key, value string }

// named tells a name ("default" as a string, or a bare token as in early drafts) from a number and a dictionary's pair.
func (it item) named() bool {
	return it.value != "" && (it.value[0] == '"' || !strings.Contains(it.value, "=") && (it.value[0] < '0' || it.value[0] > '9'))
}

func (it item) name() string { return strings.Trim(it.value, `"`) }

// param is the value of the last parameter with this key: RFC 9651, section 3.1.2. Empty if there is none.
func (it item) param(key string) (value string) {
	for _, p := range it.params {
		if p.key == key {
			value = p.value
		}
	}
	return value
}

// countsRequests is false where the quota unit is another one, as content-bytes.
func (it item) countsRequests() bool {
	unit := strings.Trim(it.param("qu"), `"`)
	return unit == "" || unit == "requests"
}

// parseList splits a list field into its items, knowing strings with their escapes. Two fields are one list. An unclosed
// string or an empty member makes the whole field malformed.
func parseList(fields []string) (items []item, ok bool) {
	var it item
	var part strings.Builder
	params, quoted := false, false
	endPart := func() {
		s := Trim(part.String())
		part.Reset()
		if !params {
			it.value = s
			return
		}
		k, v, _ := strings.Cut(s, "=")
		it.params = append(it.params, param{strings.ToLower(Trim(k)), Trim(v)})
	}
	endItem := func() bool {
		endPart()
		full := it.value != ""
		items = append(items, it)
		it, params = item{}, false
		return full
	}
	s := strings.Join(fields, ",")
	if Trim(s) == "" {
		return nil, false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted && c == '\\' && i+1 < len(s):
			part.WriteByte(c)
			i++
			c = s[i]
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';':
			endPart()
			params = true
			continue
		case c == ',':
			if !endItem() {
				return nil, false
			}
			continue
		}
		part.WriteByte(c)
	}
	if quoted || !endItem() {
		return nil, false
	}
	return items, true
}

// Quotas reads what a response says of the server's limits.
func Quotas(h http.Header, now time.Time) []retry.Quota {
	for key := range h { // nearly no response has such a field, and looking each of them up costs more than this
		if strings.HasPrefix(key, "Ratelimit") || strings.HasPrefix(key, "X-Rate") {
			if q, ok := Quota(h, now); ok {
				return []retry.Quota{q}
			}
			return nil
		}
	}
	return nil
}
