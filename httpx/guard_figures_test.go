package httpx_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// settled is what came of clients that share a server's limit.
type settled struct {
	used        float64 // of what the limit permits, after the first minute
	early, late int     // refusals in the first minute, and after
	worst       int     // early ones of one client
	least, most int     // answers that a client got
}

// settle has clients with pacers that know nothing ask a guarded server as fast as they may.
func settle(
	t *testing.T, limit rate.Limit, burst, clients, workers int, lasts time.Duration,
	opts ...ratelimit.Option,
) (got settled) {
	var mu sync.Mutex
	refused, answered, admitted := make([]int, clients), make([]int, clients), 0
	begin := time.Now()
	guard := httpx.Guard(ratelimit.New(limit, burst, opts...))
	n := services{"a": guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		if time.Since(begin) >= time.Minute {
			admitted++
		}
	}))}
	var wg sync.WaitGroup
	for i := range clients {
		c := over(n, httpx.WithPolicy(ratelimit.NewPacer()),
			httpx.Header("Test-From", fmt.Sprintf("192.0.2.%d:1", i)))
		for range workers {
			wg.Go(func() {
				for time.Since(begin) < lasts {
					resp, err := c.Get(t.Context(), "http://a/")
					if err != nil {
						t.Error(err)
						return
					}
					_ = resp.Body.Close()
					mu.Lock()
					switch {
					case resp.StatusCode == http.StatusOK:
						answered[i]++
					case time.Since(begin) < time.Minute:
						refused[i]++
						got.early++
					default:
						got.late++
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	got.used = float64(admitted) / (float64(limit) * (lasts - time.Minute).Seconds())
	got.least = answered[0]
	for i := range clients {
		got.worst = max(got.worst, refused[i])
		got.least, got.most = min(got.least, answered[i]), max(got.most, answered[i])
	}
	return got
}

// The rows with a burst below the calls of a second are told, and only the first figure is held to:
// whole seconds are too coarse for them.
func TestGuardAndPacersSettleAtTheLimit(t *testing.T) {
	for _, tc := range []struct {
		limit   rate.Limit
		burst   int
		clients int
		workers int
		all     bool
	}{
		{50, 50, 8, 4, true}, {50, 100, 8, 4, true}, {50, 50, 8, 1, true}, {50, 50, 1, 8, true},
		{50, 10, 8, 4, false}, {50, 25, 8, 4, false},
	} {
		lasts := 5 * time.Minute
		if testing.Short() || httpx.RaceEnabled {
			lasts = 2 * time.Minute
		}
		check.OneOf(t, 3, func() (problem string) { // the pacers draw when they probe
			synctest.Test(t, func(t *testing.T) {
				s := settle(t, tc.limit, tc.burst, tc.clients, tc.workers, lasts,
					ratelimit.MaxWait(200*time.Millisecond))
				t.Logf("limit %v, burst %d, %d clients of %d workers: %.1f %% used; refused %d "+
					"in the first minute (at most %d of a client), %d after; a client got %d to %d",
					tc.limit, tc.burst, tc.clients, tc.workers,
					100*s.used, s.early, s.worst, s.late, s.least, s.most)
				if s.used < .95 || tc.all && (s.late > 0 || s.worst > 2 || 10*s.least < s.most) {
					problem = "it does not hold"
				}
			})
			return problem
		})
	}
}

// Critical requests are not lost to an overload by sheddable ones, whatever stands in the guard: 40
// critical requests a second and 500 sheddable ones come to a handler that bears 100.
func TestGuardShedsTheSheddable(t *testing.T) {
	for name, p := range map[string]func() retry.Policy{
		"a bulkhead with a queue": func() retry.Policy { return policies.NewBulkhead(10, 20) },
		"an adaptive limit":       func() retry.Policy { return policies.NewAdaptive() },
		"an adaptive limit's queue": func() retry.Policy {
			return policies.NewAdaptive(policies.Between(1, 10), policies.QueueOf(20))
		},
		"an adaptive limit's MaxWait": func() retry.Policy {
			return policies.NewAdaptive(policies.MaxWait(500 * time.Millisecond))
		},
		"a limiter": func() retry.Policy {
			return ratelimit.New(100, 10, ratelimit.MaxWait(200*time.Millisecond))
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			critical, sheddable := overload(t, p())
			t.Logf("%s: critical %+v, sheddable %+v", name, critical, sheddable)
			if critical.lost > 0 || critical.served != 400 || sheddable.lost == 0 ||
				sheddable.served < 300 {
				t.Errorf("%s: it does not hold", name)
			}
		})
	}
}

// fate is what came of the requests of one priority.
type fate struct{ served, lost int }

// overload sends 40 critical requests a second and 500 sheddable ones, for 10 s, to a handler of 10
// hands behind a guard.
func overload(t *testing.T, p retry.Policy) (critical, sheddable fate) {
	hands := make(chan struct{}, 10)
	n := services{
		"a": httpx.Guard(p, everybody)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			hands <- struct{}{}
			time.Sleep(100 * time.Millisecond)
			<-hands
		}))}
	c := over(n, httpx.WithPolicy(retry.Chain()), httpx.Propagate("a"))
	var mu sync.Mutex
	var all sync.WaitGroup
	send := func(priority retry.Priority, f *fate, every time.Duration) {
		for at := time.Duration(0); at < 10*time.Second; at += every {
			all.Go(func() {
				time.Sleep(at)
				resp, err := c.Get(retry.WithPriority(t.Context(), priority), "http://a/")
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
				mu.Lock()
				defer mu.Unlock()
				if resp.StatusCode == http.StatusOK {
					f.served++
				} else {
					f.lost++
				}
			})
		}
	}
	send(retry.Critical, &critical, 25*time.Millisecond)
	send(retry.Sheddable, &sheddable, 2*time.Millisecond)
	all.Wait()
	return critical, sheddable
}

// guards are what BenchmarkGuard and TestGuardsAllocations look at, by name.
func guards(h http.Handler) map[string]http.Handler {
	limiter := func() retry.Policy { return ratelimit.New(1e9, 1e9) }
	keyed := policies.Keyed(httpx.ClientKey, func(string) retry.Policy { return limiter() })
	all := retry.Chain(limiter(), policies.NewBulkhead(100, 0), breaker.New("b"))
	return map[string]http.Handler{
		"bare":    h,
		"empty":   httpx.Guard(nil)(h),
		"breaker": httpx.Guard(breaker.New("b"))(h),
		"limiter": httpx.Guard(limiter())(h),
		"chain":   httpx.Guard(all)(h),
		"trusted": httpx.Guard(breaker.New("b"), everybody)(h),
		"keyed":   httpx.Guard(keyed)(h),
	}
}

// benchmarked is a request for one of guards.
func benchmarked(guard string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if guard == "trusted" {
		r.Header.Set("Reprise-Deadline-Ms", "60000")
		r.Header.Set("Reprise-Attempt", "2")
		r.Header.Set("Reprise-Priority", "100")
	}
	return r
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func BenchmarkGuard(b *testing.B) {
	for name, h := range guards(http.HandlerFunc(noContent)) {
		b.Run(name, func(b *testing.B) {
			r, w := benchmarked(name), &sink{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// The arrival, with all that its call needs and the deadline that a trusted caller told; the told
// attempt, what the guard's observer knows of it, and the priority.
func TestGuardsAllocations(t *testing.T) {
	if httpx.RaceEnabled {
		t.Skip("the race detector allocates too")
	}
	most := map[string]float64{
		"bare": 0, "empty": 1, "breaker": 1, "limiter": 1, "chain": 1, "keyed": 1, "trusted": 4,
	}
	for name, h := range guards(http.HandlerFunc(noContent)) {
		r, w := benchmarked(name), &sink{header: http.Header{}}
		got := testing.AllocsPerRun(100, func() {
			clear(w.header)
			h.ServeHTTP(w, r)
		})
		if got > most[name] {
			t.Errorf("%s: %v allocations, want %v", name, got, most[name])
		}
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}
