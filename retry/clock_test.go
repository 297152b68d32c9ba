package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// TestReadingOfTheClock: it is handed to the next policy and not beyond, whatever time passes
// there.
func TestReadingOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read []time.Duration
		start := retry.Next{}.Clock()
		reads := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			read = append(read, next.Clock()-start)
			if got := next.Now(); got.Sub(time.Now()) != next.Clock()-(retry.Next{}).Clock() {
				t.Errorf("Now is %v, Clock says %v", got, next.Clock())
			}
			time.Sleep(time.Second)
			return next.Do(ctx)
		})
		hands := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			at := next.Clock()
			time.Sleep(time.Second)
			return next.At(at).Do(ctx)
		})
		_ = retry.Run(t.Context(),
			retry.Chain(hands, reads, reads, hands, retry.Chain(reads),
				reads), func(context.Context) error { return nil })
		want := []time.Duration{0, 2 * time.Second, 3 * time.Second, 5 * time.Second}
		if len(read) != len(want) {
			t.Fatal(read)
		}
		for i := range want {
			if read[i] != want[i] {
				t.Errorf("policy %d read %v, want %v", i, read[i], want[i])
			}
		}
	})
}
