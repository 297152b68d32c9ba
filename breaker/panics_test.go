package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

// brittle is a context and an error of which a method panics, each time or from some call of it on.
type brittle struct {
	context.Context
	method string
	after  *int
}

func (c brittle) breaks(method string) {
	if c.method == method {
		if *c.after--; *c.after < 0 {
			panic(method)
		}
	}
}
func (c brittle) Deadline() (time.Time, bool) { c.breaks("Deadline"); return c.Context.Deadline() }
func (c brittle) Done() <-chan struct{}       { c.breaks("Done"); return c.Context.Done() }
func (c brittle) Err() error                  { c.breaks("Err"); return c.Context.Err() }
func (c brittle) Value(key any) any           { c.breaks("Value"); return c.Context.Value(key) }

type brittleError struct{ method string }

func (e brittleError) Error() string {
	if e.method == "Error" {
		panic(e.method)
	}
	return "brittle"
}

func (e brittleError) Is(error) bool {
	if e.method == "Is" {
		panic(e.method)
	}
	return false
}

func (e brittleError) Unwrap() error {
	if e.method == "Unwrap" {
		panic(e.method)
	}
	return nil
}

// try runs a call that may panic.
func try(ctx context.Context, p retry.Policy, call func(context.Context) error) {
	defer func() { _ = recover() }()
	_ = retry.Run(ctx, p, call)
}

func TestBrittleContextHoldsNeitherPlaceNorLock(t *testing.T) {
	for _, method := range []string{"Deadline", "Done", "Err", "Value"} {
		for after := range 6 {
			for _, opts := range [][]breaker.Option{nil,
				{breaker.SlowCall(time.Minute), breaker.SlowInFlight()}, {breaker.Shadow()}} {
				in(t, func(t *testing.T) {
					n := after
					ctx := brittle{context.Background(), method, &n}
					try(ctx, breaker.New("x", opts...), fail)

					n = after
					b := probed(opts...)
					try(ctx, b, fail) // a probe
					ends(t, b)

					n = after
					b = probed(opts...)
					func() {
						defer func() { _ = recover() }()
						if done, err := b.Allow(ctx); err == nil {
							done(errBoom)
						}
					}()
					ends(t, b)
				})
			}
		}
	}
}

func TestBrittleErrorHoldsNeitherPlaceNorLock(t *testing.T) {
	for _, method := range []string{"Error", "Is", "Unwrap"} {
		in(t, func(t *testing.T) {
			b := probed()
			try(t.Context(), b, func(context.Context) error { return brittleError{method} })
			ends(t, b)
			b = breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second))
			failed := func(context.Context) error { return brittleError{method} }
			if method == "Error" { // nobody has to read the text
				if err := run(b, failed); err != (brittleError{method}) {
					t.Fatalf("%T", err)
				}
			} else {
				try(t.Context(), b, failed)
			}
			want(t, b, breaker.Open)
			_ = run(b, succeed).Error() // that failure is of no concern to other calls
			ends(t, b)
		})
	}
}

func TestPanickingObserverHoldsNeitherPlaceNorLock(t *testing.T) {
	for _, kind := range []retry.Kind{retry.KindCall, retry.KindChange, retry.KindReject,
		retry.KindDone} {
		in(t, func(t *testing.T) {
			watch := retry.Observe(func(_ context.Context, e retry.Event) {
				if e.Kind == kind {
					panic(kind)
				}
			})
			b := breaker.New("x", breaker.ConsecutiveFailures(1), breaker.OpenFor(time.Second))
			for range 10 {
				try(t.Context(), retry.Chain(watch, b), fail)
				time.Sleep(time.Second / 2)
			}
			ends(t, b)
			told := 0
			b = probed(breaker.OnChange(func(breaker.Change) { told++ }))
			try(t.Context(), retry.Chain(watch, b), succeed)
			if told != 3 {
				t.Errorf("listeners were told of %d changes", told)
			}
			b = probed()
			try(t.Context(), watch, func(ctx context.Context) error {
				if done, err := b.Allow(ctx); err == nil {
					done(nil)
				}
				return nil
			})
			ends(t, b)
		})
	}
}

// ends wants that the breaker gets to closed by itself: no place in it is taken, and its lock is
// free.
func ends(t *testing.T, b *breaker.Breaker) {
	t.Helper()
	_ = b.String()
	time.Sleep(time.Second)
	if err := run(b, succeed); err != nil {
		t.Fatalf("a place is taken: %v", err)
	}
	want(t, b, breaker.Closed)
}

// A failure may hold a megabyte of header and body; the breaker keeps its text.
type bulkyError struct{ body [1 << 20]byte }

func (*bulkyError) Error() string { return "503 Service Unavailable" }
func (*bulkyError) Bulky() bool   { return true }

func TestOpenBreakerKeepsTheTextOfABulkyFailure(t *testing.T) {
	var told error
	b := breaker.New("x", breaker.ConsecutiveFailures(1),
		breaker.OnChange(func(c breaker.Change) { told = c.Cause }))
	boom := &bulkyError{}
	err := run(b, func(context.Context) error { return boom })
	if err != error(boom) || told != error(boom) {
		t.Fatal("the caller and the listener get it as it is")
	}
	r, _ := retry.Rejected(run(b, succeed))
	if errors.As(r.Cause, &boom) || r.Cause.Error() != "503 Service Unavailable" {
		t.Fatalf("%T", r.Cause)
	}
}
