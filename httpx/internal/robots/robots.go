// Package robots reads robots.txt by RFC 9309, and Crawl-delay, which sites use but the RFC does
// not have.
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
	// Limit is how much of a robots.txt is read, in bytes: section 2.5 asks for at least this.
	Limit = 500 << 10

	// MaxDelay is the longest Crawl-delay. A longer one counts as this.
	MaxDelay = time.Hour
)

// mostWork bounds the bytes of a path and query that are compared, summed over all rules: a hostile
// site may have as many rules as fit in the file, and link to a URL of a megabyte. Even with the
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
	if len(text) > Limit { // no half lines: they would say something else
		text = text[:bytes.LastIndexAny(text[:Limit+1], "\r\n")+1]
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	p := parser{token: token}
	isBreak := func(r rune) bool { return r == '\n' || r == '\r' }
	for line := range bytes.FieldsFuncSeq(text, isBreak) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		key, value, _ := strings.Cut(string(line), ":")
		p.read(strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value))
	}
	r := p.all // a copy, which does not keep the rules for others
	if p.named {
		r = p.own
	}
	slices.SortStableFunc(r.rules, bySpecificity)
	return &r
}

// parser reads a robots.txt line by line.
type parser struct {
	token        string
	own, all     Rules // of the groups with the agent's name, and of those with *
	toOwn, toAll bool  // whether the present group is for the agent by name, and for *
	named        bool  // there is a group with the agent's name
	inRules      bool  // the present group's agents are over, and its rules have begun
}

func (p *parser) read(key, value string) {
	switch key {
	case "user-agent":
		if p.inRules { // the next group
			p.toOwn, p.toAll, p.inRules = false, false, false
		}
		name := agent(value)
		p.toOwn = p.toOwn || strings.EqualFold(name, p.token)
		p.toAll = p.toAll || name == "*"
		p.named = p.named || p.toOwn
	case "allow", "disallow":
		p.inRules = true
		if value == "" || !p.toOwn && !p.toAll { // it matches no path, or is for other agents
			return
		}
		r := rule{normalise(value, "*$"), key == "allow"}
		if p.toOwn {
			p.own.add(r)
		}
		if p.toAll {
			p.all.add(r)
		}
	// It does not end the group's agents: a line that the RFC does not know must not interfere with
	// those that it knows (section 2.2.4).
	case "crawl-delay":
		d := parseDelay(value)
		if p.toOwn {
			p.own.Delay = max(p.own.Delay, d)
		}
		if p.toAll {
			p.all.Delay = max(p.all.Delay, d)
		}
	}
}

// bySpecificity puts longer patterns first, and of equally long ones those that allow.
func bySpecificity(a, b rule) int {
	switch {
	case len(a.pattern) != len(b.pattern):
		return cmp.Compare(len(b.pattern), len(a.pattern))
	case a.allow == b.allow:
		return 0
	case a.allow:
		return -1
	}
	return 1
}

func (r *Rules) add(n rule) {
	r.rules = append(r.rules, n)
	r.Size += len(n.pattern) + 32
}

// agent is the product token at the beginning of a user-agent line's value. Sites also write a
// version after it, and digits in it, which the RFC's grammar does not have.
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
	if err != nil && seconds == 0 { // else it is beyond what a float64 can hold
		return 0
	}
	return time.Duration(min(seconds, MaxDelay.Seconds()) * float64(time.Second))
}

// Match tells whether u may be fetched, and by which rule, as "Disallow: /private"; empty if no
// rule matches.
func (r *Rules) Match(u *url.URL) (allowed bool, line string) {
	if r == nil || u.EscapedPath() == "/robots.txt" {
		return true, ""
	}
	path := u.RequestURI()
	path = normalise(path[:min(len(path), mostWork/max(1, len(r.rules)))], "")
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

// match takes time in proportion to the length of both. It never needs to go back: * matches any
// text, so the first place where the text between two of them is found is as good as a later one.
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

// normalise writes a path and query, or a pattern for them, in the form in which section 2.2.2
// compares them: unreserved octets as they are, all others percent-encoded, however they were
// written. The separators of a URL stay as they are, and so do the wildcards, which only a pattern
// has ("*$", and $ only at its end). In a query / and ? are not separators, and in the RFC's
// example they equal their encoding.
func normalise(s, wildcards string) string {
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
			plain && strings.IndexByte(wildcards, c) >= 0 && (c != '$' || i == len(s)-1),
			query && (c == '/' || c == '?'):
			b = append(b, c)
			query = query || c == '?'
		default:
			b = append(b, '%', upper[c>>4], upper[c&15])
		}
	}
	return string(b)
}
