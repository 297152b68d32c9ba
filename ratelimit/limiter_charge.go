package ratelimit

import (
	"math"
	"time"
)

// Charge settles afterwards what a call really cost: n tokens are taken now, whether they are there
// or not. What is missing becomes a debt that later calls wait for. It is never more than the limit
// brings in an hour. Waiting calls wait longer too, and are rejected if they no longer fit their
// deadline or [MaxWait].
//
// A negative n gives tokens back, as after a call of [Limiter.N] that was cheaper than its
// estimate: at most as many as this limiter's calls and charges have taken, and no more than fill
// the burst. Charge(0) does nothing.
func (l *Limiter) Charge(n int) {
	if l == nil || n == 0 || len(l.sources) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	l.follow()
	if n < 0 {
		n = min(-max(n, -math.MaxInt), l.spent)
		l.refund(now, l.sources, n, l.unlimited())
		l.spent -= n
		l.dispatch(now)
		return
	}
	for _, s := range l.sources {
		s.add(now, -n)
	}
	l.spend(n)
	l.latest = time.Time{}
	l.line.longer(room{tokens: n}, l)
	l.plan(now)
}

// spend counts tokens as taken. It requires that l.mu is held.
func (l *Limiter) spend(n int) {
	if l.spent += n; l.spent < 0 {
		l.spent = math.MaxInt
	}
}
