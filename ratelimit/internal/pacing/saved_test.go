package pacing

import (
	"math"
	"testing"
)

func TestWhatIsSaved(t *testing.T) {
	m := cruising()
	m.safe, m.keep, m.every, m.doubt.definite = 12, 7, 300, true
	got, want := m.Save(100),
		(Saved{Rate: 10, Safe: 10, Slots: 8, Probe: 300, Hold: 7, Plain: true})
	if got != want {
		t.Errorf("a cruise: %+v, want %+v", got, want)
	}
	m.mode, m.safe, m.half, m.gate, m.length = Climb, 9, true, 103, 4
	want = Saved{Rate: 10, Safe: 9, Slots: 8, Probe: 300, Hold: 7, Plain: true, Climb: true,
		Parked: 3, Park: 4}
	if got := m.Save(100); got != want {
		t.Errorf("a climb that is parked: %+v, want %+v", got, want)
	}
	if m.named = 110; m.Save(100).Parked != 10 {
		t.Errorf("a wait that was named: %v s", m.Save(100).Parked)
	}
	if got := m.Save(200); got.Parked != 0 || got.Park != 4 {
		t.Errorf("a park that is over, and nobody was admitted since: %+v", got)
	}
	if got := New(Config{}, newRand()).Save(0); got.Rate != 0 || got.Safe != 0 || got.Park != 0 {
		t.Errorf("nothing is known: %+v", got)
	}
}

func TestWhatIsLoaded(t *testing.T) {
	m := New(Config{}, newRand())
	m.Load(50, Saved{Rate: 10, Safe: 9, Slots: 6, Probe: 300, Hold: 7, Plain: true})
	if m.mode != Cruise || m.rate != 10 || m.safe != 9 || m.flight.limit != 6 || m.flight.opening ||
		!m.doubt.definite || m.half {
		t.Errorf("%v at %v, %v survived, %d in flight, opening %v, plain %v, half %v",
			m.mode, m.rate, m.safe, m.flight.limit, m.flight.opening, m.doubt.definite, m.half)
	}
	if m.every != 300 || m.keep != 7 || m.probeAt != 350 || m.bucket != unknownBucket || !m.begun ||
		m.t0 != 50 || m.flight.slotAt != 50 {
		t.Errorf("%v %v %v %v %v %v", m.every, m.keep, m.probeAt, m.bucket, m.t0, m.flight.slotAt)
	}
	at := (mark{50, 0})
	if m.release != at || m.held != at ||
		m.prev != (episode{mark: at, mode: Cruise, rate: 10, release: at}) {
		t.Errorf("%+v %+v %+v", m.release, m.held, m.prev)
	}
	m = New(Config{}, newRand())
	if m.Load(50, Saved{Probe: 1, Hold: .1}); m.every != firstProbe || m.keep != firstHold ||
		m.flight.limit != 1 || m.mode != Start || m.rate != inf {
		t.Errorf("no rate: %v at %v, %v %v, %d in flight",
			m.mode, m.rate, m.every, m.keep, m.flight.limit)
	}
	m = New(Config{MaxInFlight: 4}, newRand())
	if m.Load(50, Saved{Slots: 9}); m.flight.limit != 4 {
		t.Errorf("%d in flight, beyond the user's bound", m.flight.limit)
	}
	m = New(Config{MaxInFlight: 9}, newRand())
	if m.Load(50, Saved{Slots: 4}); m.flight.limit != 4 {
		t.Errorf("%d in flight, where four were learned", m.flight.limit)
	}
}

// A park that is loaded goes on, and its release goes on with what was known.
func TestAParkIsLoaded(t *testing.T) {
	for _, climb := range []bool{false, true} {
		m := New(Config{}, newRand())
		m.seq = 3
		m.Load(50, Saved{Rate: 10, Slots: 6, Probe: 300, Hold: 7, Climb: climb, Park: 4, Parked: 3})
		if !m.half || !m.restored || m.cut != 3 || m.length != 4 || m.gate != 53 ||
			m.pushed != 50 || m.this != m.prev {
			t.Errorf("half %v until %v, %v s, pushed back at %v",
				m.half, m.gate, m.length, m.pushed)
		}
		want := Cruise
		if climb {
			want = Climb
		}
		m.accepted = 1
		if m.onRelease(60); m.half || m.restored || m.mode != want || m.rate != 10 ||
			m.release != (mark{60, 1}) || m.held.at != 60 {
			t.Errorf("released: half %v, %v at %v, from %+v on", m.half, m.mode, m.rate, m.release)
		}
	}
	m := New(Config{}, newRand())
	m.Load(50, Saved{Park: 4, Parked: 3})
	if m.onRelease(60); m.mode != Start || m.rate != inf {
		t.Errorf("a park without a rate: %v at %v", m.mode, m.rate)
	}
}

// What no machine saves is made what one could have saved.
func TestNonsenseIsNotLoaded(t *testing.T) {
	s := Saved{Rate: 1e9, Safe: 1e8, Park: 1e9, Probe: 1e9, Hold: 1e9, Parked: 7, Slots: 1e9}
	if s.clamp(); s != (Saved{Rate: mostRate, Safe: mostRate, Park: maxPark,
		Probe: dearProbe * 3600, Hold: minute, Parked: 7, Slots: mostSlots}) {
		t.Errorf("%+v", s)
	}
	s = Saved{Rate: math.NaN(), Safe: 5, Park: -1, Probe: math.NaN(),
		Hold: -3, Parked: -2, Slots: 3}
	if s.clamp(); s != (Saved{Slots: 3}) {
		t.Errorf("%+v", s)
	}
	m := New(Config{}, newRand())
	if m.Load(0, Saved{Rate: 1e9}); m.rate != mostRate {
		t.Errorf("loaded at %v/s", m.rate)
	}
}
