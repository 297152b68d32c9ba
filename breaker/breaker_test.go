package breaker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

var errBoom = errors.New("boom")

func fail(context.Context) error    { return errBoom }
func succeed(context.Context) error { return nil }

func TestOpensAfterFiveFailuresAndAdmitsACallThatWaitsExactlyAsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New("catalog")
		for range 5 {
			if err := retry.Run(t.Context(), b, fail); err != errBoom {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		err := retry.Run(t.Context(), b, func(context.Context) error {
			t.Error("called while open")
			return nil
		})
		if !errors.Is(err, breaker.ErrOpen) || !errors.Is(err, retry.ErrRejected) ||
			errors.Is(err, errBoom) {
			t.Fatal(err)
		}
		r, _ := retry.Rejected(err)
		if r.RetryAfter != 29*time.Second || r.Cause != errBoom || r.Policy != "breaker catalog" {
			t.Fatalf("%+v", r)
		}
		time.Sleep(r.RetryAfter - 1)
		if s := b.State(); s != breaker.Open {
			t.Fatal(s)
		}
		time.Sleep(time.Nanosecond)
		if err := retry.Run(t.Context(), b, succeed); err != nil {
			t.Fatal(err)
		}
		if s := b.State(); s != breaker.Closed {
			t.Fatal(s)
		}
	})
}
