package httpx_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"

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
	for r := range httpx.FetchAll(context.Background(), httpx.New(), slices.Values(urls),
		httpx.Text) {
		fmt.Println(r.Value, r.Err)
	}
	// Unordered output:
	// /a <nil>
	// /b <nil>
}
