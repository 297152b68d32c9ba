package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

var full = flag.Bool("scale", false,
	"TestTableScale: a million keys and an hour of outage, not a thousandth of it")

// used is what a piece of work took.
type used struct {
	calls      int
	goroutines int           // that made them; 0: one
	took       time.Duration // also of a synctest bubble in real time
	cpu        time.Duration // of the process
	held       time.Duration // goroutines waiting for locks, all together
	heap       int64         // more memory in use after it, stacks included
}

// row divides the waiting by the goroutines too. As long as they do nothing but call, all but a few
// wait, each behind all the others, so a call's wait grows with their number whatever the lock is.
// What is left after the division is for how long one call keeps the next.
func (u used) row(name string) []string {
	perCall := func(d time.Duration) string {
		return fmt.Sprintf("%.0f ns", float64(d)/float64(u.calls))
	}
	return []string{
		name, perCall(u.took), perCall(u.cpu), perCall(u.held / time.Duration(max(1,
			u.goroutines))),
		fmt.Sprintf("%.1f MB", float64(u.heap)/1e6),
	}
}

// measured runs do, which tells how many calls it made, and reads the memory before release.
func measured(do func() (calls int, release func())) used {
	before, start, cpu, held := memory(), realTime(), cpuTime(), lockTime()
	calls, release := do()
	u := used{calls: calls, took: realTime() - start, cpu: cpuTime() - cpu, held: lockTime() - held}
	u.heap = memory() - before
	release()
	return u
}

func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// realTime is that of the machine, in a synctest bubble too.
func realTime() time.Duration {
	var t syscall.Timeval
	_ = syscall.Gettimeofday(&t)
	return time.Duration(t.Nano())
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func lockTime() time.Duration {
	s := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(s)
	return time.Duration(s[0].Value.Float64() * float64(time.Second))
}

func shared() retry.Policy {
	return retry.Chain(policies.Exponential(), ratelimit.New(rate.Limit(1e9), 1e9),
		breaker.New("shared"))
}

// TestTableScale prints how the cost of a call grows with goroutines, policies and keys, and in an
// outage. What does not depend on the machine is asserted.
func TestTableScale(t *testing.T) {
	n, keys, hour := 20_000, 1000, 4*time.Second
	if *full {
		n, keys, hour = 4_000_000, 1_000_000, time.Hour
	}
	rows := [][]string{{"scale", "time per call", "CPU per call",
		"waiting for locks per call and goroutine", "memory"}}
	for _, g := range []int{1, 100, 10_000} {
		rows = append(rows,
			goroutines(t.Context(), g,
				n).row(fmt.Sprintf("loop, limiter, breaker: %d goroutine(s)", g)))
	}
	for _, p := range []int{1, 10, 100} {
		rows = append(rows,
			deep(t.Context(), p, n/10).row(fmt.Sprintf("breakers around each other: %d", p)))
	}
	for k := keys / 100; k <= keys; k *= 10 {
		rows = append(rows,
			many(k, n/4).row(fmt.Sprintf("a breaker for each key, which fails: %d keys", k)))
	}
	for _, healthy := range []bool{true, false} {
		u, reached := outage(t, hour, healthy)
		name := fmt.Sprintf("%v at 10,000 calls a second, healthy", hour)
		if !healthy {
			name = fmt.Sprintf("the same, an outage: %d of %d calls reach the callee", reached,
				u.calls)
			if most := 5 + int(hour/(30*time.Second)); reached > most {
				t.Errorf("%d calls reached a callee that is down, want at most %d", reached, most)
			}
			if u.heap > 1e6 {
				t.Errorf("an outage holds %d bytes", u.heap)
			}
		}
		rows = append(rows, u.row(name))
	}
	show(rows)
	if readme, err := os.ReadFile("README.md"); err != nil ||
		!strings.Contains(string(readme), "| "+strings.Join(rows[0], " | ")+" |") {
		t.Errorf("README.md does not have this table: %v", err)
	}
}

// goroutines share one chain. Memory is that of the goroutines while each is in a call.
func goroutines(ctx context.Context, g, n int) used {
	u := measured(func() (int, func()) {
		p := shared()
		inside, out := make(chan struct{}), make(chan struct{})
		hold := func(context.Context) (int, error) { inside <- struct{}{}; <-out; return 0, nil }
		var all sync.WaitGroup
		for range g {
			all.Go(func() {
				for range n / g {
					_, _ = retry.Do(ctx, p, succeed)
				}
				_, _ = retry.Do(ctx, p, hold)
			})
		}
		for range g {
			<-inside
		}
		return n/g*g + g, func() { close(out); all.Wait() }
	})
	u.goroutines = g
	return u
}

// deep is a chain of so many policies.
func deep(ctx context.Context, depth, n int) used {
	return measured(func() (int, func()) {
		var chain []retry.Policy
		for range depth {
			chain = append(chain, breaker.New("one of many"))
		}
		p := retry.Chain(chain...)
		for range n / depth {
			_, _ = retry.Do(ctx, p, succeed)
		}
		return n / depth, func() { runtime.KeepAlive(p) }
	})
}

// many is a breaker for each key. Each key is asked at least once, in turn, and none is forgotten,
// as each has a failure.
func many(keys, n int) used {
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprint("key ", i)
	}
	return measured(func() (int, func()) {
		p := policies.Keyed(keyOf, func(key string) retry.Policy {
			return breaker.New(key, breaker.ConsecutiveFailures(1<<30))
		})
		ctx, n := &keyContext{Context: context.Background()}, max(n, keys)
		for i := range n {
			ctx.key = names[i%keys]
			_, _ = retry.Do(ctx, p, fail)
		}
		return n, func() { runtime.KeepAlive(p); runtime.KeepAlive(names) }
	})
}

// outage is 10,000 calls a second for that long, in virtual time, of a callee that is well or down
// all the while.
func outage(t *testing.T, during time.Duration, healthy bool) (u used, reached int) {
	const perSecond, tick = 10_000, 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		call := func(context.Context) (int, error) {
			reached++
			if healthy {
				return 42, nil
			}
			return 0, errBoom
		}
		u = measured(func() (int, func()) {
			p, calls := shared(), 0
			for start := time.Now(); time.Since(start) < during; time.Sleep(tick) {
				for range perSecond * tick / time.Second {
					_, _ = retry.Do(t.Context(), p, call)
					calls++
				}
			}
			return calls, func() { runtime.KeepAlive(p) }
		})
	})
	return u, reached
}
