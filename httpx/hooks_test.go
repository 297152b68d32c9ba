package httpx_test

import (
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/httpx"
)

// pair is a body that cannot be compared.
type pair struct {
	parts []string
	*closer
}

// What becomes of a request's body that a hook reads, wraps or replaces: what is sent, and that
// each of them is closed.
func TestAHookMayDoWithTheBodyWhatItLikes(t *testing.T) {
	var made []*closer
	body := func(text string) *closer {
		c := &closer{Reader: strings.NewReader(text)}
		made = append(made, c)
		return c
	}
	type around struct {
		io.Reader
		io.Closer
	}
	for _, c := range []struct {
		name string
		hook func(r *http.Request)
		want string
	}{
		{"nothing", func(*http.Request) {}, "own"},
		{"read", func(r *http.Request) { _, _ = io.ReadAll(r.Body); r.ContentLength = -1 }, ""},
		{"wrapped", func(r *http.Request) {
			r.Body = around{io.MultiReader(r.Body, strings.NewReader("+")), r.Body}
		}, "own+"},
		{"replaced", func(r *http.Request) { r.Body = body("new") }, "new"},
		{"replaced by what cannot be compared",
			func(r *http.Request) { r.Body = pair{nil, body("new")} }, "new"},
		{"left out", func(r *http.Request) { r.Body = nil; r.ContentLength = 0 }, ""},
		{"emptied", func(r *http.Request) { r.Body = http.NoBody; r.ContentLength = 0 }, ""},
		{"replaced, and failed", func(r *http.Request) {
			r.Body = body("new")
			panic(errBang)
		}, "none"},
		{"failed", func(*http.Request) { panic(errBang) }, "none"},
		{"left", func(*http.Request) { runtime.Goexit() }, "none"},
	} {
		for _, again := range []bool{false, true} {
			made = nil
			var sent []string
			client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
				b := ""
				if r.Body != nil {
					all, err := io.ReadAll(r.Body)
					if err != nil || r.Body.Close() != nil {
						t.Error(err)
					}
					b = string(all)
				}
				sent = append(sent, b)
				return answer(r, 503, http.NoBody), nil
			}), httpx.EachAttempt(func(_ int, r *http.Request) error {
				r.ContentLength = -1
				c.hook(r)
				return nil
			}))
			req, _ := http.NewRequestWithContext(t.Context(), "PUT", "http://h/", nil)
			req.Body, req.ContentLength = pair{nil, body("own")}, 3
			if again {
				req.GetBody = func() (io.ReadCloser, error) { return pair{nil, body("own")}, nil }
			}
			done := make(chan bool)
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				_, _ = client.Do(req)
			}()
			<-done
			want := []string{c.want}
			switch {
			case c.want == "none":
				want = nil
			case again, c.name != "nothing" && c.name != "read" && c.name != "wrapped":
				// Of the own one nothing was read.
				want = []string{c.want, c.want, c.want}
			}
			if !slices.Equal(sent, want) {
				t.Errorf("%s, again %v: sent %q", c.name, again, sent)
			}
			for i, b := range made {
				if !b.closed.Load() {
					t.Errorf("%s, again %v: body %d of %d is open", c.name, again, i, len(made))
				}
			}
		}
	}
}
