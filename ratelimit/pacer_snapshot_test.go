package ratelimit

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestPacerSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 10*time.Minute)
		text, err := json.Marshal(p.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		var s Snapshot
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		q := steady()
		if err := q.Restore(s); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		run(t.Context(), q, 0, nil)
		if d := time.Since(start); d < 6*time.Minute || d > 7*time.Minute {
			t.Errorf("the restored one went after %v", d)
		}
		if err := q.Restore(s); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("a second Restore: %v", err)
		}

		p = steady(StartRate(5))
		run(t.Context(), p, 0, nil)
		q = steady()
		q.Restore(p.Snapshot())
		if q.Rate() != 5 {
			t.Errorf("restored rate %v", q.Rate())
		}
		if err := steady().Restore(Snapshot{Rate: -1}); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("nonsense restored: %v", err)
		}
	})
}

func TestSnapshotThatMakesNoSenseChangesNothing(t *testing.T) {
	for _, s := range []Snapshot{
		{Rate: -1}, {Rate: math.NaN()}, {Rate: math.Inf(1)}, {Safe: -1},
		{Safe: math.NaN()}, {Safe: math.Inf(1)},
		{MaxInFlight: -1}, {Park: -1}, {Probe: -1}, {Hold: -1},
	} {
		p := steady()
		before := p.Snapshot()
		err := p.Restore(s)
		if !errors.Is(err, retry.ErrConfig) || !strings.Contains(err.Error(), "snapshot with ") {
			t.Errorf("%+v: %v", s, err)
		}
		before.Taken = time.Time{}
		after := p.Snapshot()
		if after.Taken = (time.Time{}); after != before {
			t.Errorf("%+v: from %+v to %+v", s, before, after)
		}
	}
}

// Whatever was written into a file, what Restore takes does no harm: no panic, and a call goes
// within the bounds of a park.
func FuzzRestore(f *testing.F) {
	f.Add(5.0, 4.0, 3, int64(time.Second), int64(time.Second), int64(time.Second),
		int64(time.Minute), true)
	f.Add(1e308, 0.0, math.MaxInt, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64),
		int64(math.MaxInt64), false)
	f.Add(5e-324, 5e-324, 0, int64(1), int64(0), int64(0), int64(-1), false)
	f.Fuzz(func(t *testing.T, r, safe float64, slots int,
		park, probe, hold, left int64, plain bool) {
		synctest.Test(t, func(t *testing.T) {
			s := Snapshot{
				Rate: r, Safe: safe, MaxInFlight: slots, Park: time.Duration(park),
				Probe: time.Duration(probe), Hold: time.Duration(hold),
				ParkedUntil: time.Now().Add(time.Duration(left)), Plain: plain,
			}
			p := steady()
			if p.Restore(s) != nil {
				return
			}
			start := time.Now()
			for i := range 5 {
				var err error
				if i == 2 {
					err = retry.After(errPage, 0)
				}
				run(t.Context(), p, time.Millisecond, err)
			}
			// the park, four calls at the slowest, another park
			if d := time.Since(start); d > defaultHintCap+4*time.Minute+10*time.Minute {
				t.Errorf("%+v: five calls took %v", s, d)
			}
			if err := steady().Restore(p.Snapshot()); err != nil {
				t.Errorf("what it knows then cannot be restored: %v", err)
			}
		})
	})
}

func TestTheZeroSnapshotKnowsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, fresh := steady(StartRate(5)), steady(StartRate(5))
		if err := p.Restore(Snapshot{}); err != nil {
			t.Fatal(err)
		}
		if p.State() != fresh.State() {
			t.Errorf("restored %v, fresh %v", p, fresh)
		}
		run(t.Context(), p, 0, nil)
		if s := p.State(); s.Rate != 5 || s.Mode != "climb" ||
			s.MaxInFlight != fresh.State().MaxInFlight {
			t.Errorf("StartRate is lost: %v", p)
		}
	})
}

// One written by hand, or by another program, need not say all.
func TestAPartOfASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		if err := p.Restore(Snapshot{ParkedUntil: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if s := p.State(); !s.Parked || s.Wait != time.Minute ||
			s.MaxInFlight != steady().State().MaxInFlight {
			t.Errorf("ParkedUntil: %v", p)
		}
		p = steady()
		p.Restore(Snapshot{Rate: 7})
		if s := p.State(); s.Parked || s.Rate != 7 ||
			s.MaxInFlight != steady().State().MaxInFlight {
			t.Errorf("Rate: %v", p)
		}
		p = steady(MaxRate(3), MaxInFlight(2))
		p.Restore(Snapshot{Rate: 7, MaxInFlight: 50})
		if s := p.State(); s.Rate != 3 || s.MaxInFlight != 2 {
			t.Errorf("the bounds do not hold: %v", p)
		}
		p = steady(StartRate(4))
		p.Restore(Snapshot{MaxInFlight: 5})
		if s := p.State(); s.Rate != 4 || s.MaxInFlight != 5 {
			t.Errorf("StartRate where no rate was known: %v", p)
		}
	})
}

// A snapshot of a pacer that met any server goes through JSON and back, and what was restored says
// the same.
func TestSnapshotRoundTrip(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 5))
			p := newPacer(rng, nil)
			for range rng.IntN(200) {
				var err error
				switch rng.IntN(12) {
				case 0:
					err = retry.After(errPage, time.Duration(rng.IntN(3))*time.Second)
				case 1:
					err = statusError(503)
				}
				// also answers at once
				run(t.Context(), p, time.Duration(rng.IntN(20))*time.Millisecond, err)
			}
			want := p.Snapshot()
			text, err := json.Marshal(want)
			if err != nil {
				t.Fatalf("seed %d: %+v: %v", seed, want, err)
			}
			var s Snapshot
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			q := steady()
			if err := q.Restore(s); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got := q.Snapshot()
			if !got.ParkedUntil.Equal(want.ParkedUntil) || !got.Taken.Equal(want.Taken) {
				t.Errorf("seed %d: parked until %v, want %v", seed, got.ParkedUntil,
					want.ParkedUntil)
			}
			got.Taken, got.ParkedUntil = want.Taken, want.ParkedUntil
			if got != want {
				t.Errorf("seed %d:\n%+v, want\n%+v", seed, got, want)
			}
		})
	}
}
