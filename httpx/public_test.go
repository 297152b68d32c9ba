package httpx_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// nameserver answers each question for an IPv4 address with the next of its lists, the last again
// and again.
type nameserver struct {
	mu      sync.Mutex
	asked   int
	answers [][]string
}

// install makes it the nameserver of the process until the test is over.
func (n *nameserver) install(t *testing.T) {
	old := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = old })
	net.DefaultResolver = &net.Resolver{PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go n.serve(far)
			return near, nil
		}}
}

// serve speaks DNS as over TCP, RFC 1035, section 4.2.2.
func (n *nameserver) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		end := 12
		for q[end] != 0 {
			end += int(q[end]) + 1
		}
		end += 5 // the root's label, type and class
		a := append(q[:2:2], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
		a = append(a, q[12:end]...)
		if q[end-3] == 1 { // an IPv4 address
			for _, text := range n.next() {
				a[7]++
				a = append(a, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				a = append(a, netip.MustParseAddr(text).AsSlice()...)
			}
		}
		_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
		if err != nil {
			return
		}
	}
}

func (n *nameserver) next() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	return n.answers[min(n.asked, len(n.answers))-1]
}

func TestPublicOnlyEndToEnd(t *testing.T) {
	const here, there = "127.0.0.1", "93.184.216.34"
	inside := newServer(t, codes(200))
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	for _, c := range []struct {
		name    string
		names   [][]string
		url     string
		to      string // where the public server redirects to, if anywhere
		first   bool   // the first call passes
		second  bool
		dialled []string
	}{
		{"public", nil, "http://" + there, "", true, true, []string{there + ":80", there + ":80"}},
		{"redirect to a private address", nil, "http://" + there, "http://" + here + ":" + port,
			false, false, []string{there + ":80", there + ":80"}},
		{"redirect to the metadata service", nil, "http://" + there,
			"http://169.254.169.254/latest/", false, false, []string{there + ":80", there + ":80"}},
		{"redirect to a name for one", nil, "http://" + there, "http://localhost:" + port,
			false, false, []string{there + ":80", there + ":80"}},
		{"redirect to an IPv6 disguise", nil, "http://" + there, "http://[::ffff:127.0.0.1]:" +
			port, false, false, []string{there + ":80", there + ":80"}},
		{"private name", [][]string{{"10.0.0.1"}}, "http://rebind.example", "", false, false, nil},
		{"one address of two", [][]string{{there, here}},
			"http://rebind.example", "", false, false, nil},
		{"rebinding between calls", [][]string{{there}, {here}}, "http://rebind.example", "",
			true, false, []string{there + ":80"}},
		{"rebinding back", [][]string{{here}, {there}}, "http://rebind.example", "",
			false, true, []string{there + ":80"}},
	} {
		ns := &nameserver{answers: c.names}
		if c.names != nil {
			ns.install(t)
		}
		n := newNetwork()
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Connection", "close") // each call dials
				if c.to != "" {
					w.Header().Set("Location", c.to)
					w.WriteHeader(302)
				}
			})}
		go server.Serve(n)
		var dialled []string
		tr := &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialled = append(dialled, addr)
				return n.dial(ctx, network, addr)
			}}
		attempts := 0
		client := httpx.New(httpx.WithClient(&http.Client{Transport: tr}),
			httpx.WithPolicy(policies.Constant(0)), httpx.PublicOnly(),
			httpx.EachAttempt(func(int, *http.Request) error { attempts++; return nil }))
		for i, pass := range []bool{c.first, c.second} {
			_, err := httpx.Fetch(t.Context(), client, c.url, httpx.Text)
			if _, refused := retry.Rejected(err); pass != (err == nil) ||
				!pass && (!refused || !errors.Is(err, httpx.ErrPrivateAddress)) {
				t.Errorf("%s, call %d: %v", c.name, i+1, err)
			}
		}
		if want := 2 + 2*len(c.to)/max(1, len(c.to)); attempts != want ||
			!slices.Equal(dialled, c.dialled) || c.names != nil && ns.asked != 2 {
			t.Errorf("%s: dialled %v in %d attempts, %d names asked for", c.name, dialled, attempts,
				ns.asked)
		}
		_ = server.Close()
	}
	// If the standard dialler resolves, the address that it connects to is checked, not the one
	// seen before.
	(&nameserver{answers: [][]string{{here}}}).install(t)
	_, err := quick(t).Get(t.Context(), "http://rebind.example:"+port, httpx.PublicOnly())
	if !errors.Is(err, httpx.ErrPrivateAddress) || strings.Contains(err.Error(), "exhausted") ||
		inside.hits.Load() != 0 {
		t.Errorf("standard dialler: %v, %d requests", err, inside.hits.Load())
	}
}
