// Command fleet lets several processes fetch from one site that has a rate limit. They share one
// limit and one breaker through Redis, so that together they stay below the site's limit, and when
// the site fails all of them know at once.
//
// The workers are processes of this program. It also serves the site, on the loopback interface,
// and a Redis, with miniredis; -redis takes a real one. At the end it prints a table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/ratelimit"
)

// Exit codes: as promised; above the bound or failed; bad usage; interrupted, with the number that
// shells use for SIGINT.
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
	members int
	callers int
	limit   float64
	burst   int
	took    time.Duration
	redis   string
	kill    bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == workerArg {
		return work(ctx, args[1:], stdout, stderr)
	}
	cfg, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err == nil {
		err = cfg.reach(ctx)
	}
	if err != nil {
		fmt.Fprintf(stderr, "fleet: %v\n", err)
		return exitUsage
	}
	code, err := cfg.show(ctx, stdout, stderr)
	if ctx.Err() != nil {
		return exitInterrupted
	}
	if err != nil {
		fmt.Fprintf(stderr, "fleet: %v\n", err)
		return exitFailed
	}
	return code
}

func parse(args []string, help io.Writer) (cfg config, err error) {
	fs := flag.NewFlagSet("fleet", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.IntVar(&cfg.members, "members", 4, "worker processes")
	fs.IntVar(&cfg.callers, "callers", 8,
		"goroutines of each worker that fetch as fast as they may")
	fs.Float64Var(&cfg.limit, "limit", 150,
		"requests per second of all workers together; the site bears 200")
	fs.IntVar(&cfg.burst, "burst", 30, "requests at once on top of the limit")
	fs.DurationVar(&cfg.took, "for", 8*time.Second, "how long to run")
	fs.StringVar(&cfg.redis, "redis", "",
		"`ADDR` of a Redis to share through; default: one that this program starts")
	fs.BoolVar(&cfg.kill, "kill", false, "kill a worker every second and start another")
	quick := fs.Bool("quick", false, "run for three seconds")
	err = fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(help, "fleet has worker processes share one limit and one breaker.\n\n"+
			"  go run ./examples/fleet [flags]\n\n")
		fs.SetOutput(help)
		fs.PrintDefaults()
		fmt.Fprint(help, "\nExit code: 0 as promised, 1 not, 2 bad flag or no Redis at -redis, "+
			"130 interrupted.\n")
		return cfg, err
	case err != nil:
		return cfg, err
	}
	if *quick {
		cfg.took = 3 * time.Second
	}
	return cfg, cfg.check(fs.Args())
}

func (c config) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case c.members < 1 || c.members > 64:
		return fmt.Errorf("-members must be 1 to 64, not %d", c.members)
	case c.callers < 1 || c.callers > 256:
		return fmt.Errorf("-callers must be 1 to 256, not %d", c.callers)
	case c.took < time.Second || c.took > time.Hour:
		return fmt.Errorf("-for must be 1s to 1h, not %v", c.took)
	case !(c.limit >= 1 && c.limit <= 5000):
		return fmt.Errorf("-limit must be 1 to 5000 a second, not %v", c.limit)
	}
	l := ratelimit.New(rate.Limit(c.limit), c.burst,
		ratelimit.Shared(ratelimit.NewStore(), "check"))
	if l.Validate() != nil {
		return fmt.Errorf("-burst must be 1 to %d, not %d", 1<<30, c.burst)
	}
	return nil
}

// reach tells whether there is a Redis at -redis.
func (c config) reach(ctx context.Context) error {
	if c.redis == "" {
		return nil
	}
	client := redis.NewClient(&redis.Options{Addr: c.redis, MaxRetries: -1,
		DialTimeout: time.Second})
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("-redis %s: %w", c.redis, err)
	}
	return nil
}

// show runs the fleet and prints the outcome.
func (c config) show(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	where := "the Redis at " + c.redis
	if c.redis == "" {
		m, err := miniredis.Run()
		if err != nil {
			return 0, err
		}
		defer m.Close()
		c.redis, where = m.Addr(), "an in-process Redis"
	}
	site, err := openSite(c.took)
	if err != nil {
		return 0, err
	}
	defer site.close()
	fmt.Fprintf(stdout, "%d processes of %d callers share %v requests a second "+
		"and one breaker through %s, for %v\n",
		c.members, c.callers, c.limit, where, c.took)
	f := &crew{config: c, site: site, stderr: &inTurn{w: stderr}}
	if err := f.run(ctx, newScreen(stdout)); err != nil {
		return 0, err
	}
	return f.report(stdout), nil
}
