package otelretry_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/otelretry"
)

// TestGaugesListEveryFigure: what a policy tells by Stats is an instrument of Watch under the name
// in the list, and the list has nothing else.
func TestGaugesListEveryFigure(t *testing.T) {
	open := breaker.New("b")
	open.Trip(errors.New("x"))
	told := map[string]string{}
	for _, p := range []retry.Policy{
		open, policies.NewBulkhead(1, 1), policies.NewAdaptive(), policies.NewThrottle(),
		ratelimit.New(1, 1), ratelimit.New(1, 1,
			ratelimit.Shared(ratelimit.NewStore(), "x")),
		ratelimit.NewPacer(ratelimit.StartRate(5)),
		policies.Keyed(func(context.Context) int { return 0 },
			func(int) retry.Policy { return nil }),
		policies.Exponential(policies.WithBudget(policies.NewTokenBudget(10, .1))),
		policies.Exponential(policies.WithBudget(policies.NewCostBudget(500, 14, 1))),
		policies.Exponential(policies.WithBudget(policies.NewRatioBudget(.1, 1))),
		policies.Fibonacci(), policies.Constant(time.Second), policies.Random(1, 2),
		policies.Delays([]time.Duration{1}),
	} {
		if s, ok := p.(interface{ Stats() []retry.Stat }); ok {
			kind, _, _ := strings.Cut(retry.Describe(p), "(")
			kind, _, _ = strings.Cut(kind, " ")
			for _, stat := range s.Stats() {
				told["resilience."+kind+"."+stat.Name] = stat.Unit
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		listed := otelretry.Gauges[name]
		counted := strings.HasPrefix(listed, "{") && strings.HasSuffix(listed, "}")
		if listed != told[name] && !(counted && (told[name] == "" || told[name] == "1")) {
			t.Errorf("%q: %q,", name, told[name])
		}
	}
	for name := range otelretry.Gauges {
		if _, ok := told[name]; !ok {
			t.Errorf("%s is in the list and nobody tells it", name)
		}
	}
}
