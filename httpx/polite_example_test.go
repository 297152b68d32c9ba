package httpx_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/reprise-go/reprise/httpx"
)

func ExamplePolite() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			fmt.Fprintln(w, "User-agent: *\nDisallow: /private/\nAllow: /private/terms")
			return
		}
		fmt.Fprintf(w, "%s for %s", r.URL.Path, r.UserAgent())
	}))
	defer server.Close()

	c := httpx.New(httpx.Polite("examplebot/1.0 (+https://example.com/bot)"))
	for _, path := range []string{"/", "/private/accounts", "/private/terms"} {
		page, err := httpx.Fetch(context.Background(), c, server.URL+path, httpx.Text)
		var refused *httpx.RobotsError
		if errors.As(err, &refused) {
			fmt.Println(path, "is not fetched:", refused.Rule)
			continue
		}
		fmt.Println(page, err)
	}
	// Output:
	// / for examplebot/1.0 (+https://example.com/bot) <nil>
	// /private/accounts is not fetched: Disallow: /private/
	// /private/terms for examplebot/1.0 (+https://example.com/bot) <nil>
}
