package httpx

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/policies"
)

// lifetime is the context of one request on the wire. It has the values of the attempt's context.
// Until the headers are there it ends with the attempt's context; after that it ends with the
// caller's or when the body is closed, because the response outlives the attempt and a policy's
// timeout does not apply to it any more. (Under Fetch the attempt lasts until the body is decoded,
// and so its context counts to the end.)
//
// Attempts with the same context share one lifetime if only the caller can end them: most of the
// cost of a limit is the context and the timer.
type lifetime struct {
	context.Context // ends when cancel is called
	attempt         context.Context
	cancel          context.CancelCauseFunc
	stop            func() bool // stops following the attempt's context, later the caller's
	limit           time.Duration
	timer           *time.Timer
	reads           bool        // the timer is for reads of the body; written while it is stopped
	ahead           *heldBody   // the timer is for reading this; written while it is stopped
	over            bool        // the timer was stopped at the headers, or it had fired before
	inTime          bool        // it had not fired, and has not run since
	left            atomic.Bool // the attempt is over: closing body ends the lifetime
	body            *livingBody // of the present attempt
	first           livingBody  // here to save an allocation
}

// Deadline is the attempt's: hooks and dialers may ask for it.
func (l *lifetime) Deadline() (time.Time, bool) { return l.attempt.Deadline() }

// Err tells a deadline from a cancellation, because net/http's HTTP/2 reports Err and not the
// cause.
func (l *lifetime) Err() error {
	err := l.Context.Err()
	if err != nil && errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// begin gives the attempt in ctx a lifetime if it needs one. A nil *lifetime has no effect.
func (x *exchange) begin(ctx context.Context) (context.Context, *lifetime) {
	limit := x.limit
	if end, ok := ctx.Deadline(); ok && limit > 0 && time.Until(end) <= limit {
		limit = 0 // the attempt is over before
	}
	if limit == 0 && (x.fetch != nil || ctx.Done() == x.Done()) {
		return ctx, nil // ctx already lasts as long as the response
	}
	if l := x.kept; l != nil {
		x.kept = nil
		if same(l.attempt, ctx) && l.Err() == nil {
			l.again()
			return l, l
		}
		l.end()
	}
	l := &x.first
	if l.attempt != nil {
		l = &lifetime{}
	}
	l.attempt, l.limit = ctx, limit
	if ctx.Done() == x.Done() { // nothing ends the attempt but the caller
		l.Context, l.cancel = context.WithCancelCause(ctx)
	} else {
		l.Context, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		l.stop = context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	}
	if l.limit > 0 {
		l.timer = time.AfterFunc(l.limit, l.expire)
	}
	return l, l
}

// same tells whether a and b are one context. Only pointers are compared, because not all contexts
// can be.
func same(a, b context.Context) bool {
	return reflect.TypeOf(a).Kind() == reflect.Pointer && a == b
}

func (l *lifetime) expire() {
	if l.ahead != nil {
		l.ahead.over <- false
		return
	}
	l.cancel(&attemptTimeoutError{limit: l.limit, body: l.reads})
}

// again begins the next attempt, when the body of the one before is closed.
func (l *lifetime) again() {
	l.over, l.body, l.ahead = false, nil, nil
	l.left.Store(false)
	l.timer.Reset(l.limit)
}

// stopTimer stops the timer and tells whether the headers were there in time.
func (l *lifetime) stopTimer() bool {
	if !l.over {
		l.over, l.inTime = true, l.timer == nil || l.timer.Stop()
	}
	return l.inTime
}

// answered is called when the headers of resp are there. It returns false if the attempt had ended
// before. From now on the body of resp keeps l alive; under Fetch the attempt goes on until the
// body is decoded.
func (l *lifetime) answered(ctx context.Context, x *exchange, resp *http.Response) bool {
	if x.fetch != nil {
		inTime := l.pace()
		x.fetch.watch(ctx, resp, l)
		return inTime || l.Err() == nil
	}
	if l == nil {
		return true
	}
	inTime := l.stopTimer()
	if l.stop != nil {
		inTime = l.stop() && inTime
		l.stop = context.AfterFunc(x, func() { l.cancel(context.Cause(x)) })
	}
	if !inTime && l.Err() != nil {
		return false
	}
	if resp.Body != http.NoBody { // http.NoBody need not be closed, so nobody may do it
		l.hold(resp)
	}
	return true
}

// await waits until h is read ahead, at most for prefetchTime, and tells whether it was in time. It
// uses the timer of the headers again, because they are there.
func (l *lifetime) await(h *heldBody) (inTime bool) {
	if l == nil || l.timer == nil || !l.inTime {
		// A select on a timer's channel costs as much again as all of the reading.
		timer := time.AfterFunc(prefetchTime, func() { h.over <- false })
		inTime = <-h.over
		timer.Stop()
		return inTime
	}
	l.ahead = h
	l.timer.Reset(prefetchTime)
	inTime = <-h.over
	l.inTime = l.timer.Stop() // if it fires just now, it may still read l
	return inTime
}

// pace turns the limit into one for each read of the body. What the decoder does between reads is
// not limited.
func (l *lifetime) pace() bool {
	if l == nil || l.timer == nil {
		return true
	}
	if !l.timer.Stop() {
		return false
	}
	l.reads = true
	return true
}

// reading starts the limit of one read; done ends it.
func (l *lifetime) reading() {
	if l != nil && l.timer != nil {
		l.timer.Reset(l.limit)
	}
}

func (l *lifetime) done() {
	if l != nil && l.timer != nil {
		l.timer.Stop()
	}
}

// settle ends the attempt of l. An open body keeps l; otherwise the next attempt may use it again,
// or it ends.
func (x *exchange) settle(l *lifetime) {
	switch {
	case l == nil:
	case l.body != nil && !l.body.closed.Load():
		if l.left.Store(true); l.body.closed.Load() {
			l.end()
		}
	case x.fetch == nil && l.stop == nil && l.stopTimer() && l.Err() == nil:
		x.kept = l
	default:
		l.end()
	}
}

func (l *lifetime) end() {
	l.done()
	if l.stop != nil {
		l.stop()
	}
	l.cancel(context.Canceled)
}

// attemptTimeoutError is the error of an attempt that ran into its limit. It matches
// policies.ErrTimeout.
type attemptTimeoutError struct {
	limit time.Duration
	body  bool
}

func (e *attemptTimeoutError) Error() string {
	if e.body {
		return "no more of the body for " + e.limit.String()
	}
	return "no response headers within " + e.limit.String()
}

func (e *attemptTimeoutError) Timeout() bool { return true }
func (e *attemptTimeoutError) Is(target error) bool {
	return target == policies.ErrTimeout || target == context.DeadlineExceeded
}

// livingBody ends the context of its request when it is closed.
type livingBody struct {
	io.ReadCloser
	life   *lifetime
	closed atomic.Bool
}

func (b *livingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && b.life.stop != nil {
		b.life.stop() // a caller that has read all may not close
	}
	return n, err
}

func (b *livingBody) Close() error {
	err := b.ReadCloser.Close()
	if !b.closed.Swap(true) && (b.life.left.Load() || b.life.stop != nil) {
		b.life.end()
	}
	return err
}

// switchedBody is the body of a 101: the connection itself, which can be written to as well.
type switchedBody struct {
	*livingBody
	io.Writer
}

func (l *lifetime) hold(resp *http.Response) {
	b := &l.first
	if b.life != nil { // an earlier attempt uses it
		b = &livingBody{}
	}
	b.ReadCloser, b.life, l.body = resp.Body, l, b
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &switchedBody{b, w}
		return
	}
	resp.Body = b
}
