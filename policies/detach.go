package policies

import (
	"context"
	"sync/atomic"

	"github.com/reprise-go/reprise/retry"
)

// Detach makes a call that returns when its context ends although call goes on: for a callee that
// takes no context, such as an old driver or a computation. Under a [Timeout] the caller then gets
// its [ErrTimeout] in time, and the failure counts.
//
// The call that is left behind runs to its end in its own goroutine; a value that it still returns
// with a nil error goes to discard, which may be nil. It keeps what it uses, so put a [Bulkhead]
// that is to count it inside, by retry.Wrap. While [MaxDetached] calls are left behind, further
// ones are rejected with [ErrFull].
//
// A panic, or runtime.Goexit, in call reaches the caller with its value. Once the call is left
// behind there is no caller: a panic ends the program, as in any goroutine.
//
// Options are [MaxDetached] and [Named]. A mistake is a [retry.ErrConfig] of every call.
// retry.Validate sees policies only, so not this.
func Detach[T any](
	call func(context.Context) (T, error), discard func(T), opts ...Option,
) func(context.Context) (T, error) {
	d := detachConfig{label: label{kind: "detach"}, most: 64}
	var m mistakes
	m.check(call != nil, "nil function")
	m.configure(&d, opts)
	var behind atomic.Int64
	return guarded(m.in("Detach"), func(ctx context.Context) (value T, err error) {
		if behind.Load() >= d.most {
			return value, reject(ctx, d.who(), ErrFull)
		}
		return detached(ctx, call, discard, &behind)
	})
}

type detachConfig struct {
	label
	most int64
}

// MaxDetached is how many calls of a [Detach] may be left behind before it rejects further ones.
// The default is 64. Calls that run already may still be left behind: bound those by a [Bulkhead].
func MaxDetached(n int) Option {
	set := func(d *detachConfig) { d.most = int64(n) }
	return option("MaxDetached", n, n >= 1, "be at least 1", set)
}

func detached[T any](
	ctx context.Context, call func(context.Context) (T, error), discard func(T),
	behind *atomic.Int64,
) (T, error) {
	var apart atomic.Bool // the caller has left, or the call is over, whichever came first
	r := newRace(func(ctx context.Context) (T, error) {
		defer func() {
			if !apart.CompareAndSwap(false, true) {
				behind.Add(-1)
			}
		}()
		return call(ctx)
	}, discard)
	defer r.end()
	go r.make(ctx, true, 0)
	select {
	case o := <-r.outcomes:
		return r.hand(o)
	case <-ctx.Done():
	}
	behind.Add(1)
	if !apart.CompareAndSwap(false, true) { // it is over in the same moment
		behind.Add(-1)
		return r.hand(<-r.outcomes)
	}
	var zero T
	return zero, retry.Ended(ctx)
}

// hand is what the caller gets of o.
func (r *race[T]) hand(o outcome[T]) (T, error) {
	o.raise()
	r.winner = &o
	return o.value, o.err
}
