package breaker_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

var seed = flag.Uint64("seed", 0, "of the one sequence the model check is to run")

// model says in the plainest way what the breaker is to do: it keeps every result and every call.
type model struct {
	consecutive, minimum, probes, buckets int
	ratio, growth                         float64
	window, openFor, openMax, limit, slow time.Duration

	state   breaker.State
	gen     int
	streak  int
	results []result
	open    time.Duration // the present open time
	until   time.Duration
	out     map[*flown]bool // true: a probe that holds its place
	healthy int
	late    int // of the healthy ones, those that held no place any more
}

type result struct {
	at time.Duration
	ok bool
}

type flown struct {
	gen   int
	start time.Duration
	end   chan string
	over  chan struct{}
	stop  context.CancelFunc
}

func (m *model) enter(s breaker.State) {
	m.state, m.streak, m.results, m.healthy, m.late, m.out = s, 0, nil, 0, 0, map[*flown]bool{}
	m.gen++
}

func (m *model) reopen(at time.Duration) {
	m.enter(breaker.Open)
	if m.growth > 0 {
		m.open = min(time.Duration(float64(m.open)*m.growth), m.openMax)
	}
	m.until = at + m.open
}

func (m *model) settle(now time.Duration) {
	if m.state == breaker.Open && now >= m.until {
		m.enter(breaker.HalfOpen)
	}
	for f := range m.out {
		m.out[f] = now < f.start+m.limit
	}
}

func (m *model) admits() bool {
	held := m.healthy - m.late
	for _, holds := range m.out {
		if holds {
			held++
		}
	}
	return m.state == breaker.Closed || m.state == breaker.HalfOpen && held < m.probes
}

func (m *model) counts(now time.Duration) (ok, failed int) {
	for _, r := range m.results {
		width := m.window / time.Duration(m.buckets)
		if m.ratio > 0 && m.state == breaker.Closed &&
			int64(r.at/width) <= int64(now/width)-int64(m.buckets) {
			continue
		}
		if r.ok {
			ok++
		} else {
			failed++
		}
	}
	return ok, failed
}

func (m *model) end(f *flown, outcome string, now time.Duration) {
	m.settle(now)
	if f.gen != m.gen {
		return
	}
	late := !m.out[f]
	delete(m.out, f)
	bad := outcome == "failure" || outcome == "panic" || outcome == "goexit" ||
		outcome == "permanent"
	if m.slow > 0 && now-f.start > m.slow && outcome != "config" && outcome != "rejection" {
		bad = true
	}
	switch {
	case bad:
		m.results = append(m.results, result{now, false})
		m.streak++
		ok, failed := m.counts(now)
		if m.state == breaker.HalfOpen {
			m.reopen(now)
		} else if m.consecutive > 0 && m.streak >= m.consecutive ||
			m.ratio > 0 && ok+failed >= m.minimum && float64(failed) >= m.ratio*float64(ok+failed) {
			m.enter(breaker.Open)
			m.open, m.until = m.openFor, now+m.openFor
		}
	case outcome == "success" || outcome == "answer":
		m.results = append(m.results, result{now, true})
		m.streak = 0
		m.healthy++
		if late {
			m.late++
		}
		if m.state == breaker.HalfOpen && m.healthy == m.probes {
			m.enter(breaker.Closed)
		}
	}
}

var outcomes = []string{"success", "success", "success", "failure", "failure", "failure", "neutral",
	"answer", "permanent", "rejection", "config", "panic", "goexit", "cancel"}

func give(ctx context.Context, f *flown, outcome string) error {
	switch outcome {
	case "failure":
		return errBoom
	case "neutral":
		return retry.Neutral(errBoom)
	case "answer":
		return retry.Neutral(retry.Permanent(errBoom))
	case "permanent":
		return retry.Permanent(errBoom)
	case "rejection":
		return fmt.Errorf("inner: %w", &retry.Rejection{Reason: errBoom})
	case "config":
		return retry.ConfigErrorf("inner", "bad")
	case "panic":
		panic(errBoom)
	case "goexit":
		runtime.Goexit()
	case "cancel":
		f.stop()
		return errors.New("transport closing")
	}
	return nil
}

func TestBehavesLikeTheModel(t *testing.T) {
	if *seed != 0 {
		checkSequence(t, *seed)
		return
	}
	n := 3000
	if testing.Short() {
		n = 200
	}
	base := rand.Uint64()
	for i := range uint64(n) {
		if checkSequence(t, base+i); t.Failed() {
			t.Fatalf("run again with -seed=%d", base+i)
		}
	}
}

func checkSequence(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := &model{openFor: 10 * time.Second, limit: 10 * time.Second, probes: 1 + rng.IntN(3),
		window: 10 * time.Second, buckets: 1 + rng.IntN(5)}
	opts := []breaker.Option{breaker.OpenFor(m.openFor), breaker.Probes(m.probes)}
	if rng.IntN(2) == 0 {
		m.ratio, m.minimum = []float64{0.5, 0.3, 1}[rng.IntN(3)], 1+rng.IntN(5)
		opts = append(opts, breaker.FailureRate(m.ratio, m.minimum),
			breaker.Window(m.window, m.buckets))
	}
	if m.ratio == 0 || rng.IntN(3) == 0 {
		m.consecutive = 1 + rng.IntN(4)
		opts = append(opts, breaker.ConsecutiveFailures(m.consecutive))
	}
	if rng.IntN(2) == 0 {
		m.growth, m.openMax = 1.5, 20*time.Second
		opts = append(opts, breaker.OpenGrowth(m.growth, m.openMax))
	}
	if rng.IntN(2) == 0 {
		m.limit = 4 * time.Second
		opts = append(opts, breaker.ProbeLimit(m.limit))
	}
	if rng.IntN(2) == 0 {
		m.slow = 5 * time.Second
		opts = append(opts, breaker.SlowCall(m.slow))
	}
	m.enter(breaker.Closed)

	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		born := time.Now()
		last := breaker.Closed
		opts := append(opts, breaker.OnChange(func(c breaker.Change) {
			if c.From != last || c.To == c.From {
				t.Errorf("%v -> %v after %v", c.From, c.To, last)
			}
			last = c.To
		}))
		b := breaker.New("model", opts...)
		var flights []*flown
		defer func() {
			for _, f := range flights {
				f.end <- "success"
			}
			if t.Failed() {
				t.Logf("seed %d, %+v:%s", seed, m, log.String())
			}
		}()
		for range 60 {
			now := time.Since(born)
			switch k := rng.IntN(20); {
			case k < 8: // a call begins
				m.settle(now)
				ctx, stop := context.WithCancel(context.Background())
				f := &flown{start: now, end: make(chan string), over: make(chan struct{}),
					stop: stop}
				refused := make(chan error, 1)
				go func() {
					defer close(f.over)
					defer func() { _ = recover() }()
					err := retry.Run(ctx, b, func(ctx context.Context) error {
						refused <- nil
						return give(ctx, f, <-f.end)
					})
					if errors.Is(err, breaker.ErrOpen) {
						refused <- err
					}
				}()
				err := <-refused
				fmt.Fprintf(&log, "\n%v call: %v", now, err)
				if (err == nil) != m.admits() {
					t.Fatalf("at %v: %v, in the model's state %v with %d out", now, err, m.state,
						len(m.out))
				}
				if err == nil {
					f.gen = m.gen
					m.out[f] = true
					flights = append(flights, f)
				} else if wait, _ := retry.RetryAfter(err); m.state == breaker.Open &&
					wait != m.until-now || m.state == breaker.Isolated && wait != 0 {
					t.Fatalf("at %v: come back after %v", now, wait)
				}
			case k < 15 && len(flights) > 0: // one ends
				i := rng.IntN(len(flights))
				f, outcome := flights[i], outcomes[rng.IntN(len(outcomes))]
				flights = append(flights[:i], flights[i+1:]...)
				fmt.Fprintf(&log, "\n%v %s of the call at %v", now, outcome, f.start)
				f.end <- outcome
				<-f.over
				f.stop()
				m.end(f, outcome, now)
			case k < 18:
				d := []time.Duration{1, time.Second, 3 * time.Second, 4 * time.Second,
					5 * time.Second, 10*time.Second - 1, 10 * time.Second, time.Minute}[rng.IntN(8)]
				fmt.Fprintf(&log, "\n%v sleep %v", now, d)
				time.Sleep(d)
			case k == 18 && rng.IntN(3) == 0:
				fmt.Fprintf(&log, "\n%v isolate", now)
				b.Isolate()
				if m.settle(now); m.state != breaker.Isolated {
					m.enter(breaker.Isolated)
				}
			case k == 19:
				fmt.Fprintf(&log, "\n%v release", now)
				b.Release()
				if m.state == breaker.Isolated {
					m.enter(breaker.Closed)
				}
			}
			now = time.Since(born)
			m.settle(now)
			if s := b.State(); s != m.state {
				t.Fatalf("at %v: %v, want %v", now, s, m.state)
			}
			ok, failed := m.counts(now)
			if c := b.Counts(); m.state != breaker.HalfOpen &&
				(c.Successes != ok || c.Failures != failed || c.ConsecutiveFailures != m.streak) {
				t.Fatalf("at %v: %+v, want %d ok, %d failed, %d in a row", now, c, ok, failed,
					m.streak)
			}
		}
		if last != m.state {
			t.Fatalf("listeners saw %v last, want %v", last, m.state)
		}
	})
}
