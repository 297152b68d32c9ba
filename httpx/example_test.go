package httpx_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

func ExampleClient_Get() {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked < 3 {
			w.WriteHeader(http.StatusNotFound) // not there yet
			return
		}
		_, _ = io.WriteString(w, "here it is")
	}))
	defer server.Close()

	client := httpx.New(httpx.WithPolicy(policies.Constant(0)), httpx.RetryOn(httpx.Status(404)))
	resp, err := client.Get(context.Background(), server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), "after", asked)
	// Output: 200 here it is after 3
}

func ExampleFetch() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name": "Ada"}`)
	}))
	defer server.Close()

	type user struct{ Name string }
	u, err := httpx.Fetch(context.Background(), httpx.New(), server.URL, httpx.JSON[user])
	fmt.Println(u.Name, err)
	// Output: Ada <nil>
}

func ExampleFetchAll() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	defer server.Close()

	urls := []string{server.URL + "/a", server.URL + "/b"}
	for r := range httpx.FetchAll(context.Background(), httpx.New(), slices.Values(urls), httpx.Text) {
		fmt.Println(r.Value, r.Err)
	}
	// Unordered output:
	// /a <nil>
	// /b <nil>
}

// A crawl: what a page links to is fetched too, and it is over when no page is under way that could link to more.
func ExampleFetchAll_crawl() {
	links := map[string][]string{"/": {"/a", "/b"}, "/a": {"/", "/c"}, "/b": {"/c"}, "/c": {"/a"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(links[r.URL.Path])
	}))
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // a break needs a cancel() before it, which ends the iterator

	next := make(chan string)    // to the iterator
	found := make(chan []string) // from the loop, once for each page
	go func() {                  // the frontier: it always listens to the loop, so that neither waits for the other
		defer close(next)
		frontier, seen := []string{"/"}, map[string]bool{"/": true}
		for underWay := 0; len(frontier)+underWay > 0; {
			var out chan string
			var first string
			if len(frontier) > 0 {
				out, first = next, frontier[0]
			}
			select {
			case out <- first:
				frontier = frontier[1:]
				underWay++
			case paths := <-found:
				underWay--
				for _, p := range paths {
					if !seen[p] {
						seen[p] = true
						frontier = append(frontier, p)
					}
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	urls := func(yield func(string) bool) {
		for path := range next {
			if !yield(server.URL + path) {
				return
			}
		}
	}
	for r := range httpx.FetchAll(ctx, httpx.New(), urls, httpx.JSON[[]string]) {
		fmt.Println(strings.TrimPrefix(r.URL, server.URL), r.Err)
		select {
		case found <- r.Value: // nil, where it failed
		case <-ctx.Done():
		}
	}
	// Unordered output:
	// / <nil>
	// /a <nil>
	// /b <nil>
	// /c <nil>
}
