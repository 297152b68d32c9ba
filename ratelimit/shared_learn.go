package ratelimit

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

// learner is what a member of a fleet of pacers tells with its questions and hears. The limit is
// the one that the leader has learned; the burst is 1. Before anything is learned the limit is the
// rate to begin at, or unlearned: only the leader's calls go then.
type learner struct {
	until    time.Duration // it leads
	terms    int           // times it has begun to lead
	learned  rate.Limit    // what it tells if it leads; 0: nothing
	flying   bool          // it leads, and calls are on their way
	holds    bool          // it leads, and has the others wait for the outcome of its call
	answers  int           // of its own, not told yet
	refusals int

	// Of the others: the leader has heard them, and the machine has not been told.
	othersAnswers, othersRefusals int
}

const (
	// unlearned stands for a limit that is not known yet.
	unlearned rate.Limit = maxShared

	// More than this is not believed: a learned rate, and outcomes since the last question.
	mostLearned rate.Limit = 1e6
	mostHeard   int        = 100_000

	// A learner's lease is the time of two calls, so that it holds about one token, but at least
	// 100 ms and at most a second. It asks twice in that time, because all should hear of a refusal
	// before many more calls are refused.
	leastLearning = 100 * time.Millisecond

	// unlearnedBeat is the time between questions while nothing is learned.
	unlearnedBeat = 100 * time.Millisecond

	// leadRenews is the time between the questions of a leader that waits itself: it asks only to
	// stay the leader.
	leadRenews = 500 * time.Millisecond
)

func newLearner(f fleet, begin rate.Limit) *member {
	begin = min(cmp.Or(begin, unlearned), unlearned)
	f.learns = true
	m := newMember(f, max(begin, minShared), 1)
	m.learner = &learner{}
	return m
}

// blank reports whether no limit is known.
func (m *member) blank() bool { return m.learner != nil && m.inUse.Load().limit >= unlearned }

// beat is the time between a learner's questions.
func (m *member) beat() time.Duration {
	if m.blank() {
		return unlearnedBeat
	}
	return m.inUse.Load().lease / 2
}

// reports is when the next question is due if one for tokens is at the given time: earlier, if
// there is something to tell or to hear by then; forever if there is nothing of either. A question
// for tokens tells and hears too, so what is due shortly before it waits for it.
func (m *member) reports(now, tokens time.Duration) time.Duration {
	l := m.learner
	news := l.answers+l.refusals > 0
	wanted := m.demand.waiting+m.demand.missed > 0
	every := m.beat()
	switch {
	case !m.known && wanted:
		return now
	case wanted && !news && max(m.pause, m.held) > now+every: // only a leader asks, to stay it
		if every = max(every, leadRenews); !l.holds {
			return min(tokens, max(m.pause, m.held))
		}
	case !wanted && !news && !l.holds && !l.flying:
		return tokens
	}
	at := max(now, m.asked+every)
	if tokens <= at+every/2 {
		return tokens
	}
	return at
}

// turn is when a learner that got no token should ask for one again: half a lease before the
// bucket's next one comes up if it has waited for as long as all members' turns take, and
// accordingly later if it has waited less. So those that have waited longest ask first, and nobody
// waits for a member that does not ask.
func (m *member) turn(f *figures) time.Duration {
	c := float64(f.lease/2) / (f.step * float64(m.members))
	t := time.Duration((float64(m.tat) + c*float64(m.served)) / (1 + c))
	return max(t, m.tat-f.lease/2)
}

// tells adds to a question what a learner tells.
func (m *member) tells(q *question, a *Ask) {
	l := m.learner
	q.refusals = l.refusals
	if q.sent >= l.until { // another may have led meanwhile
		l.learned = 0
	}
	a.Learn, a.Answers, a.Refusals, a.Learned = true, l.answers, l.refusals, float64(l.learned)
	l.answers, l.refusals = 0, 0
}

// hears takes what an answer tells a learner, and reports whether the limit has changed.
func (m *member) hears(q *question, g Grant) bool {
	l, before := m.learner, m.inUse.Load().limit
	led := q.sent < l.until
	l.until = 0
	if g.Lead {
		if !led {
			l.terms++
		}
		m.granted = true
		l.until = q.sent + time.Duration(leadTime)*micro
		l.othersAnswers = min(l.othersAnswers+g.Answers, mostHeard)
		l.othersRefusals = min(l.othersRefusals+g.Refusals, mostHeard)
	}
	limit := q.figures.limit
	if g.Limit != 0 {
		limit = rate.Limit(g.Limit)
	}
	if g.Lead && l.learned > 0 {
		limit = l.learned
	}
	if limit > mostLearned {
		limit = unlearned
	}
	if limit != before {
		m.use(limit, 1)
	}
	return limit != before
}

// nonsenseLearned is nonsense for what only a learner hears.
func (m *member) nonsenseLearned(g Grant) error {
	least, most := min(g.Answers, g.Refusals), max(g.Answers, g.Refusals)
	if m.learner != nil && (least < 0 || most > maxCount) {
		return fmt.Errorf("the store's answer makes no sense: %+v", g)
	}
	return nil
}

// learning is what a pacer knows of its fleet.
type learning struct {
	known    bool       // the store has answered once
	leads    bool       // this member does
	terms    int        // times it has begun to
	limit    rate.Limit // of all; unlearned: none
	members  int
	part     float64       // the part of the limit that this member had lately
	away     bool          // the store is
	closed   bool          // the store is away and no call may go meanwhile
	next     time.Duration // the time until the next question, if the store is away
	err      error         // why it is
	answers  int           // of the others, since the last call of learning
	refusals int
}

// learning tells what the member has heard. It must not be called with m.mu held, like all below.
func (m *member) learning(now time.Time) learning {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, l, f := m.at(now), m.learner, m.inUse.Load()
	s := learning{
		known: m.known, leads: t < l.until && !m.away, terms: l.terms,
		limit: f.limit, members: m.members, part: 1,
		away: m.away, err: m.err, next: max(0, m.next-t),
		answers: l.othersAnswers, refusals: l.othersRefusals,
	}
	l.othersAnswers, l.othersRefusals = 0, 0
	if m.away && m.onLoss == Share {
		s.part = m.own
	}
	s.closed = m.away && (m.onLoss == Closed || m.onLoss == Share && !m.granted)
	return s
}

// told is what a pacer has its member tell.
type told struct {
	answers, refusals int
	fresh             bool       // some refusals are news, which all should hear at once
	learned           rate.Limit // of a leader; 0: nothing
	flying            bool       // calls of a leader are on their way
	holds             bool       // a leader waits for the outcome of its call
	until             time.Time  // no call of the fleet may go before; zero: any may
}

// teach takes what the pacer tells, and returns until when the others wait, by what it has told
// them.
func (m *member) teach(now time.Time, s told) (held time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, l := m.at(now), m.learner
	l.answers = min(l.answers+s.answers, maxCount)
	l.refusals = min(l.refusals+s.refusals, maxCount)
	if s.learned != l.learned {
		l.learned = s.learned
		if s.learned > 0 {
			if m.blank() { // a pause let the bucket's time begin with its end, not a call before it
				m.unspent = 1
			}
			m.use(s.learned, 1)
			m.untold = true
		}
	}
	l.holds, l.flying = s.holds, s.flying
	m.untold = m.untold || s.fresh
	slack := 10 * time.Millisecond // an echo of the same pause may be so much later
	if s.holds {
		slack = leadHolds / 3
	}
	if until := s.until.Sub(m.base); !s.until.IsZero() && until > max(t, m.pause, m.held)+slack {
		m.pause, m.untold = until, true
		m.holdStock()
	}
	m.consider(t)
	return m.base.Add(m.pause)
}

// misses notes that a call found no token and does not wait for one.
func (m *member) misses(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.at(now)
	m.demand.at = t
	if m.demand.waiting == 0 {
		m.demand.missed = max(m.demand.missed, 1)
	}
	m.consider(t)
}

// leading reports whether the member leads now.
func (m *member) leading(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(now) < m.learner.until && !m.away
}

// holdStock drops the tokens that are due while all wait: after the wait they would all be spent at
// once. It requires that m.mu is held.
func (m *member) holdStock() {
	until := max(m.pause, m.held)
	m.putBack(m.stock.drop(func(b *block) bool { return b.due < until }))
}
