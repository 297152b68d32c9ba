package ratelimit

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/retry"
)

// Observers hear of a longer park, and of a change of pace while none holds; of nothing else.
func TestPacerTellsChangesThatConcernItsCallers(t *testing.T) {
	parked := func(gate float64) view {
		return view{mode: pacing.Cruise, rate: 10, gate: gate, parked: true}
	}
	cruise := view{mode: pacing.Cruise, rate: 10}
	for _, c := range []struct {
		name          string
		before, after view
		from, to      string
	}{
		{"a park", cruise, parked(5), "cruise at 10/s", "parked for 3s, then one call"},
		{"a longer park", parked(4), parked(5), "parked", "parked for 3s, then one call"},
		{"a park until as before", parked(5), parked(5), "", ""},
		{"a shorter park", parked(6), parked(5), "", ""},
		{"the end of a park", parked(5), cruise, "parked", "cruise at 10/s"},
		{"another mode", view{mode: pacing.Climb, rate: 10}, cruise,
			"climb at 10/s", "cruise at 10/s"},
		{"another rate", view{mode: pacing.Cruise, rate: 9}, cruise,
			"cruise at 9/s", "cruise at 10/s"},
		{"the gate of a park that is over",
			view{mode: pacing.Cruise, rate: 10, gate: 1}, cruise, "", ""},
	} {
		e := steady().change(2*time.Second, c.before, c.after)
		switch {
		case c.to == "" && e != nil:
			t.Errorf("%s: told %q", c.name, e.To)
		case c.to != "" && (e == nil || e.From != c.from || e.To != c.to):
			t.Errorf("%s: %+v", c.name, e)
		case c.to != "" && strings.HasPrefix(c.to, "parked") != (e.Wait == 3*time.Second):
			t.Errorf("%s: a wait of %v", c.name, e.Wait)
		}
	}
}

// What is told of a change names the failure that caused it.
func TestPacerTellsWhatMadeItPark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		var rec retry.Record
		refused := retry.After(errPage, time.Second)
		for _, err := range []error{nil, refused} {
			retry.Run(t.Context(), retry.Chain(retry.Observe(rec.Add), p),
				func(context.Context) error { return err })
		}
		for _, e := range rec.Events() {
			if e.Kind == retry.KindChange && !errors.Is(e.Err, errPage) {
				t.Errorf("%q -> %q: %v", e.From, e.To, e.Err)
			}
		}
	})
}

func TestPacerRoundsUpWhatAClockCanTell(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    time.Duration
	}{
		{-1, 0}, {0, 0}, {.25, 250 * time.Millisecond}, {1.0008e-9, 1}, {1.0015e-9, 2},
		{math.Inf(1), forever}, {1e12, forever},
	} {
		if got := duration(c.seconds); got != c.want {
			t.Errorf("%v s: %v, want %v", c.seconds, got, c.want)
		}
	}
}

func TestPacerIsCarefulOnlyIfAsked(t *testing.T) {
	if s := steady(Careful()).Explain(); !strings.Contains(s, "careful: 4 more in this minute") {
		t.Error(s)
	}
	if s := steady().Explain(); strings.Contains(s, "careful") {
		t.Error(s)
	}
}

// How a stated quota is heard: something must be said of it, and what lies beyond the cap is
// spread.
func TestPacerHearsWhatIsSaidOfAQuota(t *testing.T) {
	const hintCap = time.Minute
	for _, c := range []struct {
		name   string
		quota  retry.Quota
		remain int
		limit  int
		window float64
	}{
		{"nothing", retry.Quota{}, -1, 0, 0},
		{"a limit", retry.Quota{Limit: 5, Remaining: 2}, 2, 5, 0},
		{"a reset", retry.Quota{Reset: time.Second, Remaining: 2}, 2, 0, 0},
		{"less than nothing", retry.Quota{Limit: 5, Remaining: -2}, 0, 5, 0},
		{"a reset at the cap",
			retry.Quota{Limit: 100, Window: hintCap, Reset: hintCap, Remaining: 3}, 3, 100, 60},
		{"a reset beyond it",
			retry.Quota{Limit: 100, Window: hintCap, Reset: time.Hour, Remaining: 3}, 3, 3, 180},
		{"a window without a limit",
			retry.Quota{Window: time.Hour, Reset: time.Hour, Remaining: 3}, 3, 3, 180},
	} {
		a := heard(c.quota, hintCap)
		if a.Remaining != c.remain || a.Limit != c.limit || a.Window != c.window {
			t.Errorf("%s: %+v", c.name, a)
		}
	}
}

// A refusal that names no time takes it from a quota of which nothing remains. A page is named if
// something was refused.
func TestPacerClassifiesByWhatElseIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := retry.After(errPage, 0)
		for _, c := range []struct {
			name    string
			quota   retry.Quota
			err     error
			suspect bool
			wait    float64
			page    uint64
		}{
			{"nothing remains", retry.Quota{Limit: 9, Reset: time.Minute}, refused, false, 60, 7},
			{"something does", retry.Quota{Limit: 9, Remaining: 1, Reset: time.Minute},
				refused, false, -1, 7},
			{"no reset is told", retry.Quota{Limit: 9}, refused, false, -1, 7},
			{"a page", retry.Quota{}, nil, false, -1, 0},
			{"a page once one was refused", retry.Quota{}, nil, true, -1, 7},
		} {
			p := steady()
			p.suspects.Store(c.suspect)
			retry.Run(retry.WithPage(t.Context(), 7), p, func(ctx context.Context) error {
				if c.quota != (retry.Quota{}) {
					retry.Report(ctx, c.quota)
				}
				a, _ := p.classify(&flight{Context: ctx, pacer: p}, c.err)
				if a.RetryAfter != c.wait || a.Page != c.page {
					t.Errorf("%s: wait %v, page %d", c.name, a.RetryAfter, a.Page)
				}
				return nil
			})
		}
		deaf := steady(HintCap(0))
		retry.Run(t.Context(), deaf, func(ctx context.Context) error {
			retry.Report(ctx, retry.Quota{Limit: 9, Remaining: 4, Reset: time.Minute})
			a, _ := deaf.classify(&flight{Context: ctx, pacer: deaf}, nil)
			if a.Remaining != -1 {
				t.Errorf("no hints are to be heard, and %d remain", a.Remaining)
			}
			return nil
		})
	})
	broken := errors.Join(statusError(404), io.EOF)
	if a, _ := steady().classify(&flight{Context: t.Context()}, broken); a.Kind != pacing.Fine {
		t.Errorf("a 404 that is cut off: %v", a.Kind)
	}
}

// The first refused page makes the pacer name the pages of what is admitted: one that comes is not
// refused for itself.
func TestPacerSuspectsPagesOnceOneIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		ctx := retry.WithPage(t.Context(), 7)
		run(ctx, p, time.Millisecond, nil)
		if p.suspects.Load() {
			t.Error("a page that came is suspected")
		}
		run(ctx, p, time.Millisecond, retry.After(errPage, 0))
		if !p.suspects.Load() {
			t.Error("a page that was refused is not")
		}
	})
}

// The time of an answer ends when it begins: a long body is not taken for silence.
func TestPacerDoesNotTakeALongBodyForSilence(t *testing.T) {
	for _, begins := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := steady()
			for range 20 {
				run(t.Context(), p, 10*time.Millisecond, nil)
			}
			go retry.Run(t.Context(), p, func(ctx context.Context) error {
				time.Sleep(10 * time.Millisecond)
				if begins {
					retry.Answered(ctx)
				}
				time.Sleep(3 * time.Minute)
				return nil
			})
			time.Sleep(30 * time.Second)
			run(t.Context(), p, 10*time.Millisecond, nil)
			if doubted := strings.Contains(p.Explain(), "one at a time"); doubted == begins {
				t.Errorf("an answer that begins, %v: %s", begins, p.Explain())
			}
			time.Sleep(5 * time.Minute)
		})
	}
}

// What waits, and for how long, is seen from outside.
func TestPacerShowsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		time.Sleep(10 * time.Second)
		run(t.Context(), p, 0, nil)
		run(t.Context(), p, 0, retry.After(errPage, 20*time.Second))
		if w := p.State().Wait; w < 20*time.Second || w > 21*time.Second {
			t.Errorf("parked for %v", w)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go run(ctx, p, 0, nil)
		}
		synctest.Wait()
		s := p.String()
		if !strings.Contains(s, "parked for 20") || !strings.HasSuffix(s, ", 2 waiting)") {
			t.Error(s)
		}
		cancel()
		synctest.Wait()
	})
}
