package robots

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/check"
)

func parse(text, token string) *Rules { return Parse([]byte(text), token) }

// may asks for a path as it would stand in a URL.
func may(t *testing.T, r *Rules, path string) bool {
	t.Helper()
	u, err := url.Parse("https://example.com" + path)
	if err != nil {
		t.Fatal(err)
	}
	allowed, _ := r.Match(u)
	return allowed
}

const simpleExample = `User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: bazbot
Disallow: /example/page.html

User-Agent: quxbot
`

// The examples of RFC 9309, sections 5.1, 5.2, 2.2.1, 2.2.2 and 2.2.3.
func TestTheExamplesOfTheRFC(t *testing.T) {
	const (
		longest = "User-Agent: foobot\nAllow: /example/page/\nDisallow: " +
			"/example/page/disallowed.gif\n"
		merged = "User-Agent: ExampleBot\nDisallow: /foo\nDisallow: /bar\n\nUser-Agent: " +
			"ExampleBot\nDisallow: /baz\n"
		split = "user-agent: ExampleBot\ndisallow: /foo\ndisallow: /bar\n\nuser-agent: " +
			"*\ndisallow: /other\n\nuser-agent: ExampleBot\ndisallow: /baz\n"
		wildcard = "User-agent: *\nDisallow: /this/*/exactly\nDisallow: /end$ # comment\n# whole " +
			"line\nAllow: /this/x/exactly/not\n"
		verbatim = "User-agent: *\nDisallow: /path/file-with-a-%2A.html\nDisallow: /path/foo-%24\n"
	)
	for _, c := range []struct {
		text, token string
		open, shut  []string
	}{
		{simpleExample, "anybot", []string{"/", "/publications/", "/x.gif?y", "/gif"},
			[]string{"/example/", "/example/page.html", "/x.gif", "/a/b.gif"}},
		{simpleExample, "foobot",
			[]string{"/example/page.html", "/example/allowed.gif", "/robots.txt"},
			[]string{"/", "/publications/", "/example/"}},
		{simpleExample, "barbot", []string{"/", "/example/", "/x.gif"},
			[]string{"/example/page.html"}},
		{simpleExample, "BazBot", []string{"/", "/example/", "/x.gif"},
			[]string{"/example/page.html"}},
		{simpleExample, "quxbot", []string{"/", "/example/page.html", "/x.gif"}, nil},
		{longest, "foobot", []string{"/example/page/", "/example/page/disallow.gif", "/"},
			[]string{"/example/page/disallowed.gif"}},
		{merged, "examplebot", []string{"/"}, []string{"/foo", "/bar", "/baz", "/bazaar"}},
		{split, "examplebot", []string{"/other"}, []string{"/foo", "/bar", "/baz"}},
		{split, "another", []string{"/foo", "/baz"}, []string{"/other"}},
		{wildcard, "x", []string{"/end/", "/this/exactly", "/this/x/exactly/not"},
			[]string{"/end", "/this/x/exactly", "/this/x/y/exactly/so"}},
		{verbatim, "x", []string{"/path/file-with-a-.html", "/path/foo-"},
			[]string{"/path/file-with-a-*.html", "/path/file-with-a-%2a.html",
				"/path/foo-$", "/path/foo-$/more"}},
	} {
		r := parse(c.text, c.token)
		for _, p := range c.open {
			if !may(t, r, p) {
				t.Errorf("%s: %s is disallowed by\n%s", c.token, p, c.text)
			}
		}
		for _, p := range c.shut {
			if may(t, r, p) {
				t.Errorf("%s: %s is allowed by\n%s", c.token, p, c.text)
			}
		}
	}
}

// The table of section 2.2.2, in both directions: a rule is written like any of the forms, and so
// is the URL.
func TestEncodingsAreCompared(t *testing.T) {
	for _, same := range [][]string{
		{"/foo/bar?baz=quz"},
		{"/foo/bar?baz=https://foo.bar", "/foo/bar?baz=https%3A%2F%2Ffoo.bar",
			"/foo/bar?baz=https%3a%2f%2ffoo.bar"},
		{"/foo/bar/ツ", "/foo/bar/%E3%83%84", "/foo/bar/%e3%83%84"},
		{"/foo/bar/%62%61%7A", "/foo/bar/baz", "/foo/b%61r/b%61z"},
		{"/a:b", "/a%3Ab"},
		{"/a b", "/a%20b"},
		{"/100%25", "/100%"},
	} {
		for _, rule := range same {
			r := parse("User-agent: *\nDisallow: "+rule+"$", "x")
			for _, path := range same {
				u := &url.URL{Scheme: "http", Host: "h"}
				u.Opaque = path // as it is written
				if allowed, _ := r.Match(u); allowed {
					t.Errorf("Disallow: %s does not match %s", rule, path)
				}
			}
		}
	}
	for _, c := range []struct{ rule, path string }{
		{"/a/b", "/a%2Fb"}, {"/a%2Fb", "/a/b"}, {"/a?b", "/a%3Fb"}, {"/X/", "/x/"},
		{"/a?b=c", "/a?b%3Dc"}, {"/%", "/%41"},
	} {
		if !may(t, parse("User-agent: *\nDisallow: "+c.rule, "x"), c.path) {
			t.Errorf("Disallow: %s matches %s", c.rule, c.path)
		}
	}
}

func TestGroupsAndLines(t *testing.T) {
	for _, c := range []struct {
		name, text, token string
		allowed           bool // /x
	}{
		{"empty", "", "bot", true},
		{"no rules", "User-agent: bot\n", "bot", true},
		{"an empty Disallow", "User-agent: bot\nDisallow:\n", "bot", true},
		{"a rule before any group", "Disallow: /\nUser-agent: bot\nDisallow: /y\n", "bot", true},
		{"lower case", "user-agent: BOT\ndisallow: /", "bot", false},
		{"upper case", "USER-AGENT: bot\nDISALLOW: /", "BoT", false},
		{"CR", "User-agent: bot\rDisallow: /\r", "bot", false},
		{"CRLF", "User-agent: bot\r\nDisallow: /\r\n", "bot", false},
		{"no end of line", "User-agent: bot\nDisallow: /", "bot", false},
		{"byte order mark", "\ufeffUser-agent: bot\nDisallow: /", "bot", false},
		{"white space", " \tUser-agent \t: \tbot \t\n\tDisallow : /\t", "bot", false},
		{"comments", "# a\nUser-agent: bot#b\nDisallow: / # c\n", "bot", false},
		{"commented out", "User-agent: bot\n#Disallow: /\n", "bot", true},
		{"unknown lines", "User-agent: bot\nwhat\nNoindex: /\n: /\n\x00\xff\nDisallow: /",
			"bot", false},
		{"a version", "User-agent: bot/2.1\nDisallow: /", "bot", false},
		{"words", "User-agent: bot of all bots\nDisallow: /", "bot", false},
		{"digits", "User-agent: 360bot\nDisallow: /", "360bot", false},
		{"part of a name", "User-agent: robot\nDisallow: /\nUser-agent: bot-news\nDisallow: /",
			"bot", true},
		{"everyone, with words", "User-agent: * everyone\nDisallow: /", "bot", false},
		{"everyone is not a prefix", "User-agent: *bot\nDisallow: /", "bot", true},
		{"blank lines in a group", "User-agent: bot\n\n\nDisallow: /", "bot", false},
		{"blank lines between agents",
			"User-agent: bot\n\nUser-agent: other\n\nDisallow: /", "bot", false},
		{"two agents", "User-agent: bot\nUser-agent: other\nDisallow: /", "bot", false},
		{"the next group", "User-agent: bot\nAllow: /\nUser-agent: other\nDisallow: /",
			"bot", true},
		{"a Sitemap ends no group",
			"User-agent: bot\nSitemap: https://h/s.xml\nUser-agent: other\nDisallow: /",
			"bot", false},
		{"nor does Crawl-delay",
			"User-agent: bot\nCrawl-delay: 2\nUser-agent: other\nDisallow: /", "bot", false},
		{"own rules and not everyone's",
			"User-agent: *\nDisallow: /\nUser-agent: bot\nDisallow: /y", "bot", true},
		{"an own group without rules",
			"User-agent: *\nDisallow: /\nUser-agent: bot\n", "bot", true},
		{"everyone's rules, twice",
			"User-agent: *\nDisallow: /y\nUser-agent: z\nUser-agent: *\nDisallow: /x",
			"bot", false},
		{"allow wins a tie", "User-agent: bot\nDisallow: /x\nAllow: /x", "bot", true},
		{"in any order", "User-agent: bot\nAllow: /x\nDisallow: /x", "bot", true},
		{"the longer wins", "User-agent: bot\nAllow: /\nDisallow: /x", "bot", false},
		{"wildcards count as octets", "User-agent: bot\nAllow: /x\nDisallow: /*x", "bot", false},
		{"no slash matches nothing", "User-agent: bot\nDisallow: x", "bot", true},
		{"a whole URL matches nothing",
			"User-agent: bot\nDisallow: https://example.com/", "bot", true},
		{"a bare anchor matches nothing", "User-agent: bot\nDisallow: $", "bot", true},
		{"an anchor within is a letter", "User-agent: bot\nDisallow: /$x", "bot", true},
		{"a wildcard before the anchor", "User-agent: bot\nDisallow: /*$", "bot", false},
	} {
		if may(t, parse(c.text, c.token), "/x") != c.allowed {
			t.Errorf("%s: allowed should be %v", c.name, c.allowed)
		}
	}
	if !may(t, nil, "/x") || !may(t, parse("User-agent: *\nDisallow: /", "x"), "/robots.txt") ||
		may(t, parse("User-agent: *\nDisallow: /", "x"), "") {
		t.Error("nil rules, /robots.txt or an empty path")
	}
}

func TestTheRuleIsTold(t *testing.T) {
	r := parse("User-agent: *\nDisallow: /ツ\nAllow: /ツ/a", "x")
	for path, want := range map[string]string{"/%E3%83%84": "Disallow: /%E3%83%84",
		"/%E3%83%84/a": "Allow: /%E3%83%84/a", "/": ""} {
		u, _ := url.Parse("http://h" + path)
		if _, got := r.Match(u); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestCrawlDelay(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"2":               2 * time.Second,
		"0.5":             500 * time.Millisecond,
		" 1.25 # comment": 1250 * time.Millisecond,
		"0":               0,
		"":                0,
		"-1":              0,
		"2s":              0,
		"1e3":             0,
		"NaN":             0,
		"Inf":             0,
		"1.2.3":           0,
		"0x10":            0,
		".":               0,
		"86400":           MaxDelay, strings.Repeat("9", 400): MaxDelay,
	} {
		if got := parse("User-agent: *\nCrawl-delay: "+value, "x").Delay; got != want {
			t.Errorf("%.20q: %v, want %v", value, got, want)
		}
	}
	const text = "User-agent: a\nUser-agent: b\nCrawl-delay: 1\nDisallow: /x\nCrawl-delay: " +
		"3\nUser-agent: *\nCrawl-delay: 2\nUser-agent: c\nDisallow: /"
	for token, want := range map[string]time.Duration{"a": 3 * time.Second, "b": 3 * time.Second,
		"c": 0, "d": 2 * time.Second} {
		if got := parse(text, token).Delay; got != want {
			t.Errorf("%s: %v, want %v", token, got, want)
		}
	}
}

func TestOnlySoMuchIsRead(t *testing.T) {
	head := "User-agent: *\n"
	comment := func(n int) string { return "#" + strings.Repeat("x", n-2) + "\n" }
	for _, c := range []struct {
		text    string
		allowed bool
	}{
		{head + comment(Limit-len(head)-len("Disallow: /x")) + "Disallow: /x", false},
		// What is after it is not.
		{head + comment(Limit-len(head)-len("Disallow: /x")) + "Disallow: /x\nAllow: /x", false},
		// The half of a line says nothing.
		{head + comment(Limit-len(head)-len("Disallow: /")) + "Disallow: /y", true},
		{head + "Disallow: /x\nAllow: /x" + strings.Repeat("y", Limit), false},
		{strings.Repeat("x", 2*Limit), true},
	} {
		if got := may(t, parse(c.text, "x"), "/x"); got != c.allowed {
			t.Errorf("%d bytes: %v", len(c.text), got)
		}
	}
}

// With backtracking, or with a step for each pair of octets, this would take days.
func TestHostilePatternsTakeLinearTime(t *testing.T) {
	const n = 100_000
	long := &url.URL{Path: "/" + strings.Repeat("a", 10*n)}
	for _, pattern := range []string{
		"/" + strings.Repeat("*", 4*n) + "b",
		"/" + strings.Repeat("*a", 2*n) + "*b",
		"/" + strings.Repeat("*a", 2*n) + "b$",
		"/*" + strings.Repeat("a", 4*n) + "b",
	} {
		if allowed, line := parse("User-agent: *\nDisallow: "+pattern, "x").Match(long); !allowed {
			t.Errorf("%.20s matches", line)
		}
	}
}

func TestToken(t *testing.T) {
	for value, want := range map[string][2]string{
		"bot":          {"bot", ""},
		"bot/1.0 (+u)": {"bot", "/1.0 (+u)"},
		"":             {"", ""},
		"(x)":          {"", "(x)"},
		"a_b-C9.d":     {"a_b-C9", ".d"},
		"ツ":            {"", "ツ"},
	} {
		if token, rest := Token(value); token != want[0] || rest != want[1] {
			t.Errorf("%q: %q %q", value, token, rest)
		}
	}
}

// slowMatch is the definition: * is any text, $ at the end is the end.
func slowMatch(pattern, path string) bool {
	anchored := strings.HasSuffix(pattern, "$")
	pattern = strings.TrimSuffix(pattern, "$")
	reach := make([]bool, len(path)+1) // the lengths of path that the pattern so far can match
	reach[0] = true
	for i := range len(pattern) {
		for j := len(path); j >= 0; j-- {
			if pattern[i] != '*' {
				reach[j] = j > 0 && reach[j-1] && path[j-1] == pattern[i]
			}
		}
		for j := 1; pattern[i] == '*' && j <= len(path); j++ {
			reach[j] = reach[j] || reach[j-1]
		}
	}
	if anchored {
		return reach[len(path)]
	}
	for _, ok := range reach {
		if ok {
			return true
		}
	}
	return false
}

// The largest file and the longest URL cost no time.
func TestAHostileFileIsMatchedInTime(t *testing.T) {
	for name, line := range map[string]string{"wildcards": "disallow:*ab\n",
		"many in one": "disallow:" + strings.Repeat("*a", 2000) + "b\n",
		"anchored":    "disallow:*a$\n",
		"plain":       "disallow:/a\n"} {
		r := parse("user-agent:*\n"+strings.Repeat(line, Limit/len(line)), "bot")
		took := time.Hour
		const most = 2 * time.Second
		for tries := 0; tries < 10 && took > most; tries++ { // others use the machine too
			start := time.Now()
			r.Match(&url.URL{Scheme: "http", Host: "h", Path: "/" + strings.Repeat("a", 1<<20) +
				"c"})
			took = min(took, time.Since(start))
		}
		if took > most {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{
		{"/fish", "/fish.html"}, {"/fish*", "/fishheads"}, {"/*.php$", "/a.php"},
		{"/*.php$", "/a.php?x"}, {"/a*b*c$", "/abbc"}, {"**$", ""},
		{"/%", "/%25"}, {"/x?a=/%2f", "/x?a=%2F/"}, {"/$", "/"}, {"/%24", "/$"}, {"*a*ab$", "aab"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 200 || len(path) > 200 {
			return
		}
		p, s := normalise(pattern, "*$"), normalise(path, "")
		if again := normalise(p, "*$"); again != p {
			t.Errorf("%q is normalised to %q and then to %q", pattern, p, again)
		}
		if again := normalise(s, ""); again != s || strings.ContainsAny(s, "*$") {
			t.Errorf("%q is normalised to %q and then to %q", path, s, again)
		}
		if got, want := match(p, s), slowMatch(p, s); got != want {
			t.Errorf("%q on %q: %v, want %v", p, s, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(simpleExample, "foobot", "/example/page.html")
	f.Add("\ufeffUser-agent:*\r\nCrawl-delay: 1.5\rDisallow: /*?", "x", "/a?b")
	f.Add(fmt.Sprintf("user-agent: a\n%s", strings.Repeat("disallow: /*a*$\n", 20)), "A", "/aaa")
	f.Fuzz(func(t *testing.T, text, token, path string) {
		u := &url.URL{Scheme: "http", Host: "h", Path: path}
		var r *Rules
		var allowed bool
		var line string
		// what it guards against takes minutes
		check.Fast(t, len(text)+len(path), 2*time.Second, func() {
			r = parse(text, token)
			allowed, line = r.Match(u)
		})
		if !allowed && !strings.HasPrefix(line, "Disallow: ") || r.Delay < 0 || r.Delay > MaxDelay {
			t.Error(allowed, line, r.Delay)
		}
		// The rule alone decides the same, and a line of its own for it changes nothing.
		if again, _ := parse("User-agent: *\n"+line, token).Match(u); again != allowed {
			t.Errorf("%q alone says %v", line, again)
		}
		again, _ := parse(strings.ReplaceAll(text, "\n", "\r\n"), token).Match(u)
		if len(text) < Limit/2 && again != allowed {
			t.Errorf("with CRLF: %v", again)
		}
	})
}
