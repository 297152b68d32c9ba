package policies

import (
	"context"
	"runtime"
)

// race is one or more calls in goroutines of their own, of which one outcome is received at a time:
// for Hedge and Detach.
type race[T any] struct {
	call    func(context.Context) (T, error)
	discard func(T)

	outcomes chan outcome[T] // has no room, as there may be any number of calls
	over     chan struct{}   // closed when nothing is received any more

	winner *outcome[T] // what the caller is about to get
}

func newRace[T any](call func(context.Context) (T, error), discard func(T)) *race[T] {
	return &race[T]{
		call: call, discard: discard,
		outcomes: make(chan outcome[T]), over: make(chan struct{}),
	}
}

// outcome is how one call ended.
type outcome[T any] struct {
	value    T
	err      error
	first    bool  // of the first call, whenever it arrives
	paid     int64 // to a budget
	panicked bool
	with     any  // the panic's value
	exited   bool // by runtime.Goexit
}

// make is one of the calls, in its own goroutine.
func (r *race[T]) make(ctx context.Context, first bool, paid int64) {
	catch(ctx, r.call, func(o outcome[T]) {
		o.first, o.paid = first, paid
		select {
		case r.outcomes <- o:
		case <-r.over:
			r.lost(o)
		}
	})
}

// catch makes the call and passes its outcome to over, also after a panic or runtime.Goexit, which
// raise repeats in the caller's goroutine.
func catch[T any](
	ctx context.Context, call func(context.Context) (T, error), over func(outcome[T]),
) {
	o := outcome[T]{exited: true}
	defer func() {
		if o.exited { // it did not return
			if with := recover(); with != nil {
				o.exited, o.panicked, o.with = false, true, with
			}
		}
		over(o)
	}()
	o.value, o.err = call(ctx)
	o.exited = false
}

// raise repeats in the caller's goroutine how a call ended its own.
func (o outcome[T]) raise() {
	if o.panicked {
		panic(o.with)
	}
	if o.exited {
		runtime.Goexit()
	}
}

// end closes the race and disposes of outcomes that have arrived and were not received. If one of
// them is a panic or Goexit the caller gets that.
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
	aborted.raise()
}

// lost disposes of an outcome that the caller does not get.
func (r *race[T]) lost(o outcome[T]) {
	if o.panicked {
		panic(o.with)
	}
	if !o.exited && o.err == nil && r.discard != nil {
		r.discard(o.value)
	}
}
