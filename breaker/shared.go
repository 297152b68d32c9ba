package breaker

import (
	"context"
	"crypto/rand"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Shared makes the breaker a member of a fleet: all breakers of the same name on the same store, in
// this process and in others.
//
// Each member keeps its own breaker, and votes when that opens. A vote alone holds only the member
// itself: one node with a broken network opens nobody else. If enough members have voted (see
// [Quorum]) the fleet is open: every member rejects calls until the open time is over, and then one
// member at a time sends a probe, for all. Isolate and Release by hand hold for all; Trip is a
// vote.
//
// A member that is in use asks the store every 250 ms (see [Every]), together with all breakers of
// the process on the same store, and when its own breaker changes. Calls do not ask, except for the
// one that is to be the probe: it waits for the answer, for 1 s at most. So all members know of an
// opening within 250 ms ± 20 % and a round trip.
//
// While the store cannot be reached each member's own breaker goes on alone. String and Stats say
// so, and the observers of the next call get an event.
//
// Members should have the same options. An opening of the fleet lasts for a member no longer than
// its own options allow. A breaker with [Shadow] follows the fleet and does not vote.
func Shared(s Store, opts ...SharedOption) Option {
	return func(c *config) {
		if c.check(s != nil, "be a store", "Shared", "nil"); s == nil {
			return
		}
		if !reflect.ValueOf(s).Comparable() {
			s = &struct{ Store }{s} // it is a key of hubs
		}
		m := &member{store: s, id: rand.Text(), quorum: defaultQuorum, every: defaultEvery}
		for i, o := range opts {
			if o == nil {
				c.mistakes = append(c.mistakes,
					fmt.Sprintf("Shared: option %d: must not be nil", i+1))
				continue
			}
			o(m, c)
		}
		m.attention.Store(true)
		c.member = m
	}
}

// SharedOption tunes [Shared].
type SharedOption func(*member, *config)

// Quorum is the share of the members whose votes open the fleet, above 0 and at most 1. Of m
// members that have called within the open time, or within 10 s if that is longer, ceil(q·m) must
// vote, at least 2. The default is 0.5.
func Quorum(q float64) SharedOption {
	return func(m *member, c *config) {
		c.check(q > 0 && q <= 1, "be above 0 and at most 1", "Quorum", q)
		m.quorum = q
	}
}

const (
	defaultEvery = 250 * time.Millisecond
	patience     = time.Second      // with a store
	perseverance = 10 * time.Minute // in telling the store what was done by hand
)

// Every is how often a breaker in use asks the store, with a jitter of 20 %. The default is 250 ms.
func Every(d time.Duration) SharedOption {
	return func(m *member, c *config) {
		c.positive("Every", d)
		m.every = d
	}
}

// member is a breaker's part in its fleet. All but the first fields are guarded by Breaker.mu.
type member struct {
	store  Store
	id     string
	quorum float64
	every  time.Duration

	attention atomic.Bool // the next call is to attend to the fleet: see Breaker.attend

	calls   int   // outcomes since the last report
	asked   int64 // Breaker.asked at the last report
	isolate bool  // by hand, and not known to the store yet
	release bool
	done    *result       // of a probe, and not known to the store yet
	noted   time.Duration // when the last of these happened
	settled uint64        // the last era of the fleet that a probe of this member has ended

	fleet     Fleet // the last answer
	questions int   // so far
	failures  int   // of them
	away      error // why the store cannot be asked; nil: it can
	news      []retry.Event
	denied    time.Duration // until when the store need not be asked for a probe
	following bool          // the change that is being made is the fleet's
}

// result is the outcome of a probe that was sent for the fleet.
type result struct {
	era     uint64
	outcome outcome // neutral: the probe is given back
}

// attend makes the hub ask for this breaker, because it is in use, and tells the observers around
// ctx what has happened to the store. No lock is held.
func (b *Breaker) attend(ctx context.Context) {
	b.member.attention.Store(false)
	b.mu.Lock()
	news := b.member.news
	b.member.news = nil
	b.member.calls++
	b.mu.Unlock()
	enroll(b, b.member.every/10)
	for _, e := range news {
		retry.Emit(ctx, e)
	}
}

// report is what the fleet is to hear. It reports false if the breaker is not in use.
func (b *Breaker) report() (r Report, done *result, used bool) {
	b.mu.Lock()
	now, e, m := b.present(b.now()), b.era.Load(), b.member
	asked := b.asked.Load()
	if asked != m.asked {
		m.calls++
	}
	used = m.calls > 0 || (m.isolate || m.release || m.done != nil) && now-m.noted < perseverance
	r = Report{
		Name: b.name, Member: m.id, Era: m.fleet.Era, Vote: Closed, OpenFor: b.openFor,
		Quorum: m.quorum, Calls: m.calls, Isolate: m.isolate, Release: m.release,
	}
	if e.state == Open && now < e.votes && !b.shadow {
		r.Vote, r.OpenFor = Open, e.openFor
	}
	m.calls, m.asked = 0, asked
	done = m.done
	b.mu.Unlock()
	if r.Vote == Open || r.Isolate {
		r.Cause = e.cause.text()
	}
	return r, done, used
}
