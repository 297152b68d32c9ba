package httpx_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// Two requests an hour for each client; the third is told when to come back.
func ExampleGuard() {
	each := policies.Keyed(httpx.ClientKey, func(string) retry.Policy {
		return ratelimit.New(rate.Every(30*time.Minute), 2, ratelimit.MaxWait(0))
	})
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})
	server := httptest.NewServer(httpx.Guard(each)(hello))
	defer server.Close()

	for range 3 {
		resp, err := http.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		fmt.Printf("%d %s %q\n", resp.StatusCode, resp.Header.Get("RateLimit"),
			resp.Header.Get("Retry-After"))
	}
	// Output:
	// 200 "default";r=1;t=1800 ""
	// 200 "default";r=0;t=1800 ""
	// 429 "default";r=0;t=1800 "1800"
}

// What a service tells the services behind it, and what those believe.
func ExamplePropagate() {
	internal := func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer ours" }
	behind := httptest.NewServer(httpx.Guard(policies.NewAdaptive(), httpx.GuardTrust(internal))(
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, bounded := r.Context().Deadline()
			fmt.Fprintln(w, retry.PriorityOf(r.Context()), bounded)
		})))
	defer behind.Close()

	c := httpx.New(httpx.Propagate("127.0.0.1", "*.internal"),
		httpx.Header("Authorization", "Bearer ours"))
	front := httptest.NewServer(
		http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, err := httpx.Fetch(retry.WithPriority(r.Context(), retry.Critical), c, behind.URL,
				httpx.Text)
			_, _ = fmt.Fprint(w, text, err)
		}), 5*time.Second, "too late"))
	defer front.Close()

	text, err := httpx.Fetch(context.Background(), httpx.New(), front.URL, httpx.Text)
	fmt.Println(text, err)
	// Output:
	// 100 true
	// <nil> <nil>
}
