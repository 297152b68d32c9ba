package ratelimit

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/retry"
)

// verdict is whether an outcome says something about the callee.
type verdict uint8

const (
	answer    verdict = iota
	noVerdict         // the callee was called, and its answer is unknown
	notMade           // the callee was not called
)

// saidNothing reports whether nothing is known of a call that succeeded but that: the callee has
// stated no quota, and it does not matter which page it was.
func (p *Pacer) saidNothing(in *flight) bool {
	_, stated := retry.Reported(in.Context, time.Time{}) // perhaps to an attempt before
	return !stated && !p.suspects.Load()
}

// classify says what an outcome means for the pace.
func (p *Pacer) classify(in *flight, err error) (pacing.Answer, verdict) {
	a := pacing.Answer{RetryAfter: -1, Remaining: -1}
	quota, stated := retry.Reported(in.Context, p.clock(in.pass.at))
	if stated && p.hintCap > 0 {
		a = heard(quota, p.hintCap)
	}
	if err != nil || p.suspects.Load() {
		a.Page = retry.PageOf(in)
	}
	if err == nil {
		return a, answer
	}
	marks := retry.VerdictOf(err)
	if marks.Unreached {
		return a, notMade
	}
	wait := marks.Hint
	// Many APIs answer 429 with X-RateLimit-Reset and without Retry-After.
	if wait == 0 && quota.Remaining <= 0 && quota.Reset > 0 {
		wait = quota.Reset
	}
	status, _ := statusOf(err)
	if marks.Hinted && wait == 0 && status/100 == 2 {
		// A captcha that comes as a page. It is more often about the page than about the rate; a
		// server that means the rate gives it for every page.
		a.Kind = pacing.Untold
		return a, answer
	}
	if marks.Hinted || status == 429 || p.refused != nil && p.refused(err) {
		a.Kind = pacing.Refusal
		if wait = min(wait, p.hintCap); wait > 0 {
			a.RetryAfter = wait.Seconds()
		}
		return a, answer
	}
	if in.Context.Err() != nil {
		return a, noVerdict
	}
	kind, v := kindOf(err)
	a.Kind = kind
	return a, v
}

// heard is a stated quota as the machine is told it. The cap bounds a park and the distance between
// two calls, not the pace: a day's quota should not be spent in an hour.
func heard(q retry.Quota, hintCap time.Duration) pacing.Answer {
	spread := func(calls int, over time.Duration) float64 {
		return min(over.Seconds(), float64(calls)*hintCap.Seconds())
	}
	a := pacing.Answer{
		RetryAfter: -1, Remaining: -1, Reset: min(q.Reset, hintCap).Seconds(),
		Limit: q.Limit, Window: spread(q.Limit, q.Window),
	}
	if q.Limit > 0 || q.Reset > 0 {
		a.Remaining = max(0, q.Remaining)
	}
	if q.Reset > hintCap && a.Remaining > 0 {
		left := spread(a.Remaining, q.Reset)
		if a.Limit <= 0 || a.Window <= 0 || float64(a.Remaining)/left < float64(a.Limit)/a.Window {
			a.Limit, a.Window = a.Remaining, left
		}
	}
	return a
}

func statusOf(err error) (code int, ok bool) {
	var e interface{ StatusCode() int }
	if errors.As(err, &e) {
		return e.StatusCode(), true
	}
	return 0, false
}

// kindOf is classify for an error that is not a plain refusal.
func kindOf(err error) (pacing.Kind, verdict) {
	if code, ok := statusOf(err); ok {
		switch {
		case code == 503:
			return pacing.Doubt, answer
		case code == 403:
			return pacing.Untold, answer
		case code >= 500:
			return pacing.Trouble, answer
		}
		return pacing.Fine, answer
	}
	var (
		op   *net.OpError
		dns  *net.DNSError
		slow net.Error
	)
	switch {
	case errors.As(err, &dns), errors.As(err, &op) && slices.Contains(unreached, op.Op):
		return 0, noVerdict
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return pacing.Doubt, answer
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return pacing.Trouble, answer
	}
	return pacing.Fine, answer
}

// unreached are the operations of a [net.OpError] that end before the callee has seen the call,
// those of a proxy and of a TLS handshake included.
var unreached = []string{"dial", "proxyconnect", "socks connect", "remote error", "local error"}
