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

// workerArg makes this program a worker.
const workerArg = "-worker"

// state is what a worker tells five times a second, as a line of JSON.
type state struct {
	Calls   int
	Trips   int
	Members int
	Waiting int
	Breaker string
	Away    bool // the store
}

// work fetches with many goroutines as quickly as the fleet's limit lets them.
func work(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	id := fs.String("id", "", "")
	name := fs.String("name", "", "")
	site := fs.String("site", "", "")
	addr := fs.String("redis", "", "")
	callers := fs.Int("callers", 1, "")
	limit := fs.Float64("limit", 1, "")
	burst := fs.Int("burst", 1, "")
	until := fs.Int64("until", 0, "")
	if err := fs.Parse(args); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	client := redis.NewClient(&redis.Options{Addr: *addr, MaxRetries: -1,
		ContextTimeoutEnabled: true})
	defer client.Close()

	// The guard: one limit and one breaker for all processes. The limit is outside, because a wait
	// for it is not a wait for the site, and an open breaker gives the token back.
	limiter := ratelimit.New(rate.Limit(*limit), *burst,
		ratelimit.Shared(redislimit.New(client), *name))
	shared := breaker.New(*name, breaker.ConsecutiveFailures(3),
		breaker.OpenFor(500*time.Millisecond),
		breaker.Shared(redisbreaker.New(client)))
	c := httpx.New(httpx.WithPolicy(retry.Chain(limiter, shared, policies.Timeout(2*time.Second))),
		httpx.Header("X-Member", *id))

	ctx, cancel := context.WithDeadline(ctx, time.Unix(0, *until))
	defer cancel()
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range *callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if !fetch(ctx, c, *site) {
					continue
				}
				calls.Add(1)
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
			break // the other side has gone
		}
	}
	wg.Wait()
	return exitOK
}

// fetch gets a page, or waits as long as a rejection asks for.
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
