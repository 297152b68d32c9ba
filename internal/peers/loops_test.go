package peers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	avast "github.com/avast/retry-go/v5"
	backoff4 "github.com/cenkalti/backoff/v4"
	backoff5 "github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	seth "github.com/sethvargo/go-retry"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// plan is the job of a retry loop: exponential waits from first up to most; none where first is 0.
type plan struct {
	attempts    int
	first, most time.Duration
}

// What a library lets its users build once is built once; what it says is for one call, or holds the call's context, is built for
// each. Jitter is the library's own where it has one by default, else 50 %.
var loops = []peer[func(plan) run]{
	{"reprise", func(p plan) run {
		policy := policies.Exponential(policies.Attempts(p.attempts), policies.Initial(p.first), policies.MaxDelay(p.most))
		if p.first == 0 {
			policy = policies.Constant(0, policies.Attempts(p.attempts))
		}
		return func(ctx context.Context, f call) (int, error) { return retry.Do(ctx, policy, f) }
	}},
	{"backoff v4.3.0", func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			var schedule backoff4.BackOff = &backoff4.ZeroBackOff{}
			if p.first > 0 {
				schedule = backoff4.NewExponentialBackOff(backoff4.WithInitialInterval(p.first), backoff4.WithMaxInterval(p.most))
			}
			schedule = backoff4.WithContext(backoff4.WithMaxRetries(schedule, uint64(p.attempts-1)), ctx)
			return backoff4.RetryWithData(func() (int, error) { return f(ctx) }, schedule)
		}
	}},
	{"backoff v5.0.3", func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			var schedule backoff5.BackOff = &backoff5.ZeroBackOff{}
			if p.first > 0 {
				exponential := backoff5.NewExponentialBackOff()
				exponential.InitialInterval, exponential.MaxInterval = p.first, p.most
				schedule = exponential
			}
			return backoff5.Retry(ctx, func() (int, error) { return f(ctx) },
				backoff5.WithBackOff(schedule), backoff5.WithMaxTries(uint(p.attempts)))
		}
	}},
	{"avast/retry-go v5.1.1", func(p plan) run {
		return func(ctx context.Context, f call) (int, error) { // the context is an option of the retrier
			return avastRetrier(p, avast.Context(ctx)).Do(func() (int, error) { return f(ctx) })
		}
	}},
	{"sethvargo/go-retry v0.5.0", func(p plan) run {
		return func(ctx context.Context, f call) (int, error) {
			schedule := seth.Backoff(seth.BackoffFunc(func() (time.Duration, bool) { return 0, false }))
			if p.first > 0 {
				schedule = seth.WithCappedDuration(p.most, seth.WithJitterPercent(50, seth.NewExponential(p.first)))
			}
			schedule = seth.WithMaxRetries(uint64(p.attempts-1), schedule)
			return seth.DoValue(ctx, schedule, func(ctx context.Context) (int, error) {
				v, err := f(ctx)
				return v, seth.RetryableError(err)
			})
		}
	}},
	{"failsafe-go v0.9.8", func(p plan) run {
		executor := failsafe.With(failsafeLoop(p))
		return func(ctx context.Context, f call) (int, error) {
			return executor.WithContext(ctx).Get(func() (int, error) { return f(ctx) })
		}
	}},
}

func avastRetrier(p plan, opts ...avast.Option) *avast.RetrierWithData[int] {
	opts = append(opts, avast.Attempts(uint(p.attempts)), avast.Delay(p.first), avast.MaxDelay(p.most))
	if p.first == 0 {
		opts = append(opts, avast.DelayType(avast.FixedDelay))
	}
	return avast.NewWithData[int](opts...)
}

func failsafeLoop(p plan) retrypolicy.RetryPolicy[int] {
	builder := retrypolicy.NewBuilder[int]().WithMaxAttempts(p.attempts)
	if p.first > 0 {
		builder = builder.WithBackoff(p.first, p.most).WithJitterFactor(0.5)
	}
	return builder.Build()
}

func TestTableLoops(t *testing.T) {
	type loop = func(plan) run
	prove(t, "retry loops", loops, []fact[loop]{
		{"300 ms left, next wait 1 min: returns", func(t *testing.T, l loop) string {
			return took(func() { _, _ = l(plan{3, time.Minute, time.Hour})(within(t, 300*time.Millisecond), fail) })
		}, []string{"at once", "300ms", "300ms", "300ms", "300ms", "300ms"}},
		{"its error matches", func(t *testing.T, l loop) string {
			_, err := l(plan{3, time.Minute, time.Hour})(within(t, 300*time.Millisecond), fail)
			return those("deadline", errors.Is(err, context.DeadlineExceeded), "failure", errors.Is(err, errBoom))
		}, []string{"deadline, failure", "deadline", "deadline", "deadline, failure", "deadline", "deadline"}},
		{"cancelled with a cause during a wait: the error matches", func(t *testing.T, l loop) string {
			cause := errors.New("shutdown")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
			_, err := l(plan{3, time.Second, time.Minute})(ctx, fail)
			return those("canceled", errors.Is(err, context.Canceled), "cause", errors.Is(err, cause), "failure", errors.Is(err, errBoom))
		}, []string{"canceled, cause, failure", "canceled", "cause", "cause, failure", "cause", "canceled"}},
		{"cancelled before it began: calls made", func(t *testing.T, l loop) string {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			calls := 0
			_, _ = l(plan{attempts: 3})(ctx, func(ctx context.Context) (int, error) { calls++; return fail(ctx) })
			return fmt.Sprint(calls)
		}, []string{"0", "1", "1", "0", "0", "1"}},
		{"cancelled during a call that succeeds: returns its value", func(t *testing.T, l loop) string {
			ctx, cancel := context.WithCancel(t.Context())
			v, err := l(plan{attempts: 3})(ctx, func(ctx context.Context) (int, error) { cancel(); return succeed(ctx) })
			return yes(v == 42 && err == nil)
		}, []string{"yes", "yes", "yes", "yes", "yes", "no"}},
		{"all attempts failed: returns the last value, and matches", func(t *testing.T, l loop) string {
			first, calls := errors.New("first"), 0
			v, err := l(plan{attempts: 3})(t.Context(), func(ctx context.Context) (int, error) {
				if calls++; calls == 1 {
					return 0, first
				}
				return fail(ctx)
			})
			return those("value", v == 7, "last failure", errors.Is(err, errBoom), "first failure", errors.Is(err, first))
		}, []string{"value, last failure", "value, last failure", "value, last failure", "last failure, first failure", "last failure", "last failure"}},
		{"the error of 3 failures is told from that of 1", func(t *testing.T, l loop) string {
			_, err := l(plan{attempts: 3})(t.Context(), fail)
			return yes(err != errBoom)
		}, []string{"yes", "no", "no", "yes", "no", "yes"}},
		{"cap 1 s, 100 waits with jitter: they are", func(t *testing.T, l loop) string {
			beyond, last := false, time.Now()
			atCap := 0
			_, _ = l(plan{101, time.Second, time.Second})(t.Context(), func(ctx context.Context) (int, error) {
				wait := time.Since(last)
				beyond = beyond || wait > time.Second
				if wait == time.Second {
					atCap++
				}
				last = time.Now()
				return fail(ctx)
			})
			return those("within", !beyond, "some beyond it", beyond, "90 or more of them equal to it", atCap >= 90)
		}, []string{"within", "some beyond it", "some beyond it", "within, 90 or more of them equal to it", "within, 90 or more of them equal to it", "some beyond it"}},
	})
}
