package field

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Quotas reads the server's limits from a response, in all known forms:
//
//	draft-ietf-httpapi-ratelimit-headers, from -08 on:
//	  RateLimit: "default";r=50;t=30
//	  RateLimit-Policy: "default";q=100;w=60
//	-07:
//	  RateLimit: limit=100, remaining=50, reset=30
//	  RateLimit-Policy: 100;w=60
//	up to -06:
//	  RateLimit-Limit: 100, 100;w=60    RateLimit-Remaining: 50    RateLimit-Reset: 30
//	customary, also as X-Rate-Limit-:
//	  X-RateLimit-Limit: 100    X-RateLimit-Remaining: 50    X-RateLimit-Reset: 1767225600
//	OpenAI, also of -Tokens:
//	  X-RateLimit-Remaining-Requests: 0    X-RateLimit-Reset-Requests: 6m0s
//	with the vendor's name in front:
//	  Anthropic-RateLimit-Requests-Remaining: 0    ...-Reset: 2026-03-02T12:01:00Z
//	Discord:
//	  X-RateLimit-Reset-After: 1.5
//	used/limit, without a reset:
//	  X-Shopify-Shop-Api-Call-Limit: 32/40
//
// The reset may be seconds, an instant in seconds or milliseconds since 1970, a date, or a duration
// as Go writes it: servers mix them. A count with a fraction is rounded down, and of a list the
// first counts. Malformed fields are ignored, and so are a quota whose reset has passed and a limit
// without window or remainder.
//
// A response with several limits has several quotas. At most 16 KiB of such fields are read, in
// linear time.
func Quotas(h http.Header, now time.Time) []retry.Quota {
	keys := quotaKeys(h)
	if keys == nil {
		return nil
	}
	r := reader{h: h, now: serverTime(h, now), room: mostQuota}
	policies := policiesOf(r.list("Ratelimit-Policy"))
	quotas := policies.structured(r.list("Ratelimit"), r.now)
	families := map[string]*said{}
	var names []string // of families, in order
	for _, key := range keys {
		family, role := split(key)
		if role == "" {
			continue
		}
		s := families[family]
		if s == nil {
			s = &said{}
			families[family], names = s, append(names, family)
		}
		r.tell(s, role, key, policies)
	}
	for _, name := range names {
		if q, ok := families[name].quota(); ok {
			quotas = append(quotas, q)
		}
	}
	if len(quotas) == 0 {
		return policies.alone()
	}
	return quotas[:min(len(quotas), mostQuotas)]
}

// How much of a response is read: bytes of quota fields, and quotas.
const (
	mostQuota  = 16 << 10
	mostQuotas = 16
)

// quotaKeys are the names of the fields that may speak of quotas, in order.
func quotaKeys(h http.Header) (keys []string) {
	size := 0
	for key := range h { // few responses have such a field, so the test of a name must be cheap
		if strings.Contains(key, "imit") && len(key) < most {
			keys = append(keys, key)
			if size += len(key); size > mostQuota {
				break
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// split finds the family that a field belongs to and its role there. Of X-RateLimit-Reset-Requests
// the family is X and Requests, the role "reset". The role of any other field is empty.
func split(key string) (family, role string) {
	key = strings.ToLower(key)
	if strings.HasSuffix(key, "-call-limit") {
		return key, "used"
	}
	vendor, rest, ok := strings.Cut(key, "ratelimit")
	if !ok {
		if vendor, rest, ok = strings.Cut(key, "rate-limit"); !ok {
			return "", ""
		}
		vendor += "-" // the two spellings are two families
	}
	if rest != "" && rest[0] != '-' || vendor != "" && vendor[len(vendor)-1] != '-' {
		return "", ""
	}
	rest = "-" + strings.TrimPrefix(rest, "-") + "-"
	if rest == "--" {
		if vendor == "" { // RateLimit itself
			return "", ""
		}
		return vendor + "-", "limit"
	}
	for _, r := range [...]string{"reset-after", "retry-after", "remaining", "reset", "limit",
		"max"} {
		if before, after, ok := strings.Cut(rest, "-"+r+"-"); ok {
			return vendor + before + "-" + after, r
		}
	}
	return "", ""
}

// reader reads fields, of all together at most room bytes.
type reader struct {
	h    http.Header
	now  time.Time
	room int
}

// value is the first value of a field.
func (r *reader) value(key string) string {
	v := r.h[key]
	if len(v) == 0 || len(v[0]) > r.room {
		return ""
	}
	r.room -= len(v[0])
	return Trim(v[0])
}

// list parses a field whose values are one list. What does not fit is cut off, by whole members.
func (r *reader) list(key string) []item {
	var fields []string
	for _, v := range r.h[key] {
		if len(v) > r.room {
			v = v[:max(0, strings.LastIndexByte(v[:r.room], ','))]
			r.room = 0
		}
		r.room -= min(r.room, len(v)+1)
		if v != "" {
			fields = append(fields, v)
		}
	}
	items, _ := parseList(fields)
	return items
}

// tell adds what a field says to what its family says.
func (r *reader) tell(s *said, role, key string, policies policies) {
	switch role {
	case "limit", "max":
		items := r.list(key)
		if len(items) == 0 || s.hasLimit {
			return
		}
		if s.limit, s.hasLimit = parseCount(items[0].value); s.hasLimit {
			s.window = windowOf(s.limit, items, policies)
		}
	case "remaining":
		value, _, _ := strings.Cut(first(r.value(key)), ";") // 98;w=21600
		s.remaining, s.hasRemaining = parseCount(Trim(value))
	case "reset", "reset-after", "retry-after":
		if s.surely {
			return
		}
		if d, ok := parseReset(bounded(r.value(key)), r.now); ok {
			s.reset, s.hasReset, s.surely = d, true, role != "reset"
		}
	case "used":
		used, limit, ok := strings.Cut(r.value(key), "/")
		u, okUsed := parseCount(Trim(used))
		l, okLimit := parseCount(Trim(limit))
		if ok && okUsed && okLimit && l > 0 {
			s.limit, s.remaining, s.hasLimit, s.hasRemaining = l, max(0, l-u), true, true
		}
	}
}

// said is a quota that also knows which of its values were given.
type said struct {
	limit, remaining                 int
	window, reset                    time.Duration
	hasLimit, hasRemaining, hasReset bool
	surely                           bool // reset is a duration by its name
}

func (s *said) quota() (retry.Quota, bool) {
	q := retry.Quota{Limit: s.limit, Remaining: s.remaining, Window: s.window, Reset: s.reset}
	switch {
	case !s.hasRemaining:
		return retry.Quota{}, false // a Limit alone would read as "nothing left"
	case s.hasReset && s.reset <= 0:
		return retry.Quota{}, false // restored by now
	case s.remaining == 0 && s.limit == 0 && s.reset == 0:
		return retry.Quota{}, false // nothing is left, but of which limit and until when is unknown
	}
	return q, true
}

// policies are the members of RateLimit-Policy.
type policies struct {
	items   []item
	byName  map[string]item
	windows map[int]time.Duration // by limit, as in 100;w=60
}

func policiesOf(items []item) policies {
	p := policies{items: items, byName: map[string]item{}, windows: map[int]time.Duration{}}
	for _, it := range items {
		if it.named() {
			if _, ok := p.byName[it.name()]; !ok {
				p.byName[it.name()] = it
			}
			continue
		}
		p.windowed(it)
	}
	return p
}

// windowed notes the window of the limit in an item like 100;w=60.
func (p policies) windowed(it item) {
	n, ok := parseCount(it.value)
	w, okWindow := Seconds(it.param("w"))
	if _, have := p.windows[n]; ok && okWindow && !have {
		p.windows[n] = w
	}
}

// windowOf finds the window of a limit: among the members beside it, or in RateLimit-Policy.
func windowOf(limit int, items []item, p policies) time.Duration {
	for _, it := range items {
		if n, ok := parseCount(it.value); ok && n == limit {
			if w, ok := Seconds(it.param("w")); ok {
				return w
			}
		}
	}
	return p.windows[limit]
}

// structured reads RateLimit: a list of policy names with r (remaining) and t (seconds until the
// reset), or the dictionary of draft -07.
func (p policies) structured(items []item, now time.Time) (quotas []retry.Quota) {
	var dictionary said
	for _, it := range items {
		if !it.named() {
			key, value, _ := strings.Cut(it.value, "=")
			switch strings.ToLower(key) {
			case "limit":
				dictionary.limit, dictionary.hasLimit = parseCount(value)
			case "remaining":
				dictionary.remaining, dictionary.hasRemaining = parseCount(value)
			case "reset":
				dictionary.reset, dictionary.hasReset = parseReset(value, now)
			}
			continue
		}
		var s said
		s.remaining, s.hasRemaining = parseCount(it.param("r"))
		s.reset, s.hasReset = parseReset(it.param("t"), now)
		policy, known := p.byName[it.name()]
		if known {
			s.limit, s.hasLimit = parseCount(policy.param("q"))
			s.window, _ = Seconds(policy.param("w"))
		}
		if q, ok := s.quota(); ok && (!known || policy.countsRequests()) {
			quotas = append(quotas, q)
		}
	}
	dictionary.window = p.windows[dictionary.limit]
	if q, ok := dictionary.quota(); ok {
		quotas = append(quotas, q)
	}
	return quotas
}

// alone reads a RateLimit-Policy without a RateLimit: then all of it is left. The slowest policy
// counts.
func (p policies) alone() []retry.Quota {
	var slowest retry.Quota
	for _, it := range p.items {
		limit, ok := parseCount(it.param("q"))
		if !it.named() {
			limit, ok = parseCount(it.value)
		}
		window, okWindow := Seconds(it.param("w"))
		if !ok || !okWindow || limit == 0 || window == 0 || !it.countsRequests() {
			continue
		}
		q := retry.Quota{Limit: limit, Remaining: limit, Window: window}
		if slowest.Limit == 0 ||
			float64(q.Limit)/float64(q.Window) < float64(slowest.Limit)/float64(slowest.Window) {
			slowest = q
		}
	}
	if slowest.Limit == 0 {
		return nil
	}
	return []retry.Quota{slowest}
}

// parseCount reads 1*DIGIT, or a decimal, which it rounds down.
func parseCount(s string) (int, bool) {
	whole, fraction, dotted := strings.Cut(first(s), ".")
	n, ok := Digits(whole)
	if _, okFraction := Digits(fraction); dotted && !okFraction {
		ok = false
	}
	if !ok {
		return 0, false
	}
	return int(min(n, math.MaxInt)), true
}

// parseReset reads seconds from now, seconds since 1970 or milliseconds since 1970, told apart by
// their magnitude: 1e7 s is four months, 1e11 s is the year 5138. It also reads a date, and a
// duration as time.Duration writes it.
func parseReset(s string, now time.Time) (time.Duration, bool) {
	number := first(s)
	if number == "" {
		return 0, false
	}
	if strings.Trim(number, "0123456789.") != "" {
		if d, err := time.ParseDuration(number); err == nil {
			return d, d >= 0
		}
		at, ok := parseTime(s, now)
		return max(0, at.Sub(now)), ok
	}
	n, err := strconv.ParseFloat(number, 64)
	switch {
	case err != nil:
		return 0, false
	case n < 1e7:
		return time.Duration(n * float64(time.Second)), true
	case n >= 1e18: // too large for an instant
		return math.MaxInt64, true
	case n >= 1e11:
		n /= 1000
	}
	whole, fraction := math.Modf(n)
	return max(0, time.Unix(int64(whole), int64(fraction*1e9)).Sub(now)), true
}

// item is a member of a structured field's list (RFC 9651): its value as it was written, and its
// parameters.
type item struct {
	value  string
	params []param
}

type param struct{ key, value string }

// named reports whether the item is a name ("default" as a string, or a bare token as in early
// drafts) and not a number or a dictionary's pair.
func (it item) named() bool {
	return it.value != "" &&
		(it.value[0] == '"' ||
			!strings.Contains(it.value, "=") && (it.value[0] < '0' || it.value[0] > '9'))
}

func (it item) name() string { return strings.Trim(it.value, `"`) }

// param is the value of the last parameter with this key: RFC 9651, section 3.1.2. Empty if there
// is none.
func (it item) param(key string) (value string) {
	for _, p := range it.params {
		if p.key == key {
			value = p.value
		}
	}
	return value
}

// countsRequests is false if the quota has another unit, such as content-bytes.
func (it item) countsRequests() bool {
	unit := strings.Trim(it.param("qu"), `"`)
	return unit == "" || unit == "requests"
}

// parseList splits a list field into its items, and knows strings with their escapes. Two fields
// are one list. An unclosed string or an empty member makes the whole field malformed.
func parseList(fields []string) (items []item, ok bool) {
	s := strings.Join(fields, ",")
	if Trim(s) == "" {
		return nil, false
	}
	var l lister
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted && c == '\\' && i+1 < len(s):
			l.part.WriteByte(c)
			i++
			c = s[i]
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ';':
			l.endPart()
			l.params = true
			continue
		case c == ',':
			if !l.endItem() {
				return nil, false
			}
			continue
		}
		l.part.WriteByte(c)
	}
	if quoted || !l.endItem() {
		return nil, false
	}
	return l.items, true
}

// lister puts the parts of a list together to items.
type lister struct {
	items  []item
	it     item            // the present one
	part   strings.Builder // the present one: the item's value, or a parameter
	params bool            // the value is over
}

func (l *lister) endPart() {
	s := Trim(l.part.String())
	l.part.Reset()
	if !l.params {
		l.it.value = s
		return
	}
	k, v, _ := strings.Cut(s, "=")
	l.it.params = append(l.it.params, param{strings.ToLower(Trim(k)), Trim(v)})
}

// endItem tells whether the item has a value.
func (l *lister) endItem() bool {
	l.endPart()
	full := l.it.value != ""
	l.items = append(l.items, l.it)
	l.it, l.params = item{}, false
	return full
}
