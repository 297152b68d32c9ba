package policies_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/retry"
)

// script is a call that ends as listed, once each; the last outcome is repeated. It notes when it
// was called.
type script struct {
	outcomes []error
	at       []time.Duration
	start    time.Time
}

func (s *script) call(context.Context) (int, error) {
	if s.start.IsZero() {
		s.start = time.Now()
	}
	s.at = append(s.at, time.Since(s.start))
	err := s.outcomes[min(len(s.at), len(s.outcomes))-1]
	return len(s.at), err
}

func (s *script) run(ctx context.Context, p retry.Policy) error {
	s.start = time.Now()
	_, err := retry.Do(ctx, p, s.call)
	return err
}

func outcomes(errs ...error) *script { return &script{outcomes: errs} }

// wantAt checks when the calls were made, in milliseconds since the start.
func (s *script) wantAt(t *testing.T, ms ...int) {
	t.Helper()
	same := len(ms) == len(s.at)
	for i := range ms {
		same = same && s.at[i] == time.Duration(ms[i])*time.Millisecond
	}
	if !same {
		t.Errorf("called at %v, want at %v ms", s.at, ms)
	}
}

var wantIs, wantNot = check.Is, check.Not

func wantError(t *testing.T, err error) *retry.Error {
	t.Helper()
	e, ok := errors.AsType[*retry.Error](err)
	if !ok {
		t.Fatalf("%v is no *retry.Error", err)
	}
	return e
}

// bubble runs f in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
