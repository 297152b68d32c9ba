package limitertest

import (
	"math"
	"time"
)

// A Rule says which requests a server admits. Time is the virtual time since
// the server came up, and never runs backwards between two calls. The rules
// of this package are not safe for simultaneous use; a [Server] locks around
// its rule.
type Rule interface {
	// Next returns the earliest time, now or later, at which a request would
	// be admitted if no other came before it. It does not count a request.
	Next(now time.Duration) time.Duration
	// Count records a request that came at now, and whether it was admitted.
	// It returns how long the rule holds an admitted request back before it
	// is served.
	Count(now time.Duration, admitted bool) (queued time.Duration)
}

// A Quoter is a rule that can tell a client where it stands, as a server does
// with RateLimit header fields.
type Quoter interface {
	Quota(now time.Duration) Quota
}

// Quota is what a server tells of its limit. The zero value says nothing.
type Quota struct {
	Limit     int           // requests per Window; 0: not said
	Window    time.Duration // 0: not said
	Remaining int           // requests left now
	Reset     time.Duration // until there are more
}

// A Resizer is a rule whose rate can be changed while it runs.
type Resizer interface {
	// Resize multiplies the rate that the rule began with by factor.
	Resize(now time.Duration, factor float64)
}

// Open admits everything.
type Open struct{}

// Next returns now.
func (Open) Next(now time.Duration) time.Duration { return now }

// Count does nothing.
func (Open) Count(time.Duration, bool) time.Duration { return 0 }

// full is what a bucket accepts as a whole token: what is missing may be a rounding error.
const full = 1 - 1e-9

// later adds a wait in seconds to now and rounds up, so that the wait is over
// at the time returned.
func later(now time.Duration, seconds float64) time.Duration {
	return now + time.Duration(math.Ceil(seconds*1e9))
}

func seconds(d time.Duration) float64 { return float64(d) / 1e9 }

// bucket is a token bucket.
type bucket struct {
	rate, first, burst, level float64
	at                        time.Duration
}

// Bucket is a token bucket that fills by rate tokens a second up to burst, and
// starts full. A refused request takes nothing.
func Bucket(rate float64, burst int) Rule {
	return &bucket{rate: rate, first: rate, burst: float64(burst), level: float64(burst)}
}

func (b *bucket) fill(now time.Duration) {
	if now > b.at {
		b.level = min(b.burst, b.level+b.rate*seconds(now-b.at))
		b.at = now
	}
}

func (b *bucket) Next(now time.Duration) time.Duration {
	b.fill(now)
	if b.level >= full {
		return now
	}
	return later(now, (1-b.level)/b.rate)
}

func (b *bucket) Count(now time.Duration, admitted bool) time.Duration {
	b.fill(now)
	if admitted {
		b.level--
	}
	return 0
}

func (b *bucket) Quota(now time.Duration) Quota {
	b.fill(now)
	q := Quota{Limit: int(b.burst), Window: later(0, b.burst/b.rate), Remaining: int(b.level)}
	if b.level < 1 {
		q.Reset = later(0, (1-b.level)/b.rate)
	}
	return q
}

func (b *bucket) Resize(now time.Duration, factor float64) {
	b.fill(now)
	b.rate = b.first * factor
}

// sliding remembers the time of every request in the window.
type sliding struct {
	n, first   int
	window     time.Duration
	countsAll  bool
	admissions []time.Duration
}

// Sliding admits at most n requests in any window of time. With countRefused
// the refused ones fill the window too, so that a client that hammers stays
// out.
func Sliding(n int, window time.Duration, countRefused bool) Rule {
	return &sliding{n: n, first: n, window: window, countsAll: countRefused}
}

func (s *sliding) slide(now time.Duration) {
	i := 0
	for i < len(s.admissions) && s.admissions[i] <= now-s.window {
		i++
	}
	s.admissions = s.admissions[i:]
}

func (s *sliding) Next(now time.Duration) time.Duration {
	s.slide(now)
	if len(s.admissions) < s.n {
		return now
	}
	if s.n < 1 {
		return now + s.window
	}
	return max(now, s.admissions[len(s.admissions)-s.n]+s.window)
}

func (s *sliding) Count(now time.Duration, admitted bool) time.Duration {
	s.slide(now)
	if admitted || s.countsAll {
		s.admissions = append(s.admissions, now)
	}
	return 0
}

func (s *sliding) Quota(now time.Duration) Quota {
	s.slide(now)
	q := Quota{Limit: s.n, Window: s.window, Remaining: max(0, s.n-len(s.admissions))}
	if len(s.admissions) > 0 {
		q.Reset = s.admissions[0] + s.window - now
	}
	return q
}

func (s *sliding) Resize(now time.Duration, factor float64) {
	s.slide(now)
	s.n = max(1, int(math.Round(float64(s.first)*factor)))
}

// windowed counts requests in windows by the server's clock. Its phase is how far into its first
// window the client starts.
type windowed struct {
	n, first   float64
	window     time.Duration
	phase      time.Duration
	index      int64
	count      float64
	countsAll  bool
	countsPrev bool
	previous   float64
}

// Fixed admits n requests in each window of the server's clock. The client starts when phase of the
// first window has passed. Envoy's local rate limit, whose bucket is filled in one step per
// interval, is Fixed with phase 0.
func Fixed(n int, window, phase time.Duration) Rule {
	return &windowed{n: float64(n), first: float64(n), window: window, phase: phase}
}

// StickTable is HAProxy's http_req_rate(window) with a threshold of n: it counts the requests of
// this window, and those of the last one in proportion to what is left of this window. Refused
// requests count, so a client that hammers is never let in again.
func StickTable(n int, window, phase time.Duration) Rule {
	return &windowed{n: float64(n), first: float64(n), window: window, phase: phase,
		countsAll: true, countsPrev: true}
}

func (w *windowed) turn(now time.Duration) {
	k := int64((now + w.phase) / w.window)
	if k == w.index {
		return
	}
	w.previous = 0
	if w.countsPrev && k == w.index+1 {
		w.previous = w.count
	}
	w.index, w.count = k, 0
}

// end is when the current window ends.
func (w *windowed) end() time.Duration {
	return time.Duration(w.index+1)*w.window - w.phase
}

// Rate is the number of requests the rule sees at now.
func (w *windowed) Rate(now time.Duration) float64 {
	w.turn(now)
	return w.previous*(seconds(w.end()-now)/seconds(w.window)) + w.count
}

func (w *windowed) Next(now time.Duration) time.Duration {
	if w.Rate(now)+1 <= w.n+1e-9 {
		return now
	}
	room := w.n - w.count - 1
	if w.previous > 0 && room >= 0 && room < w.previous {
		at := w.end() - w.window + later(0, seconds(w.window)*(1-room/w.previous))
		return max(now, at) + time.Microsecond
	}
	return w.end() + time.Microsecond
}

func (w *windowed) Count(now time.Duration, admitted bool) time.Duration {
	w.turn(now)
	if admitted || w.countsAll {
		w.count++
	}
	return 0
}

func (w *windowed) Quota(now time.Duration) Quota {
	used := w.Rate(now)
	return Quota{Limit: int(w.n), Window: w.window, Remaining: max(0, int(w.n-used)),
		Reset: w.end() - now}
}

func (w *windowed) Resize(now time.Duration, factor float64) {
	w.turn(now)
	w.n = max(1, w.first*factor) // less than one admits nobody
}

func (w *windowed) forget() { w.count, w.previous = 0, 0 }

// leaky is nginx's own arithmetic: thousandths of a request, milliseconds.
type leaky struct {
	rate, first int64 // thousandths of a request per second
	burst       int64 // thousandths
	delay       bool
	excess      int64
	last        time.Duration
	begun       bool
}

// LimitReq is nginx's limit_req at rate requests a second with a burst. With
// nodelay what exceeds the rate is served at once, else it waits its turn. A
// refused request does not change the state.
func LimitReq(rate float64, burst int, nodelay bool) Rule {
	r := int64(math.Round(rate * 1000))
	return &leaky{rate: r, first: r, burst: int64(burst) * 1000, delay: !nodelay}
}

// after is the excess if a request came at now.
func (l *leaky) after(now time.Duration) int64 {
	if !l.begun {
		return 0
	}
	ms := int64(now.Truncate(time.Millisecond)-l.last) / int64(time.Millisecond)
	return max(0, l.excess-l.rate*ms/1000+1000)
}

func (l *leaky) Next(now time.Duration) time.Duration {
	over := l.after(now) - l.burst
	if over <= 0 {
		return now
	}
	ms := (over*1000 + l.rate - 1) / l.rate
	return now.Truncate(time.Millisecond) + time.Duration(ms)*time.Millisecond
}

func (l *leaky) Count(now time.Duration, admitted bool) time.Duration {
	if !admitted {
		return 0
	}
	l.excess, l.last, l.begun = l.after(now), now.Truncate(time.Millisecond), true
	if !l.delay {
		return 0
	}
	return time.Duration(l.excess) * time.Second / time.Duration(l.rate)
}

func (l *leaky) Resize(_ time.Duration, factor float64) {
	l.rate = int64(math.Round(float64(l.first) * factor))
}
