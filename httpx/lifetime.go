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
// Until the headers are there it ends with the attempt's; from then on only with the caller's,
// until the body is closed: a policy's timeout ends with the attempt, and the response outlives the
// attempt. (Under Fetch it does not, and is the attempt's to the end.)
//
// Attempts that have the same context, and nothing but the caller to end them, share one: most of
// what a limit costs is the context and the timer.
type lifetime struct {
	context.Context // ends when cancel is called
	attempt         context.Context
	cancel          context.CancelCauseFunc
	stop            func() bool // no longer follow the attempt, later: the caller
	limit           time.Duration
	timer           *time.Timer
	reads           bool        // the timer is for reads of the body; written while it is stopped
	ahead           *heldBody   // the timer is for reading this ahead; written while it is stopped
	over            bool        // the timer was stopped when the headers were there, or the limit has passed
	inTime          bool        // it had not passed, and the timer has not run since
	left            atomic.Bool // the attempt is over: closing body ends it
	body            *livingBody // of the present attempt
	first           livingBody  // here, to be one allocation with the rest
}

// Deadline is the attempt's, for hooks and dialers that ask.
func (l *lifetime) Deadline() (time.Time, bool) { return l.attempt.Deadline() }

// Err tells a deadline from a cancellation: net/http's HTTP/2 reports this and not the cause.
func (l *lifetime) Err() error {
	err := l.Context.Err()
	if err != nil && errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// begin gives the attempt in ctx a lifetime if it needs one; else it is nil, and has no effect.
func (x *exchange) begin(ctx context.Context) (context.Context, *lifetime) {
	limit := x.limit
	if end, ok := ctx.Deadline(); ok && limit > 0 && time.Until(end) <= limit {
		limit = 0 // the attempt is over before
	}
	if limit == 0 && (x.fetch != nil || ctx.Done() == x.Done()) {
		return ctx, nil // it is the caller's, or under Fetch lasts as long
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

// same tells whether a and b are one context. Not all contexts can be compared.
func same(a, b context.Context) bool { return reflect.TypeOf(a).Kind() == reflect.Pointer && a == b }

func (l *lifetime) expire() {
	if l.ahead != nil {
		l.ahead.over <- false
		return
	}
	l.cancel(&attemptTimeoutError{limit: l.limit, body: l.reads})
}

// again begins the next attempt. The body of the one before is closed.
func (l *lifetime) again() {
	l.over, l.body, l.ahead = false, nil, nil
	l.left.Store(false)
	l.timer.Reset(l.limit)
}

// stopTimer tells whether the limit had not passed.
func (l *lifetime) stopTimer() bool {
	if !l.over {
		l.over, l.inTime = true, l.timer == nil || l.timer.Stop()
	}
	return l.inTime
}

// answered is told that the headers of resp are there. It is false if the attempt ended first. From
// now on the body of resp keeps l alive; under Fetch the attempt goes on until the body is decoded.
func (l *lifetime) answered(x *exchange, resp *http.Response) bool {
	if x.fetch != nil {
		inTime := l.pace()
		x.fetch.watch(resp, l)
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
	if resp.Body != http.NoBody { // else there is nothing to close, and nobody may close it
		l.hold(resp)
	}
	return true
}

// await waits until h is read ahead, and tells whether that took no longer than prefetchTime. The
// timer of the headers, which are there, serves for this too.
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
	l.inTime = l.timer.Stop() // if not it may still look at l
	return inTime
}

// pace makes the limit one for each read of the body. What the decoder does between them takes as
// long as it takes.
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

// reading begins to count the time of one read, done ends it.
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

// settle is the end of the attempt of l. An open body goes on with it; else the next attempt may.
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

// attemptTimeoutError is the default client's limit for one attempt, and matches
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
		b.life.stop() // for those who never close
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

// switchedBody is that of a 101: the connection itself, to be written to as well.
type switchedBody struct {
	*livingBody
	io.Writer
}

func (l *lifetime) hold(resp *http.Response) {
	b := &l.first
	if b.life != nil { // an attempt's before
		b = &livingBody{}
	}
	b.ReadCloser, b.life, l.body = resp.Body, l, b
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &switchedBody{b, w}
		return
	}
	resp.Body = b
}
