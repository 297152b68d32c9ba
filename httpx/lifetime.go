package httpx

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/policies"
)

// lifetime is the context of one request on the wire. It has the values of the attempt's context. Until the headers are
// there it ends with the attempt's; from then on only with the caller's, until the body is closed: a policy's timeout ends
// with the attempt, and the response outlives the attempt. (Under Fetch it does not, and is the attempt's to the end.)
type lifetime struct {
	context.Context // ends when cancel is called
	attempt         context.Context
	cancel          context.CancelCauseFunc
	stop            func() bool // no longer follow the attempt, later: the caller
	timer           *time.Timer
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

// begin makes the context for a request. caller is the context of the whole exchange, attempt one below it.
func begin(caller, attempt context.Context, limit time.Duration) *lifetime {
	l := &lifetime{attempt: attempt}
	if attempt.Done() == caller.Done() { // nothing ends the attempt but the caller
		l.Context, l.cancel = context.WithCancelCause(attempt)
	} else {
		l.Context, l.cancel = context.WithCancelCause(context.WithoutCancel(attempt))
		l.stop = context.AfterFunc(attempt, func() { l.cancel(context.Cause(attempt)) })
	}
	if limit > 0 {
		l.timer = time.AfterFunc(limit, func() { l.cancel(&attemptTimeoutError{limit: limit}) })
	}
	return l
}

// answered lets go of the attempt: the headers are there. It is false if the attempt ended first.
func (l *lifetime) answered(caller context.Context) bool {
	inTime := l.timer == nil || l.timer.Stop()
	if l.stop != nil {
		inTime = l.stop() && inTime
		l.stop = context.AfterFunc(caller, func() { l.cancel(context.Cause(caller)) })
	}
	return inTime
}

// pace is answered under Fetch, where the attempt lasts until it is decoded: the limit is now for each read of the body. What
// the decoder does between them takes as long as it takes.
func (l *lifetime) pace(resp *http.Response, limit time.Duration) bool {
	if !l.timer.Stop() {
		return false
	}
	l.timer = time.AfterFunc(limit, func() { l.cancel(&attemptTimeoutError{limit: limit, body: true}) })
	l.timer.Stop()
	if resp.Body != http.NoBody && resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body = &pacedBody{resp.Body, l.timer, limit}
	}
	return true
}

type pacedBody struct {
	io.ReadCloser
	timer *time.Timer
	limit time.Duration
}

func (b *pacedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	defer b.timer.Stop()
	return b.ReadCloser.Read(p)
}

func (l *lifetime) end() {
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.stop != nil {
		l.stop()
	}
	l.cancel(context.Canceled)
}

// attemptTimeoutError is the default client's limit for one attempt, and matches policies.ErrTimeout.
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
	b := &l.body
	b.ReadCloser, b.life = resp.Body, l
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = &switchedBody{b, w}
		return
	}
	resp.Body = b
}
