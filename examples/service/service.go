package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/retry"
)

// service is a shop: it shows products and takes orders.
type service struct {
	config
	guards   *guards
	catalog  catalog
	cashier  cashier
	orders   *orders
	receipts *receipts
	log      *slog.Logger
	server   *http.Server
	stop     chan struct{} // closed when the shutdown begins
	address  string
}

// manner is a way to run the service. A load run is named after it.
type manner string

const (
	guarded manner = "guarded"
	bare    manner = "bare" // see bareGuards
)

// start builds the service from c and serves.
func start(c config, how manner, log *slog.Logger) (*service, error) {
	s := &service{config: c, log: log, stop: make(chan struct{})}
	var err error
	if s.guards, err = newGuards(c, s.stop); err != nil {
		return nil, err
	}
	if s.catalog.known = new(memory); how == bare {
		s.guards, s.catalog.known = bareGuards(), nil
	}
	if s.catalog.client, err = newClient(c.Catalog.URL, s.guards.catalog); err != nil {
		return nil, err
	}
	if s.cashier.client, err = newClient(c.Payments.URL, s.guards.payments); err != nil {
		return nil, err
	}
	if s.orders, err = openOrders(c.Database, s.guards.orders); err != nil {
		return nil, err
	}
	s.receipts = &receipts{guard: s.guards.receipts, log: log}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		_ = s.orders.db.Close()
		return nil, err
	}
	s.address = ln.Addr().String()
	s.server = &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(ln) }()
	return s, nil
}

// handler puts the guard in front of everything that costs something, but not of the health pages,
// which must answer when all else is overloaded.
func (s *service) handler() http.Handler {
	guard := httpx.Guard(s.guards.front)
	mux := http.NewServeMux()
	mux.Handle("GET /products/{id}", matters(retry.Sheddable, guard(http.HandlerFunc(s.show))))
	mux.Handle("POST /orders", matters(retry.Critical, guard(http.HandlerFunc(s.order))))
	mux.Handle("GET /orders/{id}", matters(retry.Normal, guard(http.HandlerFunc(s.find))))
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /guards", s.guards.page)
	return mux
}

// matters sets the priority of a kind of request: looking is dropped before buying. Every queue
// further in knows the priority, and so do the services that are called.
func matters(p retry.Priority, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(retry.WithPriority(r.Context(), p)))
	})
}

func (s *service) show(w http.ResponseWriter, r *http.Request) {
	p, err := s.catalog.product(r.Context(), s.Catalog.URL, r.PathValue("id"))
	s.answer(w, r, p, err)
}

func (s *service) order(w http.ResponseWriter, r *http.Request) {
	ctx, id := r.Context(), r.FormValue("product")
	p, err := s.catalog.product(ctx, s.Catalog.URL, id)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	paid, err := s.cashier.pay(ctx, s.Payments.URL, r.FormValue("key"), p.Cents)
	if err != nil {
		s.answer(w, r, nil, err)
		return
	}
	number, err := s.orders.add(ctx, p, paid)
	if err == nil {
		s.receipts.print(number)
	}
	s.answer(w, r, map[string]int64{"order": number}, err)
}

func (s *service) find(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		http.Error(w, "an order has a number", http.StatusBadRequest)
		return
	}
	id, err := s.orders.product(r.Context(), number)
	s.answer(w, r, map[string]string{"product": id}, err)
}

// answer writes the result of a handler. A rejection by a dependency's guard becomes a 503 with its
// Retry-After.
func (s *service) answer(w http.ResponseWriter, r *http.Request, value any, err error) {
	var status *httpx.StatusError
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(value) // it fails if the reader has gone
		return
	case errors.Is(err, sql.ErrNoRows),
		errors.As(err, &status) && status.Code == http.StatusNotFound:
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	if after, refused := retry.RetryAfter(err); refused && after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)+1))
	}
	s.log.Debug("failed", "path", r.URL.Path, "error", err)
	http.Error(w, "try again later", http.StatusServiceUnavailable)
}

// health is for a load balancer. A service whose dependency is down is degraded, not dead.
func (s *service) health(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-s.stop:
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
		return
	default:
	}
	fmt.Fprintln(w, "ok")
	for _, b := range s.guards.broken() {
		fmt.Fprintln(w, "degraded:", b)
	}
}

// shutdown lets running requests finish, but no retry loop begins another attempt or wait.
func (s *service) shutdown(ctx context.Context) error {
	close(s.stop)
	err := s.server.Shutdown(ctx)
	if err != nil {
		_ = s.server.Close()
	}
	s.receipts.running.Wait()
	return errors.Join(err, s.orders.db.Close())
}
