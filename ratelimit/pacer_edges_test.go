package ratelimit

import (
	"context"
	"math"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// If calls that hang reach the user's own bound, and one of them is overdue, the line waits and
// does not spin.
func TestPacerDoesNotSpinAtItsBound(t *testing.T) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxInFlight(1))
		_ = run(t.Context(), p, time.Millisecond, retry.After(errPage, 0))
		hang := make(chan struct{})
		go retry.Run(t.Context(), p, func(context.Context) error { <-hang; return nil })
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_ = run(ctx, p, 0, nil)
		close(hang)
	})
	// asking every microsecond for a minute takes longer, on any machine
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a minute of the bubble took %v", took)
	}
}

// A time in seconds that rounds to just before its moment must not make the pacer ask again at
// once, for ever.
func TestPacerIsNotHeldByARoundingError(t *testing.T) {
	for i := range 300 {
		synctest.Test(t, func(t *testing.T) {
			p := steady()
			time.Sleep(time.Duration(i) * 98_765_431)
			_ = run(t.Context(), p, time.Millisecond, retry.After(errPage, 0))
			hang := make(chan struct{})
			go retry.Run(t.Context(), p, func(context.Context) error { <-hang; return nil })
			time.Sleep(time.Second)
			// after half a minute, in place of the one that hangs: a pacer that spins never comes
			// so far
			_ = run(t.Context(), p, 0, nil)
			close(hang)
		})
	}
}

// An answer in no time, with any news, leaves a rate that is a number.
func TestPacerRateIsANumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(StartRate(5), MaxRate(10))
		_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
			retry.Report(ctx, retry.Quota{Limit: 10, Remaining: 0, Reset: time.Second})
			return nil
		})
		for range 5 {
			_ = run(t.Context(), p, 0, nil)
			if r := float64(p.Rate()); !(r > 0) || math.IsInf(r, 0) {
				t.Fatalf("rate %v", r)
			}
		}
	})
}

// Whichever answer of a burst says when to come back: nothing goes before the latest time that any
// has named.
func TestPacerKeepsToTheLatestTimeThatWasNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []error // of calls in flight at once, a millisecond apart
		want    time.Duration
	}{
		{"the second", []error{retry.After(errPage, 0), retry.After(errPage, time.Minute)},
			time.Minute},
		{"the first", []error{retry.After(errPage, time.Minute), retry.After(errPage, time.Second)},
			time.Minute},
		{"after pages", []error{retry.After(errPage, 0), nil, retry.After(errPage, time.Minute)},
			time.Minute},
		{"beside a reset", []error{syscall.ECONNRESET, nil, retry.After(errPage, time.Minute)},
			time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := steady()
				for range 14 { // as many as let the pacer have several in flight
					_ = run(t.Context(), p, time.Millisecond, nil)
				}
				var wg sync.WaitGroup
				for i, err := range c.answers {
					wg.Go(func() {
						_ = run(t.Context(), p, time.Duration(10+i)*time.Millisecond, err)
					})
				}
				wg.Wait()
				last := time.Now()
				for range 3 {
					if err := run(t.Context(), p, 0, nil); err != nil {
						t.Fatal(err)
					}
					if d := time.Since(last); d < c.want-2*time.Millisecond {
						t.Fatalf("a call went %v after the answer that named %v", d, c.want)
					}
				}
			})
		})
	}
}

// A refusal that is put down to the number in flight keeps its Retry-After.
func TestPacerKeepsTheWaitOfARefusalBlamedOnConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		var mu sync.Mutex
		flying := 0
		var until time.Time
		enter := func() error {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				t.Errorf("a call went %v too early", time.Until(until))
			}
			if flying++; flying > 2 {
				until = time.Now().Add(20 * time.Second)
				return retry.After(errPage, 20*time.Second)
			}
			return nil
		}
		call := func(context.Context) error {
			err := enter()
			if err == nil {
				time.Sleep(50 * time.Millisecond)
			}
			mu.Lock()
			flying--
			mu.Unlock()
			return err
		}
		for range 4 {
			go func() {
				for range 30 {
					_ = retry.Run(t.Context(), p, call)
				}
			}()
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if until.IsZero() {
			t.Error("nothing was refused: the test shows nothing")
		}
	})
}

// What a hostile file says is believed within bounds.
func TestPacerClampsAHostileSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		err := p.Restore(Snapshot{
			Rate: 1e300, Safe: 1e308, MaxInFlight: math.MaxInt, Park: math.MaxInt64,
			Probe: math.MaxInt64, Hold: math.MaxInt64,
			ParkedUntil: time.Now().Add(time.Second),
		})
		if err != nil {
			t.Fatal(err)
		}
		s := p.Snapshot()
		if s.Rate > 1e6 || s.Safe > 1e6 || s.MaxInFlight > 10_000 || s.Park > 5*time.Minute ||
			s.Probe > 24*time.Hour || s.Hold > time.Minute {
			t.Errorf("it believes %+v", s)
		}
		time.Sleep(time.Second)
		_ = run(t.Context(), p, 0, retry.After(errPage, 0))
		start := time.Now()
		_ = run(t.Context(), p, 0, nil)
		if d := time.Since(start); d > 6*time.Minute {
			t.Errorf("one refusal parks for %v", d)
		}
	})
}

type badContext struct{ context.Context }

func (badContext) Deadline() (time.Time, bool) { panic("boom") }

type badError struct{ error }

func (badError) Error() string { panic("boom") }

// A context or an error whose methods panic costs its own call, not the pacer.
func TestPacerSurvivesForeignCodeThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, try := range map[string]func(*Pacer){
			// Asked only if it has to wait.
			"a context's Deadline": func(p *Pacer) {
				_ = retry.Run(badContext{t.Context()}, p, ok)
			},
			"an error's text": func(p *Pacer) {
				_ = retry.Run(t.Context(), p, func(context.Context) error {
					return retry.After(badError{errPage}, 0)
				})
			},
		} {
			p := steady(MaxRate(1))
			if err := run(t.Context(), p, 0, nil); err != nil {
				t.Error(err)
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				try(p)
			}()
			if s := p.State(); s.InFlight != 0 || s.Waiting != 0 {
				t.Errorf("%s leaves behind: %v", name, p)
			}
			if err := run(t.Context(), p, 0, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestPacerNilAndZeroValues(t *testing.T) {
	for name, p := range map[string]*Pacer{"nil": nil, "zero": {}} {
		if p.Rate() != rate.Inf || !p.Idle() || p.Snapshot() != (Snapshot{}) || p.String() == "" ||
			p.Validate() == nil || p.Restore(Snapshot{}) == nil {
			t.Errorf("%s: %v", name, p)
		}
		if err := retry.Run(t.Context(), p, ok); err == nil {
			t.Errorf("%s: it lets a call go", name)
		}
	}
}

func TestPacerTellsItsStartRateFromTheStart(t *testing.T) {
	if r := NewPacer(StartRate(5)).Rate(); r != 5 {
		t.Errorf("rate %v", r)
	}
	if p := NewPacer(StartRate(5), MaxRate(3)); p.Rate() != 3 || !p.Idle() {
		t.Errorf("rate %v, idle %v", p.Rate(), p.Idle())
	}
}
