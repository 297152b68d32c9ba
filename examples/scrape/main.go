// Command scrape is the main job at its full size: three scrapers fetch the same site, one after
// the other, each under its own identity. The site limits its clients, bans those who violate the
// limit too often, fails at random, cuts bodies, asks for a human, has dead links and pages in old
// charsets, and tells none of it. It is served on the loopback interface by this program.
//
// The scrapers are a plain loop, backoff per request as Python's aiohttp_retry does it, and
// reprise. At the end there is a table, and a picture of what the site saw.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
)

// Exit codes: all pages; some are lost; bad usage; interrupted, as shells count SIGINT.
const (
	exitOK          = 0
	exitLost        = 1
	exitUsage       = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// config is what the flags say.
type config struct {
	pages   int
	rule    string
	workers int
	only    string
	out     string
	resume  bool
	picture string
	base    string
	links   string
	sitemap string
	agent   string
	most    int
	seed    uint64
	careful bool
	quick   bool
}

// pacer are the options of reprise's pacer.
func (c config) pacer() (opts []ratelimit.Option) {
	if c.careful {
		opts = append(opts, ratelimit.Careful())
	}
	return opts
}

func parse(args []string, stdout io.Writer) (c config, err error) {
	fs := flag.NewFlagSet("scrape", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&c.pages, "pages", 600, "pages of the embedded site")
	fs.StringVar(&c.rule, "rule", "bucket",
		"the limit of the embedded site: "+strings.Join(ruleNames(), ", "))
	fs.IntVar(&c.workers, "workers", 16, "requests at a time")
	fs.StringVar(&c.only, "only", "", "run one scraper only: plain, backoff or reprise")
	fs.StringVar(&c.out, "out", "",
		"directory that reprise's pages go to, with one JSON line each in pages.jsonl")
	fs.BoolVar(&c.resume, "resume", false,
		"go on with the pages in -out: none of them is fetched again")
	fs.StringVar(&c.picture, "picture", "scrape.png", "where the picture goes; empty: none")
	fs.StringVar(&c.base, "base", "",
		"fetch a real site, by reprise only: its address; with -links or -sitemap")
	fs.StringVar(&c.links, "links", "", "file with the addresses to fetch from -base, one a line")
	fs.StringVar(&c.sitemap, "sitemap", "",
		"address of a sitemap with the pages to fetch from -base")
	fs.StringVar(&c.agent, "agent", "examplebot/1.0",
		"name to tell -base, and to look up in its robots.txt")
	fs.IntVar(&c.most, "most", 10_000, "the most addresses to fetch from -base")
	fs.Uint64Var(&c.seed, "seed", 1, "seed of what the embedded site does at random")
	fs.BoolVar(&c.careful, "careful", false,
		"reprise keeps refusals below five a minute; slower")
	fs.BoolVar(&c.quick, "quick", false, "a smaller site, in half a minute")
	err = fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout,
			"scrape has three scrapers fetch a site that limits and bans, "+
				"and draws what it saw.\n\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return c, err
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err == nil {
		err = c.check()
	}
	if c.quick {
		c.pages = min(c.pages, 60)
	}
	return c, err
}

func (c config) check() error {
	switch {
	case c.pages < 10 || c.pages > 100_000:
		return fmt.Errorf("-pages %d: must be 10 to 100000", c.pages)
	case c.workers < 1 || c.workers > 256:
		return fmt.Errorf("-workers %d: must be 1 to 256", c.workers)
	case c.most < 1:
		return fmt.Errorf("-most %d: must be at least 1", c.most)
	case rules[c.rule].make == nil:
		return fmt.Errorf("-rule %s: must be one of %s", c.rule, strings.Join(ruleNames(), ", "))
	case c.only != "" && !slices.Contains([]string{"plain", "backoff", "reprise"}, c.only):
		return fmt.Errorf("-only %s: must be plain, backoff or reprise", c.only)
	case c.resume && c.out == "":
		return errors.New("-resume needs -out: the directory to go on with")
	case c.base == "" && (c.links != "" || c.sitemap != ""):
		return errors.New("-links and -sitemap need -base: the site to fetch from")
	case c.base != "" && (c.links == "") == (c.sitemap == ""):
		return errors.New("-base needs one of -links and -sitemap")
	case c.base != "" && c.only != "" && c.only != "reprise":
		return errors.New("-base is for reprise only: the others would get you banned")
	}
	if c.base != "" {
		if u, err := url.Parse(c.base); err != nil || u.Host == "" ||
			u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("-base %s: must be an address such as https://example.com/", c.base)
		}
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "scrape: %v (-h tells the flags)\n", err)
		return exitUsage
	}
	var results []result
	if c.base != "" {
		results, err = scrapeReal(ctx, c, stdout)
	} else {
		results, err = scrapeEmbedded(ctx, c, stdout)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "scrape: interrupted%s\n", hint(c))
		return exitInterrupted
	case err != nil:
		fmt.Fprintf(stderr, "scrape: %v\n", err)
		return exitUsage
	case len(results) > 0 && results[len(results)-1].lost > 0:
		return exitLost
	}
	return exitOK
}

func hint(c config) string {
	if c.out == "" {
		return ""
	}
	return ": -resume goes on"
}

// scrapeEmbedded runs the scrapers against the site in this program.
func scrapeEmbedded(ctx context.Context, c config, stdout io.Writer) ([]result, error) {
	s, err := openSite(c)
	if err != nil {
		return nil, err
	}
	defer s.close()
	limit := rules[c.rule]
	fmt.Fprintf(stdout, "a site of %d pages and %d dead links at %s\n", len(s.pages), s.dead, s.url)
	fmt.Fprintf(stdout, "its limit, which the scrapers are not told: %s\n\n", limit.text)
	keep, err := openStore(c, s.url)
	if err != nil {
		return nil, err
	}
	defer keep.close()
	var results []result
	for _, sc := range scrapers {
		if c.only != "" && c.only != sc.name || ctx.Err() != nil {
			continue
		}
		bar := newProgress(stdout, sc.name, len(s.pages))
		store := (*store)(nil)
		if sc.name == "reprise" {
			store = keep
		}
		r := sc.run(ctx, job{
			seeds: s.seeds(), workers: c.workers, store: store, progress: bar,
			agent: sc.name + "bot/1.0", pacer: c.pacer(),
		})
		bar.end()
		r.name, r.want, r.lost = sc.name, len(s.pages), len(s.pages)-r.pages
		r.saw = s.saw(sc.name + "bot/1.0")
		results = append(results, r)
	}
	if ctx.Err() != nil {
		return results, ctx.Err()
	}
	table(stdout, results, limit)
	if c.picture == "" {
		return results, nil
	}
	if err := draw(c.picture, results, limit); err != nil {
		return results, err
	}
	fmt.Fprintf(stdout, "\nwhat the site saw: %s\n", c.picture)
	return results, nil
}

// scrapeReal fetches from a site that somebody else runs.
func scrapeReal(ctx context.Context, c config, stdout io.Writer) ([]result, error) {
	seeds, want := []string{c.sitemap}, -1
	if c.links != "" {
		var err error
		if seeds, err = addresses(c.links, c.base); err != nil {
			return nil, err
		}
		want = len(seeds)
	}
	keep, err := openStore(c, c.base)
	if err != nil {
		return nil, err
	}
	defer keep.close()
	bar := newProgress(stdout, "reprise", want)
	r := reprise(ctx, job{
		seeds: seeds, workers: c.workers, store: keep, progress: bar, agent: c.agent, polite: true,
		listed: c.links != "", pacer: c.pacer(), most: max(c.most, want),
	})
	bar.end()
	fmt.Fprintf(stdout, "%d pages in %v\n", r.pages, r.took.Round(time.Millisecond))
	if r.barred > 0 {
		fmt.Fprintf(stdout, "%d not asked for: robots.txt disallows them\n", r.barred)
	}
	for _, line := range r.failures {
		fmt.Fprintln(stdout, line)
	}
	r.lost = len(r.failures)
	return []result{r}, nil
}

// addresses reads a file of links, one a line, each relative to base or absolute.
func addresses(file, base string) ([]string, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	links := strings.Fields(string(text))
	if len(links) == 0 {
		return nil, fmt.Errorf("-links %s: no address in it", file)
	}
	site, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	for i, s := range links {
		u, err := site.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("-links %s: line %d: %w", file, i+1, err)
		}
		links[i] = u.String()
	}
	return links, nil
}
