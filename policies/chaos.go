package policies

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Chaos injects faults, latency and hangs at given rates, for tests and drills: put it innermost,
// where the callee would be. Its options are [Fault], [Latency] and [Hang], each as often as you
// like, drawn for each call one after the other in the order given, and [Enabled], without which it
// is a configuration error, so that none is left in by accident.
//
// What happens to the n-th call depends on seed and n only, so a run with the same seed and the
// same order of calls is the same run. Calls for which Enabled says no are not counted and pass
// untouched. It is safe for concurrent use.
func Chaos(seed uint64, opts ...Option) retry.Policy {
	c := &chaos{seed: seed}
	var m mistakes
	m.configure(c, opts)
	m.check(c.enabled != nil || len(m) > 0, "without Enabled: say when it may act")
	m.check(len(c.harms) > 0 || len(m) > 0, "without Fault, Latency or Hang: must have one")
	c.err = m.in("Chaos")
	return c
}

type chaos struct {
	stateless
	seed    uint64
	harms   []harm
	enabled func(context.Context) bool
	calls   atomic.Uint64 // decides nothing worth keeping
}

// harm is one thing that befalls a call, with probability p.
type harm struct {
	p    float64
	text string
	do   func(context.Context) error
}

// rate is an option's values as a mistake tells them: a probability and what it is of.
type rate struct {
	p  float64
	of any
}

func (r rate) String() string { return fmt.Sprintf("%v, %v", r.p, r.of) }

func isRate(p float64) bool { return p >= 0 && p <= 1 }

func (c *chaos) add(p float64, text string, do func(context.Context) error) {
	c.harms = append(c.harms, harm{p, fmt.Sprintf("%s %.3g %%", text, 100*p), do})
}

// Fault makes [Chaos] fail a share p of the calls, from 0 to 1, with err; the callee is not called.
func Fault(p float64, err error) Option {
	const must = "have a share from 0 to 1 and an error"
	return option("Fault", rate{p, err}, isRate(p) && err != nil, must, func(c *chaos) {
		c.add(p, "fault", func(context.Context) error { return err })
	})
}

// Latency makes [Chaos] delay a share p of the calls, from 0 to 1, by d. The delay ends with the
// context, and then the call fails with what ended it.
func Latency(p float64, d time.Duration) Option {
	const must = "have a share from 0 to 1 and a time that is not negative"
	return option("Latency", rate{p, d}, isRate(p) && d >= 0, must, func(c *chaos) {
		c.add(p, "latency "+d.String(), func(ctx context.Context) error {
			if d == 0 {
				return nil
			}
			// Not retry.Sleep: a slow callee does not know that the wait cannot fit.
			return await(ctx, retry.Event{Policy: "chaos", Wait: d}, nil, d)
		})
	})
}

// Hang makes [Chaos] hold a share p of the calls, from 0 to 1, until their context ends. A call
// whose context cannot end fails at once.
func Hang(p float64) Option {
	return option("Hang", p, isRate(p), "be a share from 0 to 1",
		func(c *chaos) { c.add(p, "hang", hang) })
}

// Enabled says for which calls [Chaos] may act: a flag, a tenant, a header. It is required. It is
// asked at every call, so it can be switched while the program runs.
func Enabled(f func(context.Context) bool) Option {
	return option("Enabled", f, f != nil, "not be nil", func(c *chaos) { c.enabled = f })
}

var errEndless = errors.New("chaos: Hang needs a context that can end")

func hang(ctx context.Context) error {
	if ctx.Done() == nil {
		return errEndless
	}
	return await(ctx, retry.Event{Policy: "chaos"}, nil, 0)
}

func (c *chaos) Do(ctx context.Context, next retry.Next) error {
	if c.err != nil {
		return c.err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	if c.enabled(ctx) {
		n := c.calls.Add(1)
		for i, h := range c.harms {
			if draw(c.seed, n, uint64(i)) >= h.p {
				continue
			}
			if err := h.do(ctx); err != nil {
				return err
			}
		}
	}
	return next.Do(ctx)
}

// Traits is for retry.Lint, which warns of every Chaos.
func (c *chaos) Traits() retry.Traits { return retry.Traits{Chaos: true} }

// String is one line: chaos(fault 5 %, latency 200ms 10 %).
func (c *chaos) String() string {
	if c.err != nil {
		return "chaos(misconfigured)"
	}
	texts := make([]string, len(c.harms))
	for i, h := range c.harms {
		texts[i] = h.text
	}
	return "chaos(" + strings.Join(texts, ", ") + ")"
}

// draw is a number in [0, 1) that depends on its arguments only (SplitMix64: Steele, Lea and Flood,
// Fast splittable pseudorandom number generators, OOPSLA 2014).
func draw(seed, call, harm uint64) float64 {
	z := mix(mix(mix(seed)+call) + harm)
	return float64(z>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
