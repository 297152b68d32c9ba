package breaker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

func TestStringAndRejectionReadWell(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("catalog", breaker.ConsecutiveFailures(1))
		for _, step := range []struct {
			do   func()
			text string
			err  string
		}{
			{func() {}, "breaker catalog(closed)", ""},
			{func() {
				_ = run(b, fail)
				time.Sleep(18 * time.Second)
			}, "breaker catalog(open, next probe in 12s)",
				"breaker catalog: open, next probe in 12s (last failure: boom)"},
			{func() { time.Sleep(time.Minute) }, "breaker catalog(half-open)", ""},
			{func() { b.Isolate() }, "breaker catalog(isolated)",
				"breaker catalog: isolated until it is released"},
		} {
			step.do()
			for _, verb := range []string{"%v", "%s", "%+v"} {
				if text := fmt.Sprintf(verb, b); text != step.text {
					t.Errorf("%s: %s", verb, text)
				}
			}
			if text := retry.Describe(b); text != step.text {
				t.Error(text)
			}
			if err := run(b, succeed); err != nil && err.Error() != step.err {
				t.Error(err)
			}
		}
		if b.Name() != "catalog" || breaker.New("").String() != "breaker(closed)" {
			t.Error(b.Name(), breaker.New(""))
		}
	})
}

// Meant for the race detector.
func TestPrintingWhileCallsRun(t *testing.T) {
	b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Microsecond),
		breaker.FailureRate(0.5, 3))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 200 {
				switch i {
				case 0:
					_ = run(b, fail)
				case 1:
					_ = run(b, succeed)
				default:
					for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
						_ = fmt.Sprintf(verb, b)
					}
					_ = b.Stats()
				}
			}
		})
	}
	all.Wait()
}

func TestStats(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(2))
		stats := func() (text string) {
			for _, s := range b.Stats() {
				text += fmt.Sprintf("%s=%g%s ", s.Name, s.Value, s.Unit+s.Text)
			}
			return text
		}
		_, _ = run(b, succeed), run(b, fail)
		s := stats()
		if s != "state=0closed successes=1 failures=1 neutral=0 consecutive_failures=1 " {
			t.Error(s)
		}
		_ = run(b, fail)
		time.Sleep(10 * time.Second)
		s = stats()
		if s != "state=2open successes=0 failures=0 neutral=0 consecutive_failures=0 "+
			"next_probe=20s " {
			t.Error(s)
		}
	})
}

// A success after another one takes no lock, and is counted all the same.
func TestCountsOfManyAtOnce(t *testing.T) {
	const goroutines, each = 8, 1000
	b := breaker.New("b")
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				_ = retry.Run(t.Context(), b, succeed)
			}
		})
	}
	all.Wait()
	_ = retry.Run(t.Context(), b, fail)
	want := breaker.Counts{Successes: goroutines * each, Failures: 1, ConsecutiveFailures: 1}
	if got := b.Counts(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	_ = retry.Run(t.Context(), b, succeed)
	_ = retry.Run(t.Context(), b, succeed)
	want.Successes, want.ConsecutiveFailures = want.Successes+2, 0
	if got := b.Counts(); got != want {
		t.Errorf("after two more got %+v, want %+v", got, want)
	}
}
