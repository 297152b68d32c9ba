package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// receipts are printed after the answer, by as many workers as their guard has slots. This is a
// pool without a channel: its queue is bounded, and a shutdown waits for it.
type receipts struct {
	guard   retry.Policy
	log     *slog.Logger
	running sync.WaitGroup
	printed atomic.Int64
}

// print starts the work and returns at once.
func (r *receipts) print(order int64) {
	r.running.Go(func() {
		err := retry.Run(context.Background(), r.guard, func(context.Context) error {
			time.Sleep(2 * time.Millisecond) // what printing takes
			r.printed.Add(1)
			return nil
		})
		if err != nil {
			r.log.Warn("no receipt", "order", order, "error", err)
		}
	})
}
