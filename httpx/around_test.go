package httpx_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// The pages that a pacer tells apart: by URL, the same in all attempts, and none for what a URL
// alone does not name.
func TestAPolicyKnowsWhichPageIsAskedFor(t *testing.T) {
	pages := map[string][]uint64{}
	name := ""
	look := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		pages[name] = append(pages[name], retry.PageOf(ctx))
		return next.Do(ctx)
	})
	client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		return answer(r, 503, http.NoBody), nil
	}),
		httpx.WithPolicy(retry.Chain(policies.Constant(0), look)))
	for _, url := range []string{"http://h/a", "http://h/b", "http://h/a?x", "http://g/a"} {
		name = url
		resp, err := client.Get(t.Context(), url)
		read(t, resp, err)
	}
	name = "POST"
	resp, err := client.Post(t.Context(), "http://h/a", strings.NewReader("x"),
		httpx.RetryNonIdempotent(true))
	read(t, resp, err)
	seen := map[uint64]string{}
	for url, keys := range pages {
		if len(keys) != 3 || keys[0] != keys[1] || keys[0] != keys[2] ||
			(keys[0] == 0) != (url == "POST") || seen[keys[0]] != "" {
			t.Errorf("%s: %v, as %q", url, keys, seen[keys[0]])
		}
		seen[keys[0]] = url
	}
}

type hearer struct {
	context.Context
	heard *[]time.Duration
	start time.Time
}

func (h hearer) Answered() {
	*h.heard = append(*h.heard, time.Since(h.start))
	retry.Answered(h.Context)
}
func (h hearer) Value(key any) any {
	if key == (retry.AnswerKey{}) {
		return h
	}
	return h.Context.Value(key)
}

// Under Fetch a policy hears that the headers are there, before the body is read.
func TestAPolicyHearsWhenTheAnswerBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard []time.Duration
		listen := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			return next.Do(hearer{ctx, &heard, time.Now()})
		})
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return answer(r, 200, io.NopCloser(strings.NewReader("x"))), nil
		}), httpx.WithPolicy(listen))
		_, err := httpx.Fetch(t.Context(), client, "http://h/",
			func(r *http.Response) (string, error) {
				time.Sleep(time.Minute)
				return httpx.Text(r)
			})
		if err != nil || !slices.Equal(heard, []time.Duration{time.Second}) {
			t.Errorf("%v, %v", heard, err)
		}
	})
}

// A hedge around the call, and a loop around it, count on: each goes to the next replica.
func TestHedgesAndLoopsAroundACallCountAlternatesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		rt := roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			log = append(log, r.URL.Host)
			mu.Unlock()
			if r.URL.Host == "c" {
				return answer(r, 200, http.NoBody), nil
			}
			select {
			case <-time.After(time.Hour):
			case <-r.Context().Done():
			}
			return nil, context.Cause(r.Context())
		})
		client := over(rt, httpx.WithPolicy(retry.Chain()), httpx.AttemptLimit(0))
		get := func(ctx context.Context) (*http.Response, error) {
			return client.Get(ctx, "http://a/",
				httpx.Alternates("http://a/", "http://b/", "http://c/"))
		}
		drop := func(r *http.Response) {
			if r != nil {
				_ = r.Body.Close()
			}
		}
		resp, err := policies.Hedge(get, time.Second, 3, drop)(t.Context())
		if read(t, resp, err); !slices.Equal(log, []string{"a", "b", "c"}) {
			t.Errorf("hedged: %q", log)
		}
		log = nil
		resp, err = retry.Do(t.Context(),
			retry.Chain(policies.Constant(0), policies.Timeout(time.Second)), get)
		if read(t, resp, err); !slices.Equal(log, []string{"a", "b", "c"}) {
			t.Errorf("in a loop: %q", log)
		}
	})
}
