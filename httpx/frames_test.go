package httpx_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// HTTP/2 by hand (RFC 9113), for what a well-behaved server does not send when it is told to.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7

	endStream, endHeaders, ack = 1, 4, 1

	noError, protocolError, internalError, refusedStream, cancelled, enhanceYourCalm = 0, 1, 2, 7,
		8, 11
)

func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := make([]byte, 9, 9+len(payload))
	b[0], b[1], b[2] = byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload))
	b[3], b[4] = kind, flags
	binary.BigEndian.PutUint32(b[5:], stream)
	return append(b, payload...)
}

func u32(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// What a script may do to a stream. Its 200 is entry 8 of HPACK's static table.
var (
	ok200 = func(id uint32) [][]byte {
		return [][]byte{frame(frameHeaders, endHeaders|endStream, id, 0x88)}
	}
	hangUp = func(uint32) [][]byte { return [][]byte{nil} }
	cut    = func(id uint32) [][]byte {
		return [][]byte{frame(frameHeaders, endHeaders, id, 0x88),
			frame(frameData, 0, id, []byte("part")...), frame(frameReset, 0, id,
				u32(internalError)...)}
	}
)

func reset(code uint32) func(uint32) [][]byte {
	return func(id uint32) [][]byte { return [][]byte{frame(frameReset, 0, id, u32(code)...)} }
}

// goAway says that streams up to that many before the present one were seen, and then goes on with
// what follows.
func goAway(before, code uint32, then ...func(uint32) [][]byte) func(uint32) [][]byte {
	return func(id uint32) [][]byte {
		frames := [][]byte{frame(frameGoAway, 0, 0, u32(id-before, code)...)}
		for _, f := range then {
			frames = append(frames, f(id)...)
		}
		return append(frames, nil)
	}
}

// frames serves one connection. Each stream is answered by the next of the script, the last again
// and again, once its request is complete; a nil frame ends the connection.
type frames struct {
	script []func(id uint32) [][]byte

	mu      sync.Mutex
	streams int
}

func (f *frames) next() func(uint32) [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams++
	return f.script[min(f.streams, len(f.script))-1]
}

func (f *frames) serve(c net.Conn) {
	defer c.Close()
	_, err := io.CopyN(io.Discard, c, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
	if err != nil {
		return
	}
	out, written := make(chan []byte, 100), make(chan struct{})
	go func() { // apart, as both sides may write at once
		defer close(written)
		for b := range out {
			if _, err := c.Write(b); err != nil {
				_ = c.Close()
			}
		}
	}()
	defer func() {
		close(out)
		go io.Copy(io.Discard, c) // or both sides would wait for each other to read
		<-written
	}()
	out <- frame(frameSettings, 0, 0)
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		n := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, n); err != nil {
			return
		}
		switch kind, flags, id := head[3], head[4], binary.BigEndian.Uint32(head[5:]); {
		case kind == frameSettings && flags&ack == 0:
			out <- frame(frameSettings, ack, 0)
		case (kind == frameHeaders || kind == frameData) && flags&endStream != 0:
			for _, b := range f.next()(id) {
				if b == nil {
					return
				}
				out <- b
			}
		}
	}
}

// tlsPair is a certificate for example.com and a client's configuration that trusts it.
var tlsPair = sync.OnceValues(func() (server, client *tls.Config) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	server = s.TLS.Clone()
	server.NextProtos = []string{"h2"}
	return server, s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
})

func TestHTTP2Frames(t *testing.T) {
	serverTLS, clientTLS := tlsPair()
	type do = func(uint32) [][]byte
	script := func(steps ...do) []do { return steps }
	for _, c := range []struct {
		name   string
		before int // streams on the same connection
		script []do
		// The attempts made for a GET and a POST, and the streams that these were: net/http repeats
		// some by itself.
		get, gets   int
		post, posts int
		ok          bool // in the end
	}{
		{"no error", 0, script(ok200), 1, 1, 1, 1, true},
		{"one refused stream", 0, script(reset(refusedStream), ok200), 1, 2, 1, 2, true},
		{"refused until net/http gives up", 0,
			append(slicesRepeat(reset(refusedStream), 8), ok200), 2, 9, 2, 9, true},
		{"refused for ever", 0, script(reset(refusedStream)), 3, 24, 3, 24, false},
		// net/http takes it for a refusal.
		{"protocol error", 0, script(reset(protocolError), ok200), 1, 2, 1, 2, true},
		{"cancelled once", 0, script(reset(cancelled), ok200), 2, 2, 1, 1, false},
		{"internal error for ever", 0, script(reset(internalError)), 3, 3, 1, 1, false},
		{"calm down", 0, script(reset(enhanceYourCalm), ok200), 2, 2, 1, 1, false},
		{"cut under way", 0, script(cut, ok200), 2, 2, 1, 1, false},
		{"connection lost", 0, script(hangUp, ok200), 2, 2, 1, 1, false},
		{"not seen before leaving", 0, script(goAway(1, noError), ok200), 1, 2, 1, 2, true},
		{"not seen, later stream", 1,
			script(ok200, goAway(1, enhanceYourCalm), ok200), 1, 2, 1, 2, true},
		// See http2StreamError in verdict.go.
		{"not seen, and an error for the first", 0,
			script(goAway(1, enhanceYourCalm), ok200), 2, 2, 1, 1, false},
		{"seen before leaving", 0, script(goAway(0, noError), ok200), 2, 2, 1, 1, false},
		{"seen, and answered", 0, script(goAway(0, noError, ok200), ok200), 1, 1, 1, 1, true},
	} {
		for _, method := range []string{"GET", "POST"} {
			synctest.Test(t, func(t *testing.T) {
				net, server := newNetwork(), &frames{script: c.script}
				go func() {
					for {
						conn, err := net.Accept()
						if err != nil {
							return
						}
						go server.serve(tls.Server(conn, serverTLS))
					}
				}()
				tr := &http.Transport{DialContext: net.dial, TLSClientConfig: clientTLS,
					ForceAttemptHTTP2: true}
				var attempts int
				count := httpx.EachAttempt(func(n int, _ *http.Request) error {
					attempts = n
					return nil
				})
				client := httpx.New(httpx.WithClient(&http.Client{Transport: tr}),
					httpx.WithPolicy(policies.Constant(0)), httpx.AttemptLimit(0), count)
				ask := func(body io.Reader) (string, error) {
					req, _ := http.NewRequestWithContext(t.Context(), method,
						"https://example.com/", body)
					return httpx.FetchRequest(client, req, httpx.Text)
				}
				body := func() io.Reader {
					if method == "GET" {
						return nil
					}
					return bytes.NewReader(make([]byte, 100))
				}
				for range c.before {
					if _, err := ask(body()); err != nil {
						t.Fatal(err)
					}
				}
				_, err := ask(body())
				want, streams, ok := c.get, c.gets, c.ok || c.get == 2
				if method == "POST" {
					want, streams, ok = c.post, c.posts, c.ok
				}
				if attempts != want || server.streams != c.before+streams || (err == nil) != ok {
					t.Errorf("%s, %s: %v after %d attempts and %d streams, want %d and %d", c.name,
						method, err, attempts, server.streams-c.before, want, streams)
				}
				if want == 3 && !errors.Is(err, retry.ErrExhausted) {
					t.Errorf("%s, %s: %v", c.name, method, err)
				}
				synctest.Wait()
				tr.CloseIdleConnections()
				synctest.Wait()
				if made, closed := net.dialled.Load(), net.closed.Load(); made != closed {
					t.Errorf("%s, %s: %d of %d connections closed", c.name, method, closed, made)
				}
				_ = net.Close()
			})
		}
	}
}

func slicesRepeat[T any](v T, n int) (s []T) {
	for range n {
		s = append(s, v)
	}
	return s
}
