package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/breaker/redisbreaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/redislimit"
	"github.com/reprise-go/reprise/retry"
)

// workerArg as the first argument makes this program a worker.
const workerArg = "-worker"

// state is what a worker reports five times a second, as a line of JSON.
type state struct {
	Calls   int
	Trips   int
	Members int
	Waiting int
	Breaker string
	Away    bool // the store
}

// duty is what the flags tell a worker to do.
type duty struct {
	id, name, site, redis string
	callers, burst        int
	limit                 float64
	until                 int64 // ns since 1970
}

func parseDuty(args []string) (d duty, err error) {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	fs.StringVar(&d.id, "id", "", "")
	fs.StringVar(&d.name, "name", "", "")
	fs.StringVar(&d.site, "site", "", "")
	fs.StringVar(&d.redis, "redis", "", "")
	fs.IntVar(&d.callers, "callers", 1, "")
	fs.Float64Var(&d.limit, "limit", 1, "")
	fs.IntVar(&d.burst, "burst", 1, "")
	fs.Int64Var(&d.until, "until", 0, "")
	return d, fs.Parse(args)
}

// work fetches with many goroutines as fast as the fleet's limit lets them.
func work(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	d, err := parseDuty(args)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	client := redis.NewClient(&redis.Options{Addr: d.redis, MaxRetries: -1,
		ContextTimeoutEnabled: true})
	defer client.Close()

	// The guard: one limit and one breaker for all processes. The limit is outside, because a wait
	// because it is not a wait for the site, and an open breaker gives the token back.
	limiter := ratelimit.New(rate.Limit(d.limit), d.burst,
		ratelimit.Shared(redislimit.New(client), d.name))
	shared := breaker.New(d.name, breaker.ConsecutiveFailures(3),
		breaker.OpenFor(500*time.Millisecond),
		breaker.Shared(redisbreaker.New(client)))
	c := httpx.New(httpx.WithPolicy(retry.Chain(limiter, shared, policies.Timeout(2*time.Second))),
		httpx.Header("X-Member", d.id))

	ctx, cancel := context.WithDeadline(ctx, time.Unix(0, d.until))
	defer cancel()
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range d.callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if fetch(ctx, c, d.site) {
					calls.Add(1)
				}
			}
		})
	}
	tell := json.NewEncoder(stdout)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
		s := state{Calls: int(calls.Load()), Breaker: shared.State().String()}
		s.read(limiter.Stats())
		if tell.Encode(s) != nil {
			break // the parent process has gone
		}
	}
	wg.Wait()
	return exitOK
}

// fetch gets a page and tells whether it succeeded. After a rejection it waits as long as that asks
// for.
func fetch(ctx context.Context, c *httpx.Client, url string) bool {
	resp, err := c.Get(ctx, url)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp.StatusCode < 300
	}
	wait := 20 * time.Millisecond
	if after, ok := retry.RetryAfter(err); ok {
		wait = min(max(wait, after), time.Second)
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
	return false
}

func (s *state) read(stats []retry.Stat) {
	for _, stat := range stats {
		switch stat.Name {
		case "trips":
			s.Trips = int(stat.Value)
		case "members":
			s.Members = int(stat.Value)
		case "waiting":
			s.Waiting = int(stat.Value)
		case "store":
			s.Away = stat.Text == "away"
		}
	}
}
