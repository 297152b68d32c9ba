package htmlpage

import "context"

// aside returns what f returns, or when ctx ends its cause. Then f goes on in its goroutine. The
// parser of golang.org/x/net/html takes quadratic time for some pages, such as one of many html
// elements with an attribute each, so a few KB may take seconds.
func aside[T any](ctx context.Context, f func() (T, error)) (T, error) {
	if ctx.Done() == nil {
		return f()
	}
	type outcome struct {
		value    T
		err      error
		panicked any
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			o.panicked = recover()
			done <- o
		}()
		o.value, o.err = f()
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done: // at the same time
		default:
			return o.value, context.Cause(ctx)
		}
	}
	if o.panicked != nil {
		panic(o.panicked)
	}
	return o.value, o.err
}
