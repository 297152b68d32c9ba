package retry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// everyPolicy is a chain of all that there are, named where that is possible.
func everyPolicy() retry.Policy {
	always := policies.Enabled(func(context.Context) bool { return true })
	named := policies.Named("catalog")
	keys := policies.Keyed(func(ctx context.Context) int { return retry.Attempt(ctx) % 3 },
		func(n int) retry.Policy {
			return breaker.New(fmt.Sprint("key ", n), breaker.OpenFor(time.Millisecond))
		}, named)
	return retry.Chain(
		policies.Timeout(time.Minute),
		policies.Exponential(policies.Initial(0),
			policies.WithBudget(policies.NewRatioBudget(1, 1000))),
		policies.Constant(0), policies.Fibonacci(policies.Initial(1)), policies.Random(0, 1),
		policies.Delays([]time.Duration{0}),
		policies.NewAdaptive(named), policies.NewThrottle(named), policies.NewBulkhead(64, 64,
			named),
		ratelimit.New(1e6, 1e6, ratelimit.Named("catalog")),
		ratelimit.NewPacer(ratelimit.Named("catalog")),
		breaker.New("catalog", breaker.OpenFor(time.Millisecond)), keys,
		policies.Chaos(1, policies.Fault(.3, errBoom), always),
		policies.Classify(policies.On(policies.Is(errBoom))),
		retry.Gate(func(context.Context) (func(error), error) { return nil, nil }),
	)
}

// look asks everything that can be asked of p and its members.
func look(t *testing.T, p retry.Policy) {
	_ = retry.Validate(p)
	_ = retry.Lint(p)
	retry.Walk(p, func(path string, m retry.Policy) bool {
		if path == "" || retry.Describe(m) == "" || fmt.Sprint(m) == "" {
			t.Errorf("%q: %T has no description", path, m)
		}
		if n, ok := m.(interface{ Name() string }); ok && n.Name() == "" {
			t.Errorf("%q has no name", path)
		}
		if s, ok := m.(interface{ Stats() []retry.Stat }); ok {
			_ = s.Stats()
			_ = fmt.Sprintf("%#v %d", m, m)
		}
		_ = retry.Idle(m)
		return true
	})
}

// TestLookingWhileCallsRun: at every policy, from outside and from inside an observer, which is
// told with no lock held.
func TestLookingWhileCallsRun(t *testing.T) {
	p := everyPolicy()
	var events atomic.Int64
	guard := retry.Chain(retry.Observe(func(ctx context.Context, e retry.Event) {
		if n := events.Add(1); n%16 == 0 {
			look(t, p)
		}
		if kind, name, _ := strings.Cut(e.Policy, " "); (kind == "limiter" || kind == "pacer" ||
			kind == "bulkhead") && name != "catalog" {
			t.Errorf("an event of %q", e.Policy)
		}
		if e.Kind == retry.KindChange && (e.From == "" || e.To == "") {
			t.Errorf("%s changed from %q to %q", e.Policy, e.From, e.To)
		}
	}), p)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				_ = retry.Run(ctx, guard, func(context.Context) error {
					if i%2 == 0 {
						return errBoom
					}
					return nil
				})
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			if ctx.Err() != nil {
				t.Error("the calls did not come to an end")
			}
			return
		default:
			look(t, p)
		}
	}
}

// TestAnObserverMayCallTheGuard that it observes, at every event.
func TestAnObserverMayCallTheGuard(t *testing.T) {
	var guard retry.Policy
	inside, calls := false, 0
	guard = retry.Chain(retry.Observe(func(ctx context.Context, e retry.Event) {
		if !inside { // in one goroutine
			inside = true
			_ = retry.Run(ctx, guard, func(context.Context) error { calls++; return nil })
			_ = retry.Run(context.Background(), guard, func(context.Context) error {
				calls++
				return nil
			})
			inside = false
		}
	}), everyPolicy())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 10 {
		_ = retry.Run(ctx, guard, func(context.Context) error { return errBoom })
	}
	if ctx.Err() != nil || calls == 0 {
		t.Errorf("%v after %d calls", ctx.Err(), calls)
	}
}

// TestARecordIsReadWhileItIsWritten by the losers of a hedge, say.
func TestARecordIsReadWhileItIsWritten(t *testing.T) {
	var rec retry.Record
	guard := retry.Chain(retry.Observe(rec.Add), everyPolicy())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 30 {
				_ = retry.Run(t.Context(), guard, func(context.Context) error { return nil })
			}
		})
	}
	for range 50 {
		text, err := json.Marshal(&rec)
		if err != nil || !json.Valid(text) || rec.String() == "" {
			t.Fatalf("%v: %s", err, text)
		}
	}
	wg.Wait()
}
