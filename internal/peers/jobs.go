package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// job is one thing to do, and the libraries that do it, by their index; the first is the measure of
// the others.
type job struct {
	kind     string // jobs of one kind share a table
	name     string
	ways     []way
	parallel bool
}

type way struct {
	library int
	do      func() error
}

// endless is a limit that no call waits for.
const (
	endless = time.Nanosecond
	burst   = 1_000_000_000
)

// jobs are made for the context, the last one for so many keys; stop stops the server behind some.
func jobs(ctx context.Context, keys int) (all []job, stop func(), err error) {
	url, stop, err := loopback()
	if err != nil {
		return nil, nil, err
	}
	usual := plan{3, 100 * time.Millisecond, 30 * time.Second}
	parallel := guarded(ctx, "chains of loop, limiter and breaker", "success, in parallel",
		always(succeed), nil, whole)
	parallel.parallel = true
	all = []job{
		guarded(ctx, "loops", "success", always(succeed), nil, loop(usual)),
		guarded(ctx, "loops", "2 failures, waits of 1 ns, success", third, nil,
			loop(plan{3, 1, 1})),
		guarded(ctx, "loops", "2 failures, no waits, success", third, nil, loop(plan{attempts: 3})),
		guarded(ctx, "chains of loop, limiter and breaker", "success", always(succeed), nil, whole),
		parallel,
		guarded(ctx, "guards", "limiter, nobody waits", always(succeed), nil, limiter),
		guarded(ctx, "guards", "breaker, closed", always(succeed), nil, func(l library) run {
			return opened(ctx, l.breaker, 0)
		}),
		guarded(ctx, "guards", "breaker, open", always(succeed), errAny, func(l library) run {
			return opened(ctx, l.breaker, 5)
		}),
		guarded(ctx, "guards", "breaker, open, in a loop", always(succeed), errAny,
			func(l library) run { return opened(ctx, l.inLoop, 5) }),
		fetching(ctx, "GET over loopback", url+"/200", 100*time.Millisecond),
		fetching(ctx, "503, then 200", url+"/503", 0),
		amongMany("a key among a million", keys),
	}
	return all, stop, nil
}

// guarded is a job of calls that f makes, one for each library, in the guard that the library has
// for it.
func guarded(
	ctx context.Context, kind, name string, f func() call, want error, guard func(library) run,
) job {
	j := job{kind: kind, name: name}
	for i, l := range libraries {
		if do := guard(l); do != nil {
			f := f()
			j.ways = append(j.ways, way{i, func() error { return wanted(do, ctx, f, want) }})
		}
	}
	return j
}

func loop(p plan) func(library) run {
	return func(l library) run {
		if l.loop == nil {
			return nil
		}
		return l.loop(p)
	}
}

func whole(l library) run {
	if l.chain == nil {
		return nil
	}
	return l.chain(endless, burst, 5, time.Hour)
}

func limiter(l library) run {
	if l.limiter == nil {
		return nil
	}
	return l.limiter(endless, burst)
}

var errAny = errors.New("any error")

func wanted(do run, ctx context.Context, f call, want error) error {
	_, err := do(ctx, f)
	if err == want || err != nil && want == errAny {
		return nil
	}
	return fmt.Errorf("got %w, want %v", err, want)
}

func always(f call) func() call { return func() call { return f } }

// third succeeds every third time.
func third() call {
	n := 0
	return func(ctx context.Context) (int, error) {
		if n++; n%3 == 0 {
			return succeed(ctx)
		}
		return fail(ctx)
	}
}

// opened is a breaker after so many failures in a row, of the five that open it.
func opened(ctx context.Context, guard func(int, time.Duration) run, failures int) run {
	if guard == nil {
		return nil
	}
	do := guard(5, time.Hour)
	for range failures {
		_, _ = do(ctx, fail)
	}
	return do
}

func fetching(ctx context.Context, name, url string, first time.Duration) job {
	j := job{kind: "HTTP", name: name}
	for i, l := range libraries {
		if l.client != nil {
			client := l.client(http.DefaultTransport.(*http.Transport).Clone(), first)
			j.ways = append(j.ways, way{i, func() error { return fetch(ctx, client, url) }})
		}
	}
	return j
}

func amongMany(name string, n int) job {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("key %d of many", i)
	}
	j := job{kind: "keys", name: name}
	for i, l := range libraries {
		if l.keyed != nil {
			do, random := l.keyed(keys), rand.New(rand.NewPCG(1, 2))
			j.ways = append(j.ways, way{i, func() error { return do(keys[random.IntN(n)]) }})
		}
	}
	return j
}
