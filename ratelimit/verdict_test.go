package ratelimit

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/internal/pacing"
	"github.com/reprise-go/reprise/retry"
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
		{statusError(403), pacing.Fine, answer},
		{statusError(500), pacing.Trouble, answer},
		{fmt.Errorf("page: %w", statusError(504)), pacing.Trouble, answer},
		{statusError(503), pacing.Doubt, answer},
		{retry.After(statusError(503), time.Second), pacing.Refusal, answer},
		{retry.Neutral(retry.After(statusError(429), 0)), pacing.Refusal, answer},
		{syscall.ECONNRESET, pacing.Doubt, answer},
		{fmt.Errorf("body: %w", io.ErrUnexpectedEOF), pacing.Doubt, answer},
		{context.DeadlineExceeded, pacing.Trouble, answer},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 0, noVerdict},
		{&net.DNSError{}, 0, noVerdict},
		{&retry.Rejection{Reason: ErrLimited}, 0, notMade},
		{retry.ConfigErrorf("x", "y"), 0, notMade},
	} {
		p := steady()
		a, v := p.classify(t.Context(), pass{}, c.err)
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
				retry.Report(ctx, retry.Quota{Limit: 100, Remaining: left, Window: 50 * time.Second, Reset: 50*time.Second - time.Since(start)})
				return nil
			})
		}
		if d := time.Since(start); d < 24*time.Second || d > 26*time.Second {
			t.Errorf("50 calls of 100 in 50 s took %v", d)
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
