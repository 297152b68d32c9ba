package breaker_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// probed makes a breaker that is half-open now. Its open time is 1 s, its probe limit 5 s.
func probed(opts ...breaker.Option) *breaker.Breaker {
	b := breaker.New("x", append([]breaker.Option{
		breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second),
		breaker.ProbeLimit(5 * time.Second),
	}, opts...)...)
	_ = run(b, fail)
	time.Sleep(time.Second)
	return b
}

// starts begins a call that ends after d with err.
func starts(b *breaker.Breaker, d time.Duration, err error) {
	go func() { _ = run(b, takes(d, err)) }()
	synctest.Wait()
}

func rejected(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	if err := run(b, succeed); !errors.Is(err, breaker.ErrOpen) {
		t.Fatalf("admitted: %v", err)
	}
}

func TestCalleeSlowerThanTheOpenTimeClosesTheBreaker(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.OpenFor(100*time.Millisecond), breaker.ConsecutiveFailures(1))
		_ = run(b, fail)
		time.Sleep(100 * time.Millisecond)
		starts(b, 9*time.Second, nil) // the default limit is 10 s
		time.Sleep(8 * time.Second)
		rejected(t, b)
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, b, breaker.Closed)
	})
}

func TestLateProbe(t *testing.T) {
	for _, c := range []struct {
		name   string
		result error
		want   breaker.State
	}{
		{"success closes", nil, breaker.Closed},
		{"failure opens again", errBoom, breaker.Open},
		{"no verdict changes nothing", retry.Neutral(errBoom), breaker.HalfOpen},
		{"final answer closes", retry.Permanent(retry.Neutral(errBoom)), breaker.Closed},
	} {
		for _, beside := range []string{"alone", "beside another"} {
			t.Run(c.name+"/"+beside, func(t *testing.T) {
				in(t, func(t *testing.T) {
					b := probed()
					starts(b, 6*time.Second, c.result)
					time.Sleep(5 * time.Second)
					want(t, b, breaker.HalfOpen) // it has lost its place, which is not a failure
					if beside != "alone" {
						starts(b, time.Minute, nil)
						rejected(t, b)
					}
					time.Sleep(time.Second)
					synctest.Wait()
					want(t, b, c.want)
					if c.want == breaker.HalfOpen && beside != "alone" {
						rejected(t, b) // the place was given back once, not twice
					}
					time.Sleep(time.Hour)
				})
			})
		}
	}
}

func TestHungCalleeGetsOneProbePerLimit(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed()
		var sent atomic.Int64
		hang, stop := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for range 600 { // ten a second for a minute
			all.Go(func() {
				_ = run(b, func(context.Context) error {
					sent.Add(1)
					<-hang.Done()
					return errBoom
				})
			})
			time.Sleep(100 * time.Millisecond)
		}
		if n := sent.Load(); n != 12 {
			t.Errorf("%d calls were sent to a callee that hangs", n)
		}
		stop()
		all.Wait()
	})
}

func TestLateProbeOfAnEarlierHalfOpenChangesNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed()
		starts(b, 10*time.Second, nil)
		time.Sleep(5 * time.Second)
		_ = run(b, fail)
		want(t, b, breaker.Open)
		time.Sleep(time.Second)
		starts(b, 5*time.Second, errBoom)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		want(t, b, breaker.HalfOpen)
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, b, breaker.Open)
	})
}

func TestCallInsideAProbeIsPartOfIt(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed()
		deep := 0
		var nest func(ctx context.Context) error
		nest = func(ctx context.Context) error {
			if deep++; deep == 4 {
				return errBoom // not counted: what the probe makes of it is
			}
			_ = retry.Run(ctx, b, nest)
			want(t, b, breaker.HalfOpen)
			return nil
		}
		if err := run(b, nest); err != nil || deep != 4 {
			t.Fatalf("%v after %d", err, deep)
		}
		want(t, b, breaker.Closed)
	})
}

func TestCallsInsideAProbeGoOneAtATime(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed()
		err := run(b, func(ctx context.Context) error {
			for range 2 { // the place is given back
				var sent, refused atomic.Int64
				var all sync.WaitGroup
				for i := range 4 {
					all.Go(func() {
						defer func() { _ = recover() }()
						err := retry.Run(ctx, b, func(context.Context) error {
							sent.Add(1)
							time.Sleep(time.Second)
							if i%2 == 0 {
								runtime.Goexit()
							}
							panic(errBoom)
						})
						if errors.Is(err, breaker.ErrOpen) {
							refused.Add(1)
						}
					})
				}
				all.Wait()
				if sent.Load() != 1 || refused.Load() != 3 {
					t.Errorf("%d sent, %d refused", sent.Load(), refused.Load())
				}
				rejected(t, b) // somebody else's call is none of the probe's
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want(t, b, breaker.Closed)
	})
}

func TestCallWithTheContextOfAnEndedProbeIsACallOfItsOwn(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed(breaker.Probes(2))
		var inside context.Context
		keep := func(ctx context.Context) error { inside = ctx; return nil }
		_ = run(b, keep)
		if err := retry.Run(inside, b, succeed); err != nil {
			t.Fatal(err)
		}
		want(t, b, breaker.Closed) // it was the second probe
		_ = run(b, fail)
		if err := retry.Run(inside, b, succeed); !errors.Is(err, breaker.ErrOpen) {
			t.Fatal(err)
		}
	})
}

func TestTripOpensForTheOpenTimeFromNow(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x")
		b.Trip(errBoom)
		time.Sleep(20 * time.Second)
		r, ok := retry.Rejected(run(b, succeed))
		if !ok || r.RetryAfter != 10*time.Second || r.Cause != errBoom {
			t.Fatalf("%+v", r)
		}
		b.Trip(nil)
		if r, ok = retry.Rejected(run(b, succeed)); !ok || r.RetryAfter != 30*time.Second ||
			r.Cause != nil {
			t.Fatalf("while open: %+v", r)
		}
		time.Sleep(30 * time.Second)
		starts(b, time.Second, nil)
		b.Trip(errBoom)
		time.Sleep(time.Second)
		synctest.Wait()
		want(t, b, breaker.Open) // the probe belonged to the half-open state before
		b.Isolate()
		b.Trip(errBoom)
		want(t, b, breaker.Isolated)
	})
}
