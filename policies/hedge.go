package policies

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Hedge makes a call that does not wait for a slow one: when after has passed without an outcome, it makes the call a second
// time beside the first, and so on up to max calls in all. The first success wins, and its value is returned. It cuts the
// slowest answers off (Dean and Barroso, "The Tail at Scale", 2013) at the price of more calls; use it for calls that may be
// made twice. Policies inside of call, as by retry.Wrap, see every one of them.
//
// The others' contexts end when there is a winner, and the winner's own when Hedge returns: consume results that are bound
// to it inside the call. Hedge does not wait for the losers. The values they still return with a nil error go to discard, which
// may be nil and runs in a goroutine of its own; a value beside an error is dropped, as most are no value at all, so what
// is bound to one is to be freed inside the call. A loser that ignores its context goes on until it returns, and keeps a
// testing/synctest bubble open for so long.
//
// While there is no winner Hedge waits for its calls, also when the caller's context ends: so they must heed it.
//
// It is made against slowness, not against failure: a failure makes no further call, that is what a loop around is for. It
// comes back when no other call is under way, the last one that was seen, with its value; a permanent one at once.
//
// A panic, or runtime.Goexit, in any of the calls while there is no winner reaches the caller with its value. Later there is
// no caller left: it ends the program, as in any goroutine.
//
// after 0 makes all calls at once. The only option is [WithBudget]: a hedge then asks the budget as a retry does, and is not
// made if that refuses. A hedge is no attempt of a loop, so a [MaxCalls] around does not bound it; max does.
//
// A mistake in the arguments is a [retry.ErrConfig] of every call. retry.Validate sees policies only, so not this.
func Hedge[T any](call func(context.Context) (T, error), after time.Duration, max int, discard func(T), opts ...Option) func(context.Context) (T, error) {
	var c hedgeConfig
	var m mistakes
	m.check(call != nil, "nil function")
	m.check(after >= 0, "after %v: must not be negative", after)
	m.check(max >= 1, "max %d: must be at least 1", max)
	m.configure(&c, opts)
	bad := m.in("Hedge")
	return func(ctx context.Context) (T, error) {
		var zero T
		if bad != nil {
			return zero, bad
		}
		if err := retry.Ended(ctx); err != nil {
			return zero, err
		}
		r := &race[T]{call: call, discard: discard, outcomes: make(chan outcome[T]), over: make(chan struct{})}
		return r.run(ctx, after, max, c.budget)
	}
}

type hedgeConfig struct{ budget *Budget }

func (c *hedgeConfig) setBudget(b *Budget) { c.budget = b }

// race is one call of a Hedge.
type race[T any] struct {
	call    func(context.Context) (T, error)
	discard func(T)

	outcomes chan outcome[T] // has no room, as max may be any number
	over     chan struct{}   // closed when there is no one left to receive

	winner *outcome[T] // what the caller is about to get
}

// outcome is how one call ended.
type outcome[T any] struct {
	value    T
	err      error
	first    bool // of the calls, not to arrive
	paid     int64
	panicked bool
	with     any
	exited   bool
}

func (r *race[T]) run(ctx context.Context, after time.Duration, most int, budget *Budget) (T, error) {
	began := now()
	inner, cancel := context.WithCancel(ctx)
	defer r.end()
	defer cancel()

	go r.make(inner, true, 0)
	made, running := 1, 1
	timer := time.NewTimer(after)
	defer timer.Stop()
	for {
		hedge := timer.C
		if made == most || ctx.Err() != nil {
			hedge = nil
		}
		select {
		case o := <-r.outcomes:
			running--
			r.raise(o)
			if o.err == nil {
				if budget != nil {
					budget.succeeded(o.first, o.paid)
				}
				r.winner = &o
				return o.value, nil
			}
			final := retry.IsPermanent(o.err) || errors.Is(o.err, retry.ErrConfig)
			if _, rejected := retry.Rejected(o.err); budget != nil && !final && !rejected {
				budget.failed(o.first)
			}
			if running == 0 || final {
				return o.value, hedged(ctx, o.err, made, began)
			}
		case <-hedge:
			if ctx.Err() != nil {
				continue
			}
			paid, ok := budget.spend(false)
			if !ok {
				made = most
				continue
			}
			made++
			running++
			retry.Emit(ctx, retry.Event{Kind: retry.KindRetry, Policy: "hedge", To: fmt.Sprintf("no answer in %v: one more call beside", after)})
			go r.make(inner, false, paid)
			timer.Reset(after)
		}
	}
}

// make is one of the calls, in its own goroutine.
func (r *race[T]) make(ctx context.Context, first bool, paid int64) {
	o := outcome[T]{first: first, paid: paid, exited: true}
	defer func() {
		if o.exited { // it did not return. The panic goes on in the caller's goroutine
			if with := recover(); with != nil {
				o.exited, o.panicked, o.with = false, true, with
			}
		}
		select {
		case r.outcomes <- o:
		case <-r.over:
			r.lost(o)
		}
	}()
	o.value, o.err = r.call(ctx)
	o.exited = false
}

// raise repeats in the caller's goroutine how a call ended its own.
func (r *race[T]) raise(o outcome[T]) {
	if o.panicked {
		panic(o.with)
	}
	if o.exited {
		runtime.Goexit()
	}
}

// end closes the race; what has arrived and was not received yet is dealt with.
func (r *race[T]) end() {
	var aborted outcome[T]
	for arrived := true; arrived; {
		select {
		case o := <-r.outcomes:
			if o.panicked || o.exited {
				aborted = o
				continue
			}
			go r.lost(o)
		default:
			arrived = false
		}
	}
	close(r.over)
	if r.winner != nil && (aborted.panicked || aborted.exited) { // the caller gets that instead
		go r.lost(*r.winner)
	}
	r.raise(aborted)
}

// lost takes what a loser still has.
func (r *race[T]) lost(o outcome[T]) {
	if o.panicked {
		panic(o.with)
	}
	if !o.exited && o.err == nil && r.discard != nil {
		r.discard(o.value)
	}
}

// hedged adds what ended the caller's context, where the failure does not tell.
func hedged(ctx context.Context, err error, made int, began time.Duration) error {
	ended := retry.Ended(ctx)
	if ended == nil || errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return &retry.Error{Reason: ended, Attempts: made, Elapsed: now() - began, Last: err}
}
