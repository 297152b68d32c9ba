package httpx_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// faulty is a server by hand on the real loopback. It reads each request, if it is to, and hands
// the connection to the next of its faults.
type faulty struct {
	net.Listener
	hits atomic.Int32
	wg   sync.WaitGroup
}

type fault struct {
	unread bool // the request is not even read
	do     func(c *net.TCPConn)
}

func newFaulty(t *testing.T, next func(n int) fault) *faulty {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Listener: l}
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(c.(*net.TCPConn), next) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); f.wg.Wait() })
	return f
}

func (f *faulty) serve(c *net.TCPConn, next func(n int) fault) {
	defer c.Close()
	br := bufio.NewReader(c)
	if _, err := br.Peek(1); err != nil {
		return
	}
	now := next(int(f.hits.Add(1)))
	if !now.unread {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
	}
	now.do(c)
}

// dialler counts the connections of a client, and those that it has closed.
type dialler struct{ made, closed atomic.Int32 }

func (d *dialler) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.made.Add(1)
	return &countedConn{Conn: conn, n: &d.closed}, nil
}

// settled waits until each connection is closed and no goroutine of a client's is left.
func (d *dialler) settled(t *testing.T, tr *http.Transport) {
	t.Helper()
	tr.CloseIdleConnections()
	stacks := ""
	end := time.Now().Add(30 * time.Second)
	for ; time.Now().Before(end); time.Sleep(time.Millisecond) {
		buf := make([]byte, 4<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		if d.closed.Load() == d.made.Load() && !strings.Contains(stacks, "persistConn") &&
			!strings.Contains(stacks, "heldBody") {
			return
		}
	}
	t.Errorf("%d of %d connections closed, and these goroutines are left:\n%s", d.closed.Load(),
		d.made.Load(), stacks)
}

func write(s string) func(*net.TCPConn) {
	return func(c *net.TCPConn) { _, _ = io.WriteString(c, s) }
}

// resets ends the connection by a reset, after s has arrived.
func resets(s string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, s)
		if s != "" {
			time.Sleep(5 * time.Millisecond) // a reset overtakes what is not read yet
		}
		_ = c.SetLinger(0)
	}
}

// halfCloses says that nothing more comes, and goes on to read.
func halfCloses(s string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, s)
		_ = c.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, c)
	}
}

func TestFaultsOnTheWire(t *testing.T) {
	log.SetOutput(io.Discard) // net/http tells of unsolicited bytes
	defer log.SetOutput(os.Stderr)
	const (
		fixed   = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		ok      = fixed + "whole"
	)
	for _, c := range []struct {
		name string
		fault
		posts int // attempts of a POST; a GET has all three
		value string
	}{
		{"closed before a byte", fault{do: write("")}, 1, ""},
		{"closed, request unread", fault{unread: true, do: write("")}, 1, ""},
		{"reset before a byte", fault{do: resets("")}, 1, ""},
		{"reset, request unread", fault{unread: true, do: resets("")}, 1, ""},
		{"half closed before a byte", fault{do: halfCloses("")}, 1, ""},
		{"cut in the status line", fault{do: write("HTTP/1.1 20")}, 1, ""},
		{"cut in the headers", fault{do: write("HTTP/1.1 200 OK\r\nContent-")}, 1, ""},
		{"half closed in the headers", fault{do: halfCloses("HTTP/1.1 200 OK\r\nContent-")}, 1, ""},
		{"reset in the headers", fault{do: resets("HTTP/1.1 200 OK\r\nContent-")}, 1, ""},
		{"no HTTP", fault{do: write("220 mail.example ESMTP\r\n")}, 1, ""},
		{"two lengths", fault{do: write("HTTP/1.1 200 OK\r\n" +
			"Content-Length: 5\r\nContent-Length: 6\r\n\r\nwhole!")}, 1, ""},
		{"length too long", fault{do: write(fixed + "who")}, 1, ""},
		{"length too long, half closed", fault{do: halfCloses(fixed + "who")}, 1, ""},
		{"length too long, reset", fault{do: resets(fixed + "who")}, 1, ""},
		{"no body", fault{do: write(fixed)}, 1, ""},
		{"cut in a chunk", fault{do: write(chunked + "5\r\nwho")}, 1, ""},
		{"cut between chunks", fault{do: write(chunked + "3\r\nwho\r\n")}, 1, ""},
		{"cut before the last line", fault{do: write(chunked + "5\r\nwhole\r\n0\r\n")}, 1, ""},
		{"reset between chunks", fault{do: resets(chunked + "3\r\nwho\r\n")}, 1, ""},
		{"bad chunk", fault{do: write(chunked + "five\r\nwhole\r\n0\r\n\r\n")}, 1, ""},
		{"chunk longer than it says", fault{do: write(chunked + "3\r\nwhole\r\n0\r\n\r\n")}, 1, ""},
		// Nobody can tell.
		{"length too short", fault{do: write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nwhole")},
			1, "who"},
		{"body until the end", fault{do: write("HTTP/1.1 200 OK\r\n\r\nwhole")}, 1, "whole"},
		{"slow", fault{do: func(c *net.TCPConn) {
			for _, b := range ok {
				time.Sleep(100 * time.Microsecond)
				_, _ = io.WriteString(c, string(b))
			}
		}}, 1, "whole"},
		{"an early hint, then nothing",
			fault{do: write("HTTP/1.1 103 Early Hints\r\n\r\n")}, 1, ""},
	} {
		var d dialler
		tr := &http.Transport{DialContext: d.dial}
		client := httpx.New(httpx.WithClient(&http.Client{Transport: tr}),
			httpx.WithPolicy(policies.Constant(0)))
		always := newFaulty(t, func(int) fault { return c.fault })
		once := newFaulty(t, func(n int) fault {
			if n == 1 {
				return c.fault
			}
			return fault{do: write(ok)}
		})
		ask := func(f *faulty, method string) (string, int, error) {
			f.hits.Store(0)
			req, _ := http.NewRequestWithContext(t.Context(), method, "http://"+f.Addr().String(),
				strings.NewReader("body"))
			v, err := httpx.FetchRequest(client, req, httpx.Text)
			tr.CloseIdleConnections() // so that net/http has no reason to repeat a request itself
			return v, int(f.hits.Load()), err
		}
		if c.value != "" {
			for _, method := range []string{"GET", "POST"} {
				if v, n, err := ask(always, method); v != c.value || n != 1 || err != nil {
					t.Errorf("%s, %s: %q after %d, %v", c.name, method, v, n, err)
				}
			}
			d.settled(t, tr)
			continue
		}
		_, n, err := ask(always, "PUT")
		var gaveUp *retry.Error
		if n != 3 || !errors.Is(err, retry.ErrExhausted) || !errors.As(err, &gaveUp) ||
			gaveUp.Attempts != 3 {
			t.Errorf("%s for ever, PUT: %v after %d", c.name, err, n)
		}
		if _, n, err := ask(always, "POST"); n != c.posts || err == nil ||
			errors.Is(err, retry.ErrExhausted) {
			t.Errorf("%s for ever, POST: %v after %d", c.name, err, n)
		}
		if v, n, err := ask(once, "PUT"); v != "whole" || n != 2 || err != nil {
			t.Errorf("%s once, PUT: %q after %d, %v", c.name, v, n, err)
		}
		// Without Fetch the caller reads the body, and sees how it ends.
		always.hits.Store(0)
		resp, err := client.Get(t.Context(), "http://"+always.Addr().String())
		if err == nil {
			if _, err = io.ReadAll(resp.Body); always.hits.Load() != 1 {
				t.Errorf("%s, read later: %d requests", c.name, always.hits.Load())
			}
			_ = resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s, read later: nobody noticed", c.name)
		}
		d.settled(t, tr)
	}
}

// One of a hundred answers is lost, in one of many ways. Every call ends with its value, or, where
// it may not be repeated, with an error that says what is wrong.
func TestOnePercentIsLost(t *testing.T) {
	body := strings.Repeat("0123456789", 1000)
	s := newServer(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"v"`)
		hijacked := func() *net.TCPConn {
			c, _, _ := w.(http.Hijacker).Hijack()
			return c.(*net.TCPConn)
		}
		switch rand.IntN(800) {
		case 0:
			c := hijacked()
			_ = c.SetLinger(0)
			_ = c.Close()
		case 1:
			c := hijacked()
			_ = c.CloseWrite()
			_ = c.Close()
		case 2:
			w.Header().Set("Content-Length", "10000")
			_, _ = io.WriteString(w, body[:3])
		case 3:
			_, _ = io.WriteString(w, body[:5000])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case 4:
			c := hijacked()
			resets("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + body[:100])(c)
			_ = c.Close()
		case 5:
			w.WriteHeader(503)
			_, _ = io.WriteString(w, body)
		case 6:
			w.WriteHeader(429)
		case 7:
			c := hijacked()
			_, _ = io.WriteString(c,
				"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n"+body[:5000])
			_ = c.Close()
		default:
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
		}
	})
	var d dialler
	tr := &http.Transport{MaxIdleConnsPerHost: 100, DialContext: d.dial}
	c := httpx.New(httpx.WithClient(&http.Client{Transport: tr}),
		httpx.WithPolicy(policies.Constant(0, policies.Attempts(8))))
	for _, way := range []struct {
		name     string
		repeated bool // or an error is a possible outcome
		do       func() (string, error)
	}{
		{"Fetch", true, func() (string, error) {
			return httpx.Fetch(t.Context(), c, s.URL, httpx.Text)
		}},
		{"Resume", true, func() (string, error) {
			return httpx.Fetch(t.Context(), c, s.URL, httpx.Text, httpx.Resume())
		}},
		{"PUT", false, func() (string, error) {
			return whole(c.Put(t.Context(), s.URL, strings.NewReader(body)))
		}},
		{"POST", false, func() (string, error) {
			return whole(c.Post(t.Context(), s.URL, strings.NewReader(body)))
		}},
		{"POST with a key", false, func() (string, error) {
			return whole(c.Post(t.Context(), s.URL, strings.NewReader(body),
				httpx.AutoIdempotencyKey()))
		}},
	} {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				for range 3 {
					v, err := way.do()
					if err == nil && v != body && len(v) > 0 ||
						err != nil && (way.repeated || errors.Is(err, context.Canceled)) ||
						way.repeated && v != body {
						t.Errorf("%s: %d bytes, %v", way.name, len(v), err)
					}
				}
			})
		}
		wg.Wait()
		d.settled(t, tr)
	}
}

func whole(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
