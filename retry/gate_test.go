package retry_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

func TestGate(t *testing.T) {
	exit := func(how func()) func(context.Context) error {
		return func(context.Context) error { how(); return nil }
	}
	for _, tc := range []struct {
		name  string
		admit error
		call  func(context.Context) error
		done  error // what done is told; io.EOF: any error
		err   error
		panic any
	}{
		{"success", nil, func(context.Context) error { return nil }, nil, nil, nil},
		{"failure", nil, func(context.Context) error { return errBoom }, errBoom, errBoom, nil},
		{"panic", nil, exit(func() { panic("ouch") }), io.EOF, nil, "ouch"},
		{"goexit", nil, exit(runtime.Goexit), io.EOF, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			told := []error{}
			gate := retry.Gate(func(context.Context) (func(error), error) {
				return func(err error) { told = append(told, err) }, tc.admit
			})
			var err error
			var caught any
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				defer func() { caught = recover() }()
				err = retry.Run(context.Background(), gate, tc.call)
			}()
			<-finished
			if len(told) != 1 || tc.done == io.EOF && told[0] == nil ||
				tc.done != io.EOF && told[0] != tc.done {
				t.Errorf("done was told %v, want %v", told, tc.done)
			}
			if !errors.Is(err, tc.err) || caught != tc.panic {
				t.Errorf("got %v, panic %v", err, caught)
			}
		})
	}
}

func TestGateRefuses(t *testing.T) {
	calls := 0
	call := func(context.Context) error { calls++; return nil }
	refuse := retry.Gate(func(context.Context) (func(error), error) { return nil, errBoom })
	if err := retry.Run(t.Context(), refuse, call); err != errBoom || calls != 0 {
		t.Errorf("got %v after %d calls", err, calls)
	}
	open := retry.Gate(func(context.Context) (func(error), error) { return nil, nil })
	if err := retry.Run(t.Context(), open, call); err != nil || calls != 1 {
		t.Errorf("nil done: got %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	asked := false
	gate := retry.Gate(func(context.Context) (func(error), error) { asked = true; return nil, nil })
	if err := retry.Run(ctx, gate, call); !errors.Is(err, errBoom) ||
		!errors.Is(err, context.Canceled) || asked || calls != 1 {
		t.Errorf("ended context: got %v, asked %v, %d calls", err, asked, calls)
	}
}
