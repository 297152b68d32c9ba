package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// question is one that a member puts to its store.
type question struct {
	sent     time.Duration
	patience time.Duration
	figures  figures
	epoch    int
	need     int
	want     int
	unspent  int
	debt     int
	ahead    int           // tokens that the call at the head pays before it goes
	pause    time.Duration // told with it
	lent     int           // see loss, when it was put
	late     bool          // given up, but no other may be put before it is back
	refusals int           // told with it
}

// consider puts a question now, or sets the timer for it, if there is something to ask.
func (m *member) consider(now time.Duration) {
	if m.asking != nil || !m.usable {
		return
	}
	switch at := m.due(now); {
	case at <= now:
		m.ask(now)
	case at < forever:
		m.alarm(now, at)
	}
}

// due is when the next question is due; forever if none is.
func (m *member) due(now time.Duration) time.Duration {
	d, f := &m.demand, m.inUse.Load()
	use := d.plan(now, f, m.members)
	at := forever
	rested := max(now, m.rest)
	blank := m.blank() // then there are no tokens to ask for
	if m.stock.left < d.low {
		at = min(at, rested)
	}
	wait := d.waiting > 0 && !blank
	if wait && (max(d.waiting, use) > m.stock.left || m.bulkWaits()) {
		last := now
		if m.stock.left > 0 {
			last = m.stock.last() - 2*m.trip
		}
		at = min(at, max(rested, last))
	}
	if wait && m.part.answers == 1 { // when a fleet starts the first to ask has heard of no other
		at = min(at, max(rested, m.part.first+f.lease))
	}
	if d.waiting == 0 && d.missed > 0 && m.stock.left == 0 && !blank {
		at = min(at, rested)
	}
	if held := max(m.pause, m.held) - f.lease/2; held > now { // no token is granted before
		at = max(at, min(held, forever))
	}
	if m.learner != nil {
		at = m.reports(now, at)
	}
	if m.giving || m.debt > 0 {
		at = min(at, max(now, m.asked+f.lease/4))
	}
	if m.untold {
		at = now
	}
	if m.failures > 0 {
		at = max(at, m.next)
		if now-d.at < max(alive*f.lease, 2*lastRetry) {
			at = min(at, max(now, m.next))
		}
	}
	return at
}

// bulkWaits reports whether the call at the head wants more than there is in stock.
func (m *member) bulkWaits() bool { return m.demand.largest > m.stock.left }

// alarm makes the timer consider a question at the given time.
func (m *member) alarm(now, at time.Duration) {
	if m.timer != nil && m.timerAt > now && m.timerAt <= at {
		return // it ends earlier, and is set again then
	}
	m.timerAt = at
	if m.timer == nil {
		m.timer = time.AfterFunc(max(at-now, atOnce), m.wake)
		return
	}
	m.timer.Reset(max(at-now, atOnce))
}

// wake is what the timer does. A wake that comes for nothing does no harm.
func (m *member) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timerAt = 0
	m.consider(m.at(time.Now()))
}

// ask puts a question.
func (m *member) ask(now time.Duration) {
	f := *m.inUse.Load()
	m.putBack(m.stock.expire(now))
	q := &question{
		sent: now, figures: f, epoch: m.epoch, debt: m.debt, pause: m.pause, lent: m.lent,
	}
	m.want(q, now)
	if filled(m.tat, now, &f) {
		m.unspent = 0
	}
	q.unspent = m.unspent
	a := Ask{
		Member: m.member, Lease: f.lease,
		Limit: float64(f.limit), Burst: f.bucket, Since: max(micro, now-m.figuresAt),
		Need: q.need, Want: q.want, Back: max(-maxCount, q.unspent-q.debt-q.ahead),
		Pause: max(0, m.pause-now),
	}
	if m.known && !m.blank() {
		a.Floor = m.floor(now)
	}
	if m.learner != nil {
		m.tells(q, &a)
	}
	m.unspent, m.debt, m.untold, m.giving = 0, 0, false, false
	m.demand.missed = 0
	m.asking, m.asked = q, now
	m.trips++
	q.patience = max(50*time.Millisecond, 4*m.trip)
	go m.put(q, a)
}

// filled reports whether a bucket whose next token was due at tat may have been full since. Then it
// holds all it can, and tokens given back would come on top if others have emptied it meanwhile.
func filled(tat, now time.Duration, f *figures) bool {
	return now > tat+f.timeOf(f.bucket)
}

// want decides how many tokens a question asks for.
func (m *member) want(q *question, now time.Duration) {
	d := &m.demand
	left, use := m.stock.left, d.plan(now, &q.figures, m.members)
	held := max(m.pause, m.held)-q.figures.lease > now
	switch {
	case m.learner != nil && now < m.rest, held, m.blank(),
		m.learner != nil && m.stock.left > 0 && m.stock.last()-2*m.trip > now:
	case m.failures > 0: // it asks for none: a grant that is not heard is lost
	case d.waiting > 0 && m.bulk && d.largest > left && q.figures.timeOf(d.largest) < maxDebt*micro:
		// The call needs more than a quantum, and the first of its tokens would be void before the
		// last is due. So it pays for all first, and goes when the bucket's debt for it is paid.
		m.putBack(m.stock.drop(func(b *block) bool { return !b.borrowed }))
		q.ahead = d.largest
	case d.waiting > 0:
		q.need, q.want = max(1, d.waiting-left, d.largest-left), use
	case d.missed > 0:
		q.need, q.want = d.missed, use
	default:
		q.want = max(0, use-left)
	}
	q.need, q.want = min(q.need, maxCount), min(q.want, maxCount)
}

var (
	errLate   = errors.New("no answer in time")
	errExited = errors.New("the store's goroutine exited")
)

// put asks the store. It must not be called with m.mu held.
func (m *member) put(q *question, a Ask) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), q.patience, errLate)
	timer := time.AfterFunc(q.patience, func() { m.overdue(q) })
	var g Grant
	err := errExited
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the store panicked: %v", r)
		}
		timer.Stop()
		cancel()
		m.answered(q, g, err)
	}()
	g, err = m.store.Take(ctx, m.name, a)
}

// overdue gives up a question whose time is over, even if the store does not heed its context. It
// must not be called with m.mu held.
func (m *member) overdue(q *question) {
	m.mu.Lock()
	if m.asking != q || q.late {
		m.mu.Unlock()
		return
	}
	if m.hung == nil {
		m.hung, m.asking = q, nil
	} else {
		q.late = true // two goroutines hang: no other question until one of them is back
	}
	now := m.at(time.Now())
	m.lost(q, now, errLate)
	m.consider(now)
	tell := m.listeners()
	m.mu.Unlock()
	tell(true)
}

// answered takes a store's answer. It must not be called with m.mu held.
func (m *member) answered(q *question, g Grant, err error) {
	m.mu.Lock()
	now := m.at(time.Now())
	late := m.asking != q || q.late
	if m.asking == q {
		m.asking = nil
	}
	if m.hung == q {
		m.hung = nil
	}
	var changed bool
	var held time.Time
	if err == nil {
		m.measure(min(now-q.sent, 2*q.patience)) // an answer after an outage may have taken hours
		if err = m.nonsense(q, g); err == nil && !late {
			err = m.stale(q, g, now)
		}
	}
	tell := m.listeners()
	switch {
	case late && err == nil: // what it did is known too late to use: it goes back
		m.returns(q, g, now)
		m.debt = max(0, m.debt-q.debt)
	case late:
	case err != nil:
		m.lost(q, now, err)
		changed = true
	default:
		changed, held = m.accept(q, g, now)
	}
	m.consider(now)
	owner := m.owner
	m.mu.Unlock()
	if !held.IsZero() && owner != nil {
		owner.held(held)
	}
	tell(changed)
}

// measure smooths the time of a round trip.
func (m *member) measure(trip time.Duration) {
	if m.trip == 0 {
		m.trip = trip
		return
	}
	m.trip += (trip - m.trip) / 8
}

// listeners returns what tells the waiters that there may be tokens, or that everything may be
// different now. It must be called without m.mu held.
func (m *member) listeners() (tell func(changed bool)) {
	if m.learner != nil {
		return func(bool) { m.owner.changed() }
	}
	limiters := make([]listener, len(m.demand.waiters))
	for i, w := range m.demand.waiters {
		limiters[i] = w.l
	}
	return func(changed bool) {
		for _, l := range limiters {
			if changed {
				l.changed()
			} else {
				l.look()
			}
		}
	}
}

// nonsense reports an answer that no store can mean.
func (m *member) nonsense(q *question, g Grant) error {
	if err := m.nonsenseLearned(g); err != nil {
		return err
	}
	f := q.figures
	ahead := maxAhead + f.timeOf(max(g.Members, 0)+max(q.need, q.want))
	ahead += max(m.pause, m.held, 0) + max(g.Pause, 0)
	switch {
	case g.Tokens < 0 || g.Now < 0 || g.Now > g.Tokens,
		g.Members < 0 || g.Members > maxCount || g.Burst < 0,
		g.First < 0 || g.First > ahead || g.Floor > ahead || g.Pause < 0,
		!(g.Limit == 0 || g.Limit >= minShared && g.Limit <= maxShared):
		return fmt.Errorf("the store's answer makes no sense: %+v", g)
	}
	return nil
}

// stale reports an answer that took so long that its tokens are void already. They are given back.
func (m *member) stale(q *question, g Grant, now time.Duration) error {
	if trip := now - q.sent; trip >= q.figures.lease {
		m.returns(q, g, now)
		return fmt.Errorf("an answer took %v, longer than the lease of %v", trip, q.figures.lease)
	}
	return nil
}

// returns gives back the tokens of an answer that came too late.
func (m *member) returns(q *question, g Grant, now time.Duration) {
	if !filled(q.sent+g.Floor, now, &q.figures) {
		m.giveBack(min(g.Tokens, max(q.need, q.want)) + q.ahead)
	}
}

// accept takes an answer into account. It reports whether waits may have become longer, and until
// when the fleet pauses, if that is news.
func (m *member) accept(q *question, g Grant, now time.Duration) (changed bool, held time.Time) {
	away := m.away
	m.found(&q.figures)
	changed = m.figuresOf(q, g) || away || !m.known
	f := m.inUse.Load()
	m.members = max(1, g.Members)
	tat := q.sent + g.Floor
	changed = changed || tat > m.tat+f.lease
	m.part.heard(now, tat, g.Tokens+q.debt+q.ahead-q.unspent, m.members, *f)
	m.known, m.tat = true, tat
	if filled := m.fill(q, g, now, f); filled < max(q.need, q.want, q.ahead) {
		m.rest = now + f.lease/4
		if filled > 0 { // this member may be the only busy one
			m.rest = min(m.rest, m.stock.last()-2*m.trip)
		} else if m.learner != nil {
			m.rest = max(m.rest, m.turn(f))
		}
	}
	pause := g.Pause
	if m.owner != nil {
		pause = min(pause, m.owner.mostHeld())
	}
	const slack = 5 * time.Millisecond // an echo of its own pause may be so much later
	if until := now + pause; pause > 0 && until > max(m.held, m.pause)+m.trip+slack {
		m.held = until
		held = m.base.Add(until)
	}
	if m.learner != nil {
		m.holdStock()
	}
	return changed, held
}

// fill puts what was granted into stock, and returns how much it was.
func (m *member) fill(q *question, g Grant, now time.Duration, f *figures) (filled int) {
	if q.ahead > 0 {
		m.bulk = false
		due := max(0, g.Floor)
		if due < maxDebt*micro && m.cover(now+due, q.ahead, f) == q.ahead {
			m.granted = true
			m.stock.put(block{due: now + due, void: q.sent + due + f.lease, end: q.ahead})
			return q.ahead
		}
		m.giveBack(q.ahead)
		return 0
	}
	most := max(q.need, q.want, f.bucket)
	at := m.cover(now, min(g.Now, most), f)
	later := m.cover(now+g.First, min(g.Tokens-g.Now, most), f)
	if later > 0 {
		m.paid = max(m.paid, now+g.First) + time.Duration(float64(later)*f.step/m.part.of(now, *f))
	}
	m.giveBack(min(max(0, g.Tokens-at-later), most))
	m.granted = m.granted || at+later > 0
	m.stock.put(block{due: now, void: q.sent + f.lease, end: at})
	void := q.sent + g.First + f.lease
	m.stock.put(block{due: now + g.First, void: void, step: f.step, end: later})
	if at+later > 0 {
		m.served = now + g.First
	}
	m.bulk = m.demand.waiting > 0 && m.demand.largest > max(1, m.stock.left)
	return at + later
}

// figuresOf follows a limit and a burst that another member has set, and reports whether they
// changed.
func (m *member) figuresOf(q *question, g Grant) bool {
	if m.learner != nil {
		return m.hears(q, g)
	}
	if q.epoch != m.epoch || g.Limit == 0 && g.Burst == 0 {
		return false
	}
	f := q.figures
	limit, bucket := f.limit, f.bucket
	if g.Limit != 0 {
		limit = rate.Limit(g.Limit)
	}
	if g.Burst != 0 {
		bucket = g.Burst
	}
	const most = 1000 // times the member's own figures: more is taken for a mistake
	if float64(limit) > most*float64(f.limit) || bucket > most*f.bucket {
		return false
	}
	burst := bucket
	if m.strict {
		burst += int(math.Ceil(m.figures(limit, bucket).late()))
	}
	if limit == f.limit && burst == f.burst || m.check("", limit, burst) != nil {
		return false
	}
	m.use(limit, burst)
	return true
}
