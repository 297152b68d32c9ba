package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/redislimit"
	"github.com/reprise-go/reprise/retry"
)

// workerArg makes this program a member.
const workerArg = "-worker"

// work is one member: callers that make calls as quickly as the limit admits them.
func work(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	addr := fs.String("addr", "", "")
	callers := fs.Int("callers", 8, "")
	took := fs.Duration("took", 0, "")
	strict := fs.Bool("strict", false, "")
	percall := fs.Bool("percall", false, "")
	site := fs.String("site", "", "")
	shared := fs.Bool("shared", false, "")
	if err := fs.Parse(args); err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	client := redis.NewClient(&redis.Options{Addr: *addr})
	defer client.Close()
	tell := &teller{w: stdout}
	policy, trips := leases(client, *strict)
	call := func(context.Context) error { return nil }
	switch {
	case *percall:
		policy, trips = perCall(client)
	case *site != "":
		policy, trips, call = crawler(client, *site, *shared)
	}
	_ = client.Ping(ctx) // to be connected
	tell.trips(0)
	var at int64
	if err := binary.Read(stdin, binary.LittleEndian, &at); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	begin := time.Unix(0, at)
	time.Sleep(time.Until(begin))
	ctx, over := context.WithDeadline(ctx, begin.Add(*took))
	defer over()
	var wg sync.WaitGroup
	for range *callers {
		wg.Go(func() { callOn(ctx, policy, call, tell) })
	}
	for pause(ctx, 50*time.Millisecond) {
		tell.trips(trips())
	}
	wg.Wait()
	tell.trips(trips())
	return 0
}

// callOn makes call after call until ctx ends, and tells the time of each that succeeds.
func callOn(
	ctx context.Context, policy retry.Policy, call func(context.Context) error, tell *teller,
) {
	for ctx.Err() == nil {
		err := retry.Run(ctx, policy, func(ctx context.Context) error {
			now := time.Now().UnixNano()
			err := call(ctx)
			if err == nil {
				tell.say(now)
			}
			return err
		})
		if err != nil {
			pause(ctx, time.Millisecond)
		}
	}
}

// teller writes numbers to the parent, each at once: a member may be killed at any moment.
type teller struct {
	mu sync.Mutex
	w  io.Writer
}

// trips tells the number of requests to the store, as a number below 0. All others are times.
func (t *teller) trips(n int) { t.say(-1 - int64(n)) }

func (t *teller) say(x int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(x))
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.w.Write(b[:])
}

func leases(client *redis.Client, strict bool) (retry.Policy, func() int) {
	opts := []ratelimit.SharedOption{}
	if strict {
		opts = append(opts, ratelimit.Strict())
	}
	l := ratelimit.New(limit, burst, ratelimit.Shared(redislimit.New(client), "fleet", opts...))
	return l, func() int { return trips(l.Stats()) }
}

// gcra takes one token and returns 0, or returns how long to wait in µs.
var gcra = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local new = tat + 1000000 / ARGV[1]
local wait = new - now - ARGV[2] * 1000000 / ARGV[1]
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', 60000)
return 0`)

// perCall is what other libraries do: a script for each call, and again after the wait that it
// returns.
func perCall(client *redis.Client) (retry.Policy, func() int) {
	var trips atomic.Int64
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		for {
			trips.Add(1)
			wait, err := gcra.Run(ctx, client, []string{"percall"}, limit, burst).Int64()
			if err != nil {
				return err
			}
			if wait == 0 {
				return next.Do(ctx)
			}
			if !pause(ctx, time.Duration(wait)*time.Microsecond) {
				return ctx.Err()
			}
		}
	}), func() int { return int(trips.Load()) }
}

// decision measures a call that finds a token in stock. It measures batches, because reading the
// clock takes as long as a call.
func decision() string {
	l := ratelimit.New(1e9, 1e9, ratelimit.Shared(always{}, "stock"))
	ctx := context.Background()
	nop := func(context.Context) error { return nil }
	for range 1000 {
		_ = retry.Run(ctx, l, nop)
		time.Sleep(100 * time.Microsecond)
	}
	const batch = 100
	took := func(p retry.Policy) time.Duration {
		var all []time.Duration
		for range 3000 {
			begin := time.Now()
			for range batch {
				_ = retry.Run(ctx, p, nop)
			}
			all = append(all, time.Since(begin)/batch)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	bare := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Do(ctx)
	})
	whole := took(l)
	return fmt.Sprintf("p50 %v, %v with the call around it", whole-took(bare), whole)
}

// always is a store that grants every request.
type always struct{}

func (always) Take(_ context.Context, _ string, a ratelimit.Ask) (ratelimit.Grant, error) {
	n := max(a.Need, a.Want)
	return ratelimit.Grant{Tokens: n, Now: n, Members: 1, Floor: -time.Hour}, nil
}
