package ratelimit

import (
	"context"
	"slices"

	"github.com/reprise-go/reprise/retry"
)

// All makes a limiter of several limits that hold at once, as "10 a second, and 300 in any minute" does:
//
//	ratelimit.All(ratelimit.New(10, 10), ratelimit.New(rate.Every(time.Minute/270), 30))
//
// 30 may go at once and 270 besides in a minute. With a burst of 300 it would be 600 in the first minute.
//
// A call takes a token from each, or waits and takes from none. A member may also be used alone or in another All (a limit of
// the host in one of the whole crawl). All has a line of its own: members' own callers are not in it. A pause of a member holds
// All too, and then one call of All goes first; but a hint heard in All pauses only All, for it speaks of this callee. The least
// MaxWait and HintCap of the members hold; of Shadow limiters either all are or none. SetLimit and SetBurst are for the members:
// those in line notice within a second, and are refused if they can no longer be served in time. Stats counts a call made through
// All in All, and not in the members.
func All(limiters ...*Limiter) *Limiter {
	l := &Limiter{shared: true}
	if len(limiters) == 0 {
		l.judge(retry.ConfigErrorf(policyName, "All of no limiters"))
		return l
	}
	for i, m := range limiters {
		if m == nil {
			l.judge(retry.ConfigErrorf(policyName, "All with a nil limiter"))
			return l
		}
		if i == 0 {
			l.config = m.config
		}
		if m.shadow != l.shadow {
			l.judge(retry.ConfigErrorf(policyName, "All of limiters some of which are shadows"))
			return l
		}
		if m.maxWait >= 0 && (l.maxWait < 0 || m.maxWait < l.maxWait) {
			l.maxWait = m.maxWait
		}
		l.hintCap = min(l.hintCap, m.hintCap)
		l.members = append(append(l.members, m), m.members...)
		for _, s := range m.sources {
			if slices.Contains(l.sources, s) {
				l.judge(retry.ConfigErrorf(policyName, "All with a limiter that is there twice"))
				return l
			}
			l.sources = append(l.sources, s)
		}
	}
	return l
}

// N is a policy whose calls take n tokens each, for calls that cost more than others. More than the burst is refused at once, as no
// wait would ever be enough; n below 1 is a configuration error.
func (l *Limiter) N(n int) retry.Policy { return weighted{l, n} }

type weighted struct {
	l *Limiter
	n int
}

func (w weighted) Do(ctx context.Context, next retry.Next) error {
	if w.n < 1 {
		return w.Validate()
	}
	return w.l.do(ctx, next, w.n)
}

func (w weighted) Validate() error {
	if w.n < 1 {
		return retry.ConfigErrorf(policyName, "a call of %d tokens", w.n)
	}
	return w.l.Validate()
}

func (w weighted) Idle() bool { return w.l.Idle() }
