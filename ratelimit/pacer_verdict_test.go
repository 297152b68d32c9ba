package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

func TestPacerHintCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parked(t, 24*time.Hour, HintCap(5*time.Second))
		if d := p.State().Wait; d < 5*time.Second || d > 6*time.Second {
			t.Errorf("parked for %v", d)
		}
		p = parked(t, 24*time.Hour, HintCap(0))
		if d := p.State().Wait; d > time.Second {
			t.Errorf("hints ignored: parked for %v", d)
		}
	})
}

type statusError int

func (e statusError) Error() string   { return fmt.Sprint("status ", int(e)) }
func (e statusError) StatusCode() int { return int(e) }

func TestPacerClassifies(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind pacing.Kind
		v    verdict
	}{
		{nil, pacing.Fine, answer},
		{statusError(404), pacing.Fine, answer},
		{statusError(403), pacing.Untold, answer},
		{statusError(429), pacing.Refusal, answer},
		{statusError(500), pacing.Trouble, answer},
		{fmt.Errorf("page: %w", statusError(504)), pacing.Trouble, answer},
		{statusError(503), pacing.Doubt, answer},
		{retry.After(statusError(503), time.Second), pacing.Refusal, answer},
		{retry.Neutral(retry.After(statusError(429), 0)), pacing.Refusal, answer},
		{syscall.ECONNRESET, pacing.Doubt, answer},
		{fmt.Errorf("body: %w", io.ErrUnexpectedEOF), pacing.Doubt, answer},
		{context.DeadlineExceeded, pacing.Trouble, answer},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 0, noVerdict},
		{&net.OpError{Op: "proxyconnect", Err: errPage}, 0, noVerdict},
		{&net.OpError{Op: "remote error", Err: errPage}, 0, noVerdict}, // a TLS alert
		{&net.DNSError{}, 0, noVerdict},
		{&net.OpError{Op: "write", Err: syscall.EPIPE}, pacing.Doubt, answer},
		{&retry.Rejection{Reason: ErrLimited}, 0, notMade},
		{errors.Join(&retry.Rejection{Reason: ErrLimited}, retry.After(errPage, time.Second)),
			pacing.Refusal, answer},
		{retry.ConfigErrorf("x", "y"), 0, notMade},
	} {
		p := steady()
		a, v := p.classify(&flight{Context: t.Context(), pacer: p}, c.err)
		if v != c.v || v == answer && a.Kind != c.kind {
			t.Errorf("%v: kind %v verdict %v", c.err, a.Kind, v)
		}
	}
}

func TestPacerKeepsToAStatedQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		start := time.Now()
		left := 100
		for range 50 {
			retry.Run(t.Context(), p, func(ctx context.Context) error {
				left--
				retry.Report(ctx,
					retry.Quota{Limit: 100, Remaining: left, Window: 2000 * time.Second,
						Reset: 2000*time.Second - time.Since(start)})
				return nil
			})
		}
		if d := time.Since(start); d < 960*time.Second || d > 1040*time.Second {
			t.Errorf("50 calls of 100 in 2000 s took %v", d)
		}
		retry.Run(t.Context(), p, func(ctx context.Context) error {
			retry.Report(ctx, retry.Quota{Limit: 100, Reset: time.Minute})
			return nil
		})
		if s := p.State(); s.Wait < time.Minute {
			t.Errorf("nothing left, and %v", p)
		}
	})
}

// A quota that is there anew soon is used at once, and not exceeded.
func TestPacerUsesAShortQuotaAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady()
		start, left := time.Now(), 20
		var went []time.Duration
		for range 21 {
			_ = retry.Run(t.Context(), p, func(ctx context.Context) error {
				went = append(went, time.Since(start))
				left--
				retry.Report(ctx,
					retry.Quota{Limit: 20, Remaining: max(left, 0),
						Reset: time.Minute - time.Since(start)})
				return nil
			})
		}
		if went[19] > time.Second || went[20] < time.Minute {
			t.Errorf("the last of 20 went after %v, the next after %v", went[19], went[20])
		}
	})
}

// RetryAfter wins, but a refusal without one may still have said when the quota is restored.
func TestARefusalWithoutATimeWaitsForTheStatedReset(t *testing.T) {
	for _, c := range []struct {
		name  string
		err   error
		quota retry.Quota
		want  time.Duration
	}{
		{"nothing left", retry.After(errPage, 0),
			retry.Quota{Limit: 9, Reset: time.Minute}, time.Minute},
		{"a time of its own", retry.After(errPage, 10*time.Second),
			retry.Quota{Limit: 9, Reset: time.Minute}, 10 * time.Second},
		{"some left: it is about something else", retry.After(errPage, 0),
			retry.Quota{Limit: 9, Remaining: 5, Reset: time.Minute}, 500 * time.Millisecond},
	} {
		for name, fresh := range map[string]func() retry.Policy{
			"limiter": func() retry.Policy { return New(rate.Inf, 1) },
			"pacer":   func() retry.Policy { return steady() },
		} {
			t.Run(name+", "+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := fresh()
					retry.Run(t.Context(), p, func(ctx context.Context) error {
						retry.Report(ctx, c.quota)
						return c.err
					})
					start := time.Now()
					retry.Run(t.Context(), p, func(context.Context) error { return nil })
					if d := time.Since(start); d < c.want ||
						d > c.want*103/100+100*time.Millisecond {
						t.Errorf("the next went after %v, want %v", d, c.want)
					}
				})
			})
		}
	}
}

// The cap bounds a park and the distance of two calls, not the pace: a day's quota is not to be
// spent in an hour.
func TestPacerPacesByAResetBeyondTheCap(t *testing.T) {
	for _, c := range []struct {
		name string
		q    retry.Quota
		want float64
	}{
		{"a day's quota", retry.Quota{Limit: 2400, Remaining: 2400, Window: 24 * time.Hour,
			Reset: 24 * time.Hour}, 2400 / 86400.},
		{"half of it spent early",
			retry.Quota{Limit: 2400, Remaining: 1200, Window: 24 * time.Hour,
				Reset: 20 * time.Hour}, 1200 / 72000.},
		{"half of it left late",
			retry.Quota{Limit: 2400, Remaining: 1200, Window: 24 * time.Hour, Reset: 2 * time.Hour},
			2400 / 86400.},
		{"no window said", retry.Quota{Remaining: 100, Reset: 10 * time.Hour}, 100 / 36000.},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := steady()
			retry.Run(t.Context(), p, func(ctx context.Context) error {
				retry.Report(ctx, c.q)
				return nil
			})
			for range 2 {
				if got := p.machine.Pace(p.now().Seconds()); math.Abs(got/c.want-1) > 1e-9 {
					t.Errorf("%s: %v a second after %v, want %v", c.name, got, p.now(), c.want)
				}
				time.Sleep(90 * time.Minute) // longer than the cap
			}
		})
	}
}

func TestPacerHearsASuccessThatStatesNothingIsLeft(t *testing.T) {
	for _, remaining := range []int{0, -3} {
		synctest.Test(t, func(t *testing.T) {
			p := steady()
			retry.Run(t.Context(), p, func(ctx context.Context) error {
				retry.Report(ctx,
					retry.Quota{Limit: 9, Remaining: remaining, Reset: 10 * time.Hour})
				return nil
			})
			if s := p.State(); !s.Parked || s.Wait < time.Hour || s.Wait > 62*time.Minute {
				t.Errorf("%d left: %v, want parked for the cap of an hour", remaining, p)
			}
		})
	}
}

// Nothing a callee states, in earnest or not, holds a call longer than the cap (and the pacer's own
// two percent).
func TestPacerIsNotHeldBeyondTheCapByAnyQuota(t *testing.T) {
	for _, q := range []retry.Quota{
		{Limit: 1, Remaining: 1, Window: 24 * time.Hour, Reset: 24 * time.Hour},
		{Remaining: 5, Reset: math.MaxInt64},
		{Limit: 1, Remaining: 1, Window: math.MaxInt64},
		{Limit: 1, Reset: math.MaxInt64},
		{Limit: math.MaxInt, Remaining: math.MaxInt, Window: 1, Reset: 1},
		{Limit: -1, Remaining: -1, Window: -1, Reset: -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := steady(HintCap(time.Hour))
			for range 3 {
				start := time.Now()
				retry.Run(t.Context(), p, func(ctx context.Context) error {
					retry.Report(ctx, q)
					return nil
				})
				if d := time.Since(start); d > 62*time.Minute {
					t.Errorf("%+v: a call waited %v", q, d)
				}
			}
		})
	}
}

// The cap of 0 ignores a quota too, on a success and on a refusal.
func TestPacerIgnoresQuotasWithoutHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			err  error
			most time.Duration
		}{{nil, 0}, {retry.After(errPage, time.Hour), time.Second}} {
			p := steady(HintCap(0))
			retry.Run(t.Context(), p, func(ctx context.Context) error {
				retry.Report(ctx, retry.Quota{Limit: 1, Window: time.Hour, Reset: time.Hour})
				return c.err
			})
			start := time.Now()
			run(t.Context(), p, 0, nil)
			if d := time.Since(start); d > c.most {
				t.Errorf("%v: the next waited %v", c.err, d)
			}
		}
	})
}
