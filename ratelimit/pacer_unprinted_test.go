package ratelimit_test

import (
	"context"
	"testing"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// printed is an error that knows how often it was printed.
type printed struct{ times int }

func (p *printed) Error() string { p.times++; return "printed" }

func TestPacerPrintsOnlyRefusals(t *testing.T) {
	for _, tc := range []struct {
		name  string
		mark  func(error) error
		times int
	}{
		{"a failure", func(err error) error { return err }, 0},
		{"a neutral failure", retry.Neutral, 0},
		{"a refusal, which it keeps", func(err error) error { return retry.After(err, 0) }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := ratelimit.NewPacer(), &printed{}
			_ = retry.Run(t.Context(), p, func(context.Context) error { return tc.mark(err) })
			if err.times != tc.times {
				t.Errorf("printed %d times, want %d", err.times, tc.times)
			}
		})
	}
}
