package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestPacerOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(10))
		start := time.Now()
		for range 101 {
			run(t.Context(), p, 0, nil)
		}
		if d := time.Since(start); d < 10*time.Second || d > 10300*time.Millisecond {
			t.Errorf("MaxRate(10): 101 calls in %v", d)
		}
		p = steady(StartRate(5))
		run(t.Context(), p, 0, nil)
		if p.Rate() != 5 {
			t.Errorf("StartRate(5): %v", p.Rate())
		}
		forbidden := errors.New("403")
		p = steady(Refused(func(err error) bool { return errors.Is(err, forbidden) }))
		for range 5 {
			run(t.Context(), p, time.Millisecond, nil)
		}
		run(t.Context(), p, time.Millisecond, fmt.Errorf("page: %w", forbidden))
		if !p.State().Parked {
			t.Errorf("Refused: %v", p)
		}
	})
}

func TestPacerConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		p    *Pacer
	}{
		{"StartRate", NewPacer(StartRate(-1))},
		{"MaxRate", NewPacer(MaxRate(0))},
		{"MaxInFlight", NewPacer(MaxInFlight(0))},
		{"Refused", NewPacer(Refused(nil))},
		{"MaxWait", NewPacer(MaxWait(-1))},
		{"Shadow", NewPacer(Shadow())},
		{"zero", new(Pacer)},
	} {
		if err := c.p.Validate(); !errors.Is(err, retry.ErrConfig) ||
			!strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: Validate: %v", c.name, err)
		}
		err := retry.Run(t.Context(), c.p, func(context.Context) error {
			t.Errorf("%s: called", c.name)
			return nil
		})
		if !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: Run: %v", c.name, err)
		}
	}
	for _, p := range []*Pacer{
		NewPacer(),
		NewPacer(StartRate(1), MaxRate(1)),
		NewPacer(MaxRate(1), StartRate(1), MaxInFlight(1), Careful(), MaxWait(0), HintCap(0)),
	} {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []*Pacer{NewPacer(StartRate(5), MaxRate(1)),
		NewPacer(MaxRate(1), StartRate(5))} {
		const want = "ratelimit.NewPacer: StartRate(5): must be at most MaxRate (1)"
		if err := p.Validate(); !errors.Is(err, retry.ErrConfig) || err.Error() != want {
			t.Errorf("Validate: %v, want %s", err, want)
		}
	}
}
