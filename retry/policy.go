package retry

import (
	"context"
	"time"
)

// Policy decides whether, when and how often the rest of a chain runs.
//
// A policy sees a context and an error and never the result, so one value serves calls of every
// type. Do may call next zero, one or many times, one at a time, and must have returned from it
// before it returns. It is called by many goroutines at once, so whatever belongs to one call is
// made in Do.
//
// A policy may also have a method [Validate]() error, by which Validate finds configuration
// mistakes, and may be an [Idler]. A policy that can refuse a call without looking at it, as an
// open breaker can, may have a method Refuse(ctx context.Context, p Policy) error. [Do] asks it
// first, and if it returns an error nothing is allocated for the call. A chain that begins with
// retry loops and then has such a policy asks it too, if the loops hand the refusal on. p is the
// policy that is asked. If the method belongs to a policy that is only embedded in p, it returns
// nil.
//
// A policy may have a method Prompt(p Policy) bool, with the same p, and false if the policy is
// only embedded in it. True says that Do returns at once after a call that has succeeded: it does
// not wait then, and runs nobody else's code except after an event. An [Observe] in front of such
// policies saves a reading of the clock.
type Policy interface {
	Do(ctx context.Context, next Next) error
}

// Idler is a policy that holds state and knows when that state may be forgotten without changing a
// decision: a closed breaker without a recent failure, a full bucket. A container of policies, such
// as policies.Keyed, evicts only those that are idle.
type Idler interface {
	Idle() bool
}

// PolicyFunc is a policy written as one function.
type PolicyFunc func(ctx context.Context, next Next) error

// Do calls f.
func (f PolicyFunc) Do(ctx context.Context, next Next) error {
	if f == nil {
		return errNilPolicyFunc
	}
	return f(ctx, next)
}

// Validate reports a nil function.
func (f PolicyFunc) Validate() error {
	if f == nil {
		return errNilPolicyFunc
	}
	return nil
}

// Next is the rest of the chain and, at its end, the call. It is a small value: copy it freely, but
// do not keep it after the policy it was given to has returned. The zero Next does nothing and
// succeeds.
type Next struct {
	rest *link // nil: none
	end  end
	at   time.Duration // positive: the policy around has read it from the clock; negative: see At
}

// link is a policy of a chain, and the link of the next one. Next has one of them and no slice, so
// that it stays in registers: every policy of every call hands it on.
type link struct {
	policy Policy
	inner  *link
}

func linked(policies []Policy) *link {
	if len(policies) == 0 {
		return nil
	}
	links := make([]link, len(policies))
	for i, p := range policies {
		links[i].policy = p
		if i > 0 {
			links[i-1].inner = &links[i]
		}
	}
	return &links[0]
}

// end is what stands behind the last policy of a chain: the call, or what is left of an enclosing
// chain.
type end interface {
	run(ctx context.Context, at time.Duration) error // at: as in Next, if positive
}

// Do runs the rest of the chain. A policy that repeats the call uses [Next.Try], so that the
// attempts are numbered.
func (n Next) Do(ctx context.Context) error {
	if l := n.rest; l != nil {
		return l.policy.Do(ctx, Next{l.inner, n.end, max(0, -n.at)})
	}
	if n.end == nil {
		return nil
	}
	return n.end.run(ctx, max(0, -n.at))
}

// Try runs the rest of the chain as the given attempt of a retry loop: [Attempt] tells the number,
// [Depth] is one more, and observers see both. Attempts count from 1.
func (n Next) Try(ctx context.Context, attempt int) error {
	outer := scopeOf(ctx)
	if outer != nil && outer.mark(attempt) {
		defer outer.leave()
		return n.Do(ctx)
	}
	return n.Do(within(ctx, outer.begin(attempt)))
}

// Do sends call through p and returns the last value and the last failure. A nil p and the empty
// chain just call. Elsewhere this is Retry, Execute, RetryWithData or DoWithData.
//
// A nil error means that call succeeded, unless a [PolicyFunc] made it nil. Otherwise the error
// matches, by errors.Is and errors.As, what call returned and what ended the attempts: see [Error]
// and [Rejection]. The value is always that of the last call that was made.
func Do[T any](ctx context.Context, p Policy, call func(context.Context) (T, error)) (T, error) {
	switch {
	case call == nil:
		var zero T
		return zero, errNilCall
	case p == nil:
		return call(ctx)
	case p == Policy(unnoticed.Load()):
		value, err := call(ctx)
		if unnoticed.Load() == noticed {
			Shield(ctx)
		}
		return value, err
	case p == Policy(identity) && scopeOf(ctx) == nil:
		return call(ctx)
	}
	w, err := enter(ctx, p)
	if err != nil {
		var zero T
		return zero, WithEnd(ctx, err)
	}
	// One allocation holds everything a call needs: its function, its value and its node in the
	// context.
	if w.watch {
		t := &struct {
			watched
			job[T]
		}{job: job[T]{call: call}}
		t.open(ctx, w.around, w.lead)
		err = t.through(p, &t.job)
		return t.value, WithEnd(ctx, err)
	}
	t := &struct {
		scope
		job[T]
	}{scope{Context: ctx}, job[T]{call: call}}
	if w.around != nil {
		t.open(w.around)
	}
	if err = p.Do(&t.scope, Next{end: &t.job}); err != nil {
		err = WithEnd(ctx, err)
	}
	return t.value, err
}

// job is the end of a chain: the call, and its last value.
type job[T any] struct {
	call  func(context.Context) (T, error)
	value T
}

func (j *job[T]) run(ctx context.Context, at time.Duration) (err error) {
	if Wanted(ctx, KindCall) {
		return j.told(ctx, at)
	}
	j.value, err = j.call(ctx)
	return err
}

// told is run for a call that somebody observes. It is a function apart, so that other calls do not
// pay for its defer.
func (j *job[T]) told(ctx context.Context, at time.Duration) (err error) {
	begun := Next{at: at}.Clock()
	err = errAborted
	defer called(ctx, begun, &err)
	j.value, err = j.call(ctx)
	return err
}

// Run is [Do] for a call that has no value.
func Run(ctx context.Context, p Policy, call func(context.Context) error) error {
	switch {
	case call == nil:
		return errNilCall
	case p == nil:
		return call(ctx)
	case p == Policy(unnoticed.Load()):
		err := call(ctx)
		if unnoticed.Load() == noticed {
			Shield(ctx)
		}
		return err
	case p == Policy(identity) && scopeOf(ctx) == nil:
		return call(ctx)
	}
	w, err := enter(ctx, p)
	if err != nil {
		return WithEnd(ctx, err)
	}
	if w.watch {
		t := &watched{}
		t.open(ctx, w.around, w.lead)
		return WithEnd(ctx, t.through(p, plainJob(call)))
	}
	s := &scope{Context: ctx}
	if w.around != nil {
		s.open(w.around)
	}
	if err = p.Do(s, Next{end: plainJob(call)}); err != nil {
		return WithEnd(ctx, err)
	}
	return nil
}

// plainJob is a job without a value. It is a pointer, so it costs no allocation.
type plainJob func(context.Context) error

func (call plainJob) run(ctx context.Context, at time.Duration) error {
	if Wanted(ctx, KindCall) {
		return call.told(ctx, at)
	}
	return call(ctx)
}

func (call plainJob) told(ctx context.Context, at time.Duration) (err error) {
	begun := Next{at: at}.Clock()
	err = errAborted
	defer called(ctx, begun, &err)
	err = call(ctx)
	return err
}

// Wrap makes a guarded call a value, to be passed on, hedged, checked or wrapped again.
func Wrap[T any](p Policy, call func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) { return Do(ctx, p, call) }
}
