package retrydebug

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/retry"
)

const (
	keptEvents  = 100 // of all guards together
	keptFlights = 8   // of one guard
	forgotten   = 10 * time.Minute
)

// Debug is an http.Handler that shows the guards it watches. Make it with [New]. All methods may be
// called by many goroutines at once, and while calls run.
type Debug struct {
	mu     sync.Mutex
	guards []*guard
	events []told // a ring once it is full
	oldest int
}

// told is an event and its guard.
type told struct {
	guard string
	retry.Event
}

// guard is a policy that is watched, and the slowest calls through it.
type guard struct {
	debug    *Debug
	name     string
	policy   retry.Policy
	observed retry.Policy // policy with an observer around it

	mu      sync.Mutex
	calls   int
	failed  int
	flights []flight // the slowest first
}

type flight struct {
	took   time.Duration
	end    time.Time
	err    error
	record *retry.Record
}

// New returns a Debug that watches nothing yet.
func New() *Debug { return &Debug{} }

// Watch returns p as a policy that d shows under name. Use the returned policy in place of p. It
// observes every call. d keeps the last 100 events of all guards, except calls and waits that ended
// well, and for each guard the flight records of the 8 slowest calls of the last 10 minutes. A name
// that is watched already is replaced on the page.
func (d *Debug) Watch(name string, p retry.Policy) retry.Policy {
	g := &guard{debug: d, name: name, policy: p}
	g.observed = retry.Chain(retry.Observe(g.hear), p)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guards = append(slices.DeleteFunc(d.guards,
		func(old *guard) bool { return old.name == name }), g)
	slices.SortFunc(d.guards, func(a, b *guard) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		}
		return 0
	})
	return g
}

// recordKey finds the flight record of a call of one guard: guards may be nested.
type recordKey struct{ *guard }

// Do observes one call of the guard.
func (g *guard) Do(ctx context.Context, next retry.Next) error {
	return g.observed.Do(context.WithValue(ctx, recordKey{g}, new(retry.Record)), next)
}

func (g *guard) hear(ctx context.Context, e retry.Event) {
	record, _ := ctx.Value(recordKey{g}).(*retry.Record)
	if record == nil { // a policy told of something outside a call
		g.debug.keep(g.name, e)
		return
	}
	record.Add(ctx, e)
	g.debug.keep(g.name, e)
	if e.Kind == retry.KindDone {
		g.land(flight{e.Took, e.Time, retry.Brief(e.Err), record})
	}
}

// Unwrap lets retry.Validate and retry.Walk look into the guard.
func (g *guard) Unwrap() retry.Policy { return g.policy }

func (g *guard) String() string { return g.name + ": " + retry.Describe(g.policy) }

// keep keeps an event, except for those that tell a reader nothing: calls and waits that ended
// well, admissions, ends.
func (d *Debug) keep(name string, e retry.Event) {
	if e.Err == nil && (e.Kind == retry.KindCall || e.Kind == retry.KindWait) ||
		e.Kind == retry.KindAdmit || e.Kind == retry.KindDone {
		return
	}
	e.Err = retry.Brief(e.Err)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.events) < keptEvents {
		d.events = append(d.events, told{name, e})
		return
	}
	d.events[d.oldest] = told{name, e}
	d.oldest = (d.oldest + 1) % keptEvents
}

// land counts a call that is over and keeps its record if it is among the slowest.
func (g *guard) land(f flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if f.err != nil {
		g.failed++
	}
	g.flights = slices.DeleteFunc(g.flights, func(old flight) bool {
		return f.end.Sub(old.end) > forgotten
	})
	at, _ := slices.BinarySearchFunc(g.flights, f, func(a, b flight) int {
		return int(min(1, max(-1, b.took-a.took)))
	})
	if at < keptFlights {
		g.flights = slices.Insert(g.flights, at, f)
		g.flights = g.flights[:min(len(g.flights), keptFlights)]
	}
}
