package ratelimit

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestPacerIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		if !p.Idle() {
			t.Error("a new one is not idle")
		}
		go run(t.Context(), p, time.Second, nil)
		synctest.Wait()
		if p.Idle() {
			t.Error("idle with a call in flight")
		}
		time.Sleep(2 * time.Second)
		if !p.Idle() {
			t.Error("not idle though nothing was learned")
		}
		p = parked(t, time.Second)
		if p.Idle() {
			t.Error("idle while parked")
		}
		run(t.Context(), p, 0, nil)
		if p.Idle() {
			t.Error("idle with a rate that was just learned")
		}
		time.Sleep(61 * time.Minute)
		if !p.Idle() {
			t.Error("not idle an hour later")
		}
	})
}

func TestPacerTellsWhyItMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		var rec retry.Record
		policy := retry.Chain(retry.Observe(rec.Add), p)
		for i := range 6 {
			retry.Run(t.Context(), policy, func(context.Context) error {
				time.Sleep(10 * time.Millisecond)
				if i == 4 {
					return retry.After(errPage, time.Second)
				}
				return nil
			})
		}
		var notes []string
		for _, e := range rec.Events() {
			if e.Kind == retry.KindChange {
				notes = append(notes, e.From+" -> "+e.To)
				if e.Policy != "pacer" {
					t.Errorf("policy %q", e.Policy)
				}
			}
		}
		if len(notes) != 2 ||
			!strings.HasPrefix(notes[0], "start without a rate -> parked for 1.") ||
			!strings.HasPrefix(notes[1], "parked -> climb at") {
			t.Errorf("notes %q", notes)
		}
		if s := p.String(); !strings.HasPrefix(s, "pacer(climb at ") {
			t.Errorf("String: %q", s)
		}
	})
}

// What is forgotten is not missed, and what would be missed is not forgotten; but nothing is kept
// for ever.
func TestPacerIdleKeepsWhatMatters(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T) *Pacer
		from time.Duration // idle from then on
	}{
		{"MaxRate is no learned rate, but its gap holds", func(t *testing.T) *Pacer {
			p := steady(MaxRate(1))
			run(t.Context(), p, 0, nil)
			return p
		}, 1020 * time.Millisecond},
		{"a stated quota", func(t *testing.T) *Pacer {
			p := steady()
			retry.Run(t.Context(), p, func(ctx context.Context) error {
				retry.Report(ctx,
					retry.Quota{Limit: 100, Remaining: 100, Window: time.Minute,
						Reset: time.Minute})
				return nil
			})
			return p
		}, time.Minute},
		{"restored", func(t *testing.T) *Pacer {
			p := steady()
			if err := p.Restore(Snapshot{Rate: 5}); err != nil {
				t.Error(err)
			}
			return p
		}, time.Hour},
		{"parked, and nobody ever comes back", func(t *testing.T) *Pacer {
			return parked(t, 30*time.Minute)
		}, 90*time.Minute + 37*time.Second},
		{"a bound on the calls in flight", func(t *testing.T) *Pacer {
			p := steady()
			for range 10 {
				run(t.Context(), p, time.Millisecond, nil)
			}
			slots := p.State().MaxInFlight
			var wg sync.WaitGroup
			for i := range slots {
				var err error
				if i == slots-1 {
					err = retry.After(errPage, 0)
				}
				wg.Go(func() { run(t.Context(), p, time.Millisecond, err) })
				synctest.Wait()
			}
			wg.Wait()
			if s := p.State(); s.Parked || s.Rate != rate.Inf || s.MaxInFlight != slots-1 {
				t.Fatalf("no bound was learned: %v", p)
			}
			return p
		}, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := c.make(t)
				time.Sleep(c.from - c.from/20)
				if p.Idle() {
					t.Errorf("idle before %v", c.from)
				}
				time.Sleep(c.from/20 + c.from/100 + 10*time.Millisecond)
				if !p.Idle() {
					t.Errorf("not idle after %v", c.from)
				}
			})
		})
	}
}
