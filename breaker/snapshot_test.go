package breaker_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

func TestSnapshotWithoutSenseIsRefusedAndChangesNothing(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		s    breaker.Snapshot
		want string
	}{
		{breaker.Snapshot{Since: now},
			"breaker.Restore: State(0): must be closed, half-open, open or isolated"},
		{breaker.Snapshot{State: 9, Since: now},
			"breaker.Restore: State(9): must be closed, half-open, open or isolated"},
		{breaker.Snapshot{State: breaker.Open, Since: now},
			"breaker.Restore: OpenFor(0s): must be positive"},
		{breaker.Snapshot{State: breaker.Open, Since: now, OpenFor: -1},
			"breaker.Restore: OpenFor(-1ns): must be positive"},
		{breaker.Snapshot{State: breaker.Closed},
			"breaker.Restore: Since(0001-01-01 00:00:00 +0000 UTC): must be a time"},
		{breaker.Snapshot{State: breaker.Closed, Since: now, ConsecutiveFailures: -1},
			"breaker.Restore: ConsecutiveFailures(-1): must not be negative"},
	} {
		b := breaker.New("x")
		b.Isolate()
		if err := b.Restore(c.s); !errors.Is(err, retry.ErrConfig) || err.Error() != c.want {
			t.Errorf("%+v: %v", c.s, err)
		}
		want(t, b, breaker.Isolated)
	}
}

// A file may hold anything.
func TestSnapshotDoesNotDoWhatTheOptionsDoNotAllow(t *testing.T) {
	const forever = math.MaxInt64
	growth, ramp := breaker.OpenGrowth(2, time.Hour), breaker.Ramp(time.Second)
	for _, c := range []struct {
		name  string
		s     breaker.Snapshot
		age   time.Duration
		opts  []breaker.Option
		waits time.Duration // at most, until a call is admitted
	}{
		{"open for ever", breaker.Snapshot{State: breaker.Open, OpenFor: forever},
			0, nil, 30 * time.Second},
		{"open for ever, growth allows an hour",
			breaker.Snapshot{State: breaker.Open, OpenFor: forever}, 0,
			[]breaker.Option{growth}, time.Hour},
		{"open in the future", breaker.Snapshot{State: breaker.Open, OpenFor: forever},
			-forever, nil, 30 * time.Second},
		{"open in the stone age",
			breaker.Snapshot{State: breaker.Open, OpenFor: 1}, forever, nil, 0},
		{"half-open in the future",
			breaker.Snapshot{State: breaker.HalfOpen, OpenFor: forever}, -forever, nil, 0},
		{"half-open in the stone age",
			breaker.Snapshot{State: breaker.HalfOpen, OpenFor: 1}, forever, nil, 0},
		{"on its ramp in the future",
			breaker.Snapshot{State: breaker.Closed, Cause: "boom"}, -forever,
			[]breaker.Option{ramp}, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := breaker.New("x", c.opts...)
				c.s.Since = time.Now().Add(-c.age)
				if err := b.Restore(c.s); err != nil {
					t.Fatal(err)
				}
				if c.waits > 0 {
					if after, refused := retry.RetryAfter(run(b, succeed)); !refused ||
						after > c.waits {
						t.Fatalf("refused: %v, for %v", refused, after)
					}
					time.Sleep(c.waits)
				}
				if err := run(b, succeed); err != nil {
					t.Fatal(err)
				}
				want(t, b, breaker.Closed)
			})
		})
	}
}

func TestSnapshotOfManyFailuresOpensAtTheNext(t *testing.T) {
	for _, n := range []int{5, 1 << 30, math.MaxInt - 1, math.MaxInt} {
		b := breaker.New("x")
		err := b.Restore(
			breaker.Snapshot{State: breaker.Closed, Since: time.Now(), ConsecutiveFailures: n})
		if err != nil {
			t.Fatal(err)
		}
		_ = run(b, fail)
		want(t, b, breaker.Open)
	}
}

func TestSnapshotKeepsEightKilobytesOfTheCause(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	b := breaker.New("x")
	err := b.Restore(
		breaker.Snapshot{State: breaker.Open, Since: time.Now(), OpenFor: time.Second, Cause: huge})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.Snapshot().Cause); n > 8<<10 || n < 1<<10 {
		t.Errorf("%d bytes after Restore", n)
	}
	b = breaker.New("x")
	b.Trip(errors.New(huge))
	if n := len(b.Snapshot().Cause); n > 8<<10 || n < 1<<10 {
		t.Errorf("%d bytes after Trip", n)
	}
}
