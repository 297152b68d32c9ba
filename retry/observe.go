package retry

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Kind says what an event tells of.
type Kind uint8

// The kinds of events. The zero Kind is not one.
const (
	KindCall   Kind = iota + 1 // a call of the guarded function is over: Took, Err
	KindWait                   // a policy has made the call wait: Wait asked, Took used
	KindRetry                  // a loop will make another attempt: Err of this one, Wait before it
	KindGiveUp                 // a loop makes no further attempt: Err says why
	KindReject                 // a policy refused the call: Err
	KindChange                 // a policy changed its state: From, To, and Err says why
	KindDone                   // the chain inside an Observe is over: Took, Err; told to it alone
	KindAdmit                  // a limiter admitted the call: Quota says what is left
)

var kindNames = [...]string{
	"none", "call", "wait", "retry", "give up", "reject", "change", "done", "admit",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Event is one thing that happened on the way of a call through its chain.
type Event struct {
	Kind    Kind
	Policy  string        // "exponential", or with a name "breaker catalog"; empty: the call
	Attempt int           // of the innermost loop; 1 without one
	Depth   int           // retry loops around; 0 outside any
	Wait    time.Duration // how long the policy wanted to wait
	Took    time.Duration // how long the call or the wait really took
	Calls   int           // KindDone: calls made inside the Observe, of all loops and hedges
	Err     error
	From    string    // KindChange: the state before, such as "closed" or "10/s"
	To      string    // KindChange: the state now. Other kinds: a remark on what was done
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
//
// It is cheapest as the first member of the chain that is given to [Do], also if there are several:
// then it allocates nothing.
func Observe(o Observer) Policy { return newObserve([]listener{{o, everyKind}}) }

// ObserveOnly is [Observe] for an observer that wants only some kinds of events. Events that no
// observer wants are not made: without KindCall and KindDone it does not read the clock.
func ObserveOnly(o Observer, kind Kind, more ...Kind) Policy {
	kinds := kindsOf(kind)
	for _, k := range more {
		kinds |= kindsOf(k)
	}
	return newObserve([]listener{{o, kinds}})
}

// listener is an observer and the kinds of events that it wants.
type listener struct {
	tell  Observer
	kinds kinds
}

// kinds is a set of Kinds.
type kinds uint32

const everyKind = ^kinds(0)

func kindsOf(k Kind) kinds        { return 1 << (k % 32) }
func (set kinds) has(k Kind) bool { return set&kindsOf(k) != 0 }

// observe is a row of observers, innermost first. It holds the states that are shared by all calls
// with nothing else around them.
type observe struct {
	observers []listener
	prompt    bool  // all policies inside are: see Policy
	watch     watch // for the kinds that any of the observers wants
	around    state
	tries     [8]state
	err       error
}

// newObserve makes an observe around the policies inside.
func newObserve(observers []listener, inside ...Policy) *observe {
	notice()
	atomic.StoreUint32(&observing, 1)
	p := &observe{observers: observers, prompt: !slices.ContainsFunc(inside, lingers)}
	p.watch = watch{by: p}
	for _, o := range observers {
		if o.tell == nil {
			p.err = errNilObserver
		}
		p.watch.kinds |= o.kinds
	}
	if p.watch.kinds.has(KindDone) { // it tells how many calls there were
		p.watch.kinds |= kindsOf(KindCall)
	}
	p.around = state{watch: &p.watch, at: beside, tries: &p.tries}
	p.tries = triesOver(&p.around)
	return p
}

// leading joins the Observes that a chain begins with. The one that it makes belongs to the chain
// alone, so [Do] may open the scope of a call for it.
func leading(members []Policy) (lead *observe, rest []Policy) {
	var observers []listener
	for rest = members; len(rest) > 0; rest = rest[1:] {
		o, ok := rest[0].(*observe)
		if !ok {
			break
		}
		observers = append(slices.Clone(o.observers), observers...)
	}
	if observers == nil {
		return nil, members
	}
	return newObserve(observers, rest...), rest
}

// lingers reports whether p may take time after a call that has succeeded.
func lingers(p Policy) bool {
	q, ok := p.(interface{ Prompt(p Policy) bool })
	return !ok || !q.Prompt(p)
}

func (p *observe) Do(ctx context.Context, next Next) (err error) {
	if p.err != nil {
		return p.err
	}
	if w, ok := ctx.(*watched); ok && w.lead() == p {
		return p.leads(w, next)
	}
	around := scopeOf(ctx).load()
	n := &observed{inner: inner{st: *around}}
	n.watch = watch{by: p, kinds: p.watch.kinds, outer: around.watch, calls: &n.calls}
	if around.watch != nil {
		n.watch.kinds |= around.watch.kinds
	}
	n.st.watch, n.st.at, n.st.tries, n.st.under = &n.watch, beside, nil, nil
	n.put(ctx)
	if !p.watch.kinds.has(KindDone) {
		if ended := Ended(ctx); ended != nil {
			return ended
		}
		return next.At(0).Do(&n.inner)
	}
	begun := next.Clock()
	err = errAborted
	defer func() {
		end := Next{}.Clock()
		tellDone(p.observers, ctx, &Event{
			Kind: KindDone, Attempt: max(1, int(around.attempt)), Depth: int(around.depth),
			Took: end - begun, Calls: int(n.calls.Load()), Err: err, Time: TimeOf(end),
		})
	}()
	if err = Ended(ctx); err == nil {
		err = errAborted
		err = next.At(begun).Do(&n.inner)
	}
	return err
}

// leads is Do for a call that p leads.
func (p *observe) leads(w *watched, next Next) (err error) {
	if !p.watch.kinds.has(KindDone) {
		if w.Context.Err() != nil {
			return Ended(w.Context)
		}
		return next.At(0).Do(w)
	}
	begun := next.Clock()
	err = errAborted
	defer w.done(p, begun, &err)
	if w.Context.Err() != nil {
		err = Ended(w.Context)
		return err
	}
	err = next.At(begun).Do(w)
	return err
}

// done tells of the end of a call that p leads.
func (w *watched) done(p *observe, begun time.Duration, err *error) {
	st, end := w.state.Load(), time.Duration(w.ended.Load())
	var e Event // filled in field by field, because a literal is made elsewhere and copied
	e.Kind, e.Attempt, e.Depth = KindDone, max(1, int(st.attempt)), int(st.depth)
	e.Calls, e.Err = int(w.calls.Load()), *err
	if end > 0 {
		e.Calls++
	}
	if end == 0 || *err != nil {
		end = Next{}.Clock()
	}
	e.Took, e.Time = end-begun, TimeOf(end)
	if len(p.observers) == 1 {
		p.observers[0].tell(w, e)
		return
	}
	tellDone(p.observers, w, &e)
}

// tellDone tells every one that the policies inside an Observe are done, also if one of them
// panics.
func tellDone(observers []listener, ctx context.Context, e *Event) {
	if len(observers) > 1 {
		defer tellDone(observers[1:], ctx, e)
	}
	if o := &observers[0]; o.kinds.has(KindDone) {
		o.tell(ctx, *e)
	}
}

func (p *observe) Validate() error { return p.err }

// Idle is true: an Observe holds nothing.
func (p *observe) Idle() bool { return true }

func (p *observe) String() string { return "observe" }

// watched is the scope of a Do that is observed. If no other observer is around the call, it is
// also the node of the Observes that the policy begins with: they lead it.
type watched struct {
	scope
	calls atomic.Int64 // but for the one that ended tells of
	ended atomic.Int64 // when the last call ended; 0 if something that takes time may have followed
}

const noLead = -1 // ended of a watched that is not led

// lead returns the Observes that lead w, or nil.
func (w *watched) lead() *observe {
	if w.ended.Load() == noLead {
		return nil
	}
	return w.state.Load().watch.by
}

func (w *watched) Value(key any) any {
	if p, ok := key.(*observe); ok && p == w.lead() {
		return w
	}
	return w.scope.Value(key)
}

// open puts w below ctx, of which outer is the innermost scope or nil. lead is the Observes that
// the policy begins with, or nil. They lead w if no other observer is around.
func (w *watched) open(ctx context.Context, outer *scope, lead *observe) {
	w.Context = ctx
	if outer != nil {
		w.scope.open(outer)
	}
	switch around := w.state.Load(); {
	case lead == nil || around != nil && around.watch != nil:
		w.ended.Store(noLead)
	case around == nil:
		w.state.Store(&lead.around)
	default:
		w.state.Store(&state{
			attempt: around.attempt, depth: around.depth, watch: &lead.watch,
			at: beside, before: around.before,
		})
	}
}

// through is p.Do. For a call that is led it saves the steps on the way to leads.
func (w *watched) through(p Policy, end end) error {
	if c, ok := p.(*chain); ok && c.err == nil && c.lead != nil && w.ended.Load() != noLead {
		return c.lead.leads(w, Next{rest: c.rest, end: end})
	}
	return p.Do(w, Next{end: end})
}

// observed is the node of an Observe that is not the first of its Do, or that has a loop or
// another Observe around it.
type observed struct {
	inner
	watch watch
	calls atomic.Int64
}

// watch is a list of Observes around a call, innermost first.
type watch struct {
	by    *observe
	kinds kinds // that any of the list wants
	outer *watch
	calls *atomic.Int64 // nil: those of the watched scope
}

// Observed reports whether there is an Observe around ctx.
func Observed(ctx context.Context) bool {
	_, alone := ctx.(*scope) // the common case, small enough to be inlined
	return !alone && atomic.LoadUint32(&observing) > 0 && wantedAround(ctx, everyKind)
}

// Wanted reports whether an observer around ctx wants events of this kind. It is for policies whose
// events cost something to make.
func Wanted(ctx context.Context, kind Kind) bool {
	_, alone := ctx.(*scope)
	return !alone && wantedAround(ctx, kindsOf(kind))
}

func wantedAround(ctx context.Context, any kinds) bool {
	if atomic.LoadUint32(&observing) == 0 {
		return false
	}
	var st *state
	if w, ok := ctx.(*watched); ok {
		st = w.state.Load()
	} else {
		st = scopeAround(ctx).load()
	}
	return st.watch != nil && st.watch.kinds&any != 0
}

func (s *scope) observed() bool { return s.load().watch != nil }

// Emit tells the observers around ctx of e; without one it does nothing. A policy calls it for what
// it decides. If Attempt and Depth are zero they are filled in from ctx; if Time is zero it is set
// to the present. A loop stands outside its attempts, so it sets Attempt and Depth itself.
func Emit(ctx context.Context, e Event) { e.Emit(ctx) }

// Emit is the function Emit, and fills in e itself. It is for events that are made for every call:
// to copy so large a struct costs as much as to tell of it.
func (e *Event) Emit(ctx context.Context) {
	var st *state
	if w, ok := ctx.(*watched); ok {
		if w.ended.Load() > 0 && w.ended.Swap(0) > 0 {
			w.calls.Add(1)
		}
		st = w.state.Load()
	} else {
		st = scopeOf(ctx).load()
	}
	if st.watch == nil || !st.watch.kinds.has(e.Kind) {
		return
	}
	if e.Attempt == 0 {
		e.Attempt = max(1, int(st.attempt))
	}
	if e.Depth == 0 {
		e.Depth = int(st.depth)
	}
	if e.Time.IsZero() {
		e.Time = Next{}.Now()
	}
	if w := st.watch; w.outer == nil && len(w.by.observers) == 1 && e.Kind != KindCall {
		w.by.observers[0].tell(ctx, *e) // the usual case: there is nobody else who can want it
		return
	}
	for w := st.watch; w != nil; w = w.outer {
		if e.Kind == KindCall {
			w.count(ctx)
		}
		for i := range w.by.observers {
			if o := &w.by.observers[i]; o.kinds.has(e.Kind) {
				o.tell(ctx, *e)
			}
		}
	}
}

// called tells of a call that began at the given reading of the clock and is over. It is Emit and
// count in one for a call that is led, of which all that they look for is at hand.
func called(ctx context.Context, begun time.Duration, err *error) {
	w, led := ctx.(*watched)
	if !led || w.ended.Load() == noLead {
		end := Next{}.Clock()
		e := Event{Kind: KindCall, Took: end - begun, Err: *err, Time: TimeOf(end)}
		e.Emit(ctx)
		return
	}
	st := w.state.Load()
	p := st.watch.by
	// What is known is written before the clock is read, because to copy a struct that has just
	// been written costs as much as all the rest.
	e := Event{Kind: KindCall, Attempt: max(1, int(st.attempt)), Depth: int(st.depth), Err: *err}
	end := Next{}.Clock()
	e.Took, e.Time = end-begun, TimeOf(end)
	if !p.prompt || w.ended.Swap(int64(end)) > 0 {
		w.calls.Add(1)
	}
	for i := range p.observers {
		if o := &p.observers[i]; o.kinds.has(KindCall) {
			o.tell(ctx, e)
		}
	}
}

// count notes a call that was made with ctx.
func (w *watch) count(ctx context.Context) {
	if w.calls != nil {
		w.calls.Add(1)
		return
	}
	if n, ok := ctx.(*watched); ok && n.lead() == w.by {
		n.calls.Add(1)
	} else if n, ok := ctx.Value(w.by).(*watched); ok {
		n.calls.Add(1)
	}
}
