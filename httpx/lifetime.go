package httpx

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/policies"
)

// lifetime is the context of one request on the wire. It has the values of the attempt's context.
// Until the headers are there it ends with the attempt's; from then on only with the caller's,
// until the body is closed: a policy's timeout ends with the attempt, and the response outlives the
// attempt. (Under Fetch it does not, and is the attempt's to the end.)
type lifetime struct {
	context.Context // ends when cancel is called
	attempt         context.Context
	cancel          context.CancelCauseFunc
	stop            func() bool // no longer follow the attempt, later: the caller
	limit           time.Duration
	timer           *time.Timer
	held            bool
	body            livingBody // here, to be one allocation with the rest
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
	if x.limit == 0 && (x.fetch != nil || ctx.Done() == x.Done()) {
		return ctx, nil // it is the caller's, or under Fetch lasts as long
	}
	l := &lifetime{attempt: ctx, limit: x.limit}
	if ctx.Done() == x.Done() { // nothing ends the attempt but the caller
		l.Context, l.cancel = context.WithCancelCause(ctx)
	} else {
		l.Context, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		l.stop = context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	}
	if l.limit > 0 {
		l.timer = time.AfterFunc(l.limit, func() { l.cancel(&attemptTimeoutError{limit: l.limit}) })
	}
	return l, l
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
	inTime := l.timer == nil || l.timer.Stop()
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

// pace makes the limit one for each read of the body. What the decoder does between them takes as
// long as it takes.
func (l *lifetime) pace() bool {
	if l == nil || l.timer == nil {
		return true
	}
	if !l.timer.Stop() {
		return false
	}
	l.timer = time.AfterFunc(l.limit, func() { l.cancel(&attemptTimeoutError{limit: l.limit, body: true}) })
	l.timer.Stop()
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

// endUnlessHeld ends l if no body keeps it alive.
func (l *lifetime) endUnlessHeld() {
	if l != nil && !l.held {
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
	life *lifetime
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
	b.life.end()
	return err
}

// switchedBody is that of a 101: the connection itself, to be written to as well.
type switchedBody struct {
	*livingBody
	io.Writer
}

func (l *lifetime) hold(resp *http.Response) {
	l.held = true
	b := &l.body
	b.ReadCloser, b.life = resp.Body, l
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &switchedBody{b, w}
		return
	}
	resp.Body = b
}
