package policies

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

var errNoCalls = fmt.Errorf("%w: MaxCalls is used up", retry.ErrExhausted)

// meter counts down the calls of one call of a loop with MaxCalls.
//
// Each attempt of a metered loop takes one call and carries it as a credit in its context. The
// first loop that begins inside that attempt takes the credit over for its own first attempt: it
// is the same call, seen from further in. Everything else costs a call, so the attempts of the
// innermost loops are counted.
type meter struct {
	left  atomic.Int64
	outer *meter // of a loop around with MaxCalls of its own
}

// take takes one call from m and the meters around it, up to but without end. It takes from all or
// from none.
func (m *meter) take(end *meter) bool {
	if m == end || m == nil {
		return true
	}
	if m.left.Add(-1) >= 0 {
		if m.outer.take(end) {
			return true
		}
	}
	m.left.Add(1)
	return false
}

func (m *meter) giveBack() {
	for ; m != nil; m = m.outer {
		m.left.Add(1)
	}
}

func (m *meter) credit(ctx context.Context) *credit {
	c := &credit{Context: ctx, meter: m}
	c.paid.Store(true)
	return c
}

// credit is a context node with a call that is paid for, once.
type credit struct {
	context.Context
	meter *meter
	paid  atomic.Bool
}

func (c *credit) take() bool { return c.paid.CompareAndSwap(true, false) }

type creditKey struct{}

func (c *credit) Value(key any) any {
	if key == (creditKey{}) {
		return c
	}
	return c.Context.Value(key)
}

func creditOf(ctx context.Context) *credit {
	c, _ := ctx.Value(creditKey{}).(*credit)
	return c
}

// metered is Do for a loop whose calls are counted, by itself or by a loop around.
func (l *loop) metered(ctx context.Context, next retry.Next, begun time.Duration) error {
	r := l.run(ctx, next, begun)
	var end *meter
	around := creditOf(r.ctx)
	if around != nil {
		r.meter = around.meter
		if around.take() {
			end = around.meter
		}
	}
	if r.maxCalls > 0 {
		own := &meter{outer: r.meter}
		own.left.Store(int64(r.maxCalls))
		r.meter = own
	}
	if !r.meter.take(end) {
		return r.giveUp(errNoCalls, 0)
	}
	if err := r.try(); err != nil {
		return r.goOn(err)
	}
	return nil
}
