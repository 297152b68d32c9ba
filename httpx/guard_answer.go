package httpx

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// answer is the ResponseWriter that a guarded handler gets: it learns the status.
type answer struct {
	http.ResponseWriter
	code  atomic.Int32  // the final status; 0: none yet; negative: the connection was taken over
	marks atomic.Uint32 // what else has come of the request
}

const (
	spent = 1 << iota // a loop in the handler has used up its attempts
	keyed             // a policy has asked for the client's key
)

const hijacked = -1

// begun reports whether the handler has answered, or taken over the connection.
func (a *answer) begun() bool { return a.code.Load() != 0 }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader notes the status, and tells the caller if a loop has retried without success.
func (a *answer) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		a.commit(code)
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) commit(code int) {
	old := a.code.Load()
	first := old <= 0 && a.code.CompareAndSwap(old, int32(code))
	if first && code >= 500 && a.marks.Load()&spent != 0 {
		a.Header().Set(retriesField, retriesSpent)
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.commit(http.StatusOK)
	return a.ResponseWriter.Write(b)
}

// WriteString saves io.WriteString a copy.
func (a *answer) WriteString(s string) (int, error) {
	a.commit(http.StatusOK)
	return io.WriteString(a.ResponseWriter, s)
}

// ReadFrom keeps the direct copy from a file to the connection, if the server has one.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	a.commit(http.StatusOK)
	return io.Copy(a.ResponseWriter, r)
}

func (a *answer) flush() error {
	a.commit(http.StatusOK)
	return http.NewResponseController(a.ResponseWriter).Flush()
}

func (a *answer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.code.CompareAndSwap(0, hijacked)
	}
	return conn, buffered, err
}

// shaped returns a with those of http.Flusher, http.Hijacker and http.Pusher that the server's
// ResponseWriter has, because handlers ask by type assertion.
func (a *answer) shaped() http.ResponseWriter {
	_, flusher := a.ResponseWriter.(http.Flusher)
	_, hijacker := a.ResponseWriter.(http.Hijacker)
	_, pusher := a.ResponseWriter.(http.Pusher)
	switch {
	case flusher && hijacker: // HTTP/1
		return flushHijacker{flusherOnly{a}}
	case flusher && pusher: // HTTP/2
		return flushPusher{flusherOnly{a}}
	case flusher:
		return flusherOnly{a}
	case hijacker:
		return hijackerOnly{a}
	}
	return a
}

type flusherOnly struct{ *answer }

func (f flusherOnly) Flush()            { _ = f.flush() }
func (f flusherOnly) FlushError() error { return f.flush() }

type hijackerOnly struct{ *answer }

func (h hijackerOnly) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.hijack() }

type flushHijacker struct{ flusherOnly }

func (h flushHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.hijack() }

type flushPusher struct{ flusherOnly }

func (p flushPusher) Push(target string, o *http.PushOptions) error {
	return p.ResponseWriter.(http.Pusher).Push(target, o)
}
