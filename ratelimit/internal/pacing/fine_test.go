package pacing

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// OnFine decides as OnDone does: two machines, of which one is told by OnFine what it can be, are
// alike, whatever they meet.
func TestOnFineIsOnDone(t *testing.T) {
	kinds := []Kind{Trouble, Doubt, Refusal, Untold}
	refused := 0
	for seed := range uint64(12) {
		cfg := Config{Careful: seed%4 == 1}
		if seed%3 == 0 {
			cfg.MaxInFlight = 4
		}
		a := New(cfg, rand.New(rand.NewPCG(seed, 1)))
		b := New(cfg, rand.New(rand.NewPCG(seed, 1)))
		rng := rand.New(rand.NewPCG(seed, 2))
		var out []Ticket
		now := 0.
		for step := range 600 {
			now += rng.ExpFloat64() * .05
			at, same := a.NextSend(now), b.NextSend(now)
			if at != same {
				t.Fatalf("seed %d, step %d: the next goes at %v, or at %v", seed, step, at, same)
			}
			if at <= now && len(out) < 12 {
				out = append(out, a.OnSend(now))
				b.OnSend(now)
			} else if len(out) > 0 {
				i := rng.IntN(len(out))
				k := out[i]
				out = append(out[:i], out[i+1:]...)
				plain := Answer{RetryAfter: -1, Remaining: -1}
				if rng.IntN(40) == 0 {
					plain.Kind, plain.Page = kinds[rng.IntN(len(kinds))], rng.Uint64N(5)
					b.OnDone(now, k, plain)
				} else {
					b.OnFine(now, k)
				}
				a.OnDone(now, k, plain)
			}
			if step%7 == 0 && !reflect.DeepEqual(a, b) {
				t.Fatalf("seed %d, step %d: they differ", seed, step)
			}
		}
		refused += a.spent
	}
	if refused == 0 {
		t.Error("nothing was refused, so little is shown")
	}
}

// A share that no hit has come to for long is 0, not one of the least floats.
func TestAShareEnds(t *testing.T) {
	var s share
	s.add(true)
	for range 20_000 {
		s.add(false)
	}
	if s != 0 {
		t.Errorf("%v is left", float64(s))
	}
}
