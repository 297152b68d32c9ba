package breaker_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
)

// In a bubble the clock stands still within a step. These run in real time, where it does not:
// nothing may hang on that.
func TestProbesWhileTheClockMoves(t *testing.T) {
	t.Parallel()
	halfOpen := func(opts ...breaker.Option) *breaker.Breaker {
		t.Helper()
		b := breaker.New("x",
			append(opts, breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Millisecond),
				breaker.OpenGrowth(1e6, time.Hour))...)
		_ = run(b, fail)
		for began := time.Now(); b.State() != breaker.HalfOpen; runtime.Gosched() {
			if time.Since(began) > 10*time.Second {
				t.Fatal("no probe was due for 10 s")
			}
		}
		return b
	}
	b := halfOpen()
	_ = run(b, fail)
	want(t, b, breaker.Open)
	b = halfOpen()
	_ = run(b, succeed)
	want(t, b, breaker.Closed)
	b = halfOpen(breaker.Probes(2))
	_ = run(b, succeed)
	want(t, b, breaker.HalfOpen)
	_ = run(b, fail)
	want(t, b, breaker.Open)
	b = halfOpen(breaker.Probes(2))
	for range 2 {
		_ = run(b, succeed)
	}
	want(t, b, breaker.Closed)
}
