package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// The promises of package retry, held by random chains of all policies under random calls: callees
// that fail, hang, panic, end their goroutine and call through the same chain, callers that cancel
// and run out of time.
func TestRandomChainsKeepTheirPromises(t *testing.T) {
	chains := 10_000
	if testing.Short() {
		chains = 400
	}
	for seed := range chains {
		if !t.Run(fmt.Sprint("chain ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newWorld(t, uint64(seed)).run() })
		}) {
			return
		}
	}
}

// world is one chain and what its calls have taken from it.
type world struct {
	t     *testing.T
	rng   *rand.Rand // of the chain; each call has one of its own
	chain retry.Policy

	taken     atomic.Int32 // by calls inside a gate, and not given back
	bulkheads []*policies.Bulkhead
	levels    int // how many taps the chain has
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 7))}
	members := []retry.Policy{w.tap()}
	for range 1 + w.rng.IntN(5) {
		members = append(members, w.member(), w.tap())
	}
	w.chain = retry.Chain(members...)
	if err := retry.Validate(w.chain); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) ms(n int) time.Duration { return time.Duration(w.rng.IntN(n)) * time.Millisecond }

// member is any policy, with any options.
func (w *world) member() retry.Policy {
	switch w.rng.IntN(12) {
	case 0:
		return policies.Exponential(w.loopOptions()...)
	case 1:
		return policies.Constant(w.ms(50), w.loopOptions()...)
	case 2:
		return policies.Timeout(time.Millisecond + w.ms(500))
	case 3:
		b := policies.NewBulkhead(1+w.rng.IntN(3), w.rng.IntN(4), policies.MaxWait(w.ms(200)))
		w.bulkheads = append(w.bulkheads, b)
		return b
	case 4:
		b := policies.NewBulkhead(2, w.rng.IntN(4))
		w.bulkheads = append(w.bulkheads, b)
		return b.N(1 + w.rng.IntN(2))
	case 5:
		return ratelimit.New(50, 1+w.rng.IntN(5), ratelimit.MaxWait(w.ms(300)))
	case 6:
		return ratelimit.New(50, 1+w.rng.IntN(5))
	case 7:
		return breaker.New("b", breaker.ConsecutiveFailures(1+w.rng.IntN(3)),
			breaker.OpenFor(time.Millisecond+w.ms(300)))
	case 8:
		return policies.Classify(policies.Neutral(policies.Func(func(err error) bool {
			return len(err.Error())%2 == 0
		})))
	case 9:
		return policies.Keyed(func(context.Context) int { return 1 },
			func(int) retry.Policy { return ratelimit.New(100, 2) })
	case 10:
		return ratelimit.NewPacer(ratelimit.StartRate(50), ratelimit.MaxInFlight(1+w.rng.IntN(3)),
			ratelimit.HintCap(time.Minute))
	}
	return retry.Gate(func(context.Context) (func(error), error) {
		w.taken.Add(1)
		return func(error) { w.taken.Add(-1) }, nil
	})
}

func (w *world) loopOptions() []policies.Option {
	opts := []policies.Option{policies.Attempts(1 + w.rng.IntN(4))}
	for _, o := range []policies.Option{
		policies.MaxElapsed(time.Second), policies.Patience(time.Second), policies.OutermostOnly(),
		policies.MaxCalls(5), policies.HintCap(time.Second),
		policies.WithBudget(policies.NewCostBudget(20, 5, 1)),
		policies.WithBudget(policies.NewTokenBudget(10, 0.5)),
		policies.ResetAfter(50 * time.Millisecond),
		policies.RetryIf(func(err error) bool { return len(err.Error())%3 != 0 }),
	} {
		if w.rng.IntN(5) == 0 {
			opts = append(opts, o)
		}
	}
	return opts
}

// tap stands between the members and sees which is inside which: the first member is the outermost,
// one call goes inward at a time, and has come back before the member it came from returns.
func (w *world) tap() retry.Policy {
	level := w.levels
	w.levels++
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		c := ctx.Value(callKey{}).(*call)
		if c.level != level {
			w.t.Errorf("level %d entered from %d", level, c.level)
		}
		c.level++
		defer func() {
			if c.level != level+1 {
				w.t.Errorf("level %d left with %d inside", level, c.level)
			}
			c.level--
			c.ended = ctx.Err() != nil
		}()
		return next.Do(ctx)
	})
}

type callKey struct{}

// call is one Do through the chain, with what its callee did.
type call struct {
	w       *world
	rng     *rand.Rand
	deep    int
	level   int
	calls   int
	outcome error // of the last call; errAbrupt if it did not return
	ended   bool  // the context, before Do returned
}

var (
	errAbrupt = errors.New("panic or Goexit")
	errCancel = errors.New("the caller's own reason")
)

func (w *world) run() {
	var all sync.WaitGroup
	for range 1 + w.rng.IntN(6) {
		c := w.call(w.rng, 0)
		after := w.ms(100)
		all.Go(func() { time.Sleep(after); c.do(w.t.Context()) })
	}
	all.Wait()
	if n := w.taken.Load(); n != 0 {
		w.t.Errorf("%d taken and not given back", n)
	}
	i := slices.IndexFunc(w.bulkheads, func(b *policies.Bulkhead) bool {
		return b.Running()+b.Waiting() != 0
	})
	if i >= 0 {
		w.t.Errorf("not given back: %v", w.bulkheads[i])
	}
	time.Sleep(time.Hour)
	c, start := w.call(w.rng, 0), time.Now()
	err := retry.Run(context.WithValue(w.t.Context(), callKey{}, c), w.chain, fine)
	if took := time.Since(start); err != nil || took != 0 {
		w.t.Errorf("an hour later: %v after %v\n%s", err, took, retry.Describe(w.chain))
	}
}

func (w *world) call(rng *rand.Rand, deep int) *call {
	return &call{w: w, rng: rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())), deep: deep}
}

// do makes the call in a way that its end can be any, and checks what came back.
func (c *call) do(ctx context.Context) {
	t, start, limit := c.w.t, time.Now(), time.Duration(-1)
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, callKey{}, c))
	defer cancel(nil)
	switch c.rng.IntN(3) {
	case 0:
		limit = time.Duration(c.rng.IntN(400)) * time.Millisecond
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, limit)
		defer stop()
	case 1:
		limit = time.Duration(c.rng.IntN(400)) * time.Millisecond
		defer time.AfterFunc(limit, func() { cancel(errCancel) }).Stop()
	}
	var value int
	var err error
	returned := false
	defer func() {
		if with := recover(); with != nil && with != "bang" || !returned && c.outcome != errAbrupt {
			t.Errorf("recovered %v after %v", with, c.outcome)
		}
		if took := time.Since(start); limit >= 0 && took > limit {
			t.Errorf("%v after its time of %v was over: %v", took-limit, limit, err)
		}
	}()
	if c.rng.IntN(2) == 0 {
		value, err = retry.Do(ctx, c.w.chain, c.callee)
	} else {
		var text string
		text, err = retry.Do(ctx, c.w.chain, func(ctx context.Context) (string, error) {
			n, err := c.callee(ctx)
			return fmt.Sprint(n), err
		})
		_, _ = fmt.Sscan(text, &value)
	}
	returned = true
	c.check(ctx, value, err)
}

func (c *call) check(ctx context.Context, value int, err error) {
	t := c.w.t
	switch {
	case c.outcome == errAbrupt:
		t.Errorf("returned %v after a panic or Goexit", err)
	case value != c.calls:
		t.Errorf("value %d of %d: %v", value, c.calls, err)
	case err == nil && (c.calls == 0 || c.outcome != nil), err != nil && c.calls > 0 &&
		c.outcome == nil:
		t.Errorf("%v after %d calls, the last: %v", err, c.calls, c.outcome)
	case err != nil && c.outcome != nil && !errors.Is(err, c.outcome):
		t.Errorf("%v hides the last failure, %v", err, c.outcome)
	case err != nil && c.ended &&
		(!errors.Is(err, ctx.Err()) || !errors.Is(err, context.Cause(ctx))):
		t.Errorf("%v hides the end of the context, %v", err, context.Cause(ctx))
	case err != nil && c.calls == 0 && !c.ended && !errors.Is(err, retry.ErrRejected) &&
		!errors.Is(err, context.DeadlineExceeded) &&
		// the last: no call is left of an outer call's MaxCalls
		!errors.Is(err, retry.ErrExhausted):
		t.Errorf("%v although nobody was called", err)
	}
}

// callee does one of all that a callee may do.
func (c *call) callee(ctx context.Context) (int, error) {
	c.calls++
	n := c.calls
	c.outcome = errAbrupt
	c.outcome = c.behave(ctx, fmt.Errorf("failure %d%s", n, "xxx"[:c.rng.IntN(4)]))
	return n, c.outcome
}

func (c *call) behave(ctx context.Context, failure error) error {
	takes := time.NewTimer(time.Duration(c.rng.IntN(120)) * time.Millisecond)
	defer takes.Stop()
	if c.rng.IntN(2) == 0 {
		select {
		case <-takes.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", failure, context.Cause(ctx))
		}
	}
	if c.deep < 2 && c.rng.IntN(4) == 0 {
		c.nest(ctx)
	}
	switch c.rng.IntN(12) {
	case 0:
		panic("bang")
	case 1:
		runtime.Goexit()
	case 2:
		return retry.Permanent(failure)
	case 3:
		return retry.Permanent(retry.Neutral(failure))
	case 4:
		return retry.Neutral(failure)
	case 5:
		return retry.After(failure, time.Duration(c.rng.IntN(2000))*time.Millisecond)
	case 6, 7, 8:
		return failure
	}
	return nil
}

// nest makes calls through the same chain from inside one, one or several at once. Each is a
// call of its own.
func (c *call) nest(ctx context.Context) {
	var all sync.WaitGroup
	for range 1 + c.rng.IntN(2) {
		in := c.w.call(c.rng, c.deep+1)
		all.Go(func() { in.do(ctx) })
	}
	all.Wait()
}
