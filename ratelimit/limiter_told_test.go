package ratelimit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// askedSource is a source that counts how often it is asked for what is left.
type askedSource struct {
	source
	n int
}

func (s *askedSource) tokens(now time.Time) float64 { s.n++; return s.source.tokens(now) }

func ignore(context.Context, retry.Event) {}

func TestALimiterAsksForWhatIsLeftOnlyIfSomebodyWantsToHearOfAdmissions(t *testing.T) {
	for name, tc := range map[string]struct {
		observer retry.Policy
		want     bool
	}{
		"nobody":              {nil, false},
		"calls":               {retry.ObserveOnly(ignore, retry.KindCall, retry.KindDone), false},
		"calls, and a loop's": {retry.ObserveOnly(ignore, retry.KindCall, retry.KindGiveUp), false},
		"admissions":          {retry.ObserveOnly(ignore, retry.KindAdmit), true},
		"everything":          {retry.Observe(ignore), true},
		"one of two, admissions": {
			retry.Chain(retry.ObserveOnly(ignore, retry.KindAdmit),
				retry.ObserveOnly(ignore, retry.KindCall)), true},
	} {
		l := New(10, 10)
		s := &askedSource{source: l.sources[0]}
		l.sources[0] = s
		for range 3 {
			if err := retry.Run(t.Context(), retry.Chain(tc.observer, l), pass1); err != nil {
				t.Error(err)
			}
		}
		if got := s.n > 0; got != tc.want {
			t.Errorf("%s: asked %d times", name, s.n)
		}
	}
}

// The limiter calculates what is left, and must come to what the bucket has, to the last bit,
// whatever happened between two calls that are observed.
func TestWhatIsToldToBeLeftIsWhatTheBucketHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(7.3, 60)
		var both *Limiter
		told := retry.Quota{}
		watch := retry.ObserveOnly(func(_ context.Context, e retry.Event) { told = e.Quota },
			retry.KindAdmit)
		run := func(p retry.Policy) {
			if err := retry.Run(t.Context(), p, pass1); err != nil {
				t.Error(err)
			}
		}
		refused := retry.PolicyFunc(func(context.Context, retry.Next) error {
			return &retry.Rejection{Policy: "test"}
		})
		steps := []func(){
			func() {},
			func() { run(l) },
			func() { run(l.N(3)) },
			func() { l.Charge(2) },
			func() { l.Charge(-1) },
			func() { l.SetLimit(3.1) },
			func() { l.SetBurst(58) },
			func() { _ = retry.Run(t.Context(), retry.Chain(watch, l, refused), pass1) },
			func() { l.Idle(); _ = l.String(); l.Stats() },
			func() { time.Sleep(time.Hour) },
			func() { both = All(l, New(100, 100)); run(both) },
			func() { run(both) },
		}
		for i := range 3 * len(steps) {
			step := func() {}
			if i%3 == 0 {
				time.Sleep(time.Second / 7)
				step = steps[i/3]
			}
			step()
			time.Sleep(time.Duration(i%2) * 31 * time.Millisecond)
			run(retry.Chain(watch, l))
			l.mu.Lock()
			if calculates := l.found.next == l.moves+1; calculates == (both != nil) {
				t.Errorf("call %d: it calculates: %v", i, calculates)
			}
			want := l.quota(l.now)
			l.mu.Unlock()
			if told != want {
				t.Errorf("call %d: told %+v, the bucket has %+v", i, told, want)
			}
		}
	})
}
