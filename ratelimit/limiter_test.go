package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// script runs calls against a limiter in virtual time and writes down when each was made.
type script struct {
	t     *testing.T
	start time.Time
	mu    sync.Mutex
	went  map[int]time.Duration
	wg    sync.WaitGroup
}

func newScript(t *testing.T) *script {
	return &script{t: t, start: time.Now(), went: map[int]time.Duration{}}
}

func (s *script) now() time.Duration { return time.Since(s.start) }

// call makes call id in the background and returns where its error will be.
func (s *script) call(ctx context.Context, p retry.Policy, id int,
	f func(context.Context) error) *error {
	result := new(error)
	s.wg.Go(func() {
		*result = retry.Run(ctx, p, func(ctx context.Context) error {
			s.mu.Lock()
			s.went[id] = s.now()
			s.mu.Unlock()
			if f == nil {
				return nil
			}
			return f(ctx)
		})
	})
	synctest.Wait() // so that the order of calls is the order of the script
	return result
}

// expect checks when call i was made; a negative time: never.
func (s *script) expect(want ...time.Duration) {
	s.t.Helper()
	s.wg.Wait()
	for id, w := range want {
		got, made := s.went[id]
		switch {
		case w < 0 && made:
			s.t.Errorf("call %d was made at %v, want never", id, got)
		case w >= 0 && !made:
			s.t.Errorf("call %d was never made, want at %v", id, w)
		case w >= 0 && got != w:
			s.t.Errorf("call %d was made at %v, want at %v", id, got, w)
		}
	}
}

const (
	ms    = time.Millisecond
	never = -1
)

var bg = context.Background()

func nop(context.Context) error { return nil }

func TestBurstGoesAtOnceThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 2)
		for i := range 5 {
			s.call(bg, l, i, nil)
		}
		s.expect(0, 0, 100*ms, 200*ms, 300*ms)
	})
}

func TestWaitThatCannotFitIsRefusedAtOnceAndTakesNothing(t *testing.T) {
	for _, c := range []struct {
		name     string
		opts     []ratelimit.Option
		deadline time.Duration
		fits     bool
	}{
		{"deadline before the turn", nil, 199 * ms, false},
		{"deadline at the turn", nil, 200 * ms, false},
		{"deadline after the turn", nil, 201 * ms, true},
		{"MaxWait too short", []ratelimit.Option{ratelimit.MaxWait(199 * ms)}, time.Hour, false},
		{"MaxWait just enough", []ratelimit.Option{ratelimit.MaxWait(200 * ms)}, time.Hour, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(10, 1, c.opts...)
				s.call(bg, l, 0, nil)
				s.call(bg, l, 1, nil) // in line until 100ms
				ctx, cancel := context.WithTimeout(bg, c.deadline)
				defer cancel()
				err := retry.Run(ctx, l, nop)
				if c.fits {
					if err != nil || s.now() != 200*ms {
						t.Fatalf("got %v after %v, want to go at 200ms", err, s.now())
					}
					return
				}
				if s.now() != 0 {
					t.Errorf("refused after %v, want at once", s.now())
				}
				r, ok := retry.Rejected(err)
				if !ok || r.RetryAfter != 200*ms || !errors.Is(err, ratelimit.ErrLimited) ||
					!errors.Is(err, retry.ErrRejected) {
					t.Errorf("got %v, want a rejection that tells of 200ms", err)
				}
				byDeadline := c.deadline < time.Hour
				if errors.Is(err, context.DeadlineExceeded) != byDeadline {
					t.Errorf("Is DeadlineExceeded = %v, want %v", !byDeadline, byDeadline)
				}
				time.Sleep(100 * ms)
				s.call(bg, l, 2, nil)
				s.expect(0, 100*ms, 200*ms)
			})
		})
	}
}

func TestLimitsAtTheEdge(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy retry.Policy
		goes   int // of 3 calls
	}{
		{"limit 0 admits the burst only", ratelimit.New(0, 2), 2},
		{"inf admits all", ratelimit.New(rate.Inf, 0), 3},
		{"infinite admits all", ratelimit.New(rate.Limit(math.Inf(1)), 0), 3},
		{"above the burst", ratelimit.New(10, 2).N(3), 0},
		{"within the burst", ratelimit.New(0, 6).N(3), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript(t)
				for i := range 3 {
					err := retry.Run(bg, c.policy, nop)
					if got, want := err == nil, i < c.goes; got != want {
						t.Errorf("call %d went: %v, want %v", i, got, want)
					}
					if r, ok := retry.Rejected(err); err != nil &&
						(!ok || r.RetryAfter != 0 || !errors.Is(err, ratelimit.ErrLimited)) {
						t.Errorf("got %v, want a rejection that knows no time", err)
					}
				}
				if s.now() != 0 {
					t.Errorf("took %v", s.now())
				}
			})
		})
	}
}

func TestAbandonedWaitsLeaveNoTraceInAnyOrder(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
		{3, 7, 0, 9, 5, 1, 8, 2, 6, 4}} {
		synctest.Test(t, func(t *testing.T) {
			s, l := newScript(t), ratelimit.New(10, 1)
			s.call(bg, l, 0, nil)
			var cancels []context.CancelFunc
			var errs []*error
			for i := range 10 {
				ctx, cancel := context.WithCancel(bg)
				cancels = append(cancels, cancel)
				errs = append(errs, s.call(ctx, l, 10+i, nil))
			}
			for i := range 3 {
				s.call(bg, l, 1+i, nil)
			}
			time.Sleep(50 * ms)
			for _, i := range order {
				cancels[i]()
				synctest.Wait()
			}
			s.expect(0, 100*ms, 200*ms, 300*ms)
			for i, err := range errs {
				if _, made := s.went[10+i]; made || !errors.Is(*err, context.Canceled) {
					t.Errorf("abandoned call %d: made %v, %v", i, made, *err)
				}
			}
		})
	}
}

func TestCancelledContextMakesNoCall(t *testing.T) {
	cause := errors.New("shutdown")
	ctx, cancel := context.WithCancelCause(bg)
	cancel(cause)
	l := ratelimit.New(0, 1)
	if err := retry.Run(ctx, l, nop); !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if err := retry.Run(bg, l, nop); err != nil {
		t.Errorf("the token is gone: %v", err)
	}
}

func TestTenThousandWaitersStayInOrderAndExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		l := ratelimit.New(1000, 1)
		start := time.Now()
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				_ = retry.Run(bg, l, func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					if at := time.Since(start); at != time.Duration(i)*ms {
						t.Errorf("call %d at %v", i, at)
					}
					order = append(order, i)
					return nil
				})
			})
			synctest.Wait()
		}
		wg.Wait()
		if len(order) != n || !slices.IsSorted(order) {
			t.Errorf("%d went, in order: %v", len(order), slices.IsSorted(order))
		}
	})
}

func TestSmallCallsDoNotOvertakeALargeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 3)
		s.call(bg, l, 0, nil)
		s.call(bg, l.N(3), 1, nil) // two tokens are there
		s.call(bg, l, 2, nil)
		s.expect(0, 100*ms, 200*ms)
	})
}

func TestBadConfigurationFailsEveryCall(t *testing.T) {
	nan := rate.Limit(math.NaN())
	good := ratelimit.New(1, 1)
	spoilt := ratelimit.New(1, 1)
	spoilt.SetLimit(nan)
	lost := ratelimit.From(rate.NewLimiter(nan, 1)) // and its tokens are NaN for ever
	lost.SetLimit(1)
	for name, p := range map[string]retry.Policy{
		"negative limit":   ratelimit.New(-1, 1),
		"NaN":              ratelimit.New(nan, 1),
		"burst 0":          ratelimit.New(1, 0),
		"negative burst":   ratelimit.New(0, -1),
		"negative MaxWait": ratelimit.New(1, 1, ratelimit.MaxWait(-1)),
		"negative HintCap": ratelimit.New(1, 1, ratelimit.HintCap(-1)),
		"zero option":      ratelimit.New(1, 1, ratelimit.Option{}),
		"nil bucket":       ratelimit.From(nil),
		"zero":             &ratelimit.Limiter{},
		"nil":              (*ratelimit.Limiter)(nil),
		"nil, N":           (*ratelimit.Limiter)(nil).N(1),
		"zero in All":      ratelimit.All(good, &ratelimit.Limiter{}),
		"All of a zero":    ratelimit.All(&ratelimit.Limiter{}),
		"nil in All":       ratelimit.All(good, nil),
		"zero pacer":       &ratelimit.Pacer{},
		"nil pacer":        (*ratelimit.Pacer)(nil),
		"SetLimit":         spoilt,
		"NaN tokens":       lost,
		"N(0)":             good.N(0),
		"All of none":      ratelimit.All(),
		"All of nil":       ratelimit.All(nil),
		"All of one twice": ratelimit.All(good, good),
		"All of a bad one": ratelimit.All(good, ratelimit.New(-1, 1)),
		"half a shadow":    ratelimit.All(good, ratelimit.New(1, 1, ratelimit.Shadow())),
	} {
		if err := retry.Validate(p); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: Validate says %v", name, err)
		}
		err := retry.Run(bg, p, func(context.Context) error {
			t.Errorf("%s: the call was made", name)
			return nil
		})
		if !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: got %v", name, err)
		}
		watch := retry.Observe(func(context.Context, retry.Event) {})
		if err := retry.Run(bg, retry.Chain(watch, p), nop); !errors.Is(err, retry.ErrConfig) {
			t.Errorf("%s: in a chain: got %v", name, err)
		}
		_ = p.(retry.Idler).Idle() // Keyed asks a policy that fails, too
		if s, ok := p.(fmt.Stringer); ok && s.String() == "" {
			t.Errorf("%s: an empty string", name)
		}
	}
	spoilt.SetLimit(1)
	if err := retry.Run(bg, spoilt, nop); err != nil {
		t.Errorf("set right again: %v", err)
	}
}

// A zero Limiter has no line and no bucket; what is set or paused of it does not make it another
// error.
func TestAZeroLimiterSaysThatItIsZero(t *testing.T) {
	var l ratelimit.Limiter
	l.SetLimit(1)
	l.SetBurst(1)
	l.Pause(time.Second)
	if err := retry.Run(bg, &l, nop); !errors.Is(err, retry.ErrConfig) ||
		!strings.Contains(err.Error(), "zero Limiter") {
		t.Errorf("got %v", err)
	}
}

func TestAWaitCountsTheTokensOfThoseBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newScript(t), ratelimit.New(10, 3)
		s.call(bg, l.N(3), 0, nil)
		s.call(bg, l.N(3), 1, nil)
		var errs []*error
		for i, deadline := range []time.Duration{400 * ms, 401 * ms} {
			ctx, cancel := context.WithTimeout(bg, deadline)
			defer cancel()
			errs = append(errs, s.call(ctx, l, 2+i, nil))
		}
		s.expect(0, 300*ms, never, 400*ms)
		if wait, _ := retry.RetryAfter(*errs[0]); !errors.Is(*errs[0], ratelimit.ErrLimited) ||
			wait != 400*ms {
			t.Errorf("got %v, want to be told of 400ms", *errs[0])
		}
	})
}
