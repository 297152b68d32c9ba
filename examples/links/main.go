// Command links fetches a list of links at once, retries those that answer with a listed status,
// and prints URL:status as each finishes. Without flags it serves its own five links on the
// loopback interface.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// Exit codes: ok; a link failed; bad usage; interrupted, as shells count SIGINT.
const (
	exitOK          = 0
	exitFailed      = 1
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
	base     string
	file     string
	attempts int
	statuses statuses
	initial  time.Duration
	factor   float64
	max      time.Duration
	rate     float64
	raise    bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	usage := func(err error) int {
		fmt.Fprintf(stderr, "links: %v\n", err)
		return exitUsage
	}
	cfg, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return usage(err)
	}
	if cfg.base == "" && cfg.file == "" {
		base, stop, err := serve()
		if err != nil {
			fmt.Fprintf(stderr, "links: %v\n", err)
			return exitFailed
		}
		defer stop()
		cfg.base = base
	}
	urls, err := cfg.links()
	if err != nil {
		return usage(err)
	}
	guard := cfg.guard()
	if err := retry.Validate(guard); err != nil {
		return usage(err)
	}
	return fetch(ctx, cfg, guard, urls, http.DefaultTransport, stdout, stderr)
}

func parse(args []string, help io.Writer) (config, error) {
	cfg := config{statuses: statuses{http.StatusNotFound}}
	fs := flag.NewFlagSet("links", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&cfg.base, "base", "", "fetch from this `URL` instead of the embedded server")
	fs.StringVar(&cfg.file, "links", "",
		"`FILE` with a link on each line, relative to -base; default: five built-in links")
	fs.IntVar(&cfg.attempts, "attempts", 4, "requests per link in all")
	fs.Var(&cfg.statuses, "statuses",
		"`LIST` of statuses to retry, besides 408, 425, 429 and server errors; comma-separated")
	fs.DurationVar(&cfg.initial, "initial", 200*time.Millisecond,
		"first wait between two requests for a link")
	fs.Float64Var(&cfg.factor, "factor", 2, "each further wait is this many times longer")
	fs.DurationVar(&cfg.max, "max", 30*time.Second, "longest wait")
	fs.Float64Var(&cfg.rate, "rate", 0, "requests per second to a host; 0: no limit")
	fs.BoolVar(&cfg.raise, "raise", false,
		"count a link as failed if its last status is not a success")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(help, "links fetches links at once, retries by status, and prints "+
			"URL:status as each finishes.\n\n"+
			"  go run ./examples/links [flags]\n\n")
		fs.SetOutput(help)
		fs.PrintDefaults()
		fmt.Fprint(help,
			"\nExit code: 0 fetched, 1 a link failed, 2 bad flag or file, 130 interrupted.\n")
		return cfg, err
	}
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q: links are listed in a file, see -links",
			fs.Arg(0))
	}
	if err == nil && (!(cfg.rate >= 0) || cfg.rate > 1e9) {
		err = fmt.Errorf("-rate must be between 0 and 1e9, not %v", cfg.rate)
	}
	return cfg, err
}

// statuses is a flag that holds a list.
type statuses []int

func (s *statuses) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*s)), " ", ","), "[]")
}

func (s *statuses) Set(list string) error {
	*s = nil
	for field := range strings.SplitSeq(list, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		code, err := strconv.Atoi(field)
		if err != nil || code < 100 || code > 599 {
			return fmt.Errorf("%q is no status", field)
		}
		*s = append(*s, code)
	}
	return nil
}

// links are the URLs to fetch.
func (c config) links() ([]string, error) {
	base, err := url.Parse(c.base)
	if err != nil || c.base != "" &&
		(base.Host == "" || base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("-base must be an http or https URL")
	}
	lines := builtin
	if c.file != "" {
		if lines, err = readLines(c.file); err != nil {
			return nil, err
		}
	}
	urls := make([]string, 0, len(lines))
	for i, line := range lines {
		u, err := base.Parse(line)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("link %d is no http or https URL and no path below -base", i+1)
		}
		urls = append(urls, u.String())
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("no links in %s", c.file)
	}
	return urls, nil
}

func readLines(name string) (lines []string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for scan := bufio.NewScanner(f); ; {
		if !scan.Scan() {
			return lines, scan.Err()
		}
		if line := strings.TrimSpace(scan.Text()); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
}

// guard is the chain. The breaker and the limiter belong to a host, and all its links share them.
// The breaker stands outside the loop and counts links, not requests: a host that is down has
// each link fail after its own attempts, while inside the loop the attempts would wait for the
// open breaker's next probe.
func (c config) guard() retry.Policy {
	limit := rate.Inf
	if c.rate > 0 {
		limit = rate.Limit(c.rate)
	}
	// A 4xx that is worth another try is still the answer of a healthy host: not the breaker's
	// business.
	var answers []int
	for _, code := range c.statuses {
		if code < http.StatusInternalServerError {
			answers = append(answers, code)
		}
	}
	var verdict retry.Policy
	if len(answers) > 0 {
		verdict = policies.Classify(policies.Neutral(policies.Status(answers...)))
	}
	return retry.Chain(
		policies.Keyed(httpx.Host, func(host string) retry.Policy { return breaker.New(host) }),
		policies.Exponential(policies.Attempts(c.attempts), policies.Initial(c.initial),
			policies.Factor(c.factor),
			policies.MaxDelay(c.max), policies.WithJitter(policies.NoJitter)),
		policies.Keyed(httpx.Host, func(string) retry.Policy { return ratelimit.New(limit, 1) }),
		verdict,
	)
}

// result is the outcome of one link.
type result struct {
	url    string
	status int
	err    error
}

func fetch(ctx context.Context, cfg config, guard retry.Policy, urls []string,
	base http.RoundTripper, stdout, stderr io.Writer) int {
	start := time.Now()
	wire := &counter{base: base}
	client := httpx.New(httpx.WithPolicy(guard), httpx.WithClient(&http.Client{Transport: wire}),
		httpx.RetryOn(httpx.Status(cfg.statuses...)), httpx.RaiseForStatus(cfg.raise))

	results := make(chan result)
	var links sync.WaitGroup
	for _, u := range urls {
		links.Go(func() {
			r := result{url: u}
			resp, err := client.Get(ctx, u)
			if r.err = err; err == nil {
				r.status = resp.StatusCode
				_, r.err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			results <- r
		})
	}
	go func() { links.Wait(); close(results) }()

	done, code := 0, exitOK
	for r := range results {
		switch {
		case r.err == nil:
			done++
			fmt.Fprintf(stdout, "%s:%d\n", shown(r.url), r.status)
		case ctx.Err() != nil: // the summary says it once
		default:
			done++
			code = exitFailed
			if e, ok := errors.AsType[*url.Error](r.err); ok {
				r.err = e.Err // the line begins with the URL
			}
			fmt.Fprintf(stderr, "%s: %v\n", shown(r.url), r.err)
		}
	}
	if ctx.Err() != nil {
		code = exitInterrupted
		fmt.Fprintf(stdout, "interrupted, %d of %d links done\n", done, len(urls))
	}
	fmt.Fprintf(stdout, "%.2f s, %d requests\n", time.Since(start).Seconds(), wire.sent.Load())
	return code
}

// shown is a URL without its user and password.
func shown(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "?"
	}
	u.User = nil
	return u.String()
}

// counter counts the requests that reach the wire.
type counter struct {
	base http.RoundTripper
	sent atomic.Int64
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.sent.Add(1)
	return c.base.RoundTrip(r)
}
