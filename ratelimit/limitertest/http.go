package limitertest

import (
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	page    = "a page\n"
	captcha = "<html><title>Are you human?</title><form id=\"captcha\"></form></html>\n"
)

// Handler serves HTTP as the server answers: the status, Retry-After and X-RateLimit fields, after
// the service time. A reset closes the connection with a TCP reset, or aborts the response if that
// is not possible; a cut body ends in the middle. Time begins with the call of Handler.
func (s *Server) Handler() http.Handler {
	began := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := s.Serve(time.Since(began))
		if !wait(r, a.Busy) {
			return
		}
		switch a.Verdict {
		case Reset:
			reset(w)
			return
		case Silence:
			<-r.Context().Done()
			return
		case Cut:
			a.header(w.Header())
			w.Header().Set("Content-Length", strconv.Itoa(len(page)))
			_, _ = io.WriteString(w, page[:len(page)/2])
			http.NewResponseController(w).Flush()
			reset(w)
			return
		}
		a.header(w.Header())
		w.WriteHeader(a.Status)
		_, _ = io.WriteString(w, a.body())
	})
}

// Transport answers requests without any network, as the server does: for a test in a synctest
// bubble, where it takes no time. A reset is an error that Is [syscall.ECONNRESET], a cut body ends
// in [io.ErrUnexpectedEOF]. Time begins with the call of Transport.
func (s *Server) Transport() http.RoundTripper { return &transport{s, time.Now()} }

type transport struct {
	server *Server
	began  time.Time
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	a := t.server.Serve(time.Since(t.began))
	if !wait(r, a.Busy) {
		return nil, r.Context().Err()
	}
	if a.Verdict == Silence {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.Verdict == Reset {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	text := a.body()
	resp := &http.Response{
		Status: strconv.Itoa(a.Status) + " " + http.StatusText(a.Status), StatusCode: a.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, ContentLength: int64(len(text)), Request: r,
		Body: io.NopCloser(strings.NewReader(text)),
	}
	a.header(resp.Header)
	if a.Verdict == Cut {
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(text[:len(text)/2]), cutReader{}))
	}
	return resp, nil
}

type cutReader struct{}

func (cutReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (a Answer) body() string {
	if a.Verdict == Captcha {
		return captcha
	}
	return page
}

func (a Answer) header(h http.Header) {
	seconds := func(d time.Duration) string {
		return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
	}
	if a.RetryAfter > 0 {
		h.Set("Retry-After", seconds(a.RetryAfter))
	}
	if a.Quota != (Quota{}) {
		h.Set("X-RateLimit-Limit", strconv.Itoa(a.Quota.Limit))
		h.Set("X-RateLimit-Remaining", strconv.Itoa(a.Quota.Remaining))
		h.Set("X-RateLimit-Reset", seconds(a.Quota.Reset))
	}
}

// wait reports whether the client was there to the end.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// reset breaks the connection without a goodbye.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2: the stream is reset
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}
