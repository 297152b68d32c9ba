package policies_test

import (
	"context"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestHedge(t *testing.T) {
	slow := func(d ...time.Duration) (func(context.Context) (int, error), *int, *int) {
		var mu sync.Mutex
		n, cut := 0, 0
		return func(ctx context.Context) (int, error) {
			mu.Lock()
			n++
			me := n
			mu.Unlock()
			select {
			case <-time.After(d[min(me, len(d))-1]):
				return me, nil
			case <-ctx.Done():
				mu.Lock()
				defer mu.Unlock()
				cut++
				return me, nil // a value all the same
			}
		}, &n, &cut
	}
	bubble(t, "the second wins", func(t *testing.T) {
		call, n, cut := slow(time.Hour, 5*ms)
		var discarded []int
		start := time.Now()
		v, err := policies.Hedge(call, 10*ms, 3,
			func(v int) { discarded = append(discarded, v) })(t.Context())
		took := time.Since(start)
		synctest.Wait()
		if v != 2 || err != nil || took != 15*ms || *n != 2 || *cut != 1 || len(discarded) != 1 ||
			discarded[0] != 1 {
			t.Errorf("%d, %v in %v; %d calls, %d cut, discarded %v", v, err, took, *n, *cut,
				discarded)
		}
	})
	bubble(t, "max counts all calls", func(t *testing.T) {
		call, n, _ := slow(time.Second)
		v, err := policies.Hedge(call, 10*ms, 3, nil)(t.Context())
		synctest.Wait()
		if v != 1 || err != nil || *n != 3 {
			t.Errorf("%d, %v; %d calls", v, err, *n)
		}
	})
	bubble(t, "max may be any number", func(t *testing.T) {
		call, n, _ := slow(time.Second)
		v, err := policies.Hedge(call, 600*ms, math.MaxInt, nil)(t.Context())
		synctest.Wait()
		if v != 1 || err != nil || *n != 2 {
			t.Errorf("%d, %v; %d calls", v, err, *n)
		}
	})
	bubble(t, "a quick failure makes no further call", func(t *testing.T) {
		s := outcomes(errBoom)
		v, err := policies.Hedge(s.call, 10*ms, 3, nil)(t.Context())
		if v != 1 || err != errBoom || len(s.at) != 1 {
			t.Errorf("%d, %v; %d calls", v, err, len(s.at))
		}
	})
	bubble(t, "a panic reaches the caller", func(t *testing.T) {
		first := make(chan struct{}, 1)
		defer func() {
			if v := recover(); v != "bang" {
				t.Errorf("recovered %v", v)
			}
		}()
		_, _ = policies.Hedge(func(ctx context.Context) (int, error) {
			select {
			case first <- struct{}{}:
				<-ctx.Done()
				return 0, ctx.Err()
			default:
				panic("bang")
			}
		}, ms, 2, nil)(t.Context())
	})
	bubble(t, "Goexit in a call does not hang the caller", func(t *testing.T) {
		returned := false
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = policies.Hedge(func(context.Context) (int, error) {
				runtime.Goexit()
				return 0, nil
			}, ms, 2, nil)(t.Context())
			returned = true
		})
		all.Wait()
		if returned {
			t.Error("Hedge returned")
		}
	})
	bubble(t, "a spent budget makes no hedge", func(t *testing.T) {
		b := policies.NewCostBudget(5, 5, 1)
		call, n, _ := slow(time.Second)
		_, _ = policies.Hedge(call, ms, 5, nil, policies.WithBudget(b))(t.Context())
		synctest.Wait()
		if *n != 2 {
			t.Errorf("%d calls, want 2", *n)
		}
	})
	bubble(t, "a hedge is told when it is made, and waits for nothing", func(t *testing.T) {
		var rec retry.Record
		call, _, _ := slow(time.Second, 0)
		_, _ = retry.Do(t.Context(), retry.Chain(retry.Observe(rec.Add)),
			policies.Hedge(call, 50*ms, 2, nil))
		got, want := rec.String(), "hedge: retry: no answer in 50ms: one more call beside"
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwithout %q", got, want)
		}
	})
	bubble(t, "hedges and attempts are counted together", func(t *testing.T) {
		var attempts []int
		var mu sync.Mutex
		call := func(ctx context.Context) (int, error) {
			mu.Lock()
			attempts = append(attempts, retry.Attempt(ctx))
			mu.Unlock()
			time.Sleep(25 * ms)
			return 0, errBoom
		}
		hedged := policies.Hedge(call, 10*ms, 3, nil)
		_, _ = retry.Do(t.Context(), policies.Constant(0, policies.Attempts(2)), hedged)
		if want := []int{1, 2, 3, 4, 5, 6}; !slices.Equal(attempts, want) {
			t.Errorf("in a loop: %v, want %v", attempts, want)
		}
		attempts = nil
		_, _ = hedged(t.Context())
		if want := []int{1, 2, 3}; !slices.Equal(attempts, want) {
			t.Errorf("alone: %v, want %v", attempts, want)
		}
	})
	bubble(t, "the caller's end is told", func(t *testing.T) {
		_, err := policies.Hedge(func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, errBoom
		}, ms, 2, nil)(within(t, 5*ms))
		wantIs(t, err, errBoom, context.DeadlineExceeded)
	})
	_, err := policies.Hedge[int](nil, -1, 0, nil, policies.Attempts(2))(t.Context())
	wantIs(t, err, retry.ErrConfig)
}

// Calls that end in the same instant race for the place of the winner. Whoever wins, each of the
// others' values is discarded once.
func TestHedgeDiscardsEachLosingValueOnce(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			const most = 5
			var made atomic.Int32
			var fate [most + 1]atomic.Int32 // how often each value was returned or discarded
			v, err := policies.Hedge(func(context.Context) (int, error) {
				n := int(made.Add(1))
				// all of them end after 10 ms, whatever their contexts say
				time.Sleep(10*ms - time.Duration(n-1)*ms)
				return n, nil
			}, ms, most, func(v int) { fate[v].Add(1) })(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			fate[v].Add(1)
			synctest.Wait()
			for v := 1; v <= most; v++ {
				if n := fate[v].Load(); n != 1 {
					t.Fatalf("value %d met %d fates, want 1", v, n)
				}
			}
		})
	}
}

// A value that came together with a failure is not discarded; those of other successes are.
func TestHedgeDiscardsSuccessesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int32
		var discarded []int
		v, err := policies.Hedge(func(context.Context) (int, error) {
			switch n := int(made.Add(1)); n {
			case 1:
				time.Sleep(time.Minute)
				return n, nil
			case 2:
				time.Sleep(time.Hour)
				return n, errBoom
			default:
				return n, nil
			}
		}, ms, 3, func(v int) { discarded = append(discarded, v) })(t.Context())
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if v != 3 || err != nil || !slices.Equal(discarded, []int{1}) {
			t.Errorf("%d, %v; discarded %v", v, err, discarded)
		}
	})
}

// While the caller is held up, by an observer here, two calls end. The caller gets the first of
// them, or the panic (the Goexit) if one did not return, and every value that it does not get is
// disposed of once.
func TestHedgeSettlesWhatHasArrivedTogether(t *testing.T) {
	for name, c := range map[string]struct {
		end  func()
		want []int // discarded
	}{
		"panic":   {func() { panic("bang") }, []int{1, 3}},
		"Goexit":  {runtime.Goexit, []int{1, 3}},
		"success": {func() {}, []int{2, 3}},
	} {
		bubble(t, name, func(t *testing.T) {
			var made atomic.Int32
			var mu sync.Mutex
			var discarded []int
			hedged := policies.Hedge(func(context.Context) (int, error) {
				n := int(made.Add(1))
				if n == 2 {
					time.Sleep(4 * ms)
					c.end()
					return n, nil
				}
				time.Sleep(3 * ms)
				return n, nil
			}, ms, 3, func(v int) { mu.Lock(); discarded = append(discarded, v); mu.Unlock() })
			slow := retry.Observe(func(_ context.Context, e retry.Event) {
				if e.Kind == retry.KindRetry && made.Load() == 2 {
					time.Sleep(10 * ms)
				}
			})
			returned, recovered := false, any(nil)
			var all sync.WaitGroup
			all.Go(func() {
				defer func() { recovered = recover() }()
				_, _ = retry.Do(t.Context(), slow, hedged)
				returned = true
			})
			all.Wait()
			time.Sleep(time.Second)
			synctest.Wait()
			slices.Sort(discarded)
			if want := map[string]any{"panic": "bang"}[name]; returned != (name == "success") ||
				recovered != want {
				t.Errorf("returned %v, recovered %v", returned, recovered)
			}
			if !slices.Equal(discarded, c.want) {
				t.Errorf("discarded %v, want %v", discarded, c.want)
			}
		})
	}
}
