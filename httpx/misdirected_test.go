package httpx_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

// 421: once more, and on another connection; the first is still good for others.
func TestAMisdirectedRequestGoesOverAnotherConnection(t *testing.T) {
	for _, c := range []struct {
		name     string
		tls, two bool
	}{{"HTTP/1.1", false, false}, {"TLS", true, false}, {"HTTP/2", true, true}} {
		for _, method := range []string{"GET", "POST"} {
			var mu sync.Mutex
			var from []string
			codes := []int{200, 421, 200, 200, 421, 421}
			s := httptest.NewUnstartedServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					defer mu.Unlock()
					from = append(from, r.RemoteAddr)
					w.WriteHeader(codes[len(from)-1])
					_, _ = w.Write(append(body, "!"...))
				}))
			s.EnableHTTP2 = c.two
			if c.tls {
				s.StartTLS()
			} else {
				s.Start()
			}
			hc := s.Client()
			client := httpx.New(httpx.WithClient(hc), httpx.WithPolicy(policies.Constant(0)))
			for _, want := range []int{200, 200, 200, 421} {
				req, _ := http.NewRequestWithContext(t.Context(), method, s.URL,
					strings.NewReader("body"))
				resp, err := client.Do(req)
				code, body := read(t, resp, err)
				if code != want || body != "body!" || c.two != (resp.ProtoMajor == 2) {
					t.Errorf("%s %s: %d %q over %s, want %d", c.name, method, code, body,
						resp.Proto, want)
				}
			}
			mu.Lock()
			home, other, last := from[0], from[2], from[5]
			if want := []string{home, home, other, home, home, last}; !slices.Equal(from, want) ||
				other == home || last == home {
				t.Errorf("%s %s: from %v", c.name, method, from)
			}
			mu.Unlock()
			s.Close()
		}
	}
}
