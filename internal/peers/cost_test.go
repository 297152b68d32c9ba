package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"

	avast "github.com/avast/retry-go/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	"github.com/sony/gobreaker/v2"
	uber "go.uber.org/ratelimit"
	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// job is one thing to do, and those who do it; the first is the measure of the others.
type job struct {
	name  string
	want  error
	peers []peer[run]
	f     call
}

// By hand is what one writes with the standard library, gobreaker and x/time. The limits are so high that nobody waits for them.
var jobs = []job{
	{"loop, success", nil, with(loops, plan{3, 100 * time.Millisecond, 30 * time.Second}), succeed},
	{"loop, 3 failures, no waits", errBoom, with(loops, plan{attempts: 3}), fail},
	{"breaker, closed", nil, []peer[run]{{"by hand", breakers[1].is(5, 30*time.Second)}, guarded(breakers, 0), guarded(breakers, 2)}, succeed},
	{"limiter, nobody waits", nil, []peer[run]{
		{"by hand", func() run {
			l := rate.NewLimiter(1e9, 1e9)
			return func(ctx context.Context, f call) (int, error) {
				if err := l.Wait(ctx); err != nil {
					return 0, err
				}
				return f(ctx)
			}
		}()},
		{"reprise", through(ratelimit.New(1e9, 1e9))},
		{"failsafe-go v0.9.8", failsafely(ratelimiter.NewBursty[int](1e9, time.Second))},
		{"uber ratelimit v0.3.1", func() run {
			l := uber.New(1e9)
			return func(ctx context.Context, f call) (int, error) { l.Take(); return f(ctx) }
		}()},
	}, succeed},
	{"loop, limiter and breaker", nil, []peer[run]{
		{"by hand", func() run {
			l, b := rate.NewLimiter(1e9, 1e9), gobreaker.NewCircuitBreaker[int](sony(5, 30*time.Second))
			return func(ctx context.Context, f call) (v int, err error) {
				for range 3 {
					if err = l.Wait(ctx); err != nil {
						return v, err
					}
					if v, err = b.Execute(func() (int, error) { return f(ctx) }); err == nil {
						return v, nil
					}
				}
				return v, err
			}
		}()},
		{"reprise", through(retry.Chain(policies.Exponential(), ratelimit.New(1e9, 1e9), breaker.New("peer")))},
		{"failsafe-go v0.9.8", failsafely(failsafeLoop(plan{3, 100 * time.Millisecond, 30 * time.Second}),
			ratelimiter.NewBursty[int](1e9, time.Second), failsafeBreaker(5, 30*time.Second))},
	}, succeed},
	{"GET, 200", nil, fetching(200), nil},
	{"GET, 503, 200", nil, fetching(503, 200), nil},
}

func through(p retry.Policy) run {
	return func(ctx context.Context, f call) (int, error) { return retry.Do(ctx, p, f) }
}

func failsafely(ps ...failsafe.Policy[int]) run {
	executor := failsafe.With(ps...)
	return func(ctx context.Context, f call) (int, error) {
		return executor.WithContext(ctx).Get(func() (int, error) { return f(ctx) })
	}
}

func guarded(from []peer[func(int, time.Duration) run], i int) peer[run] {
	return peer[run]{from[i].name, from[i].is(5, 30*time.Second)}
}

func with(loops []peer[func(plan) run], p plan) []peer[run] {
	ps := []peer[run]{{"by hand", func(ctx context.Context, f call) (v int, err error) {
		for i := range p.attempts {
			if err = ctx.Err(); err != nil {
				return v, err
			}
			if v, err = f(ctx); err == nil || i == p.attempts-1 {
				break
			}
			if wait := min(p.first<<i, p.most); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
				}
			}
		}
		return v, err
	}}}
	for _, l := range loops {
		ps = append(ps, peer[run]{l.name, l.is(p)})
	}
	once := avastRetrier(p, avast.LastErrorOnly(true)) // as its README has it for frequent calls; it cannot have their context
	return append(ps, peer[run]{"avast/retry-go, made once, without a context", func(ctx context.Context, f call) (int, error) {
		return once.Do(func() (int, error) { return f(ctx) })
	}})
}

func fetching(statuses ...int) []peer[run] {
	const first = 100 * time.Millisecond
	base := func() http.RoundTripper { return &server{statuses: statuses, ring: true} }
	wait := time.Duration(0)
	if len(statuses) == 1 {
		wait = first
	}
	hc := &http.Client{Transport: base()}
	ps := []peer[run]{{"by hand", reading(plainly(func(req *http.Request) (resp *http.Response, err error) {
		for i := range 3 {
			if resp, err = hc.Do(req); err == nil && resp.StatusCode < 500 || i == 2 {
				break
			}
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}
		return resp, err
	}))}}
	for _, c := range clients {
		ps = append(ps, peer[run]{c.name, reading(c.is(base(), wait))})
	}
	if wait > 0 {
		asItComes := httpx.New(httpx.WithClient(&http.Client{Transport: base()}))
		ps = append(ps, peer[run]{"reprise, httpx as it comes", reading(plainly(asItComes.Do))})
	}
	return ps
}

func reading(s send) run {
	return func(ctx context.Context, _ call) (int, error) {
		resp, err := s(ctx, "GET", nil)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		n, err := io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != 200 || n != 1024 {
			err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, n)
		}
		return int(n), err
	}
}

// do does the job once and tells when it was not done.
func (j job) do(tb testing.TB, ctx context.Context, r run) {
	if _, err := r(ctx, j.f); !errors.Is(err, j.want) {
		tb.Fatalf("%v, want %v", err, j.want)
	}
}

func Benchmark(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, j := range jobs {
		for _, p := range j.peers {
			b.Run(j.name+"/"+p.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					j.do(b, ctx, p.is)
				}
			})
		}
	}
}

// TestTableCost times all who do a job in turns, so that whatever else the machine does disturbs all alike. A ratio is the
// median of the rounds' ratios, to the first of its job.
func TestTableCost(t *testing.T) {
	if testing.Short() {
		t.Skip("measures time")
	}
	const rounds, round = 201, 500 * time.Microsecond
	rows := [][]string{{"time beside the first line (allocations)"}}
	row := map[string]int{}
	for column, j := range jobs {
		rows[0] = append(rows[0], j.name)
		ns, ratios, batch := make([][]float64, len(j.peers)), make([][]float64, len(j.peers)), make([]int, len(j.peers))
		ctxs := make([]context.Context, len(j.peers)) // one for each, for who leaves something behind in it
		for i := range ctxs {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ctxs[i] = ctx
		}
		spend := func(i, n int) time.Duration {
			start := time.Now()
			for range n {
				j.do(t, ctxs[i], j.peers[i].is)
			}
			return time.Since(start)
		}
		for i := range j.peers {
			for batch[i] = 1; batch[i] < 1<<20 && spend(i, batch[i]) < round; batch[i] *= 2 {
			}
		}
		for r := range rounds {
			for turn := range j.peers {
				i := (turn + r) % len(j.peers) // nobody is always first
				ns[i] = append(ns[i], float64(spend(i, batch[i]))/float64(batch[i]))
			}
			for i := range j.peers {
				ratios[i] = append(ratios[i], ns[i][r]/ns[0][r])
			}
		}
		for i, p := range j.peers {
			if row[p.name] == 0 {
				row[p.name] = len(rows)
				rows = append(rows, append([]string{p.name}, slices.Repeat([]string{""}, len(jobs))...))
			}
			cell := fmt.Sprintf("%.1f (%d)", median(ratios[i]), allocations(func() { j.do(t, ctxs[i], p.is) }))
			if i == 0 {
				cell = fmt.Sprintf("%.0f ns (%d)", median(ns[i]), allocations(func() { j.do(t, ctxs[i], p.is) }))
			}
			rows[row[p.name]][column+1] = cell
		}
	}
	show(rows)
}

func median[N float64 | uint64](x []N) N { slices.Sort(x); return x[len(x)/2] }

// allocations of one f: the median of many, as the runtime allocates a little of its own.
func allocations(f func()) uint64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	var mallocs []uint64
	for range 201 {
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		mallocs = append(mallocs, after.Mallocs-before.Mallocs)
	}
	return median(mallocs)
}
