package httpx

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errGone = errors.New("gone")

// A lapse must be like context.WithDeadline to every user, whether or not its timer is made.
func TestLapseIsAContextWithADeadline(t *testing.T) {
	type step func(ctx context.Context, parent, end func())
	wait := func(d time.Duration) step {
		return func(context.Context, func(), func()) { time.Sleep(d); synctest.Wait() }
	}
	asked := func(ctx context.Context, _, _ func()) { ctx.Done() }
	parent := func(_ context.Context, parent, _ func()) { parent() }
	end := func(_ context.Context, _, end func()) { end() }
	for name, steps := range map[string][]step{
		"in time":                      {wait(999 * time.Millisecond)},
		"in time, and asked":           {asked, wait(999 * time.Millisecond)},
		"too late":                     {wait(time.Second)},
		"too late, and asked":          {asked, wait(time.Second)},
		"asked when it is too late":    {wait(2 * time.Second), asked},
		"too late, and answered":       {wait(time.Second), end},
		"answered":                     {end},
		"answered, then too late":      {end, wait(time.Second)},
		"answered, then asked":         {end, asked},
		"asked, then answered":         {asked, end},
		"the connection is lost":       {parent},
		"lost, then answered":          {parent, end},
		"answered, then lost":          {end, parent},
		"lost, then too late":          {parent, wait(time.Second)},
		"too late, then lost":          {wait(time.Second), parent},
		"asked, too late, then lost":   {asked, wait(time.Second), parent},
		"asked, lost, and then asked":  {asked, parent, asked},
		"lost while nobody has looked": {parent, wait(2 * time.Second), end},
	} {
		synctest.Test(t, func(t *testing.T) {
			deadline := time.Now().Add(time.Second)
			pa, cancelA := context.WithCancelCause(t.Context())
			pb, cancelB := context.WithCancelCause(t.Context())
			defer cancelA(nil)
			defer cancelB(nil)
			want, endWant := context.WithDeadline(pb, deadline)
			defer endWant()
			got := &lapse{Context: pa, deadline: deadline}
			for i, s := range steps {
				s(got, func() { cancelA(errGone) }, got.end)
				s(want, func() { cancelB(errGone) }, endWant)
				synctest.Wait()
				if got.Err() != want.Err() || context.Cause(got) != context.Cause(want) {
					t.Errorf("%s, step %d: %v (%v), want %v (%v)",
						name, i, got.Err(), context.Cause(got), want.Err(), context.Cause(want))
				}
			}
			d, ok := got.Deadline()
			if !ok || !d.Equal(deadline) {
				t.Errorf("%s: deadline %v", name, d)
			}
			select {
			case <-got.Done():
				if got.Err() == nil {
					t.Errorf("%s: done without an error", name)
				}
			default:
				if got.Err() != nil {
					t.Errorf("%s: %v, but not done", name, got.Err())
				}
			}
			got.end()
			endWant()
			if got.Err() != want.Err() {
				t.Errorf("%s: in the end %v, want %v", name, got.Err(), want.Err())
			}
		})
	}
}

func TestALapseEndsWhatIsDerivedFromItWithoutAGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := &lapse{Context: parent, deadline: time.Now().Add(time.Second)}
		defer l.end()
		const many = 1000 // other tests' goroutines come and go
		before, child := runtime.NumGoroutine(), context.Context(nil)
		for range many {
			c, stop := context.WithCancel(l)
			defer stop()
			child = c
		}
		if n := runtime.NumGoroutine() - before; n >= many/2 {
			t.Errorf("%d goroutines more for %d contexts", n, many)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Error(child.Err())
		}
	})
}

func TestLapseMayBeUsedByMany(t *testing.T) {
	for range 100 {
		l := &lapse{Context: context.Background(), deadline: time.Now().Add(time.Hour)}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				_ = l.Err()
				<-l.Done()
				if l.Err() != context.Canceled {
					t.Error(l.Err())
				}
			})
		}
		all.Go(l.end)
		all.Wait()
	}
}

// The first question follows the reading of the clock by which the deadline was set.
func TestALapseReadsTheClockFromTheSecondQuestionOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			deadline time.Duration
			want     [2]error
		}{
			{time.Second, [2]error{nil, context.DeadlineExceeded}},
			{0, [2]error{context.DeadlineExceeded, context.DeadlineExceeded}},
		} {
			told := told{deadline: c.deadline}
			told.has.deadline = true
			l := &lapse{}
			ctx, ends := told.within(t.Context(), l)
			time.Sleep(2 * time.Second)
			if got := [2]error{ctx.Err(), ctx.Err()}; !ends || got != c.want {
				t.Errorf("%v: %v, %v, want %v", c.deadline, ends, got, c.want)
			}
			l.end()
		}
	})
}
