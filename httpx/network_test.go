package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

// network is a loopback in memory, for bubbles: time is virtual, a goroutine that is left fails the
// test, and the client's ends of the connections are counted. Every host is the same server.
type network struct {
	dialled atomic.Int32
	closed  atomic.Int32
	accept  chan net.Conn
	once    sync.Once
	gone    chan struct{}
}

func newNetwork() *network {
	return &network{accept: make(chan net.Conn), gone: make(chan struct{})}
}

type pipeAddr string

func (a pipeAddr) Network() string { return "tcp" }
func (a pipeAddr) String() string  { return string(a) }

// pipeConn has an address of its own, so that a server can tell connections apart.
type pipeConn struct {
	net.Conn
	local, remote pipeAddr
	closed        func()
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }
func (c *pipeConn) Close() error         { c.closed(); return c.Conn.Close() }

func (n *network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	near, far := net.Pipe()
	own := pipeAddr(fmt.Sprintf("10.0.0.1:%d", n.dialled.Add(1)))
	client := &pipeConn{near, own, pipeAddr(addr), sync.OnceFunc(func() { n.closed.Add(1) })}
	select {
	case n.accept <- &pipeConn{far, pipeAddr(addr), own, func() {}}:
		return client, nil
	case <-n.gone:
		return nil, &net.OpError{Op: "dial", Err: errors.New("the server is gone")}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.gone:
		return nil, net.ErrClosed
	}
}

func (n *network) Addr() net.Addr { return pipeAddr("10.0.0.2:80") }
func (n *network) Close() error   { n.once.Do(func() { close(n.gone) }); return nil }

// bubble is a server in memory and what is needed to call it. Its client retries at once and three
// times.
type bubble struct {
	*testing.T
	*network
	*httpx.Client
	tr    *http.Transport
	hits  atomic.Int32
	never chan struct{}
}

const inBubble = "http://a.example/"

// foreign is a context that package context does not know from inside: whoever derives one from it
// holds a goroutine until that is released, and the bubble sees it.
type foreign struct {
	context.Context
	done chan struct{}
}

func (f foreign) Done() <-chan struct{} { return f.done }
func (f foreign) Value(any) any         { return nil }
func (f foreign) Err() error            { return nil }

// Context never ends.
func (b *bubble) Context() context.Context { return foreign{b.T.Context(), b.never} }

// spotless runs do in a bubble, once over HTTP/1.1 and once over HTTP/2, and checks that it leaves
// nothing behind: no goroutine, and no connection beside idle ones.
func spotless(t *testing.T,
	serve func(n int, w http.ResponseWriter, r *http.Request), do func(*bubble)) {
	t.Helper()
	for _, two := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[two], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bubble{T: t, network: newNetwork(), never: make(chan struct{})}
				b.tr = &http.Transport{DialContext: b.dial, Protocols: protocols(two)}
				b.Client = httpx.New(httpx.WithClient(&http.Client{Transport: b.tr}),
					httpx.WithPolicy(policies.Constant(0)))
				server := &http.Server{Protocols: protocols(two),
					ErrorLog: log.New(io.Discard, "", 0),
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						serve(int(b.hits.Add(1)), w, r)
					})}
				go server.Serve(b.network)
				do(b)
				b.settled()
				server.Close()
				time.Sleep(time.Hour) // handlers do not notice at once
			})
		})
	}
}

// settled checks that every connection is closed once the idle ones are. The server still stands,
// so that it is the client that has closed them.
func (b *bubble) settled() {
	b.Helper()
	synctest.Wait()
	b.tr.CloseIdleConnections()
	synctest.Wait()
	if made, closed := b.dialled.Load(), b.closed.Load(); made != closed {
		b.Errorf("%d of %d connections closed", closed, made)
	}
}

func protocols(two bool) *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(!two)
	p.SetUnencryptedHTTP2(two)
	return p
}
