package policies_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

func TestSchedules(t *testing.T) {
	none := policies.WithJitter(policies.NoJitter)
	six := policies.Attempts(7)
	cenkalti := func() backoff.BackOff {
		return backoff.WithMaxRetries(backoff.NewConstantBackOff(ms), 2)
	}
	for _, c := range []struct {
		name string
		p    retry.Policy
		at   []int
	}{
		{"exponential", policies.Exponential(policies.Initial(ms), policies.MaxDelay(10*ms),
			none, six), []int{0, 1, 3, 7, 15, 25, 35}},
		{"default", policies.Exponential(none), []int{0, 100, 300}},
		{"factor 3", policies.Exponential(none, policies.Factor(3)), []int{0, 100, 400}},
		{"fibonacci", policies.Fibonacci(policies.Initial(ms), none, six),
			[]int{0, 1, 3, 6, 11, 19, 32}},
		{"constant", policies.Constant(5 * ms), []int{0, 5, 10}},
		{"constant capped", policies.Constant(5*ms, policies.MaxDelay(2*ms)), []int{0, 2, 4}},
		{"delays", policies.Delays([]time.Duration{ms, 5 * ms}), []int{0, 1, 6}},
		{"delays, fewer", policies.Delays([]time.Duration{ms, 5 * ms}, policies.Attempts(2)),
			[]int{0, 1}},
		{"delays, more", policies.Delays([]time.Duration{ms, 5 * ms}, policies.Attempts(5)),
			[]int{0, 1, 6, 11, 16}},
		{"random", policies.Random(ms, ms), []int{0, 1, 2}},
		{"cenkalti stops", policies.Backoff(cenkalti, policies.Unlimited()), []int{0, 1, 2}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			for range 2 { // each call begins anew
				s := outcomes(errBoom)
				wantIs(t, s.run(t.Context(), c.p), retry.ErrExhausted)
				s.wantAt(t, c.at...)
			}
		})
	}
}

func TestJitterStaysInItsRange(t *testing.T) {
	const d, limit = 10 * ms, 12 * ms
	for j, want := range map[policies.Jitter][2]time.Duration{
		policies.NoJitter: {d, d}, policies.Proportional: {5 * ms, limit}, policies.Equal: {5 * ms,
			d},
		policies.Full: {0, d}, policies.Decorrelated: {d, limit},
	} {
		next := policies.Waits(policies.Exponential(policies.Initial(d), policies.Factor(1),
			policies.MaxDelay(limit), policies.WithJitter(j), policies.Unlimited()))
		low, high, atCap := time.Duration(math.MaxInt64), time.Duration(0), 0
		for range 50_000 {
			x, _ := next()
			low, high = min(low, x), max(high, x)
			if x == limit {
				atCap++
			}
		}
		if spread := (want[1] - want[0]) / 100; low < want[0] || high > want[1] ||
			low > want[0]+spread || high < want[1]-spread {
			t.Errorf("%v: drawn within [%v, %v], want all of %v", j, low, high, want)
		}
		if atCap > 50 {
			t.Errorf("%v: %d draws are the cap itself", j, atCap)
		}
	}
}

// No draw is negative, above the cap, or outside the jitter's own range, whatever the wait and
// the cap.
func TestNoJitterExceedsTheCap(t *testing.T) {
	for j := policies.NoJitter; j <= policies.Decorrelated; j++ {
		var previous time.Duration
		for n := range 1_000_000 {
			limit := time.Duration(rand.Uint64() >> (1 + n%63)) // of every magnitude
			d := time.Duration(rand.Uint64N(uint64(limit) + 1))
			low, high := d, d
			switch j {
			case policies.Proportional:
				low, high = d-d/2, d+min(d/2, limit-d)
			case policies.Equal:
				low = d - d/2
			case policies.Full:
				low = 0
			case policies.Decorrelated:
				high = limit
			}
			previous = min(previous, limit)
			x := policies.Spread(j, d, previous, limit)
			if x < low || x > high {
				t.Fatalf("%v of %v after %v: %v, want within [%v, %v], cap %v", j, d, previous, x,
					low, high, limit)
			}
			previous = x
		}
	}
}

func TestBadOptionsAreToldBeforeAnyCall(t *testing.T) {
	E, C := policies.Exponential, policies.Constant
	for name, p := range map[string]retry.Policy{
		"Attempts(0)":     E(policies.Attempts(0)),
		"Attempts(-1)":    E(policies.Attempts(-1)),
		"factor 0.5":      E(policies.Factor(0.5)),
		"factor NaN":      E(policies.Factor(math.NaN())),
		"factor Inf":      E(policies.Factor(math.Inf(1))),
		"Initial":         E(policies.Initial(-1)),
		"above":           E(policies.Initial(time.Minute), policies.MaxDelay(time.Second)),
		"MaxDelay":        E(policies.MaxDelay(0)),
		"MaxElapsed":      E(policies.MaxElapsed(0)),
		"HintCap":         E(policies.HintCap(-1)),
		"jitter":          E(policies.WithJitter(0)),
		"RetryIf":         E(policies.RetryIf(nil)),
		"OnRetry":         E(policies.OnRetry(nil)),
		"budget":          E(policies.WithBudget(nil)),
		"bad budget":      E(policies.WithBudget(policies.NewTokenBudget(0, 1))),
		"NaN budget":      E(policies.WithBudget(policies.NewRatioBudget(math.NaN(), 1))),
		"cost budget":     E(policies.WithBudget(policies.NewCostBudget(1, 5, 1))),
		"option":          E(nil),
		"MaxCalls":        E(policies.MaxCalls(0)),
		"constant":        C(-1),
		"useless":         C(1, policies.Factor(2)),
		"random":          policies.Random(2, 1),
		"random negative": policies.Random(-1, 1),
		"delays":          policies.Delays(nil),
		"delay":           policies.Delays([]time.Duration{-1}),
		"backoff":         policies.Backoff(nil),
		"nil backoff":     policies.Backoff(func() backoff.BackOff { return nil }),
		"timeout":         policies.Timeout(0),
		"bulkhead":        policies.NewBulkhead(0, 0),
		"rule":            policies.Classify(policies.Rule{}),
		"statuses":        policies.Classify(policies.On(policies.Status())),
		"status":          policies.Classify(policies.On(policies.Status(-1))),
		"match":           policies.Classify(policies.On(policies.Func(nil))),
		"error":           policies.Classify(policies.On(policies.Is(nil))),
		"keyed":           policies.Keyed[string](nil, nil),
	} {
		s := outcomes(nil)
		err := s.run(t.Context(), p)
		wantIs(t, err, retry.ErrConfig)
		wantIs(t, retry.Validate(p), retry.ErrConfig)
		if len(s.at) != 0 {
			t.Errorf("%s: called", name)
		}
	}
}

// Whatever the numbers: a policy is refused, or no wait is negative or above its cap, and it
// saturates.
func FuzzSchedules(f *testing.F) {
	f.Add(int64(0), int64(1), 2.0, uint8(1))
	f.Add(int64(1), int64(math.MaxInt64), 1.5, uint8(2))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), 1e300, uint8(5))
	f.Add(int64(1), int64(time.Hour), math.NaN(), uint8(4))
	f.Add(int64(-1), int64(0), math.Inf(1), uint8(3))
	f.Fuzz(func(t *testing.T, initial, limit int64, factor float64, jitter uint8) {
		d, top := time.Duration(initial), time.Duration(limit)
		opts := []policies.Option{policies.MaxDelay(top),
			policies.WithJitter(policies.Jitter(jitter)), policies.Unlimited()}
		growing := append([]policies.Option{policies.Initial(d)}, opts...)
		raw := func() backoff.BackOff {
			return &backoff.ExponentialBackOff{InitialInterval: d, MaxInterval: top, Multiplier: 2,
				RandomizationFactor: 0.5, Clock: backoff.SystemClock}
		}
		for name, p := range map[string]retry.Policy{
			"exponential": policies.Exponential(append(growing, policies.Factor(factor))...),
			"fibonacci":   policies.Fibonacci(growing...),
			"constant":    policies.Constant(d, opts...),
			"random":      policies.Random(0, d, opts...),
			"delays":      policies.Delays([]time.Duration{d, 0, d}, opts...),
			"backoff":     policies.Backoff(raw, opts...),
		} {
			next := policies.Waits(p)
			if next == nil {
				wantIs(t, retry.Validate(p), retry.ErrConfig)
				continue
			}
			for n := range 300 {
				x, ok := next()
				if !ok {
					break
				}
				if x < 0 || x > top {
					t.Fatalf("%s: wait %d is %d, cap %d", name, n, x, top)
				}
			}
		}
	})
}

func TestSchedulesSaturate(t *testing.T) {
	for _, p := range []retry.Policy{
		policies.Exponential(policies.Initial(1), policies.Factor(1.5),
			policies.MaxDelay(math.MaxInt64),
			policies.WithJitter(policies.NoJitter), policies.Unlimited()),
		policies.Fibonacci(policies.Initial(1), policies.MaxDelay(math.MaxInt64),
			policies.WithJitter(policies.NoJitter), policies.Unlimited()),
	} {
		next := policies.Waits(p)
		var last time.Duration
		for range 10_000 {
			d, _ := next()
			if d < last {
				t.Fatalf("%v after %v", d, last)
			}
			last = d
		}
		if last != math.MaxInt64 {
			t.Errorf("%d at attempt 10,000", last)
		}
	}
}

func TestJitterInConfigurationFiles(t *testing.T) {
	for j := policies.NoJitter; j <= policies.Decorrelated; j++ {
		text, err := json.Marshal(j)
		var back policies.Jitter
		if err != nil || json.Unmarshal(text, &back) != nil || back != j {
			t.Errorf("%v became %s, %v: %v", j, text, back, err)
		}
	}
	var j policies.Jitter
	if err := json.Unmarshal([]byte(`"full"`), &j); err != nil || j != policies.Full {
		t.Errorf("%v, %v", j, err)
	}
	for _, typo := range []string{`"ful"`, `""`, `"Jitter(0)"`, `3`} {
		if err := json.Unmarshal([]byte(typo), &j); err == nil || j != policies.Full {
			t.Errorf("%s became %v", typo, j)
		}
	}
	wantIs(t, j.UnmarshalText([]byte("ful")), retry.ErrConfig)
	if _, err := json.Marshal(policies.Jitter(0)); err == nil {
		t.Error("Jitter(0) has a name")
	}
}
