package policies

import (
	"context"
	"fmt"
	"strings"

	"github.com/reprise-go/reprise/retry"
)

// Failover makes a call that asks the next callee at once if one fails or its policy rejects the
// call: replicas, each with its own breaker by retry.Wrap. The first success is returned, and so is
// a permanent failure: a final answer of one callee ("no rows") is an answer, and what must not be
// repeated is not repeated elsewhere. The end of the context and a configuration error end it too.
//
// If all fail, the last value comes back with an error that Is all of the failures. The policies
// around see the marks of the last callee that was reached or, if all calls were rejected, of the
// one that may be asked first; the marks of the others are hidden. To try all of them again, put a
// loop around.
//
// A nil function, and no function at all, is a [retry.ErrConfig] of every call. retry.Validate sees
// policies only, so not this.
func Failover[T any](calls ...func(context.Context) (T, error)) func(context.Context) (T, error) {
	calls = append([]func(context.Context) (T, error){}, calls...)
	var m mistakes
	m.check(len(calls) > 0, "no calls: must be at least 1")
	for i, call := range calls {
		m.check(call != nil, "call %d: must not be nil", i+1)
	}
	return guarded(m.in("Failover"), func(ctx context.Context) (value T, err error) {
		var failed allFailedError
		for i, call := range calls {
			value, err = call(ctx)
			if err == nil {
				return value, nil
			}
			v := retry.VerdictOf(err)
			failed.add(err, v)
			if v.Config || v.Permanent && v.Rejection == nil || ctx.Err() != nil {
				break
			}
			if i+1 < len(calls) {
				to := fmt.Sprintf("callee %d of %d", i+2, len(calls))
				next := retry.Event{Kind: retry.KindRetry, Policy: "failover", Err: err, To: to}
				retry.Emit(ctx, next)
			}
		}
		return value, retry.WithEnd(ctx, failed.err())
	})
}

// allFailedError is the failures of several callees, of which one speaks for all.
type allFailedError struct {
	errs    []error
	speaker int
	says    retry.Verdict // the speaker
}

func (a *allFailedError) add(err error, v retry.Verdict) {
	a.errs = append(a.errs, err)
	if len(a.errs) > 1 {
		switch before := a.says; {
		case v.Rejection == nil: // the callee was reached
		case before.Rejection == nil:
			return
		case before.After > 0 && (v.After == 0 || v.After >= before.After):
			return
		}
	}
	a.speaker, a.says = len(a.errs)-1, v
}

// err is the only failure as it is, or all of them.
func (a *allFailedError) err() error {
	if len(a.errs) == 1 {
		return a.errs[0]
	}
	for i, err := range a.errs {
		if i != a.speaker {
			a.errs[i] = retry.Unmark(err)
		}
	}
	return a
}

func (a *allFailedError) Error() string {
	texts := make([]string, len(a.errs))
	for i, err := range a.errs {
		texts[i] = err.Error()
	}
	return fmt.Sprintf("failover: %d callees failed: %s", len(texts), strings.Join(texts, "; "))
}

func (a *allFailedError) Unwrap() []error { return a.errs }
