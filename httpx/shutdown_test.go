package httpx_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

// turns is a listener that is closed for one server only, so that the next may take over.
type turns struct {
	*network
	over chan struct{}
}

func (l *turns) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *turns) Close() error { close(l.over); return nil }

// A server that is told to leave says so by GOAWAY, and its successor takes over: no request is
// lost, and none is made twice, not even a POST.
func TestARollingRestartLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		var mu sync.Mutex
		acted := map[string]int{}
		serve := func(name string) *http.Server {
			s := &http.Server{Protocols: protocols(true),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					id, _ := io.ReadAll(r.Body)
					time.Sleep(10 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					acted[string(id)]++
					_, _ = io.WriteString(w, name)
				})}
			go s.Serve(&turns{n, make(chan struct{})})
			return s
		}
		servers := []string{"first", "second", "third"}
		answers := map[string]int{}
		tr := &http.Transport{DialContext: n.dial, Protocols: protocols(true)}
		c := httpx.New(httpx.WithClient(&http.Client{Transport: tr}),
			httpx.WithPolicy(policies.Constant(0)))
		var wg sync.WaitGroup
		now := serve(servers[0])
		for i := range 20 {
			wg.Go(func() {
				for j := range 30 {
					id := strings.Repeat("i", i) + ":" + strings.Repeat("j", j)
					by, err := whole(c.Post(t.Context(), inBubble, strings.NewReader(id)))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					answers[by]++
					mu.Unlock()
				}
			})
		}
		for _, name := range servers[1:] {
			time.Sleep(95 * time.Millisecond)
			old := now
			now = serve(name)
			if err := old.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		for id, times := range acted {
			if times != 1 {
				t.Errorf("%s: %d times", id, times)
			}
		}
		if len(acted) != 600 || len(answers) != 3 {
			t.Errorf("%d of 600, by %v", len(acted), answers)
		}
		tr.CloseIdleConnections()
		_ = now.Close()
	})
}
