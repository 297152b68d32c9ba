package retry_test

import (
	"context"
	"errors"
	"fmt"
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

func passing(ctx context.Context, next retry.Next) error { return next.Do(ctx) }

// TestObserversStandAnywhere: what is told does not depend on whether an Observe is the first of
// its chain, which costs less, or stands further in.
func TestObserversStandAnywhere(t *testing.T) {
	pass := retry.PolicyFunc(passing)
	for name, tc := range map[string]struct {
		chain func(a, b retry.Policy) retry.Policy
		want  string
	}{
		"both in front": {
			func(a, b retry.Policy) retry.Policy { return retry.Chain(a, b, pass) },
			"b call, a call, b done 1, a done 1"},
		"nothing else": {func(a, b retry.Policy) retry.Policy { return retry.Chain(a, b) },
			"b call, a call, b done 1, a done 1"},
		"one further in": {
			func(a, b retry.Policy) retry.Policy { return retry.Chain(a, pass, b) },
			"b call, a call, b done 1, a done 1"},
		"both further in": {
			func(a, b retry.Policy) retry.Policy { return retry.Chain(pass, a, b) },
			"b call, a call, b done 1, a done 1"},
		"the same twice": {
			func(a, b retry.Policy) retry.Policy { return retry.Chain(a, pass, a) },
			"a call, a call, a done 1, a done 1"},
		"the same in row": {func(a, b retry.Policy) retry.Policy { return retry.Chain(a, a) },
			"a call, a call, a done 1, a done 1"},
		"alone": {func(a, b retry.Policy) retry.Policy { return a }, "a call, a done 1"},
		"inside a loop": {
			func(a, b retry.Policy) retry.Policy { return retry.Chain(a, again(2), b) },
			"b call, a call, b done 1, b call, a call, b done 1, a done 2"},
		"a chain in a row": {
			func(a, b retry.Policy) retry.Policy { return retry.Chain(a, retry.Chain(b, pass)) },
			"b call, a call, b done 1, a done 1"},
		"wrapped": {func(a, b retry.Policy) retry.Policy { return Guard{retry.Chain(a, pass, b)} },
			"b call, a call, b done 1, a done 1"},
	} {
		var told []string
		tell := func(name string) retry.Policy {
			return retry.Observe(func(_ context.Context, e retry.Event) {
				text := name + " " + e.Kind.String()
				if e.Kind == retry.KindDone {
					text += " " + string(rune('0'+e.Calls))
				}
				told = append(told, text)
			})
		}
		p := tc.chain(tell("a"), tell("b"))
		for range 2 {
			told = nil
			_ = retry.Run(t.Context(), p, func(context.Context) error { return errBoom })
			if got := join(told); got != tc.want {
				t.Errorf("%s: %s, want %s", name, got, tc.want)
			}
		}
	}
}

// TestAnObserverInFrontHearsTheSameAnywhere: it costs less there than further in, also inside a
// loop.
func TestAnObserverInFrontHearsTheSameAnywhere(t *testing.T) {
	pass := retry.PolicyFunc(passing)
	for place, inside := range places {
		hear := func(chain func(o retry.Policy) retry.Policy) (heard string) {
			var told []string
			o := retry.Observe(func(_ context.Context, e retry.Event) {
				told = append(told, fmt.Sprintf("%v %v/%v %v %v",
					e.Kind, e.Attempt, e.Depth, e.Calls, e.Err))
			})
			inside(t.Context(), func(ctx context.Context) {
				_ = retry.Run(ctx, chain(o), func(ctx context.Context) error {
					told = append(told, fmt.Sprintf("in %v/%v, hedge %v",
						retry.Attempt(ctx), retry.Depth(ctx), retry.Attempt(retry.Hedged(ctx, 1))))
					retry.Report(ctx, retry.Quota{Limit: 5})
					q, _ := retry.Reported(ctx, time.Time{})
					told = append(told, fmt.Sprintf("limit %d", q.Limit))
					return errBoom
				})
			})
			return join(told)
		}
		got := hear(func(o retry.Policy) retry.Policy { return retry.Chain(o, again(2)) })
		want := hear(func(o retry.Policy) retry.Policy { return retry.Chain(pass, o, again(2)) })
		if got != want || want == "" {
			t.Errorf("inside %s:\n%s\nwant\n%s", place, got, want)
		}
	}
}

// TestAnObserverHearsOnlyWhatItWants: whoever else observes, and wherever it stands.
func TestAnObserverHearsOnlyWhatItWants(t *testing.T) {
	var told []string
	tell := func(name string) retry.Observer {
		return func(_ context.Context, e retry.Event) {
			text := name + " " + e.Kind.String()
			if e.Kind == retry.KindDone {
				text += " " + string(rune('0'+e.Calls))
			}
			told = append(told, text)
		}
	}
	pass, all := retry.PolicyFunc(passing), retry.Observe(tell("all"))
	only := func(name string, kind retry.Kind, more ...retry.Kind) retry.Policy {
		return retry.ObserveOnly(tell(name), kind, more...)
	}
	rejects, done := only("rejects", retry.KindReject), only("done", retry.KindDone)
	refuse := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: "p"})
		return next.Do(ctx)
	})
	for name, tc := range map[string]struct {
		p    retry.Policy
		want string
	}{
		"alone":         {rejects, ""},
		"what it wants": {retry.Chain(rejects, refuse), "rejects reject"},
		"two kinds": {
			retry.Chain(only("a", retry.KindReject, retry.KindCall), refuse), "a reject, a call"},
		"the end has the calls": {retry.Chain(done, refuse), "done done 1"},
		"beside one of all kinds": {
			retry.Chain(rejects, all, refuse), "all reject, rejects reject, all call, all done 1"},
		"inside one of all kinds": {
			retry.Chain(all, pass, rejects, refuse),
			"rejects reject, all reject, all call, all done 1"},
		"around one of all kinds": {
			retry.Chain(rejects, pass, all, refuse),
			"all reject, rejects reject, all call, all done 1"},
		"inside the end": {retry.Chain(done, pass, rejects), "done done 1"},
		"inside a loop": {retry.Chain(done, again(2), rejects, refuse),
			"rejects reject, rejects reject, done done 2"},
	} {
		for range 2 {
			told = nil
			_ = retry.Run(t.Context(), tc.p, func(context.Context) error { return errBoom })
			if got := join(told); got != tc.want {
				t.Errorf("%s: %q, want %q", name, got, tc.want)
			}
		}
	}
	nobody := retry.ObserveOnly(nil, retry.KindCall)
	if err := retry.Validate(nobody); !errors.Is(err, retry.ErrConfig) {
		t.Errorf("no observer: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := retry.Run(ended, rejects, func(context.Context) error { t.Error("called"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// lingering is a breaker that is in no hurry. It has the breaker's methods, also those that say how
// a breaker behaves.
type lingering struct{ *breaker.Breaker }

func (l lingering) Do(ctx context.Context, next retry.Next) error {
	err := l.Breaker.Do(ctx, next)
	time.Sleep(time.Second)
	return err
}

// TestAnObserverIsToldOfAllTheTime: the clock is read once for the end of a call and that of its
// chain only if nothing can have taken time in between.
func TestAnObserverIsToldOfAllTheTime(t *testing.T) {
	late := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		err := next.Do(ctx)
		time.Sleep(time.Second)
		return err
	})
	slowListener := breaker.OnChange(func(breaker.Change) { time.Sleep(time.Second) })
	for name, tc := range map[string]struct {
		chain []retry.Policy
		fails int           // attempts of half a second
		want  time.Duration // from the beginning to the end
	}{
		"nothing else":           {nil, 0, time.Second / 2},
		"policies of the module": {usual(), 0, time.Second / 2},
		"a retry": {
			[]retry.Policy{policies.Constant(time.Minute), breaker.New("b")}, 1, 61 * time.Second},
		"failures only": {
			[]retry.Policy{policies.Constant(time.Minute), breaker.New("b")},
			3, 121*time.Second + time.Second/2},
		"more attempts than are kept": {
			[]retry.Policy{policies.Constant(time.Second, policies.Attempts(20))},
			15, 23 * time.Second},
		"a policy that lingers": {
			[]retry.Policy{late, policies.Constant(0)}, 0, 3 * time.Second / 2},
		"one inside a loop": {
			[]retry.Policy{policies.Constant(0), late}, 1, 3 * time.Second},
		"a type with a breaker in it": {
			[]retry.Policy{policies.Constant(0), lingering{breaker.New("b")}},
			0, 3 * time.Second / 2},
		"a listener": {[]retry.Policy{
			policies.Constant(2 * time.Second),
			breaker.New("b", breaker.ConsecutiveFailures(1),
				breaker.OpenFor(time.Second), slowListener),
		}, 1, 6 * time.Second}, // it opens, half-opens and closes
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var done retry.Event
				last := func(_ context.Context, e retry.Event) { done = e }
				for _, observe := range []retry.Policy{
					retry.Observe(last), retry.ObserveOnly(last, retry.KindDone),
				} {
					began, made := time.Now(), 0
					_ = retry.Run(t.Context(),
						retry.Chain(append([]retry.Policy{observe}, tc.chain...)...),
						func(context.Context) error {
							time.Sleep(time.Second / 2)
							if made++; made <= tc.fails {
								return errBoom
							}
							return nil
						})
					all := time.Since(began)
					if all != tc.want || done.Kind != retry.KindDone || done.Took != all ||
						!done.Time.Equal(time.Now()) {
						t.Errorf("%v of %v told, want %v", done.Took, all, tc.want)
					}
				}
			})
		})
	}
}

func join(texts []string) (all string) {
	for i, s := range texts {
		if i > 0 {
			all += ", "
		}
		all += s
	}
	return all
}

// TestAnObserverHearsOfCallsFurtherIn counts those of chains that the call itself goes through, by
// the same guard too.
func TestAnObserverHearsOfCallsFurtherIn(t *testing.T) {
	var calls []int
	guard := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Kind == retry.KindDone {
			calls = append(calls, e.Calls)
		}
	}), again(2))
	nothing := func(context.Context) error { return nil }
	_ = retry.Run(t.Context(), guard, func(ctx context.Context) error {
		withValue := context.WithValue(ctx, struct{ key int }{}, "v")
		return retry.Run(withValue, retry.PolicyFunc(passing), func(ctx context.Context) error {
			_ = retry.Run(ctx, guard, nothing)
			return errBoom
		})
	})
	// Each of two attempts: its own call, the one through passing, and two of the inner guard.
	if want := []int{2, 2, 8}; !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
}

func TestAnObserverThatPanicsTakesNothingFromTheOthers(t *testing.T) {
	for _, kind := range []retry.Kind{retry.KindCall, retry.KindDone} {
		limiter := ratelimit.New(1e-9, 1)
		told := 0
		count := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == retry.KindDone {
				if told++; e.Calls != 1 {
					t.Errorf("%v: %d calls", kind, e.Calls)
				}
			}
		})
		bad := retry.Observe(func(_ context.Context, e retry.Event) {
			if e.Kind == kind {
				panic("ouch")
			}
		})
		bulkhead := policies.NewBulkhead(1, 0)
		func() {
			defer func() {
				if got := recover(); got != "ouch" {
					t.Errorf("%v: recovered %v", kind, got)
				}
			}()
			_ = retry.Run(t.Context(), retry.Chain(count, bad, count, bulkhead, limiter),
				func(context.Context) error { return nil })
		}()
		if told != 2 || bulkhead.Running() != 0 {
			t.Errorf("%v: %d of 2 others were told of the end, %d running", kind, told,
				bulkhead.Running())
		}
	}
}

// TestEventsTellTheTime: by the clock of the bubble in one, whatever was read before outside.
func TestEventsTellTheTime(t *testing.T) {
	var last retry.Event
	guard := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) { last = e }),
		ratelimit.New(1, 1))
	run := func(t *testing.T) {
		for range 2 { // the second one waits a second
			before := time.Now()
			_ = retry.Run(t.Context(), guard, func(context.Context) error { return nil })
			if after := time.Now(); last.Time.Before(before) || last.Time.After(after) ||
				last.Time.Round(0).Before(before.Round(0).Add(-time.Second)) ||
				last.Time.Round(0).After(after.Round(0).Add(time.Second)) ||
				last.Took > after.Sub(before) {
				t.Errorf("%v in %v, not between %v and %v", last.Time, last.Took, before, after)
			}
		}
	}
	run(t)
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			if now := time.Now(); now.Year() != 2000 ||
				!retry.TimeOf(retry.Next{}.Clock()).Equal(now) {
				t.Errorf("it is %v, not %v", retry.TimeOf(retry.Next{}.Clock()), now)
			}
			run(t)
			time.Sleep(3 * time.Hour)
			run(t)
		})
	}
}

// TestEventsMayBeToldInParallel, as of hedges that share the context of their call.
func TestEventsMayBeToldInParallel(t *testing.T) {
	var told atomic.Int64
	count := retry.Observe(func(context.Context, retry.Event) { told.Add(1) })
	err := retry.Run(t.Context(), retry.Chain(count, policies.Constant(0)),
		func(ctx context.Context) error {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					retry.Emit(ctx, retry.Event{Kind: retry.KindChange, Policy: "test"})
					_ = retry.Run(ctx, policies.Constant(0), func(context.Context) error {
						return nil
					})
				})
			}
			all.Wait()
			return nil
		})
	if want := int64(4 + 4 + 1 + 1); err != nil || told.Load() != want {
		t.Errorf("%d events, want %d; %v", told.Load(), want, err)
	}
}
