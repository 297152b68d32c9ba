package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// phase is a stretch of the load run.
type phase struct {
	name     string
	lasts    time.Duration
	visitors float64      // a second
	trouble  func(*world) // nil: none
}

const (
	usualVisitors = 100. // a second
	usualOrders   = 15.
	patience      = time.Second // an answer is good if it comes within
	leaves        = 3 * time.Second
)

// phases is the plan of a load run, 34 times s long. The catalog can work on 300 requests a second.
func phases(s time.Duration) []phase {
	return []phase{
		{"calm", 4 * s, usualVisitors, nil},
		{"outage: the catalog hangs", 6 * s, usualVisitors,
			func(w *world) { w.catalog.hangs.Store(true) }},
		{"after it", 4 * s, usualVisitors, nil},
		{"brownout: the catalog is 4 times slower", 6 * s, usualVisitors,
			func(w *world) { w.catalog.takes.Store(int64(4 * catalogTakes)) }},
		{"after it", 4 * s, usualVisitors, nil},
		{"overload: 4 times the visitors", 6 * s, 4 * usualVisitors, nil},
		{"after it", 4 * s, usualVisitors, nil},
	}
}

// kind is one of the two kinds of traffic.
type kind int

const (
	visit kind = iota // sheddable
	order             // critical
	kinds
)

// sample is one request of the load.
type sample struct {
	kind  kind
	phase int
	at    time.Duration // when it was sent
	took  time.Duration
	good  bool
}

// run is the outcome of one load run.
type run struct {
	name    string
	samples []sample
	ended   time.Duration
	late    int64 // work that a dependency began when its caller had gone
}

// loadRun starts a world and the service in it, and sends the load of all phases to the service.
func loadRun(ctx context.Context, c config, how manner, plan []phase) (r run, err error) {
	w, err := startWorld()
	if err != nil {
		return r, err
	}
	defer w.close()
	w.fill(&c)
	s, err := start(c, how, slog.New(slog.DiscardHandler))
	if err != nil {
		return r, err
	}
	l := &loader{base: "http://" + s.address, begin: time.Now(),
		client: &http.Client{Timeout: leaves, Transport: &http.Transport{MaxIdleConnsPerHost: 512}}}
	r.name = string(how)
	for i, p := range plan {
		if w.well(); p.trouble != nil {
			p.trouble(w)
		}
		l.send(ctx, i, p)
	}
	r.ended = time.Since(l.begin)
	w.well()
	l.running.Wait()
	l.client.CloseIdleConnections() // one that was never used would delay the shutdown
	r.samples, r.late = l.samples, w.catalog.late.Load()+w.payments.late.Load()
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return r, s.shutdown(ending)
}

// loader sends requests at their times whether or not earlier ones were answered, as visitors do.
type loader struct {
	base    string
	begin   time.Time
	client  *http.Client
	running sync.WaitGroup

	mu      sync.Mutex
	samples []sample
}

// send sends the load of one phase.
func (l *loader) send(ctx context.Context, number int, p phase) {
	began := time.Now()
	var sent [kinds]float64
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for time.Since(began) < p.lasts && ctx.Err() == nil {
		passed := time.Since(began).Seconds()
		for k, rate := range [kinds]float64{visit: p.visitors, order: usualOrders} {
			for ; sent[k] < rate*passed; sent[k]++ {
				n := int(sent[k])
				l.running.Go(func() { l.request(ctx, kind(k), number, n) })
			}
		}
		<-tick.C
	}
}

// request sends one request, and notes its outcome.
func (l *loader) request(ctx context.Context, k kind, number, n int) {
	s := sample{kind: k, phase: number, at: time.Since(l.begin)}
	method, path, body := http.MethodGet, fmt.Sprintf("/products/%d", n%20), ""
	if k == order {
		method, path = http.MethodPost, "/orders"
		body = fmt.Sprintf("product=%d&key=%d-%d", n%20, number, n)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.base+path, strings.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		var resp *http.Response
		if resp, err = l.client.Do(req); err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			s.good = err == nil && resp.StatusCode == http.StatusOK
		}
	}
	s.took = time.Since(l.begin) - s.at
	s.good = s.good && s.took <= patience
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, s)
}
