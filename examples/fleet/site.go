package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The site's limit, which it does not tell, and its latency.
const (
	hiddenLimit = 200
	hiddenBurst = 60
	latency     = 3 * time.Millisecond
)

// site refuses requests above its limit, and is broken for a while in the middle of a run.
type site struct {
	url    string
	server *http.Server
	bucket *rate.Limiter

	breaks, mends time.Time

	mu      sync.Mutex
	times   []time.Time    // of all requests
	by      map[string]int // requests by member
	refused int            // with 429
	failed  int            // while it was broken
	probes  int            // of the failed, those after all workers should have known
}

// openSite serves the site on the loopback interface. took is the length of the run.
func openSite(took time.Duration) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving the site: %w", err)
	}
	s := &site{url: "http://" + l.Addr().String(),
		bucket: rate.NewLimiter(hiddenLimit, hiddenBurst), by: map[string]int{}}
	s.breaks = time.Now().Add(startUp + took*6/10)
	s.mends = s.breaks.Add(took / 5)
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Second}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

func (s *site) close() { s.server.Close() }

// aware is how long a fleet may take to know that the site is broken: the breakers exchange their
// states every 250 ms ± 20 %.
const aware = 350 * time.Millisecond

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	broken := now.After(s.breaks) && now.Before(s.mends)
	s.mu.Lock()
	s.times = append(s.times, now)
	s.by[r.Header.Get("X-Member")]++
	full := !s.bucket.AllowN(now, 1)
	switch {
	case broken:
		s.failed++
		if now.After(s.breaks.Add(aware)) {
			s.probes++
		}
	case full:
		s.refused++
	}
	s.mu.Unlock()
	time.Sleep(latency)
	switch {
	case broken:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case full:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	default:
		fmt.Fprintln(w, "a page")
	}
}

// busiest is the highest number of requests within any second.
func (s *site) busiest() (most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := 0
	for to, at := range s.times {
		for at.Sub(s.times[from]) >= time.Second {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}
