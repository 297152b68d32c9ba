package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/retry"
)

func try(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, bad bytes.Buffer
	code = run(t.Context(), args, &out, &bad)
	return code, out.String(), bad.String()
}

func TestBadUsageIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pages.jsonl"), []byte(`{"url":"/page/1","file":"x"}`+
		"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"must be 10 to 100000":  {"-pages", "1"},
		"must be one of bucket": {"-rule", "none"},
		"-resume needs -out":    {"-resume"},
		"-base needs one of":    {"-base", "http://127.0.0.1:1/"},
		"must be an address":    {"-base", "nowhere", "-links", "x"},
		"need -base":            {"-sitemap", "x"},
		"would get you banned": {
			"-base", "http://127.0.0.1:1/", "-links", "x", "-only", "plain"},
		"must be plain, backoff":    {"-only", "curl"},
		"must be 1 to 256":          {"-workers", "0"},
		"-most 0: must be":          {"-most", "0"},
		"unexpected argument":       {"fast"},
		"flag provided but not":     {"-fast"},
		"-resume goes on with them": {"-pages", "10", "-out", dir},
		"no address in it":          {"-base", "http://127.0.0.1:1/", "-links", empty},
		"no such file": {
			"-base", "http://127.0.0.1:1/", "-links", filepath.Join(dir, "missing")},
	} {
		code, _, stderr := try(t, args...)
		if code != exitUsage || !strings.Contains(stderr, want) ||
			strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
	if code, stdout, _ := try(t, "-h"); code != exitOK || !strings.Contains(stdout, "-resume") {
		t.Errorf("-h: exit code %d", code)
	}
}

func TestReprisesPagesAreWholeAndPictured(t *testing.T) {
	dir := t.TempDir()
	picture := filepath.Join(dir, "scrape.png")
	code, stdout, stderr := try(t, "-pages", "30", "-only", "reprise", "-out",
		filepath.Join(dir, "out"), "-picture", picture)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "out", "pages", "*.html"))
	if err != nil || len(pages) != 30 {
		t.Errorf("%d pages, %v", len(pages), err)
	}
	for _, p := range pages {
		text, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(text), "Страница") ||
			!strings.HasSuffix(string(text), "</html>\n") {
			t.Errorf("%s: %v, %.200q", p, err, text)
		}
	}
	lines, err := os.ReadFile(filepath.Join(dir, "out", "pages.jsonl"))
	if err != nil || bytes.Count(lines, []byte("\n")) != 30 {
		t.Errorf("%v, lines:\n%s", err, lines)
	}
	for l := range bytes.Lines(lines) {
		if !json.Valid(l) {
			t.Errorf("%q", l)
		}
	}
	if png, err := os.ReadFile(picture); err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		t.Errorf("no picture: %v", err)
	}
}

// TestResumeFetchesNothingTwice stops a crawl in the middle, leaves what a kill leaves, and goes
// on.
func TestResumeFetchesNothingTwice(t *testing.T) {
	c := config{pages: 40, rule: "bucket", workers: 4, out: t.TempDir(), seed: 1}
	s, err := openSite(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // when it is in the middle
		for len(filesOf(c.out, "*.html")) < 12 {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
	}()
	first := crawl(ctx, t, c, s)
	if first.pages == 0 || first.pages >= c.pages {
		t.Fatalf("%d pages before it was stopped", first.pages)
	}
	before := len(s.saw("bot"))
	kept := linesOf(t, c.out)
	killed(t, c.out, kept[0])
	c.resume = true
	second := crawl(t.Context(), t, c, s)
	if second.pages != c.pages || len(second.failures) > 0 {
		t.Errorf("%d of %d pages; %v", second.pages, c.pages, second.failures)
	}
	again := map[string]bool{}
	for _, l := range kept {
		again[l.URL] = true
	}
	for _, h := range s.saw("bot")[before:] {
		if again[h.path] {
			t.Errorf("%s was fetched again", h.path)
		}
	}
	if lines := linesOf(t, c.out); len(lines) != c.pages {
		t.Errorf("%d lines", len(lines))
	}
	if whole := filesOf(c.out, "*.html"); len(whole) != c.pages {
		t.Errorf("%d files", len(whole))
	}
}

func crawl(ctx context.Context, t *testing.T, c config, s *site) result {
	t.Helper()
	keep, err := openStore(c, s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer keep.close()
	bar := newProgress(&bytes.Buffer{}, "reprise", c.pages)
	return reprise(ctx, job{seeds: s.seeds(), workers: c.workers, store: keep, progress: bar,
		agent: "bot"})
}

// killed leaves in dir what a kill leaves: half a line, half a page, and a page with its line that
// has not got its name yet.
func killed(t *testing.T, dir string, l line) {
	t.Helper()
	name := filepath.Join(dir, l.File)
	if err := os.Rename(name, name+".part"); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "pages", "0123.html.part")
	if err := os.WriteFile(half, []byte("<html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "pages.jsonl"), os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(`{"url":"/page/3","fi`); err != nil {
		t.Fatal(err)
	}
}

func filesOf(dir, pattern string) []string {
	files, _ := filepath.Glob(filepath.Join(dir, "pages", pattern)) // the pattern is good
	return files
}

func linesOf(t *testing.T, dir string) (lines []line) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pages.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range bytes.Lines(text) {
		var p line
		if err := json.Unmarshal(l, &p); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		lines = append(lines, p)
	}
	return lines
}

func TestALinkThatRobotsTxtDisallowsIsNotLost(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/robots.txt":
			fmt.Fprint(w, "User-agent: *\nDisallow: /private\n")
		case "/map": // a sitemap by its type
			w.Header().Set("Content-Type", "application/xml; charset=utf-8")
			fmt.Fprintf(w, "<urlset><url><loc>http://%s/a</loc></url></urlset>", r.Host)
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<a href="/private/x">x</a> <a href="/b">b</a>`)
		}
	}))
	defer s.Close()
	code, stdout, stderr := try(t, "-base", s.URL, "-sitemap", s.URL+"/map")
	if code != exitOK || !strings.Contains(stdout, "2 pages in") ||
		!strings.Contains(stdout, "1 not asked for: robots.txt disallows them") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	links := filepath.Join(t.TempDir(), "links")
	if err := os.WriteFile(links, []byte("/a\n/b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = try(t, "-base", s.URL, "-links", links, "-most", "1")
	if code != exitOK || !strings.Contains(stdout, "2 of 2 pages") { // a list is asked for in full
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestLintIsSilent(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	guard := guard(job{progress: newProgress(&bytes.Buffer{}, "reprise", -1)})
	// Now its host is in use.
	resp, err := httpx.New(httpx.WithPolicy(guard)).Get(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var members int
	retry.Walk(guard, func(string, retry.Policy) bool { members++; return true })
	if members < 4 {
		t.Errorf("%d members: is the host not in use?", members)
	}
	for _, w := range retry.Lint(guard) {
		t.Error(w)
	}
}

func TestALineOfProgressTellsTheTimeLeft(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, "reprise", -1)
	p.start = time.Now().Add(-10 * time.Second)
	p.had(100) // by an earlier run: not of this one's rate
	p.expect(300)
	p.add(50)
	p.tell()
	got := out.String()
	if !strings.Contains(got, " 150 of 300 pages in  10.0 s, 5.0/s, 30 s left") {
		t.Errorf("%q", got)
	}
}

func TestEveryRuleIsASite(t *testing.T) {
	for name, l := range rules {
		if s := l.make(); s == nil || s.Rule == nil || l.rate <= 0 || l.burst < 1 {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestTheTableIsOfWhatTheSiteSaw(t *testing.T) {
	var out bytes.Buffer
	saw := []hit{{0, "/", admitted}, {time.Second, "/", violated}, {2 * time.Second, "/", beganBan},
		{10 * time.Second, "/", banned}}
	r := result{name: "x", pages: 1, want: 2, lost: 1, saw: saw}
	table(&out, []result{r}, limit{rate: 1, burst: 10})
	fields := strings.Fields(strings.Split(out.String(), "\n")[2])
	if want := "x 1 1 4 2 1 0.0 5 %"; strings.Join(fields, " ") != want {
		t.Errorf("%q, want %q", fields, want)
	}
	if b := bansOf(saw); len(b) != 1 || b[0] != [2]float64{2, 10} {
		t.Errorf("bans %v", b)
	}
}
