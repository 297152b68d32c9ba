package main

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrydebug"
)

// guards are built once, at start-up: one for each thing that can fail. All handlers share it,
// whatever type of result they get.
type guards struct {
	front    retry.Policy // around the service itself
	catalog  retry.Policy
	payments retry.Policy
	orders   retry.Policy // the database
	receipts retry.Policy // the worker pool
	page     *retrydebug.Debug
}

// newGuards returns an error if the configuration has mistakes. No guard begins another attempt
// once stop is closed.
func newGuards(c config, stop <-chan struct{}) (*guards, error) {
	g := &guards{page: retrydebug.New()}
	var errs []error
	watch := func(name string, p retry.Policy) retry.Policy {
		if err := retry.Validate(p); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return g.page.Watch(name, p)
	}
	// Many of the requests are sheddable: they wait at the back of the queue and are dropped first.
	// No request waits longer than a person would.
	g.front = watch("front", policies.NewAdaptive(policies.Named("front"),
		policies.StartLimit(c.Front.Start),
		policies.Between(4, c.Front.Most), policies.QueueOf(c.Front.Queue),
		policies.MaxWait(500*time.Millisecond)))
	g.catalog = watch("catalog", outgoing("catalog", c.Catalog, stop))
	g.payments = watch("payments", outgoing("payments", c.Payments, stop))
	g.orders = watch("orders", retry.Chain(
		policies.Exponential(policies.Attempts(3), policies.Initial(5*time.Millisecond),
			policies.StopOn(stop)),
		policies.Timeout(time.Second),
		policies.Classify(policies.Final(policies.Is(sql.ErrNoRows))),
	))
	g.receipts = watch("receipts",
		policies.NewBulkhead(c.Workers, 1000, policies.Named("receipts")))
	return g, errors.Join(errs...)
}

// outgoing guards a dependency. The first policy is the outermost: retries, with a budget that
// keeps them from adding to an overload; then the rate; then the breaker, which counts every
// attempt; then the timeout of each attempt.
func outgoing(name string, d dependency, stop <-chan struct{}) retry.Policy {
	return retry.Chain(
		policies.Exponential(policies.Attempts(d.Attempts), policies.Initial(20*time.Millisecond),
			policies.StopOn(stop),
			policies.WithBudget(policies.NewRatioBudget(.2, 5))),
		ratelimit.New(rate.Limit(d.Rate), d.Burst, ratelimit.Named(name),
			ratelimit.MaxWait(100*time.Millisecond)),
		breaker.New(name, breaker.ConsecutiveFailures(d.Failures),
			breaker.OpenFor(time.Duration(d.Open))),
		policies.Timeout(time.Duration(d.Timeout)),
	)
}

// bareGuards is what many services have: three attempts without waits.
func bareGuards() *guards {
	naive := policies.Constant(0, policies.Attempts(3))
	return &guards{front: retry.Chain(), catalog: naive, payments: naive, orders: naive,
		receipts: retry.Chain(), page: retrydebug.New()}
}

// broken reports what a health check should know: which breakers are open.
func (g *guards) broken() (open []string) {
	for _, p := range []retry.Policy{g.catalog, g.payments} {
		retry.Walk(p, func(path string, p retry.Policy) bool {
			if b, ok := p.(*breaker.Breaker); ok && b.State() != breaker.Closed {
				open = append(open, fmt.Sprint(b))
			}
			return true
		})
	}
	return open
}
