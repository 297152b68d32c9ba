package ratelimit

import (
	"cmp"
	"math"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/retry"
)

const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second // and half a lease, if that is shorter
)

// loss is what a member knows of a store that cannot be asked.
type loss struct {
	away     bool
	since    time.Duration // when it was lost
	own      float64       // the part of the limit that the member had then
	next     time.Duration // the next question
	err      error         // of the last question
	failures int           // in a row
	losses   int           // questions without an answer, in all
	borrowed time.Duration // the member's own part is used up to this time
	lent     int           // tokens used besides the store's since it was lost
	lentAt   int           // lent when the last question that failed was sent
	news     []retry.Event // events that no observer has heard yet
}

// lost notes that a question has failed.
func (m *member) lost(q *question, now time.Duration, err error) {
	m.losses++
	m.err = err
	m.debt += q.debt // unspent tokens may have arrived, so they are not given back twice
	m.untold = m.untold || q.pause > now
	if l := m.learner; l != nil { // to tell refusals twice does no harm
		l.refusals = min(l.refusals+q.refusals, maxCount)
	}
	m.lentAt = q.lent
	// While some members are back and others are not, the latter use their parts on top of all that
	// the store gives. So all should notice soon that it is back.
	wait := min(lastRetry, max(leastLease, q.figures.lease/2), firstRetry<<min(m.failures, 10))
	m.next = now + wait/2 + rand.N(wait/2)
	m.failures++
	if !m.away {
		m.away, m.since = true, now
		m.own = m.part.of(now, *m.inUse.Load())
		m.borrowed = max(now, m.stock.last(), m.paid)
		m.tell("shared", "store away, "+m.onLoss.String(), err)
	}
}

// found notes that the store has answered.
func (m *member) found(f *figures) {
	if m.failures = 0; !m.away {
		return
	}
	m.away, m.err = false, nil
	m.part.skip(m.latest - m.since)
	m.stock.drop(func(b *block) bool { return b.borrowed })
	// Since the last question the store may have given everything to the others.
	unnoticed := min(m.lent-m.lentAt, int(float64(m.latest-m.asked)/m.step(f))+1)
	m.debt = min(m.debt+unnoticed, maxCount)
	m.lent, m.lentAt = 0, 0
	m.tell("store away", "shared", nil)
}

// floor is what the member knows of the bucket. A member that had lost the store tells it that
// nothing was saved up meanwhile: the members have used without asking what has filled the bucket.
// That is not a debt, so it does not reach into the future, and it counts once, whichever member
// tells it first.
func (m *member) floor(now time.Duration) time.Duration {
	floor := m.tat - now - m.trip
	if m.away {
		floor = max(floor, min(m.tat-m.part.last, -micro))
	}
	return cmp.Or(floor, -micro)
}

// tell leaves the event for the next call that is observed.
func (m *member) tell(from, to string, err error) {
	const most = 8
	if len(m.news) < most {
		m.news = append(m.news, retry.Event{Kind: retry.KindChange, From: from, To: to, Err: err})
	}
}

// told returns the news. It must not be called with m.mu held.
func (m *member) told() []retry.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	news := m.news
	m.news = nil
	return news
}

// cause is why the store cannot be asked, nil if it can. It must not be called with m.mu held.
func (m *member) cause() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.away {
		return nil
	}
	return m.err
}

// lends reports whether the member goes on with its own part.
func (m *member) lends() bool { return m.away && m.onLoss == Share && m.granted }

// step is the time, in ns, between two tokens of the member's own part.
func (m *member) step(f *figures) float64 { return f.step / m.own }

// borrow puts the tokens that the member's own part gives in a lease into stock, or the n that one
// call needs.
func (m *member) borrow(t time.Duration, n int) {
	f := m.inUse.Load()
	step := m.step(f)
	start := max(m.borrowed, t)
	k := int(max(1, math.Floor(float64(f.lease)/step)))
	b := block{due: start + time.Duration(step), step: step, end: k, borrowed: true}
	if n > k {
		b = block{due: start + time.Duration(float64(n)*step), end: n, borrowed: true}
		k = n
	}
	b.void = b.due + f.lease
	m.borrowed = start + time.Duration(float64(k)*step)
	m.stock.put(b)
}
