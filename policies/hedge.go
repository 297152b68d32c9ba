package policies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Hedge makes a call that does not wait for a slow one: when after has passed without an outcome,
// it makes the call a second time beside the first, and so on up to max calls in all. The first
// success wins, and its value is returned. It cuts the slowest answers off (Dean and Barroso, "The
// Tail at Scale", 2013) at the price of more calls; use it for calls that may be made twice.
// Policies inside call, as by retry.Wrap, see every one of them.
//
// The others' contexts end when there is a winner, and the winner's own when Hedge returns: consume
// results that are bound to it inside the call. Hedge does not wait for the losers. The values that
// they still return with a nil error go to discard, which may be nil and runs in its own goroutine.
// A value beside an error is dropped, so what it holds must be freed inside the call. A loser that
// ignores its context goes on until it returns, and keeps a testing/synctest bubble open until
// then.
//
// While there is no winner Hedge waits for its calls, also after the caller's context has ended, so
// they must heed it.
//
// It is made against slowness, not against failure: a failure makes no further call, which is the
// task of a loop around. If all calls under way have failed, the last failure comes back with its
// value; a permanent failure comes back at once.
//
// A panic, or runtime.Goexit, in any of the calls while there is no winner reaches the caller with
// its value. Later there is no caller left: it ends the program, as in any goroutine.
//
// after 0 makes all calls at once. The only option is [WithBudget]: a hedge then asks the budget as
// a retry does, and is not made if the budget does not allow it. retry.Attempt counts hedges and
// the attempts of a loop around them together, 1, 2, 3, so that each can go to another replica. A
// [MaxCalls] around does not bound hedges; max does.
//
// A mistake in the arguments is a [retry.ErrConfig] of every call. retry.Validate sees policies
// only, so not this.
func Hedge[T any](
	call func(context.Context) (T, error), after time.Duration, max int, discard func(T),
	opts ...Option,
) func(context.Context) (T, error) {
	var c hedgeConfig
	var m mistakes
	m.check(call != nil, "nil function")
	m.check(after >= 0, "after %v: must not be negative", after)
	m.check(max >= 1, "max %d: must be at least 1", max)
	m.configure(&c, opts)
	return guarded(m.in("Hedge"), func(ctx context.Context) (T, error) {
		return newRace(call, discard).hedge(ctx, after, max, c.budget)
	})
}

type hedgeConfig struct{ budget *Budget }

func (c *hedgeConfig) setBudget(b *Budget) { c.budget = b }

func (r *race[T]) hedge(
	ctx context.Context, after time.Duration, most int, budget *Budget,
) (T, error) {
	began := now()
	inner, cancel := context.WithCancel(ctx)
	defer r.end()
	defer cancel()

	go r.make(inner, true, 0)
	made, running := 1, 1
	timer := time.NewTimer(after)
	defer timer.Stop()
	for {
		next := timer.C
		if made == most || ctx.Err() != nil {
			next = nil
		}
		select {
		case o := <-r.outcomes:
			running--
			o.raise()
			final := o.book(budget)
			if o.err == nil {
				r.winner = &o
				return o.value, nil
			}
			if running == 0 || final {
				return o.value, hedged(ctx, o.err, made, began)
			}
		case <-next:
			if ctx.Err() != nil {
				continue
			}
			paid, ok := budget.spend(false)
			if !ok {
				made = most
				continue
			}
			beside := retry.Hedged(inner, made)
			made++
			running++
			to := fmt.Sprintf("no answer in %v: one more call beside", after)
			retry.Emit(ctx, retry.Event{Kind: retry.KindRetry, Policy: "hedge", To: to})
			go r.make(beside, false, paid)
			timer.Reset(after)
		}
	}
}

// book tells the budget, if there is one, and says whether no further outcome is waited for.
func (o outcome[T]) book(b *Budget) (final bool) {
	v := retry.VerdictOf(o.err)
	final = o.err == nil || v.Permanent || v.Config
	switch {
	case b == nil:
	case o.err == nil:
		b.succeeded(o.first, o.paid)
	case !final && v.Rejection == nil:
		b.failed(o.first)
	}
	return final
}

// hedged adds what ended the caller's context, if the failure does not say so.
func hedged(ctx context.Context, err error, made int, began time.Duration) error {
	ended := retry.Ended(ctx)
	if ended == nil || errors.Is(err, ctx.Err()) && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return &retry.Error{Reason: ended, Attempts: made, Elapsed: now() - began, Last: err}
}
