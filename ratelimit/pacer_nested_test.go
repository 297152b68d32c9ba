package ratelimit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func ok(context.Context) error { return nil }

// No nesting hangs: whatever the bound, calls within calls come to their end in about the time that
// the pace takes.
func TestPacerNestedCallsNeverHang(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  []Option
		depth int
		most  time.Duration
	}{
		{"without a bound", nil, 2, time.Second},
		{"one in flight", []Option{MaxInFlight(1)}, 2, time.Second},
		{"one in flight, five deep", []Option{MaxInFlight(1)}, 5, time.Second},
		{"paced", []Option{MaxRate(10), MaxInFlight(2)}, 3, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := steady(c.opts...)
				var calls atomic.Int64
				var nest func(ctx context.Context, depth int) error
				nest = func(ctx context.Context, depth int) error {
					return retry.Run(ctx, p, func(ctx context.Context) error {
						calls.Add(1)
						time.Sleep(10 * time.Millisecond)
						if depth == 1 {
							return nil
						}
						return nest(ctx, depth-1)
					})
				}
				start := time.Now()
				var wg sync.WaitGroup
				for range 8 {
					wg.Go(func() {
						if err := nest(t.Context(), c.depth); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if d := time.Since(start); d > c.most || calls.Load() != int64(8*c.depth) {
					t.Errorf("%d calls in %v", calls.Load(), d)
				}
				if s := p.State(); s.InFlight != 0 || s.Waiting != 0 {
					t.Errorf("left behind: %v", p)
				}
			})
		})
	}
}

// The single call after a park may make another: that one does not wait for the outcome of the
// first.
func TestPacerNestedInTheSingleCallAfterAPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		start := time.Now()
		err := retry.Run(t.Context(), p, func(ctx context.Context) error {
			return retry.Run(ctx, p, ok)
		})
		if d := time.Since(start); err != nil || d > 3*time.Second {
			t.Errorf("%v after %v", err, d)
		}
		if p.State().Parked {
			t.Errorf("its answers say nothing: %v", p)
		}
	})
}

// A nested call is paced and parked like any, waits ahead of the line, and leaves it whole when it
// is given up.
func TestPacerNestedCallsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1), MaxInFlight(1))
		start := time.Now()
		var inner, next time.Duration
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
				time.Sleep(10 * time.Millisecond)
				short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
				if err := retry.Run(short, p, ok); !errors.Is(err, ErrLimited) ||
					!errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a turn after its deadline: %v", err)
				}
				gone, leave := context.WithCancel(ctx)
				time.AfterFunc(100*time.Millisecond, leave)
				if err := retry.Run(gone, p, ok); !errors.Is(err, retry.ErrRejected) ||
					!errors.Is(err, context.Canceled) {
					t.Errorf("given up in the line: %v", err)
				}
				err := retry.Run(ctx, p, func(context.Context) error {
					inner = time.Since(start)
					return nil
				})
				time.Sleep(100 * time.Millisecond)
				return err
			})
		})
		time.Sleep(5 * time.Millisecond)
		wg.Go(func() {
			_ = retry.Run(t.Context(), p, func(context.Context) error {
				next = time.Since(start)
				return nil
			})
		})
		wg.Wait()
		if inner < time.Second || inner > 1100*time.Millisecond || next < 2*time.Second ||
			next > 2200*time.Millisecond {
			t.Errorf("the nested call went after %v, the next in line after %v", inner, next)
		}
	})
}

// Of several at once within one call the first has the call's own place; the others take free ones,
// or are refused at once.
func TestPacerNestedCallsAtOnce(t *testing.T) {
	for _, c := range []struct{ places, refused int }{{1, 3}, {2, 2}, {3, 1}} {
		synctest.Test(t, func(t *testing.T) {
			p := steady(MaxInFlight(c.places))
			var refused atomic.Int64
			err := retry.Run(t.Context(), p, func(ctx context.Context) error {
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						err := retry.Run(ctx, p, func(context.Context) error {
							time.Sleep(time.Second)
							return nil
						})
						if errors.Is(err, ErrLimited) {
							refused.Add(1)
						} else if err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				return retry.Run(ctx, p, ok) // the place is back
			})
			if err != nil || int(refused.Load()) != c.refused {
				t.Errorf("%d places: %d refused, %v", c.places, refused.Load(), err)
			}
			if s := p.State(); s.InFlight != 0 {
				t.Errorf("left behind: %v", p)
			}
		})
	}
}

func TestPacerNestedPlaceComesBackAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1))
		err := retry.Run(t.Context(), p, func(ctx context.Context) error {
			func() {
				defer func() { _ = recover() }()
				_ = retry.Run(ctx, p, func(context.Context) error { panic("boom") })
			}()
			return retry.Run(ctx, p, ok)
		})
		if err != nil || p.State().InFlight != 0 {
			t.Errorf("%v, %v", err, p)
		}
	})
}

// Two pacers around each other know their own calls apart.
func TestPacerNestedInAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := steady(MaxInFlight(1)), steady(MaxInFlight(1))
		err := retry.Run(t.Context(), retry.Chain(p, q), func(ctx context.Context) error {
			return retry.Run(ctx, q, func(ctx context.Context) error {
				return retry.Run(ctx, p, ok)
			})
		})
		if err != nil {
			t.Error(err)
		}
	})
}
