package breaker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

func TestAllowCountsOnceAndWhenToldSo(t *testing.T) {
	in(t, func(t *testing.T) {
		b := breaker.New("x", breaker.ConsecutiveFailures(2))
		for range 2 {
			done, err := b.Allow(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(6 * time.Hour) // a stream
			want(t, b, breaker.Closed)
			done(errBoom)
			done(errBoom)
			done(nil)
		}
		want(t, b, breaker.Open)
		done, err := b.Allow(t.Context())
		if done != nil || !errors.Is(err, breaker.ErrOpen) {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if done, err = b.Allow(t.Context()); err != nil {
			t.Fatal(err)
		}
		rejected(t, b)
		done(nil)
		want(t, b, breaker.Closed)
	})
}

func TestAllowWhoseDoneNeverComesHoldsNoPlace(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed()
		if _, err := b.Allow(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5*time.Second - 1)
		rejected(t, b)
		time.Sleep(1)
		if err := run(b, succeed); err != nil {
			t.Fatal(err)
		}
		want(t, b, breaker.Closed)
	})
}

func TestAllowInsideAProbeIsPartOfIt(t *testing.T) {
	in(t, func(t *testing.T) {
		b := probed()
		_ = run(b, func(ctx context.Context) error {
			for range 2 {
				done, err := b.Allow(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.Allow(ctx); !errors.Is(err, breaker.ErrOpen) {
					t.Error(err)
				}
				done(errBoom)
			}
			return nil
		})
		want(t, b, breaker.Closed)
	})
}

func TestAllowOfACancelledContext(t *testing.T) {
	b := breaker.New("x", breaker.ConsecutiveFailures(1))
	ctx, stop := context.WithCancel(t.Context())
	done, err := b.Allow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	done(errors.New("transport closing"))
	want(t, b, breaker.Closed) // the caller left
	if done, err := b.Allow(ctx); done != nil || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := retry.Run(t.Context(), retry.Gate(b.Allow), fail); err != errBoom {
		t.Fatal(err)
	}
	want(t, b, breaker.Open)
}
