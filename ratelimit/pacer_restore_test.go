package ratelimit_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
)

// A crawl that is stopped in the middle of the search and goes on later loses no time by what it
// saved.
func TestRestoredInTheMiddleOfTheSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := func() func(context.Context) error {
			return modelled(&limitertest.Server{Rule: limitertest.Bucket(40, 5), RetryAfter: true,
				Latency: 30 * time.Millisecond, Spread: .2})
		}
		after := func(p *ratelimit.Pacer, d time.Duration) int {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			var wg sync.WaitGroup
			var n atomic.Int64
			call := server()
			for range 16 {
				wg.Go(func() {
					for ctx.Err() == nil {
						err := retry.Run(ctx, p, call)
						if err == nil {
							n.Add(1)
						} else if _, rejected := retry.Rejected(err); rejected {
							// No turn before the end.
							return
						}
					}
				})
			}
			wg.Wait()
			return int(n.Load())
		}
		for _, stopped := range []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second} {
			check.OneOf(t, 4, func() (problem string) { // what a pacer tries is drawn
				fresh := after(ratelimit.NewPacer(), time.Minute)
				p := ratelimit.NewPacer()
				after(p, stopped)
				q := ratelimit.NewPacer()
				if err := q.Restore(p.Snapshot()); err != nil {
					t.Fatal(err)
				}
				if got := after(q, time.Minute); got < fresh*9/10 {
					return fmt.Sprintf("stopped after %v: %d in the next minute, %d without a past",
						stopped, got, fresh)
				}
				return ""
			})
		}
	})
}
