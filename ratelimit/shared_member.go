package ratelimit

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// member is the source of a [Shared] limit: one member's stock of tokens, and the questions that
// fill it. Its times are durations since base, which moves when the clock goes back.
type member struct {
	fleet
	owner listener
	inUse atomic.Pointer[figures] // the present limit and burst

	mu     sync.Mutex
	base   time.Time
	latest time.Duration // the latest moment seen
	usable bool          // the figures make sense

	// Limit and burst.
	figuresAt time.Duration // when they were set on this member
	epoch     int           // how often they were

	// Tokens.
	stock   stock
	demand  demand
	unspent int           // to give back with the next question
	debt    int           // to settle with the next question
	opened  int           // admitted without a token while the store was away
	guard   time.Duration // the granted tokens use up the limit to this moment

	// Questions.
	asking  *question
	hung    *question     // given up, and its goroutine not back yet
	asked   time.Duration // when the last one was sent
	rest    time.Duration // no question before, because the last one got less than it wanted
	served  time.Duration // when the latest token granted is due
	trip    time.Duration // the time of a question, smoothed
	bulk    bool          // the call at the head needs more than a quantum, so it pays first
	giving  bool          // tokens that others wait for are to be given back
	trips   int
	timer   *time.Timer
	timerAt time.Duration

	// What the store has said.
	known   bool // it has answered once
	granted bool // it has granted something
	members int
	tat     time.Duration // the bucket has no token before
	part    part
	paid    time.Duration // the tokens granted ahead are its part of the time up to here

	// Pauses.
	pause  time.Duration // the end of the longest that this member has heard
	untold bool          // the store has not been told of something yet
	held   time.Duration // the end of the longest that others have heard

	learner *learner // of a pacer's member; nil: the limit is given

	loss
}

var _ source = (*member)(nil)

func newMember(f fleet, limit rate.Limit, burst int) *member {
	m := &member{fleet: f, base: time.Now(), members: 1}
	m.use(limit, burst)
	return m
}

// use makes limit and burst the present ones.
func (m *member) use(limit rate.Limit, burst int) {
	f := figures{limit: limit, burst: burst}
	if m.usable = m.check("", limit, burst) == nil; m.usable {
		f = m.figures(limit, burst)
	}
	m.inUse.Store(&f)
}

func (m *member) limit() rate.Limit { return m.inUse.Load().limit }
func (m *member) burst() int        { return m.inUse.Load().burst }

// at is now in the member's time, which does not go back. It requires that m.mu is held, as all
// below do unless they say otherwise.
func (m *member) at(now time.Time) time.Duration {
	m.latest = max(m.latest, now.Sub(m.base))
	return m.latest
}

func (m *member) follow(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const another = time.Second // less may be another call that was quicker
	if back := m.latest - now.Sub(m.base); back > another {
		m.base = m.base.Add(-back)
		m.asking, m.timer = nil, nil // they belong to the clock before
	}
	m.at(now)
}

func (m *member) take(now time.Time, n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(now)
	if m.away && m.onLoss == Open {
		m.opened, m.lent = min(m.opened+n, maxCount), min(m.lent+n, maxCount)
		m.spent(t, n)
		return true
	}
	ok, void := m.stock.take(t, n)
	if void > 0 {
		m.putBack(void)
	}
	if !ok && m.lends() && m.stock.left == 0 {
		m.borrow(t, n)
		ok, _ = m.stock.take(t, n)
	}
	if ok {
		if m.away { // some may be the store's
			m.lent = min(m.lent+n, maxCount)
		}
		m.spent(t, n)
		return true
	}
	if m.demand.waiting == 0 {
		m.demand.missed = min(m.demand.missed+n, maxCount)
	}
	m.demand.at = t
	m.demand.largest = n
	m.consider(t)
	return false
}

// spent counts tokens as used, and asks for more if few are left.
func (m *member) spent(t time.Duration, n int) {
	m.demand.used(t, n, m.inUse.Load(), m.members)
	if m.stock.left < m.demand.low && m.asking == nil {
		m.consider(t)
	}
}

// putBack gives back tokens that were in stock, so that others may be granted in their place.
func (m *member) putBack(n int) {
	m.guard -= m.inUse.Load().timeOf(n)
	m.giveBack(n)
}

// giveBack gives tokens back with the next question.
func (m *member) giveBack(n int) {
	if m.learner == nil { // a pacer's would be dated anew, close to one that another member holds
		m.unspent = min(m.unspent+n, maxCount)
	}
}

func (m *member) add(now time.Time, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(now)
	if n < 0 {
		m.owe(t, -n)
		return
	}
	free := min(n, m.opened)
	m.opened -= free
	n -= free
	for n > 0 && m.stock.undo(t) {
		n--
	}
	m.putBack(n)
}

// owe takes n tokens, due or not, and makes a debt of those that are missing.
func (m *member) owe(t time.Duration, n int) {
	taken := m.stock.seize(n)
	f := m.inUse.Load()
	m.debt = min(m.debt+n-taken, int(min(float64(f.limit)*time.Hour.Seconds(), maxCount)))
	if m.away {
		m.borrowed = max(m.borrowed, t) + f.timeOf(n-taken)
	}
	m.spent(t, taken)
	m.consider(t)
}

// timeOf is the time in which the limit gives n tokens.
func (f *figures) timeOf(n int) time.Duration {
	return time.Duration(min(float64(n)*f.step, float64(maxSpan*micro)))
}

func (m *member) when(start time.Time, n int) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := start.Sub(m.base)
	if m.away && m.onLoss == Open {
		return start, true
	}
	at, missing := m.stock.when(s, n)
	f := m.inUse.Load()
	switch {
	case missing == 0:
	case !m.usable:
		return time.Time{}, false
	case m.away && !m.lends():
		return m.base.Add(max(s, m.next)), false
	case m.away:
		at = max(at, s, m.borrowed, m.latest) + time.Duration(float64(missing)*m.step(f))
	default:
		at = max(at, m.expect(s, missing, f))
	}
	return m.base.Add(max(at, s)), true
}

// expect estimates when the missing tokens, which are not granted yet, will be there. What the
// bucket has saved up is there at once; of the rest the other members take their parts.
func (m *member) expect(start time.Duration, missing int, f *figures) time.Duration {
	trip := max(m.trip, 100*time.Microsecond)
	answer := max(start, m.latest, m.rest) + trip
	if q := m.asking; q != nil {
		late := m.latest - q.sent - trip // the later an answer is, the longer it may still take
		answer = max(start, m.latest+max(late, 0)/2, q.sent) + trip
	}
	if !m.known {
		return answer
	}
	each := f.step * float64(m.members)
	saved := float64(max(0, m.latest-m.tat)) / f.step
	wait := max(0, float64(missing)-saved) * each
	return max(answer, max(m.tat, m.latest)+time.Duration(min(wait, float64(maxSpan*micro))))
}

func (m *member) tokens(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(now)
	f := m.inUse.Load()
	if !m.usable || !m.known {
		return float64(f.burst)
	}
	bucket := max(0, min(float64(f.bucket), float64(t-m.tat)/f.step))
	void := m.stock.expire(t)
	m.putBack(void)
	return min(float64(f.burst), bucket+float64(m.stock.due(t)+m.unspent)) - float64(m.debt)
}

func (m *member) set(now time.Time, limit rate.Limit, burst int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.figuresAt = m.at(now)
	m.epoch++
	m.use(limit, burst)
	m.untold = m.untold || m.known // the others should hear of it
	m.consider(m.figuresAt)
}

func (m *member) wants(l listener, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.demand.waiting
	m.demand.wants(l, n)
	if m.demand.waiting == 0 {
		m.bulk = false
		if before == 0 {
			return
		}
		// No call waits any more for the tokens that are due after a lease.
		if k := m.stock.cut(m.latest + m.inUse.Load().lease); k > 0 {
			m.putBack(k)
			m.giving = true
		}
	}
	m.consider(m.latest)
}

func (m *member) hold(until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := until.Sub(m.base); t > m.pause {
		m.pause, m.untold = t, true
		m.consider(m.at(time.Now()))
	}
}

func (m *member) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.inUse.Load()
	s := fmt.Sprintf("%.4g/s, burst %d, shared", float64(f.limit), f.burst)
	if m.known {
		s += fmt.Sprintf(" by %d", m.members)
	}
	if m.away {
		since := (m.latest - m.since).Round(time.Millisecond)
		s += fmt.Sprintf(", store away for %v (%v): %v", since, m.onLoss, m.err)
	}
	return s
}

// stats are figures besides those that every source has.
func (m *member) stats() []retry.Stat {
	m.mu.Lock()
	defer m.mu.Unlock()
	away := retry.Stat{Name: "store", Text: "answers"}
	if m.away {
		away.Value, away.Text = 1, "away"
	}
	return []retry.Stat{
		{Name: "members", Value: float64(m.members)},
		{Name: "stock", Value: float64(m.stock.left)},
		{Name: "trips", Value: float64(m.trips)},
		{Name: "trip", Value: m.trip.Seconds(), Unit: "s"},
		{Name: "losses", Value: float64(m.losses)},
		away,
	}
}

// cover is how many of n tokens, due at the given time, the limit allows, and counts them: a store
// cannot grant a member more than the whole fleet may spend.
func (m *member) cover(at time.Duration, n int, f *figures) int {
	room := math.Floor(float64(f.burst) + f.late() - float64(max(0, m.guard-at))/f.step)
	n = int(max(0, min(float64(n), room)))
	m.guard = max(m.guard, at) + f.timeOf(n)
	return n
}
