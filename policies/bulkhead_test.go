package policies_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestBulkhead(t *testing.T) {
	bubble(t, "is first in, first out, and bounded", func(t *testing.T) {
		b := policies.NewBulkhead(1, 3)
		var order []int
		var all sync.WaitGroup
		for i := range 4 {
			ctx := t.Context()
			if i == 2 {
				ctx = within(t, 5*ms) // leaves its place
			}
			all.Go(func() {
				err := retry.Run(ctx, b, func(context.Context) error { time.Sleep(10 * ms); order = append(order, i); return nil })
				if (err != nil) != (i == 2) {
					t.Errorf("call %d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		err := retry.Run(t.Context(), b, succeed)
		wantIs(t, err, policies.ErrFull, retry.ErrRejected)
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 3}) || !b.Idle() {
			t.Errorf("order %v, idle %v", order, b.Idle())
		}
	})
	bubble(t, "a free slot admits whatever the deadline", func(t *testing.T) {
		if err := retry.Run(within(t, 1), policies.NewBulkhead(1, 0), succeed); err != nil {
			t.Error(err)
		}
	})
	bubble(t, "gives the slot back after a panic", func(t *testing.T) {
		b := policies.NewBulkhead(1, 0)
		func() {
			defer func() { _ = recover() }()
			_ = retry.Run(t.Context(), b, func(context.Context) error { panic(1) })
		}()
		if !b.Idle() {
			t.Error("slot lost")
		}
	})
	bubble(t, "cancelling and handing over at once loses no slot", func(t *testing.T) {
		b := policies.NewBulkhead(2, 100)
		var all sync.WaitGroup
		for i := range 100 {
			ctx := within(t, time.Duration(i%7+1)*ms) // just when slots are handed over
			all.Go(func() { _ = retry.Run(ctx, b, func(context.Context) error { time.Sleep(ms); return nil }) })
		}
		all.Wait()
		if running, waiting := b.Load(); running+waiting != 0 {
			t.Errorf("%d running, %d waiting", running, waiting)
		}
	})
}
