package main

import (
	"fmt"
	"net"
	"net/http"
	"path"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

// backend is a dependency in this program. It works on a fixed number of requests at once, and the
// others wait, as in most servers. It can be made to hang or to be slow.
type backend struct {
	slots  chan struct{}
	takes  atomic.Int64 // ns
	hangs  atomic.Bool
	answer func(*http.Request) string
	server *http.Server
	url    string
	late   atomic.Int64 // requests begun when their caller had gone
	begun  atomic.Int64
}

func startBackend(
	slots int, takes time.Duration, answer func(*http.Request) string,
) (*backend, error) {
	b := &backend{slots: make(chan struct{}, slots), answer: answer}
	b.takes.Store(int64(takes))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a dependency: %w", err)
	}
	b.url = "http://" + ln.Addr().String()
	// It trusts its callers' deadlines, because our service is the only caller.
	guard := httpx.Guard(policies.NewBulkhead(10_000, 0),
		httpx.GuardTrust(func(*http.Request) bool { return true }))
	b.server = &http.Server{Handler: guard(b), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = b.server.Serve(ln) }()
	return b, nil
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.hangs.Load() {
		<-r.Context().Done()
		return
	}
	b.slots <- struct{}{} // like most servers it does not look whether the caller has gone
	defer func() { <-b.slots }()
	b.begun.Add(1)
	if r.Context().Err() != nil {
		b.late.Add(1)
	}
	time.Sleep(time.Duration(b.takes.Load()))
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, b.answer(r))
}

// world is what the service depends on.
type world struct{ catalog, payments *backend }

const (
	catalogTakes  = 40 * time.Millisecond // 12 at a time: 300 a second
	paymentsTakes = 50 * time.Millisecond
)

func startWorld() (*world, error) {
	c, err := startBackend(12, catalogTakes, func(r *http.Request) string {
		return fmt.Sprintf(`{"id":%q,"name":"a thing","cents":499}`, path.Base(r.URL.Path))
	})
	if err != nil {
		return nil, err
	}
	p, err := startBackend(12, paymentsTakes, func(r *http.Request) string {
		return fmt.Sprintf(`{"reference":%q}`, r.Header.Get("Idempotency-Key"))
	})
	if err != nil {
		c.close()
		return nil, err
	}
	return &world{c, p}, nil
}

// fill sets the dependencies that c does not name to those of this program.
func (w *world) fill(c *config) {
	if c.Catalog.URL == "" {
		c.Catalog.URL = w.catalog.url
	}
	if c.Payments.URL == "" {
		c.Payments.URL = w.payments.url
	}
}

func (b *backend) close() { _ = b.server.Close() }
func (w *world) close()   { w.catalog.close(); w.payments.close() }

// well ends all trouble.
func (w *world) well() {
	w.catalog.hangs.Store(false)
	w.catalog.takes.Store(int64(catalogTakes))
	w.payments.takes.Store(int64(paymentsTakes))
}
