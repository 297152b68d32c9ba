package ratelimit

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// A nested call that waits is told of, goes before the line, and then the line goes on.
func TestANestedCallThatWaitsGoesBeforeTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		var rec retry.Record
		policy := retry.Chain(retry.Observe(rec.Add), p)
		waits := func() (told []time.Duration) {
			for _, e := range rec.Events() {
				if e.Kind == retry.KindWait {
					told = append(told, e.Wait)
				}
			}
			return told
		}
		var order []string
		ended := make(chan struct{})
		_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
			go func() {
				defer close(ended)
				_ = retry.Run(t.Context(), p, func(context.Context) error {
					order = append(order, "line")
					return nil
				})
			}()
			synctest.Wait()
			if s := p.String(); !strings.Contains(s, ", 1 waiting") {
				t.Errorf("one waits: %s", s)
			}
			_ = retry.Run(ctx, policy, func(context.Context) error {
				order = append(order, "nested")
				return nil
			})
			if w := waits(); len(w) != 1 || w[0] < time.Second || w[0] > 1010*time.Millisecond {
				t.Errorf("told of waits of %v, want one of a second", w)
			}
			<-ended
			time.Sleep(2 * time.Second)
			_ = retry.Run(ctx, policy, pass1)
			if w := waits(); len(w) != 1 {
				t.Errorf("told of waits of %v although the last call did not wait", w)
			}
			return nil
		})
		if !slices.Equal(order, []string{"nested", "line"}) {
			t.Errorf("went as %v", order)
		}
	})
}

// What is told of a park is the time that is left of it, also when it is not the first moment.
func TestAParkIsToldByTheTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		var rec retry.Record
		p := steady()
		policy := retry.Chain(retry.Observe(rec.Add), p)
		for range 30 {
			_ = retry.Run(t.Context(), policy, pass1)
		}
		time.Sleep(7 * time.Second)
		_ = retry.Run(t.Context(), policy, func(context.Context) error {
			return retry.After(errPage, 0)
		})
		var parks []time.Duration
		for _, e := range rec.Events() {
			if strings.HasPrefix(e.To, "parked") {
				parks = append(parks, e.Wait)
			}
		}
		if !slices.Equal(parks, []time.Duration{500 * time.Millisecond}) {
			t.Errorf("told of parks of %v", parks)
		}
		time.Sleep(200 * time.Millisecond)
		if s := p.State(); s.Wait != 300*time.Millisecond {
			t.Errorf("parked for %v more, want 300ms", s.Wait)
		}
	})
}
