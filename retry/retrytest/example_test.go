package retrytest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrytest"
)

// Catalog is a user's code: a client of a service, with a guard that is given to it.
type Catalog struct {
	guard  retry.Policy
	lookup func(ctx context.Context) (string, error)
}

var errStale = errors.New("catalog: from the cache")

// Title falls back to a cache when the guard refuses the call.
func (c *Catalog) Title(ctx context.Context) (string, error) {
	title, err := retry.Do(ctx, c.guard, c.lookup)
	if errors.Is(err, retry.ErrRejected) {
		return "cached title", errStale
	}
	return title, err
}

// TestCatalog is what a test of such code looks like: no sleeping, exact waits, any state at hand.
func TestCatalog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee := retrytest.NewScript(
			retrytest.Step[string]{Err: errors.New("connection refused"), Times: 2},
			retrytest.Step[string]{Value: "Dune"},
		)
		rec := retrytest.Observe(t)
		loop := policies.Exponential(policies.Initial(time.Second),
			policies.WithJitter(policies.NoJitter))
		catalog := &Catalog{guard: retry.Chain(rec, loop), lookup: callee.Call}
		title, err := catalog.Title(t.Context())
		if title != "Dune" || err != nil {
			t.Errorf("%q, %v", title, err)
		}
		if waits := rec.Waits(); len(waits) != 2 || waits[0] != time.Second ||
			waits[1] != 2*time.Second {
			t.Errorf("waits %v", waits)
		}
	})
}

func TestCatalogWhileTheBreakerIsOpen(t *testing.T) {
	catalog := &Catalog{guard: retrytest.Refuse(breaker.ErrOpen, time.Minute), lookup: nil}
	catalog.lookup = func(context.Context) (string, error) { t.Error("called"); return "", nil }
	if title, err := catalog.Title(t.Context()); title != "cached title" ||
		!errors.Is(err, errStale) {
		t.Errorf("%q, %v", title, err)
	}
}

// roundTrip is an http.RoundTripper in one function: a real listener does not live in a bubble.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHTTPInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		callee := retrytest.NewScript(retrytest.Step[int]{Value: 503},
			retrytest.Step[int]{Value: 200, Took: time.Second})
		client := httpx.New(httpx.WithClient(
			&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				status, err := callee.Call(r.Context())
				if err != nil {
					return nil, err
				}
				header := http.Header{}
				if status == 503 {
					header.Set("Retry-After", "60")
				}
				return &http.Response{StatusCode: status, Header: header,
					Body: io.NopCloser(strings.NewReader("page")), Request: r, ProtoMajor: 1}, nil
			})}))
		start := time.Now()
		resp, err := client.Get(t.Context(), "http://shop.example/")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		defer resp.Body.Close()
		if took := time.Since(start); took < 61*time.Second || callee.Count() != 2 {
			t.Errorf("%d requests in %v: Retry-After was not kept", callee.Count(), took)
		}
	})
}
