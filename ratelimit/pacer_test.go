package ratelimit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/internal/pacing"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

var errPage = errors.New("429")

func steady(opts ...Option) *Pacer { return newPacer(rand.New(rand.NewPCG(1, 2)), opts) }

// run makes one call that takes d and ends in err.
func run(ctx context.Context, p *Pacer, d time.Duration, err error) error {
	return retry.Run(ctx, p, func(ctx context.Context) error {
		time.Sleep(d)
		return err
	})
}

// parked is a pacer that was refused with a wait.
func parked(t *testing.T, wait time.Duration, opts ...Option) *Pacer {
	t.Helper()
	p := steady(opts...)
	for range 30 {
		if err := run(t.Context(), p, time.Millisecond, nil); err != nil {
			t.Fatal(err)
		}
	}
	run(t.Context(), p, time.Millisecond, retry.After(errPage, wait))
	if s := p.State(); !s.Parked {
		t.Fatalf("not parked: %v", p)
	}
	return p
}

func TestPacerParksForTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 10*time.Second)
		start := time.Now()
		if err := run(t.Context(), p, 0, nil); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 10*time.Second || d > 10500*time.Millisecond {
			t.Errorf("the next call went after %v", d)
		}
		if p.State().Parked || p.Rate() == rate.Inf {
			t.Errorf("after the release: %v", p)
		}
	})
}

func TestPacerParksForHalfASecondWithoutAHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 0)
		for _, want := range []time.Duration{500, 1000, 2000, 4000} {
			start := time.Now()
			run(t.Context(), p, 0, retry.After(errPage, 0))
			if d := time.Since(start); d < want*time.Millisecond || d > (want+5)*time.Millisecond {
				t.Errorf("parked for %v, want %v ms", d, int(want))
			}
		}
	})
}

func TestPacerSendsOneWhileHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		var mu sync.Mutex
		var gone []time.Duration
		start := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				retry.Run(t.Context(), p, func(context.Context) error {
					mu.Lock()
					gone = append(gone, time.Since(start))
					mu.Unlock()
					time.Sleep(3 * time.Second)
					return nil
				})
			})
		}
		wg.Wait()
		if gone[0] < time.Second {
			t.Errorf("the first went after %v, within the park", gone[0])
		}
		if gone[1] < gone[0]+3*time.Second {
			t.Errorf("the second went after %v, before the first was answered", gone[1])
		}
	})
}

func TestPacerCancelledProbeFreesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		go retry.Run(ctx, p, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		time.Sleep(2 * time.Second)
		if s := p.State(); s.InFlight != 1 || !s.Parked {
			t.Fatalf("the probe is not out: %v", p)
		}
		done := make(chan time.Time)
		go func() { run(t.Context(), p, 0, nil); done <- time.Now() }()
		time.Sleep(time.Second)
		cancelled := time.Now()
		cancel()
		if at := <-done; at.Sub(cancelled) > 0 {
			t.Errorf("the next went %v after the probe was cancelled", at.Sub(cancelled))
		}
	})
}

func TestPacerAbandonedWaitsLeaveNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Minute)
		rng := rand.New(rand.NewPCG(3, 4))
		var cancels []context.CancelFunc
		var wg sync.WaitGroup
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels = append(cancels, cancel)
			wg.Go(func() {
				if err := run(ctx, p, 0, nil); !errors.Is(err, context.Canceled) {
					t.Errorf("an abandoned wait returned %v", err)
				}
			})
			synctest.Wait()
		}
		rng.Shuffle(len(cancels), func(i, j int) { cancels[i], cancels[j] = cancels[j], cancels[i] })
		for _, cancel := range cancels {
			cancel()
		}
		wg.Wait()
		start := time.Now()
		run(t.Context(), p, 0, nil)
		if d := time.Since(start); d < time.Minute || d > 62*time.Second {
			t.Errorf("the next call went after %v", d)
		}
		if s := p.State(); s.Waiting != 0 || s.InFlight != 0 {
			t.Errorf("left behind: %v", p)
		}
	})
}

func TestPacerIsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				retry.Run(t.Context(), p, func(context.Context) error {
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					time.Sleep(time.Millisecond)
					return nil
				})
			})
			synctest.Wait()
		}
		wg.Wait()
		for i, v := range order {
			if i != v {
				t.Fatalf("order %v", order)
			}
		}
	})
}

func TestPacerDoesNotWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Hour/2)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := run(ctx, p, 0, nil)
		var r *retry.Rejection
		if !errors.As(err, &r) || r.RetryAfter < 29*time.Minute || r.RetryAfter > 31*time.Minute {
			t.Errorf("got %v", err)
		}
		for _, is := range []error{ErrLimited, retry.ErrRejected, context.DeadlineExceeded} {
			if !errors.Is(err, is) {
				t.Errorf("%v is not %v", err, is)
			}
		}
		if errors.Is(err, errPage) {
			t.Errorf("%v matches another call's failure", err)
		}
		if time.Since(start) > 0 {
			t.Errorf("waited %v", time.Since(start))
		}
	})
}

func TestPacerDismissesThoseWhoseWaitHasBecomeHopeless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1), MaxWait(10*time.Second))
		go run(t.Context(), p, 5*time.Second, retry.After(errPage, time.Minute))
		synctest.Wait()
		start := time.Now()
		err := run(t.Context(), p, 0, nil)
		if !errors.Is(err, ErrLimited) || errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if d, _ := retry.RetryAfter(err); d < time.Minute {
			t.Errorf("it says %v", d)
		}
	})
}

func TestPacerMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, patience := range []time.Duration{0, time.Second} {
			p := parked(t, time.Minute, MaxWait(patience))
			start := time.Now()
			if err := run(t.Context(), p, 0, nil); !errors.Is(err, ErrLimited) || time.Since(start) > 0 {
				t.Errorf("parked, MaxWait %v: %v after %v", patience, err, time.Since(start))
			}
			p = steady(MaxInFlight(1), MaxWait(patience))
			go run(t.Context(), p, time.Minute, nil)
			synctest.Wait()
			start = time.Now()
			if err := run(t.Context(), p, 0, nil); !errors.Is(err, ErrLimited) || time.Since(start) != patience {
				t.Errorf("behind another, MaxWait %v: %v after %v", patience, err, time.Since(start))
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestPacerHintCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 24*time.Hour, HintCap(5*time.Second))
		if d := p.State().Wait; d < 5*time.Second || d > 6*time.Second {
			t.Errorf("parked for %v", d)
		}
		p = parked(t, 24*time.Hour, HintCap(0))
		if d := p.State().Wait; d > time.Second {
			t.Errorf("hints ignored: parked for %v", d)
		}
	})
}

func TestPacerSettlesOnPanicAndGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, time.Second)
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			retry.Run(t.Context(), p, func(context.Context) error { panic("boom") })
		}()
		done := make(chan struct{})
		go func() {
			defer close(done)
			retry.Run(t.Context(), p, func(context.Context) error { runtime.Goexit(); return nil })
		}()
		<-done
		if s := p.State(); s.InFlight != 0 {
			t.Errorf("left behind: %v", p)
		}
		start := time.Now()
		if err := run(t.Context(), p, 0, nil); err != nil || time.Since(start) > 100*time.Millisecond {
			t.Errorf("the next call: %v after %v", err, time.Since(start))
		}
	})
}

func TestPacerGivesTheTurnBackOfACallThatWasNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		run(t.Context(), p, 0, nil)
		time.Sleep(2 * time.Second)
		rejected := &retry.Rejection{Policy: "breaker", Reason: errors.New("open")}
		start := time.Now()
		for range 5 {
			run(t.Context(), p, 0, rejected)
		}
		run(t.Context(), p, 0, nil)
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
	})
}

func TestPacerOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(10))
		start := time.Now()
		for range 101 {
			run(t.Context(), p, 0, nil)
		}
		if d := time.Since(start); d < 10*time.Second || d > 10300*time.Millisecond {
			t.Errorf("MaxRate(10): 101 calls in %v", d)
		}
		p = steady(StartRate(5))
		run(t.Context(), p, 0, nil)
		if p.Rate() != 5 {
			t.Errorf("StartRate(5): %v", p.Rate())
		}
		forbidden := errors.New("403")
		p = steady(Refused(func(err error) bool { return errors.Is(err, forbidden) }))
		for range 5 {
			run(t.Context(), p, time.Millisecond, nil)
		}
		run(t.Context(), p, time.Millisecond, fmt.Errorf("page: %w", forbidden))
		if !p.State().Parked {
			t.Errorf("Refused: %v", p)
		}
	})
}

func TestPacerConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		p    *Pacer
	}{
		{"StartRate", NewPacer(StartRate(-1))},
		{"MaxRate", NewPacer(MaxRate(0))},
		{"MaxInFlight", NewPacer(MaxInFlight(0))},
		{"Refused", NewPacer(Refused(nil))},
		{"MaxWait", NewPacer(MaxWait(-1))},
		{"Shadow", NewPacer(Shadow())},
		{"zero", new(Pacer)},
	} {
		if err := c.p.Validate(); !errors.Is(err, retry.ErrConfig) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: Validate: %v", c.name, err)
		}
		err := retry.Run(t.Context(), c.p, func(context.Context) error { t.Errorf("%s: called", c.name); return nil })
		if !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: Run: %v", c.name, err)
		}
	}
	if err := NewPacer().Validate(); err != nil {
		t.Error(err)
	}
}

type statusError int

func (e statusError) Error() string   { return fmt.Sprint("status ", int(e)) }
func (e statusError) StatusCode() int { return int(e) }

func TestPacerClassifies(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind pacing.Kind
		v    verdict
	}{
		{nil, pacing.Fine, answer},
		{statusError(404), pacing.Fine, answer},
		{statusError(403), pacing.Fine, answer},
		{statusError(500), pacing.Trouble, answer},
		{fmt.Errorf("page: %w", statusError(504)), pacing.Trouble, answer},
		{statusError(503), pacing.Doubt, answer},
		{retry.After(statusError(503), time.Second), pacing.Refusal, answer},
		{retry.Neutral(retry.After(statusError(429), 0)), pacing.Refusal, answer},
		{syscall.ECONNRESET, pacing.Doubt, answer},
		{fmt.Errorf("body: %w", io.ErrUnexpectedEOF), pacing.Doubt, answer},
		{context.DeadlineExceeded, pacing.Trouble, answer},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 0, noVerdict},
		{&net.DNSError{}, 0, noVerdict},
		{&retry.Rejection{Reason: ErrLimited}, 0, notMade},
		{retry.ConfigErrorf("x", "y"), 0, notMade},
	} {
		p := steady()
		a, v := p.classify(t.Context(), pass{}, c.err)
		if v != c.v || v == answer && a.Kind != c.kind {
			t.Errorf("%v: kind %v verdict %v", c.err, a.Kind, v)
		}
	}
}

func TestPacerKeepsToAStatedQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		start := time.Now()
		left := 100
		for range 50 {
			retry.Run(t.Context(), p, func(ctx context.Context) error {
				left--
				retry.Report(ctx, retry.Quota{Limit: 100, Remaining: left, Window: 50 * time.Second, Reset: 50*time.Second - time.Since(start)})
				return nil
			})
		}
		if d := time.Since(start); d < 24*time.Second || d > 26*time.Second {
			t.Errorf("50 calls of 100 in 50 s took %v", d)
		}
		retry.Run(t.Context(), p, func(ctx context.Context) error {
			retry.Report(ctx, retry.Quota{Limit: 100, Reset: time.Minute})
			return nil
		})
		if s := p.State(); s.Wait < time.Minute {
			t.Errorf("nothing left, and %v", p)
		}
	})
}

func TestPacerSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 10*time.Minute)
		text, err := json.Marshal(p.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Minute)
		var s Snapshot
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		q := steady()
		if err := q.Restore(s); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		run(t.Context(), q, 0, nil)
		if d := time.Since(start); d < 6*time.Minute || d > 7*time.Minute {
			t.Errorf("the restored one went after %v", d)
		}
		if err := q.Restore(s); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("a second Restore: %v", err)
		}

		p = steady(StartRate(5))
		run(t.Context(), p, 0, nil)
		q = steady()
		q.Restore(p.Snapshot())
		if q.Rate() != 5 {
			t.Errorf("restored rate %v", q.Rate())
		}
		if err := steady().Restore(Snapshot{Rate: -1}); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("nonsense restored: %v", err)
		}
	})
}

func TestPacerIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		if !p.Idle() {
			t.Error("a new one is not idle")
		}
		go run(t.Context(), p, time.Second, nil)
		synctest.Wait()
		if p.Idle() {
			t.Error("idle with a call in flight")
		}
		time.Sleep(2 * time.Second)
		if !p.Idle() {
			t.Error("not idle though nothing was learned")
		}
		p = parked(t, time.Second)
		if p.Idle() {
			t.Error("idle while parked")
		}
		run(t.Context(), p, 0, nil)
		if p.Idle() {
			t.Error("idle with a rate that was just learned")
		}
		time.Sleep(61 * time.Minute)
		if !p.Idle() {
			t.Error("not idle an hour later")
		}
	})
}

func TestPacerTellsWhyItMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		var rec retry.Record
		policy := retry.Chain(retry.Observe(rec.Add), p)
		for i := range 6 {
			retry.Run(t.Context(), policy, func(context.Context) error {
				time.Sleep(10 * time.Millisecond)
				if i == 4 {
					return retry.After(errPage, time.Second)
				}
				return nil
			})
		}
		var notes []string
		for _, e := range rec.Events() {
			if e.Kind == retry.KindChange {
				notes = append(notes, e.Note)
				if e.Policy != "pacer" {
					t.Errorf("policy %q", e.Policy)
				}
			}
		}
		if len(notes) != 2 || !strings.HasPrefix(notes[0], "parked for 1.") || !strings.HasPrefix(notes[1], "start without a rate -> climb at") {
			t.Errorf("notes %q", notes)
		}
		if s := p.String(); !strings.HasPrefix(s, "pacer climb at ") {
			t.Errorf("String: %q", s)
		}
	})
}

// A pacer with real goroutines learns a bucket's rate.
func TestPacerLearnsTheRate(t *testing.T) {
	for name, server := range map[string]*limitertest.Server{
		"429": {Rule: limitertest.Bucket(20, 10), Latency: 30 * time.Millisecond, Seed: 1},
		"503": {Rule: limitertest.Bucket(20, 10), Latency: 30 * time.Millisecond, Seed: 1, Refuse: limitertest.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := steady()
			start := time.Now()
			var mu sync.Mutex
			pages := 0
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for ctx.Err() == nil {
						err := retry.Run(ctx, p, func(context.Context) error {
							time.Sleep(2 * time.Millisecond)
							a := server.Serve(time.Since(start))
							time.Sleep(a.Busy)
							switch {
							case a.Status == 429:
								return retry.After(statusError(429), 0)
							case a.Status != 200:
								return statusError(a.Status)
							}
							return nil
						})
						if errors.Is(err, retry.ErrRejected) { // the deadline is near
							return
						}
						if err == nil {
							mu.Lock()
							pages++
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			s := server.Stats()
			if pages < 1080 || s.Violations > 20 { // of 1210
				t.Errorf("%s: %d pages, %d violations, %v", name, pages, s.Violations, p)
			}
		})
	}
}

func TestPacerUncontendedAllocatesNothing(t *testing.T) {
	p := NewPacer()
	ctx := t.Context()
	call := func() {
		c, err := p.admit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p.settle(ctx, c, pacing.Answer{RetryAfter: -1, Remaining: -1}, answer, nil)
	}
	for range 100 {
		call()
	}
	if n := testing.AllocsPerRun(1000, call); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPacerAdmission(b *testing.B) {
	ctx := b.Context()
	b.Run("pacer", func(b *testing.B) {
		p := NewPacer(MaxInFlight(1 << 30))
		b.ReportAllocs()
		for b.Loop() {
			c, _ := p.admit(ctx)
			p.machine.OnCancel(c.Ticket, true)
		}
	})
	b.Run("pacer, whole call", func(b *testing.B) {
		p := NewPacer()
		call := func(context.Context) error { return nil }
		b.ReportAllocs()
		for b.Loop() {
			retry.Run(ctx, p, call)
		}
	})
	b.Run("x-time Wait", func(b *testing.B) {
		l := rate.NewLimiter(1e12, 1<<30)
		b.ReportAllocs()
		for b.Loop() {
			l.Wait(ctx)
		}
	})
}
