package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

func TestSleep(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name     string
		deadline time.Duration // of the context, 0: none
		cancel   time.Duration // with cause errBoom, 0: never
		wait     time.Duration
		took     time.Duration
		is       []error
	}{
		{"passes", 0, 0, s, s, nil},
		{"no wait", 0, 0, 0, 0, nil},
		{"a negative wait", 0, 0, -s, 0, nil},
		{"fits", 2 * s, 0, s, s, nil},
		{"does not fit", s, 0, 2 * s, 0, []error{context.DeadlineExceeded}},
		{"ends with the deadline", s, 0, s, 0, []error{context.DeadlineExceeded}},
		{"cancelled under way", 0, s, 2 * s, s, []error{context.Canceled, errBoom}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tc.deadline > 0 {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeout(ctx, tc.deadline)
					defer stop()
				}
				if tc.cancel > 0 {
					time.AfterFunc(tc.cancel, func() { cancel(errBoom) })
				}
				fits := retry.Fits(ctx, tc.wait)
				if fits == errors.Is(errors.Join(tc.is...), context.DeadlineExceeded) {
					t.Errorf("Fits = %v", fits)
				}
				start := time.Now()
				err := retry.Sleep(ctx, retry.Event{Policy: "test", Wait: tc.wait})
				if took := time.Since(start); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				if (err == nil) != (tc.is == nil) {
					t.Errorf("got %v", err)
				}
				for _, target := range tc.is {
					if !errors.Is(err, target) {
						t.Errorf("%v is not %v", err, target)
					}
				}
			})
		})
	}
}

func TestSleepThatDoesNotFitNamesThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := retry.Sleep(ctx, retry.Event{Policy: "queue", Wait: 2 * time.Second})
		if want := "context deadline exceeded: queue: a wait of 2s does not fit"; err == nil ||
			err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestSleepAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := retry.Sleep(ctx, retry.Event{Policy: "test", Wait: 0})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestEndedIsErrAndCause(t *testing.T) {
	if err := retry.Ended(t.Context()); err != nil {
		t.Errorf("alive: %v", err)
	}
	plain, cancel := context.WithCancel(t.Context())
	cancel()
	if err := retry.Ended(plain); err != context.Canceled {
		t.Errorf("without a cause: %v", err)
	}
	caused, because := context.WithCancelCause(t.Context())
	because(errBoom)
	if err := retry.Ended(caused); !errors.Is(err, context.Canceled) || !errors.Is(err, errBoom) {
		t.Errorf("with a cause: %v", err)
	}
}
