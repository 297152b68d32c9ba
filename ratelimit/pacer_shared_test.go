package ratelimit_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
)

// gang is how a fleet of pacers got on.
type gang struct {
	ok, refused int
	by          []int // accepted calls by member
	bans        int
}

// gangOf has n pacers of 8 callers each crawl a server for the time d. With n = 1 it is a pacer that
// shares nothing.
func gangOf(t *testing.T, n, callers int, d time.Duration, s *limitertest.Server, store ratelimit.Store) gang {
	t.Helper()
	start := time.Now()
	s.Latency = 30 * ms
	ctx, cancel := context.WithTimeout(bg, d)
	defer cancel()
	g := gang{by: make([]int, n)}
	var refused atomic.Int64
	by := make([]atomic.Int64, n)
	var all sync.WaitGroup
	for i := range n {
		p := ratelimit.NewPacer()
		if store != nil {
			p = ratelimit.NewPacer(ratelimit.Shared(store, "host"))
		}
		for range callers {
			all.Go(func() {
				for ctx.Err() == nil {
					err := retry.Run(ctx, p, func(context.Context) error {
						a := s.Serve(time.Since(start))
						if os.Getenv("TRACE") != "" {
							fmt.Printf("%8.3f %d %d %v\n", time.Since(start).Seconds(), i, a.Status, p)
						}
						time.Sleep(a.Busy)
						if a.Status != http.StatusOK {
							refused.Add(1)
							return retry.After(errRefused, a.RetryAfter)
						}
						by[i].Add(1)
						return nil
					})
					if _, rejected := retry.Rejected(err); rejected { // no turn before the end
						return
					}
				}
			})
		}
		if os.Getenv("TRACE") != "" {
			defer func() { t.Log(p, p.Explain()) }()
		}
	}
	all.Wait()
	for i := range n {
		g.by[i] = int(by[i].Load())
		g.ok += g.by[i]
	}
	g.refused, g.bans = int(refused.Load()), s.Stats().Bans
	time.Sleep(5 * time.Second)
	return g
}

var gangServers = []struct {
	name string
	make func() *limitertest.Server
}{
	{"nginx burst 0", func() *limitertest.Server { return limitertest.Nginx(10, 0, true) }},
	{"nginx burst 20 nodelay", func() *limitertest.Server { return limitertest.Nginx(10, 20, true) }},
	{"nginx burst 20 delay", func() *limitertest.Server { return limitertest.Nginx(10, 20, false) }},
	{"haproxy 100/10s", func() *limitertest.Server { return limitertest.HAProxy(100, 10*time.Second) }},
	{"envoy 100/10s", func() *limitertest.Server { return limitertest.Envoy(100, 10*time.Second) }},
	{"cf 100/10s ban 60 RA", func() *limitertest.Server { return limitertest.Cloudflare(100, 10*time.Second, time.Minute, true) }},
	{"cf 600/60s ban 600", func() *limitertest.Server { return limitertest.Cloudflare(600, time.Minute, 10*time.Minute, false) }},
	{"ladder", func() *limitertest.Server { return limitertest.Fail2ban(10) }},
}

func TestFleetOfPacersIsAsGoodAsOne(t *testing.T) {
	d := gangTime()
	for _, s := range gangServers {
		t.Run(s.name, func(t *testing.T) {
			var one, eight gang
			synctest.Test(t, func(t *testing.T) { one = gangOf(t, 1, 64, d, s.make(), nil) })
			synctest.Test(t, func(t *testing.T) { eight = gangOf(t, 8, 8, d, s.make(), newWire(ratelimit.NewStore(), 2*ms)) })
			fmt.Printf("%-24s one %v\n", s.name, one)
			fmt.Printf("%-24s fleet %v\n", s.name, eight)
		})
	}
}

func gangTime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("GANG")); err == nil {
		return d
	}
	return time.Hour
}
