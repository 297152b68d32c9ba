package ratelimit

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Counts tells how calls were admitted; with Shadow, how they would have been.
type Counts struct {
	Immediate int           // went at once
	Delayed   int           // went after a wait
	Refused   int           // were rejected
	Abandoned int           // gave up the wait because their context ended
	Waited    time.Duration // by the delayed ones, in total
}

// String is one readable line.
func (c Counts) String() string {
	return fmt.Sprintf("%d at once, %d delayed by %v in all, %d refused, %d abandoned",
		c.Immediate, c.Delayed, c.Waited, c.Refused, c.Abandoned)
}

// Counts returns the counts since the limiter was made. A member of [All] counts only the calls
// made through itself.
func (l *Limiter) Counts() Counts {
	if l == nil {
		return Counts{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Stats returns what the limiter is doing now, and the [Counts].
func (l *Limiter) Stats() []retry.Stat {
	if l.Validate() != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	l.follow()
	limit, tokens := retry.Stat{Name: "limit", Unit: "1/s"}, math.Inf(1)
	for _, s := range l.sources {
		if s.limit() != rate.Inf {
			tokens = min(tokens, s.tokens(now))
		}
	}
	if low := l.Limit(); low == rate.Inf {
		limit.Text = "no limit"
	} else {
		limit.Value = float64(low)
	}
	stats := []retry.Stat{limit}
	if limit.Text == "" {
		stats = append(stats,
			retry.Stat{Name: "burst", Value: float64(l.Burst())},
			retry.Stat{Name: "tokens", Value: tokens})
	}
	c := l.counts
	stats = append(stats,
		retry.Stat{Name: "waiting", Value: float64(l.line.len)},
		retry.Stat{Name: "paused", Value: l.opens(now).Sub(now).Seconds(), Unit: "s"},
		retry.Stat{Name: "immediate", Value: float64(c.Immediate)},
		retry.Stat{Name: "delayed", Value: float64(c.Delayed)},
		retry.Stat{Name: "refused", Value: float64(c.Refused)},
		retry.Stat{Name: "abandoned", Value: float64(c.Abandoned)},
		retry.Stat{Name: "waited", Value: c.Waited.Seconds(), Unit: "s"},
	)
	for _, s := range l.sources {
		if m, ok := s.(*member); ok {
			stats = append(stats, m.stats()...)
		}
	}
	return stats
}

// Name returns the name given by [Named]; of [All] the names of its members, joined by "+".
func (l *Limiter) Name() string {
	if l == nil {
		return ""
	}
	return l.name
}

// String is one readable line: limiter catalog(10/s, burst 5).
func (l *Limiter) String() string {
	if err := l.Validate(); err != nil {
		return err.Error()
	}
	return l.describe("")
}

// Format makes every verb print String, since the others would read fields that calls are writing.
func (l *Limiter) Format(s fmt.State, verb rune) {
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), l.String())
}

// describe is String with a remark.
func (l *Limiter) describe(remark string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	var b strings.Builder
	b.WriteString(l.label + "(")
	for i, s := range l.sources {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s.String())
	}
	b.WriteString(remark)
	if wait := l.opens(now).Sub(now); wait > 0 {
		fmt.Fprintf(&b, ", paused for %v", wait)
	}
	if l.line.len > 0 {
		fmt.Fprintf(&b, ", %d waiting", l.line.len)
	}
	b.WriteString(")")
	return b.String()
}

// tellNews tells observers the events of the stores that its sources ask: see member.told.
func (l *Limiter) tellNews(ctx context.Context) {
	if !retry.Wanted(ctx, retry.KindChange) {
		return
	}
	for _, s := range l.sources {
		m, ok := s.(*member)
		if !ok {
			continue
		}
		for _, e := range m.told() {
			e.Policy = l.label
			retry.Emit(ctx, e)
		}
	}
}

// filling is in what time a limit fills a burst. It keeps the last one, which is usually asked for
// again.
type filling struct {
	asked
	took time.Duration
}

func (f *filling) time(limit rate.Limit, burst int) time.Duration {
	if of := (asked{limit, burst}); f.asked != of {
		*f = filling{of, timeFor(float64(burst), limit)}
	}
	return f.took
}

// quota describes the limiter's own limit to callers: Limit is the burst, Window the time in which
// it fills again, Remaining the tokens that no waiting call wants, Reset when there are more. Of
// several limits it is the one that binds. Without a limit it is zero. It requires that l.mu is
// held.
func (l *Limiter) quota(now time.Time) (binding retry.Quota) {
	held := time.Duration(0)
	if l.mayPause() {
		held = max(0, l.ended(now).Sub(now))
	}
	for i, s := range l.sources {
		// If nothing is shared only this limiter changes the source, and asked is what it has.
		limit, burst := l.asked.limit, l.asked.burst
		if l.shared {
			limit, burst = s.limit(), s.burst()
		}
		if limit >= rate.Inf {
			continue
		}
		q := l.left(limit, burst, s.tokens(now)-float64(l.line.tokens))
		if held > 0 {
			q.Remaining, q.Reset = 0, max(held, q.Reset)
		}
		if i == 0 || binding.Limit == 0 || q.Remaining < binding.Remaining ||
			q.Remaining == binding.Remaining && q.Reset > binding.Reset {
			binding = q
		}
	}
	return binding
}

// left is the quota of a limit of which so many tokens are left.
func (l *Limiter) left(limit rate.Limit, burst int, left float64) retry.Quota {
	q := retry.Quota{Limit: burst, Remaining: max(0, int(left))}
	if limit > 0 {
		q.Window = l.filling.time(limit, burst)
		if q.Remaining < burst {
			q.Reset = timeFor(float64(q.Remaining+1)-left, limit)
		}
	}
	return q
}

// found is what an observed call has left in the bucket.
type found struct {
	next   int // the limiter's moves if nothing but one call follows
	at     time.Time
	tokens float64
}

// quotaAfter is quota for a call that has just taken n tokens and found nobody in line. If all that
// has happened since the last observed call is this, it calculates what the bucket has, exactly as
// the bucket does: that costs less than to ask.
func (l *Limiter) quotaAfter(now time.Time, n int) retry.Quota {
	limit, burst, v := l.asked.limit, l.asked.burst, &l.found
	if l.shared || l.lent || l.mayPause() || limit >= rate.Inf {
		return l.quota(now)
	}
	if v.next == l.moves {
		came := v.tokens + seconds(max(0, now.Sub(v.at)))*float64(limit)
		if came > float64(burst) {
			came = float64(burst)
		}
		v.tokens = came - float64(n)
	} else {
		v.tokens = l.sources[0].tokens(now)
	}
	v.next, v.at = l.moves+1, now
	return l.left(limit, burst, v.tokens)
}

// seconds is d.Seconds(), and quicker below a second.
func seconds(d time.Duration) float64 {
	if d < time.Second {
		return float64(d) / 1e9
	}
	return d.Seconds()
}
