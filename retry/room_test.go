package retry_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// roomy is what a middleware allocates for each call.
type roomy struct {
	run  func(context.Context) error
	room retry.Room
}

func (r *roomy) Call(ctx context.Context) error { return r.run(ctx) }

// inRoom is retry.Run in a Room.
func inRoom(ctx context.Context, p retry.Policy, run func(context.Context) error) error {
	r := &roomy{run: run}
	return r.room.Run(ctx, p, r)
}

// places are what may be around a call: each runs it there.
var places = map[string]func(ctx context.Context, run func(context.Context)){
	"nothing": func(ctx context.Context, run func(context.Context)) { run(ctx) },
	"an end": func(ctx context.Context, run func(context.Context)) {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(errBoom)
		run(ctx)
	},
	"a remote loop": func(ctx context.Context, run func(context.Context)) {
		run(retry.WithRemoteAttempt(ctx, 3))
	},
	"a loop": inSecond,
	"a hedge": func(ctx context.Context, run func(context.Context)) {
		inSecond(ctx, func(ctx context.Context) { run(retry.Hedged(ctx, 1)) })
	},
	"a loop that is observed": func(ctx context.Context, run func(context.Context)) {
		deaf := retry.Observe(func(context.Context, retry.Event) {})
		_ = retry.Run(ctx, deaf, func(ctx context.Context) error {
			inSecond(ctx, run)
			return nil
		})
	},
}

// inSecond runs run in the second attempt of a loop.
func inSecond(ctx context.Context, run func(context.Context)) {
	_ = retry.Run(ctx, again(2), func(ctx context.Context) error {
		if retry.Attempt(ctx) == 2 {
			run(ctx)
		}
		return errBoom
	})
}

// TestARoomChangesNothing: with every policy, and whatever is around, a call in a Room goes as one
// of Run does, and its observers hear the same.
func TestARoomChangesNothing(t *testing.T) {
	var told []string
	tell := func(name string) retry.Policy {
		return retry.Observe(func(_ context.Context, e retry.Event) {
			told = append(told, fmt.Sprintf("%s %v %v/%v %v",
				name, e.Kind, e.Attempt, e.Depth, e.Calls))
		})
	}
	pass := retry.PolicyFunc(passing)
	open := breaker.New("b")
	open.Trip(errBoom)
	for name, p := range map[string]retry.Policy{
		"nil": nil, "empty": retry.Chain(), "a function": pass, "open": open,
		"behind an observer": retry.Chain(tell("a"), open),
		"an observer":        tell("a"),
		"in front":           retry.Chain(tell("a"), tell("b"), pass, again(2)),
		"further in":         retry.Chain(pass, tell("a"), again(2), tell("b")),
		"wrong":              retry.Chain(tell("a"), retry.PolicyFunc(nil)),
	} {
		for place, inside := range places {
			hear := func(run runner) (heard string) {
				told = nil
				inside(t.Context(), func(ctx context.Context) {
					err := run(ctx, p, func(ctx context.Context) error {
						told = append(told, fmt.Sprintf("call %v/%v",
							retry.Attempt(ctx), retry.Depth(ctx)))
						return errBoom
					})
					heard = fmt.Sprintf("%s: %s", join(told), kindsOf(err))
				})
				return heard
			}
			if got, want := hear(inRoom), hear(retry.Run); got != want || want == "" {
				t.Errorf("%s inside %s:\n%s\nwant\n%s", name, place, got, want)
			}
		}
	}
}

// kindsOf is what err Is. The text of an open breaker's rejection has the time in it.
func kindsOf(err error) string {
	return fmt.Sprintf("boom %v, rejected %v, configuration %v, cancelled %v",
		errors.Is(err, errBoom), errors.Is(err, retry.ErrRejected),
		errors.Is(err, retry.ErrConfig), errors.Is(err, context.Canceled))
}

// runner is retry.Run or inRoom.
type runner func(context.Context, retry.Policy, func(context.Context) error) error

func TestARoomServesOneCall(t *testing.T) {
	calls, p := 0, retry.PolicyFunc(passing)
	r := &roomy{run: func(context.Context) error { calls++; return nil }}
	if err := r.room.Run(t.Context(), p, nil); !errors.Is(err, retry.ErrConfig) {
		t.Errorf("no call: %v", err)
	}
	if err := r.room.Run(t.Context(), p, r); err != nil {
		t.Error(err)
	}
	if err := r.room.Run(t.Context(), p, r); !errors.Is(err, retry.ErrConfig) {
		t.Errorf("again: %v", err)
	}
	if calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
}

func TestARoomPassesPanicsAndGoexit(t *testing.T) {
	var outcome error
	p := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Kind == retry.KindDone {
			outcome = e.Err
		}
	}), retry.PolicyFunc(passing))
	for name, leave := range map[string]func(){
		"panic": func() { panic(errBoom) }, "Goexit": runtime.Goexit,
	} {
		outcome = nil
		var got any
		left := make(chan struct{})
		go func() {
			defer close(left)
			defer func() { got = recover() }()
			_ = inRoom(t.Context(), p, func(context.Context) error { leave(); return nil })
		}()
		<-left
		if panicked := name == "panic"; panicked != (got == errBoom) || outcome == nil {
			t.Errorf("%s: recovered %v, told %v", name, got, outcome)
		}
	}
}

// TestARoomIsAllTheMemory: a call in a Room allocates nothing of its own.
func TestARoomIsAllTheMemory(t *testing.T) {
	deaf := retry.ObserveOnly(func(context.Context, retry.Event) {}, retry.KindGiveUp)
	for name, p := range map[string]retry.Policy{
		"a function":  retry.PolicyFunc(passing),
		"an observer": retry.Chain(deaf, retry.PolicyFunc(passing)),
	} {
		run := func(context.Context) error { return nil }
		if got := testing.AllocsPerRun(100, func() {
			_ = inRoom(t.Context(), p, run)
		}); got > 1 {
			t.Errorf("%s: %v allocations, want 1", name, got)
		}
	}
}
