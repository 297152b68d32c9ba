package retry_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// A call that fails when its context ends need not say so: a command says that it was killed. The
// error tells both.
func TestAFailureAtTheEndOfItsContextIsBoth(t *testing.T) {
	shutdown := errors.New("shutdown")
	pass := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		return next.Do(ctx)
	})
	for name, c := range map[string]struct {
		says error
		ends error
	}{
		"its own words": {errBoom, shutdown},
		"the cause":     {shutdown, shutdown},
		"the end":       {context.Canceled, shutdown},
		"no cause":      {errBoom, context.Canceled},
	} {
		for _, run := range []func(context.Context, func(context.Context) error) error{
			func(ctx context.Context, f func(context.Context) error) error {
				return retry.Run(ctx, pass, f)
			},
			func(ctx context.Context, f func(context.Context) error) error {
				_, err := retry.Do(ctx, retry.Policy(pass), func(ctx context.Context) (int, error) {
					return 0, f(ctx)
				})
				return err
			},
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			err := run(ctx, func(context.Context) error {
				cancel(c.ends)
				return retry.Neutral(c.says)
			})
			if !errors.Is(err, c.says) || !errors.Is(err, c.ends) ||
				!errors.Is(err, context.Canceled) || !retry.IsNeutral(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	err := retry.Run(t.Context(), pass, func(context.Context) error { return errBoom })
	if err != errBoom {
		t.Errorf("a context that lives: %v", err)
	}
}

// A caller that looks for a timeout as package net does finds the deadline.
func TestADeadlineIsATimeout(t *testing.T) {
	for _, c := range []struct {
		err  interface{ Timeout() bool }
		want bool
	}{
		{&retry.Error{Reason: retry.ErrExhausted, Last: context.DeadlineExceeded}, true},
		{&retry.Error{Reason: context.DeadlineExceeded, Wait: time.Second}, true},
		{&retry.Error{Reason: retry.ErrExhausted, Last: errBoom}, false},
		{&retry.Rejection{Reason: context.DeadlineExceeded}, true},
		{&retry.Rejection{Reason: errBoom, Cause: context.DeadlineExceeded}, false},
	} {
		if c.err.Timeout() != c.want {
			t.Errorf("%v", c.err)
		}
	}
}
