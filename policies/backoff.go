package policies

import (
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/reprise-go/reprise/retry"
)

// Backoff is a retry loop that waits as any schedule of cenkalti/backoff v4 says, exactly, until that says [backoff.Stop] or the
// loop's own bounds are reached, [Attempts] first of all. fresh makes a new schedule; it is called once when the policy is
// made, to check it, and then at the first failure of each call, because a schedule is used up by one call and not safe for
// two at once. Its own MaxElapsedTime counts from there.
//
// v4's [backoff.Permanent] stops every loop of this package, as [retry.Permanent] does, so that functions written for
// [backoff.Retry] need no change; but its mark stays on the error.
func Backoff(fresh func() backoff.BackOff, opts ...Option) retry.Policy {
	var m mistakes
	m.check(fresh != nil, "nil function")
	if fresh != nil {
		m.check(fresh() != nil, "the function returned nil: must be a schedule")
	}
	l := exact("backoff", 3)
	l.fresh = func() backoff.BackOff {
		b := fresh()
		if b == nil { // this time
			b = &backoff.StopBackOff{}
		}
		b.Reset() // as backoff.Retry does: a literal ExponentialBackOff is not ready before
		return b
	}
	return l.configured("Backoff", m, opts)
}

// AsBackOff hands the schedule of a loop made by this package to code that takes a schedule of cenkalti/backoff v4. Jitter, MaxDelay,
// Attempts and MaxElapsed hold; what concerns errors (hints, budgets, RetryIf) stays behind. Like all of cenkalti's the
// schedule serves one call at a time; Reset begins anew. Any other policy, and a misconfigured one, is a [retry.ErrConfig].
func AsBackOff(p retry.Policy) (backoff.BackOff, error) {
	l, ok := p.(*loop)
	if !ok {
		return nil, retry.ConfigErrorf("policies.AsBackOff", "%T is not a retry loop of this package", p)
	}
	if l.err != nil {
		return nil, l.err
	}
	b := &asBackOff{loop: l}
	b.Reset()
	return b, nil
}

type asBackOff struct {
	loop  *loop
	waits waits
	made  int
	begun time.Duration
}

func (b *asBackOff) NextBackOff() time.Duration {
	b.made++
	if b.loop.attempts > 0 && b.made >= b.loop.attempts {
		return backoff.Stop
	}
	d, ok := b.waits.next(&b.loop.config)
	if !ok || b.loop.tooLate(b.begun, d) {
		return backoff.Stop
	}
	return d
}

func (b *asBackOff) Reset() {
	b.waits, b.made, b.begun = waits{schedule: b.loop.fresh()}, 0, now()
}

// waits is the sequence of one call: a schedule, cut to the cap and spread.
type waits struct {
	schedule        backoff.BackOff
	first, previous time.Duration
	begun           bool
}

// next is false when the schedule stops.
func (w *waits) next(c *config) (time.Duration, bool) {
	d := w.schedule.NextBackOff()
	if d == backoff.Stop {
		return 0, false
	}
	if d < 0 || d > c.maxDelay { // cenkalti's jitter exceeds its cap, and overflows near the largest duration
		d = c.maxDelay
	}
	if !w.begun {
		w.begun, w.first = true, d
	}
	w.previous = c.jitter.spread(d, w.first, w.previous, c.maxDelay)
	return w.previous, true
}
