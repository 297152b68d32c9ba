package policies_test

import (
	"context"
	"runtime"
	"sync"
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
		v, err := policies.Hedge(call, 10*ms, 3, func(v int) { discarded = append(discarded, v) })(t.Context())
		took := time.Since(start)
		synctest.Wait()
		if v != 2 || err != nil || took != 15*ms || *n != 2 || *cut != 1 || len(discarded) != 1 || discarded[0] != 1 {
			t.Errorf("%d, %v in %v; %d calls, %d cut, discarded %v", v, err, took, *n, *cut, discarded)
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
	bubble(t, "a quick failure is no reason for another call", func(t *testing.T) {
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
			_, _ = policies.Hedge(func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, ms, 2, nil)(t.Context())
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
	bubble(t, "the caller's end is told", func(t *testing.T) {
		_, err := policies.Hedge(func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errBoom }, ms, 2, nil)(within(t, 5*ms))
		wantIs(t, err, errBoom, context.DeadlineExceeded)
	})
	_, err := policies.Hedge[int](nil, -1, 0, nil, policies.Attempts(2))(t.Context())
	wantIs(t, err, retry.ErrConfig)
}
