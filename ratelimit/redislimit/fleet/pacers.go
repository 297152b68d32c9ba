package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/ratelimit/redislimit"
	"github.com/reprise-go/reprise/retry"
)

const (
	siteRate  = 100 // requests a second that the site admits, and does not tell
	siteBurst = 20

	enough = 20 * time.Second // shorter runs show mostly the search for the limit, and chance
)

// pacers compares processes whose pacers share what they learn with one pacer alone.
func pacers(
	ctx context.Context, took time.Duration, real bool, only string, out io.Writer,
) (asGood bool, err error) {
	const one, many = "one pacer alone", "8 processes with pacers"
	fmt.Fprintf(out, "\npacers at a site that admits %d/s, burst %d, for %v\n\n",
		siteRate, siteBurst, took)
	first, asGood := 0.0, true
	for _, r := range []row{
		{name: one, members: []int{16}},
		{name: many, members: slices.Repeat([]int{2}, 8)},
	} {
		if !strings.Contains(r.name, only) {
			continue
		}
		refused, m, err := atSite(ctx, r, took, real)
		if err != nil {
			return false, fmt.Errorf("%s: %w", r.name, err)
		}
		served := m.use * limit * (took - 2*lease).Seconds() / (siteRate * took.Seconds())
		verdict := ""
		if r.name == one {
			first = served
		} else if took >= enough && served < 0.9*first {
			verdict, asGood = "less than 0.9 of one", false
		}
		fmt.Fprintf(out, "%-38s %8s %7d refused %21.3f %17s %s\n",
			r.name, percent(served), refused, m.trips, m.shares(r), verdict)
	}
	return asGood, nil
}

// atSite runs the members of a row against a new site, and counts what the site refuses.
func atSite(
	ctx context.Context, r row, took time.Duration, real bool,
) (refused int, m measured, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, measured{}, err
	}
	site, begin := limitertest.Nginx(siteRate, siteBurst, true), time.Now()
	site.Latency = 2 * time.Millisecond
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := site.Serve(time.Since(begin))
		time.Sleep(a.Busy)
		w.WriteHeader(a.Status)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	r.took, r.options = took, []string{"-site", "http://" + l.Addr().String()}
	if len(r.members) > 1 {
		r.options = append(r.options, "-shared")
	}
	m, err = r.measure(ctx, real)
	return site.Stats().Violations, m, err
}

// crawler returns a pacer, a function that counts its requests to the store, and a call that
// fetches from the site.
func crawler(
	client *redis.Client, url string, shared bool,
) (retry.Policy, func() int, func(context.Context) error) {
	var opts []ratelimit.Option
	if shared {
		opts = append(opts, ratelimit.Shared(redislimit.New(client), "site"))
	}
	p := ratelimit.NewPacer(opts...)
	return p, func() int { return trips(p.Stats()) }, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return retry.After(errors.New(resp.Status), 0)
		}
		return nil
	}
}

// trips is how many requests a member has sent to the store.
func trips(stats []retry.Stat) int {
	for _, s := range stats {
		if s.Name == "trips" {
			return int(s.Value)
		}
	}
	return 0
}
