package breaker_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

func TestObserversOfTheCallSeeChangesAndRefusals(t *testing.T) {
	in(t, func(t *testing.T) {
		var seen []string
		b := breaker.New("x", breaker.ConsecutiveFailures(1))
		p := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Policy == "breaker x" {
				seen = append(seen, e.Kind.String()+" "+
					strings.TrimPrefix(e.From+" -> "+e.To, " -> "))
			}
		}), b)
		_ = run(p, fail)
		_ = run(p, succeed)
		time.Sleep(30 * time.Second)
		_ = run(p, succeed)
		want := []string{"change closed -> open", "reject ", "change open -> half-open",
			"change half-open -> closed"}
		if !slices.Equal(seen, want) {
			t.Fatalf("%q", seen)
		}
	})
}

func TestHalfOpenIsRestoredAsReadyToProbe(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(1))
		_ = run(b, fail)
		time.Sleep(30 * time.Second)
		go func() { _ = run(b, takes(time.Second, nil)) }()
		synctest.Wait()
		c := breaker.New("x")
		if err := c.Restore(b.Snapshot()); err != nil {
			t.Fatal(err)
		}
		if err := run(c, succeed); err != nil {
			t.Fatal(err)
		}
		want(t, c, breaker.Closed)
		time.Sleep(time.Minute)
	})
}

func TestListenersSeeAllChangesInOrderUnderConcurrency(t *testing.T) {
	last := breaker.Closed
	var told, telling atomic.Int64
	b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Microsecond),
		breaker.Probes(2), breaker.SlowCall(time.Hour),
		breaker.SlowInFlight(), breaker.OnChange(func(c breaker.Change) {
			if telling.Add(1) != 1 || c.From != last {
				t.Errorf("%v -> %v after %v", c.From, c.To, last)
			}
			last = c.To
			told.Add(1)
			telling.Add(-1)
		}))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 500 {
				switch {
				case (i+j)%97 == 0:
					b.Isolate()
				case (i+j)%7 == 0:
					b.Release()
				case j%3 == 0:
					_ = run(b, fail)
				default:
					_ = run(b, succeed)
				}
			}
		})
	}
	all.Wait()
	b.Release()
	now := b.State() // before last is read: looking may change it
	if last != now || told.Load() < 10 {
		t.Fatalf("saw %v last, now %v, %d changes", last, now, told.Load())
	}
}
