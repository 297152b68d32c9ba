package retry

import (
	"context"
	"sync/atomic"
	"time"
)

// Kind says what an event tells of.
type Kind uint8

// The kinds of events. The zero Kind is not valid.
const (
	KindCall   Kind = iota + 1 // a call of the guarded function is over: Took, Err
	KindWait                   // a policy has made the call wait: Wait asked, Took used
	KindRetry                  // a loop is going to make another attempt: Err of this one, Wait before the next
	KindGiveUp                 // a loop makes no further attempt: Err says why
	KindReject                 // a policy refused the call: Err
	KindChange                 // a policy changed its state: From, To, and Err says why
	KindDone                   // the chain inside an Observe is over: Took, Err. Only that observer sees it
	KindAdmit                  // a limiter admitted the call: Quota says what is left
)

var kindNames = [...]string{"none", "call", "wait", "retry", "give up", "reject", "change", "done", "admit"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Event is one thing that happened on the way of a call through its chain.
type Event struct {
	Kind    Kind
	Policy  string        // who tells, by kind and name: "exponential", "breaker catalog"; empty for the call itself
	Attempt int           // of the innermost loop; 1 without one
	Depth   int           // retry loops around; 0 outside of any
	Wait    time.Duration // how long the policy wanted to wait
	Took    time.Duration // how long the call or the wait really took
	Calls   int           // KindDone: calls made inside the Observe, of all loops and hedges
	Err     error
	From    string    // KindChange: the state before, "closed", "10/s"
	To      string    // KindChange: the state now. Of other kinds: a remark on what was done
	Quota   Quota     // KindAdmit: the limiter's own limit and what is left of it
	Time    time.Time // when it ended; it began at Time.Add(-Took)
}

// Observer is told of events, in the goroutine of the call and between its steps. It should be
// quick and must be safe for concurrent use. Its panics reach the caller.
type Observer func(context.Context, Event)

// Observe is a policy that tells o of everything that the policies inside it do, and of the call.
// It changes nothing, except that it lets no call in once the context has ended. Any number may be
// nested; the innermost is told first. Without an Observe no event is made.
//
// [LogTo] and [Record.Add] are observers. For OpenTelemetry metrics and spans, and so for
// Prometheus, there is otelretry.Observer in the module retry/otelretry.
func Observe(o Observer) Policy { return observe(o) }

type observe Observer

func (o observe) Do(ctx context.Context, next Next) error {
	if o == nil {
		return errNilObserver
	}
	around := scopeOf(ctx).load()
	// One allocation holds the node in the context and the observer's count of calls.
	in := &struct {
		inner
		watch
	}{inner{st: *around}, watch{observer: Observer(o), outer: around.watch}}
	w := &in.watch
	in.st.watch, in.st.at = w, beside
	in.Context = ctx
	in.state.Store(&in.st)

	start := time.Now()
	err := errAborted
	defer func() {
		end := time.Now()
		o(ctx, Event{
			Kind: KindDone, Attempt: Attempt(ctx), Depth: around.depth,
			Took: end.Sub(start), Calls: int(w.calls.Load()), Err: err, Time: end,
		})
	}()
	if ended := Ended(ctx); ended != nil {
		err = ended
		return err
	}
	err = next.Do(&in.inner)
	return err
}

func (o observe) Validate() error {
	if o == nil {
		return errNilObserver
	}
	return nil
}

// Idle is true: an Observe holds nothing.
func (o observe) Idle() bool { return true }

func (o observe) String() string { return "observe" }

// watch is a list of observers, innermost first.
type watch struct {
	observer Observer
	outer    *watch
	calls    atomic.Int64
}

func watchers(ctx context.Context) *watch { return scopeOf(ctx).load().watch }

// Observed reports whether there is an Observe around ctx: for a policy whose events cost something
// to make.
func Observed(ctx context.Context) bool { return watchers(ctx) != nil }

// Emit tells the observers around ctx of e; without one it does nothing. A policy calls it for what
// it decides. If they are zero, Attempt and Depth are filled in from ctx, and Time with the
// present. A loop stands outside of its own attempts, so it sets Attempt and Depth itself.
func Emit(ctx context.Context, e Event) {
	st := scopeOf(ctx).load()
	if st.watch == nil {
		return
	}
	if e.Attempt == 0 {
		e.Attempt = max(1, st.attempt)
	}
	if e.Depth == 0 {
		e.Depth = st.depth
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	for w := st.watch; w != nil; w = w.outer {
		if e.Kind == KindCall {
			w.calls.Add(1)
		}
		w.observer(ctx, e)
	}
}

// observed runs call and tells of it, also when it panics.
func observed(ctx context.Context, call func(context.Context) error) error {
	start := time.Now()
	err := errAborted
	defer func() { Emit(ctx, Event{Kind: KindCall, Took: time.Since(start), Err: err}) }()
	err = call(ctx)
	return err
}
