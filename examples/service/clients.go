package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/retry"
)

// product is a product of the catalog.
type product struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
}

// payment is the answer of the payment service.
type payment struct {
	Reference string `json:"reference"`
}

// catalog and cashier are clients of the two dependencies. Their guards do not depend on the types
// of the results.
type (
	catalog struct {
		client *httpx.Client
		known  *memory
	}
	cashier struct{ client *httpx.Client }
)

// attemptLimit is the HTTP client's own limit for an attempt. A bare service has no other.
const attemptLimit = 2 * time.Second

// newClient makes a client of one dependency. It tells the dependency deadlines, attempts and
// priorities.
func newClient(base string, guard retry.Policy) (*httpx.Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 256
	c := httpx.New(httpx.WithPolicy(guard), httpx.WithClient(&http.Client{Transport: transport}),
		httpx.AttemptLimit(attemptLimit), httpx.Propagate(u.Host))
	return c, c.Validate()
}

func (c catalog) product(ctx context.Context, base, id string) (product, error) {
	p, err := httpx.Fetch(ctx, c.client, base+"/products/"+url.PathEscape(id), httpx.JSON[product])
	switch {
	case c.known == nil: // a bare service keeps no old prices
	case err == nil:
		c.known.keep(p)
	case !retry.IsPermanent(err): // the catalog is down, and an old price is better than none
		if old, ok := c.known.find(id); ok {
			return old, nil
		}
	}
	return p, err
}

// memory keeps the last known products, some thousand at most.
type memory struct {
	mu       sync.Mutex
	products map[string]product
}

func (m *memory) keep(p product) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.products == nil || len(m.products) > 5000 {
		m.products = map[string]product{}
	}
	m.products[p.ID] = p
}

func (m *memory) find(id string) (product, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.products[id]
	return p, ok
}

// pay has an Idempotency-Key, so it may be retried.
func (c cashier) pay(ctx context.Context, base string, order string, cents int) (payment, error) {
	body, err := json.Marshal(map[string]any{"order": order, "cents": cents})
	if err != nil {
		return payment{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/payments",
		bytes.NewReader(body))
	if err != nil {
		return payment{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprint("order-", order))
	return httpx.FetchRequest(c.client, req, httpx.JSON[payment])
}
