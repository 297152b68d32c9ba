package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// loopback measures the policies themselves in real time, with a server of this process on
// loopback. These figures differ from run to run.
func loopback(out io.Writer) error {
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Fprintln(out)
	fmt.Fprintf(out, "Over loopback, in real time: a server of %d hands, 50 ms a call, "+
		"asked for ten times its peak for 4 s;\n", hands)
	fmt.Fprintln(out, "callers give up after 2 s. Goodput and p99 of the last 3 s.")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "policy\tgoodput\tp99\t")
	for _, l := range []struct {
		name   string
		policy retry.Policy
	}{{"adaptive", policies.NewAdaptive()}, {"none", retry.Chain()}} {
		good, slow := s.overload(l.policy)
		fmt.Fprintf(out, "%s\t%s\t%v\t\n", l.name, percent(good), slow.Round(time.Millisecond))
	}
	fmt.Fprintln(out)
	fmt.Fprintln(out, "Another server, 200 calls a second, fails for 2 s; "+
		"throttled with K 2 over 1 s. Share of the calls that are sent.")
	fmt.Fprintln(out)
	fmt.Fprintln(out, "policy\tall is well\tafter 1 s of failing\t1 s to 2 s after\t")
	fresh, err := startServer() // the first one still works on calls whose callers have gone
	if err != nil {
		return err
	}
	defer fresh.close()
	sent := fresh.outage(policies.NewThrottle(policies.Over(time.Second)))
	fmt.Fprintf(out, "throttle\t%s\t%s\t%s\t\n", percent(sent[0]), percent(sent[1]),
		percent(sent[2]))
	return nil
}

// server works on as many requests at once as it has hands; the others wait.
type server struct {
	hands  chan struct{}
	fails  atomic.Bool
	server *http.Server
	url    string
	client *http.Client
}

func startServer() (*server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{hands: make(chan struct{}, hands), url: "http://" + ln.Addr().String()}
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	s.server = &http.Server{
		Handler: s, ReadHeaderTimeout: 5 * time.Second,
		// Where nothing bounds the calls the process runs out of files, and says so for each.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = s.server.Serve(ln) }()
	return s, nil
}

func (s *server) close() {
	s.client.CloseIdleConnections()
	_ = s.server.Close()
}

func (s *server) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if s.fails.Load() {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.hands <- struct{}{}
	defer func() { <-s.hands }()
	time.Sleep(50 * time.Millisecond)
}

var errFailed = errors.New("the server failed")

func (s *server) call(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errFailed
	}
	return nil
}

// arrive begins rate calls a second, evenly spaced, and returns when all are over.
func arrive(rate float64, lasts time.Duration, call func(at time.Duration)) {
	begin := time.Now()
	var all sync.WaitGroup
	for n := 0.0; time.Since(begin) < lasts; time.Sleep(time.Millisecond) {
		for ; n < rate*time.Since(begin).Seconds(); n++ {
			all.Go(func() { call(time.Since(begin)) })
		}
	}
	all.Wait()
}

// overload returns the goodput as a share of the server's peak, and the latency of the calls that
// were sent.
func (s *server) overload(p retry.Policy) (goodput float64, p99 time.Duration) {
	const lasts, from, peak = 4 * time.Second, time.Second, hands / 0.05
	var mu sync.Mutex
	var good int
	var took []time.Duration
	begin := time.Now()
	arrive(10*peak, lasts, func(at time.Duration) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		var began time.Time
		err := retry.Run(ctx, p, func(ctx context.Context) error {
			began = time.Now()
			return s.call(ctx)
		})
		mu.Lock()
		defer mu.Unlock()
		if began.IsZero() || at < from {
			return
		}
		took = append(took, time.Since(began))
		if end := time.Since(begin); err == nil && end < lasts {
			good++
		}
	})
	if len(took) > 0 {
		slices.Sort(took)
		p99 = took[int(math.Ceil(.99*float64(len(took))))-1]
	}
	return float64(good) / (peak * (lasts - from).Seconds()), p99
}

// outage returns the share of the calls that are sent: before the outage, in its second half, and
// in the second second after it.
func (s *server) outage(p retry.Policy) (sent [3]float64) {
	var mu sync.Mutex
	var calls, made [6]int
	arrive(200, 6*time.Second, func(at time.Duration) {
		second := min(int(at/time.Second), 5)
		s.fails.Store(second == 2 || second == 3)
		sent := 0
		_ = retry.Run(context.Background(), p, func(ctx context.Context) error {
			sent = 1
			return s.call(ctx)
		})
		mu.Lock()
		defer mu.Unlock()
		calls[second]++
		made[second] += sent
	})
	for i, second := range [...]int{1, 3, 5} {
		sent[i] = float64(made[second]) / float64(max(1, calls[second]))
	}
	return sent
}
