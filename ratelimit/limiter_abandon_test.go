package ratelimit_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// heard is a policy that keeps the errors that come out of the chain inside it.
func heard(errs *[]error) retry.Policy {
	var mu sync.Mutex
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		err := next.Do(ctx)
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			*errs = append(*errs, err)
		}
		return err
	})
}

func TestAnAbandonedWaitIsARejectionAndCostsTheLimiterOutsideNothing(t *testing.T) {
	shutdown := errors.New("shutdown")
	for _, c := range []struct {
		name  string
		inner func() retry.Policy // admits one call
		end   func(time.Duration) (context.Context, func())
		is    []error
	}{
		{"cancelled", func() retry.Policy { return ratelimit.New(rate.Every(time.Hour), 1) },
			func(d time.Duration) (context.Context, func()) {
				ctx, cancel := context.WithCancelCause(bg)
				timer := time.AfterFunc(d, func() { cancel(shutdown) })
				return ctx, func() { timer.Stop() }
			}, []error{context.Canceled, shutdown}},
		{"by its deadline, behind a probe that does not answer", func() retry.Policy {
			l := ratelimit.New(rate.Inf, 1)
			l.Pause(500 * ms)
			return l
		}, func(d time.Duration) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(bg, d)
			return ctx, cancel
		}, []error{context.DeadlineExceeded}},
		{"of a pacer", func() retry.Policy { return ratelimit.NewPacer(ratelimit.MaxInFlight(1)) },
			func(d time.Duration) (context.Context, func()) {
				ctx, cancel := context.WithCancel(bg)
				timer := time.AfterFunc(d, cancel)
				return ctx, func() { timer.Stop() }
			}, []error{context.Canceled}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const calls = 6
				var errs []error
				bucket := rate.NewLimiter(0, calls)
				chain := retry.Chain(ratelimit.From(bucket), heard(&errs), c.inner())
				s := newScript(t)
				s.call(bg, chain, 0, takes(time.Minute))
				time.Sleep(600 * ms)
				for i := range calls - 1 {
					ctx, stop := c.end(400 * ms)
					defer stop()
					s.call(ctx, chain, 1+i, nil)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if len(errs) != calls-1 {
					t.Fatalf("%d waits were given up, want %d", len(errs), calls-1)
				}
				for _, err := range errs {
					r, ok := retry.Rejected(err)
					if !ok || r.RetryAfter != 0 || !errors.Is(err, ratelimit.ErrLimited) ||
						!retry.VerdictOf(err).Unreached {
						t.Errorf("%v is not a rejection", err)
					}
					for _, target := range c.is {
						if !errors.Is(err, target) {
							t.Errorf("%v is not %v", err, target)
						}
					}
				}
				if left := bucket.Tokens(); left != calls-1 {
					t.Errorf("%v tokens are left, want %d", left, calls-1)
				}
				s.wg.Wait()
				if len(s.went) != 1 {
					t.Errorf("%d calls were made, want 1", len(s.went))
				}
			})
		})
	}
}

// A wait is seen with its rejection, whoever ended it.
func TestObserversHearOfAnAbandonedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kinds []retry.Kind
		watch := retry.Observe(func(_ context.Context, e retry.Event) {
			kinds = append(kinds, e.Kind)
		})
		l := ratelimit.New(1, 1, ratelimit.Named("catalog"))
		_ = retry.Run(bg, l, nop)
		ctx, cancel := context.WithCancel(bg)
		defer time.AfterFunc(300*ms, cancel).Stop()
		err := retry.Run(ctx, retry.Chain(watch, l), nop)
		want := "limiter catalog: rate limited: the wait was given up: context canceled"
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if len(kinds) != 3 || kinds[0] != retry.KindReject || kinds[1] != retry.KindWait ||
			kinds[2] != retry.KindDone {
			t.Errorf("heard of %v", kinds)
		}
	})
}

type brokenContext struct {
	context.Context
	deadline, done, err bool // which method panics
}

func (c brokenContext) Deadline() (time.Time, bool) {
	if c.deadline {
		panic("boom")
	}
	return c.Context.Deadline()
}

func (c brokenContext) Done() <-chan struct{} {
	if c.done {
		panic("boom")
	}
	return c.Context.Done()
}

func (c brokenContext) Err() error {
	if c.err && c.Context.Err() != nil {
		panic("boom")
	}
	return c.Context.Err()
}

// What panics around a limiter takes its own call with it and nothing else.
func TestForeignCodeThatPanicsLeavesNoTrace(t *testing.T) {
	observer := func(kind retry.Kind, end func()) retry.Policy {
		return retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == kind {
				end()
			}
		})
	}
	boom := func() { panic("boom") }
	none := retry.Chain()
	for _, c := range []struct {
		name   string
		around retry.Policy
		broken brokenContext
		cancel time.Duration // the wait is given up then; 0: not
	}{
		{"a context's Deadline", none, brokenContext{deadline: true}, 0},
		{"a context's Done", none, brokenContext{done: true}, 0},
		{"a context's Err, when the wait was given up", none, brokenContext{err: true}, 500 * ms},
		{"an observer of the wait", observer(retry.KindWait, boom), brokenContext{}, 0},
		{"an observer of the admission", observer(retry.KindAdmit, boom), brokenContext{}, 0},
		{"an observer of the rejection", observer(retry.KindReject, boom),
			brokenContext{}, 500 * ms},
		{"an observer that ends the goroutine",
			observer(retry.KindAdmit, runtime.Goexit), brokenContext{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := newScript(t), ratelimit.New(1, 1)
				s.call(bg, l, 0, nil)
				ctx, cancel := context.WithCancel(bg)
				defer cancel()
				if c.cancel > 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				c.broken.Context = ctx
				var ended atomic.Bool
				s.wg.Go(func() {
					defer func() { _ = recover() }()
					defer ended.Store(true)
					_ = retry.Run(c.broken, retry.Chain(c.around, l), func(context.Context) error {
						t.Error("the call was made")
						return nil
					})
				})
				time.Sleep(1500 * ms)
				synctest.Wait()
				if !ended.Load() {
					t.Fatal("it still waits")
				}
				s.call(bg, l, 1, nil)
				s.call(bg, l, 2, nil)
				s.expect(0, 1500*ms, 2500*ms)
			})
		})
	}
}
