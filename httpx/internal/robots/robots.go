// Package robots reads robots.txt as RFC 9309 says, and Crawl-delay, which the RFC leaves out and
// sites use.
package robots

import (
	"bytes"
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Limit is how much of a robots.txt is read, in bytes: section 2.5 asks for no less.
	Limit = 500 << 10

	// MaxDelay is the longest Crawl-delay. A longer one counts as this.
	MaxDelay = time.Hour
)

// mostWork bounds how many bytes of a path and query are compared, with all rules together: a
// hostile site may have as many rules as fit in the file, and lead to a URL of a megabyte. With the
// most rules it leaves more than 1 KiB for each.
const mostWork = 64 << 20

// Rules are what a robots.txt says to one agent. They never change. Nil rules allow everything.
type Rules struct {
	Delay time.Duration // from one request to the next; 0: not said
	Size  int           // in memory, about, in bytes
	rules []rule        // the most specific first
}

type rule struct {
	pattern string // normalised
	allow   bool
}

// Parse reads what text says to the agent with this product token, as "examplebot". Invalid lines
// are ignored, and so is everything after [Limit].
func Parse(text []byte, token string) *Rules {
	if len(text) > Limit { // half a line would say something else
		text = text[:bytes.LastIndexAny(text[:Limit+1], "\r\n")+1]
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var own, all Rules // of the groups with the agent's name, and of those with *
	var toOwn, toAll, named, inRules bool
	for line := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		before, after, _ := strings.Cut(string(line), ":")
		key, value := strings.ToLower(strings.TrimSpace(before)), strings.TrimSpace(after)
		switch key {
		case "user-agent":
			if inRules { // the next group
				toOwn, toAll, inRules = false, false, false
			}
			name := agent(value)
			toOwn = toOwn || strings.EqualFold(name, token)
			toAll = toAll || name == "*"
			named = named || toOwn
		case "allow", "disallow":
			inRules = true
			if value == "" || !toOwn && !toAll { // nothing matches it, or it speaks to others
				continue
			}
			r := rule{normalise(value, true), key == "allow"}
			if toOwn {
				own.add(r)
			}
			if toAll {
				all.add(r)
			}
		// no end to the group's agents: what is not in the RFC must not interfere (section 2.2.4)
		case "crawl-delay":
			d := parseDelay(value)
			if toOwn {
				own.Delay = max(own.Delay, d)
			}
			if toAll {
				all.Delay = max(all.Delay, d)
			}
		}
	}
	r := &all
	if named {
		r = &own
	}
	slices.SortStableFunc(r.rules, func(a, b rule) int {
		switch {
		case len(a.pattern) != len(b.pattern):
			return cmp.Compare(len(b.pattern), len(a.pattern))
		case a.allow == b.allow:
			return 0
		case a.allow:
			return -1
		}
		return 1
	})
	return r
}

func (r *Rules) add(n rule) {
	r.rules = append(r.rules, n)
	r.Size += len(n.pattern) + 32
}

// agent is the product token at the beginning of a user-agent line's value. Sites also write the
// version behind it, and digits in it, which the RFC's grammar does not know.
func agent(value string) string {
	if name, _, _ := strings.Cut(value, " "); name == "*" {
		return name
	}
	name, _ := Token(value)
	return name
}

// Token cuts the product token off the beginning of a User-Agent field's value: "examplebot" off
// "examplebot/1.0 (+https://...)".
func Token(value string) (token, rest string) {
	i := strings.IndexFunc(value, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' &&
			c != '-'
	})
	if i < 0 {
		return value, ""
	}
	return value[:i], value[i:]
}

func parseDelay(value string) time.Duration {
	if strings.Trim(value, "0123456789.") != "" {
		return 0
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil && seconds == 0 { // else it is past what a float64 can hold
		return 0
	}
	return time.Duration(min(seconds, MaxDelay.Seconds()) * float64(time.Second))
}

// Match tells whether u may be fetched, and the rule that decides, as "Disallow: /private"; empty
// if none speaks of u.
func (r *Rules) Match(u *url.URL) (allowed bool, line string) {
	if r == nil || u.EscapedPath() == "/robots.txt" {
		return true, ""
	}
	path := u.RequestURI()
	path = normalise(path[:min(len(path), mostWork/max(1, len(r.rules)))], false)
	for _, rule := range r.rules {
		if match(rule.pattern, path) {
			if rule.allow {
				return true, "Allow: " + rule.pattern
			}
			return false, "Disallow: " + rule.pattern
		}
	}
	return true, ""
}

// match takes time in proportion to the length of both: as the only wildcard stands for anything,
// the first place where the text between two of them is found is as good as any later one.
func match(pattern, path string) bool {
	pattern, anchored := strings.CutSuffix(pattern, "$")
	part, pattern, more := strings.Cut(pattern, "*")
	path, ok := strings.CutPrefix(path, part)
	for ok && more {
		part, pattern, more = strings.Cut(pattern, "*")
		if anchored && !more {
			return strings.HasSuffix(path, part)
		}
		_, path, ok = strings.Cut(path, part)
	}
	return ok && (!anchored || path == "")
}

// normalise writes a path and query, or a pattern for them, in the one form in which section 2.2.2
// compares them: an octet is itself if it is unreserved and percent-encoded if it is not, however
// it was written. The separators of a URL stay as they are, and so do a pattern's wildcards; in a
// query / and ? separate nothing, and the RFC's own example has them equal to their encoding.
func normalise(s string, pattern bool) string {
	const upper = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	query := false
	for i := 0; i < len(s); i++ {
		c, plain := s[i], true
		if c == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c, plain = byte(v), false
				i += 2
			}
		}
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~", c) >= 0,
			plain && strings.IndexByte("/?=&", c) >= 0,
			plain && pattern && (c == '*' || c == '$' && i == len(s)-1),
			query && (c == '/' || c == '?'):
			b = append(b, c)
			query = query || c == '?'
		default:
			b = append(b, '%', upper[c>>4], upper[c&15])
		}
	}
	return string(b)
}
