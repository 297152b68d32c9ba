package ratelimit

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Store keeps limits that several processes share: see [Shared]. Each process, or each Limiter, is
// a member of the limits it uses; Take is one member's question about one limit; it takes effect
// whole or not at all. [NewStore] makes one in memory, the module ratelimit/redislimit has one on
// Redis.
//
// A Store is safe for concurrent use. It should heed ctx, but a member does not rely on it. Every
// time in an Ask and a Grant is relative, so that no two clocks are compared.
type Store interface {
	Take(ctx context.Context, name string, a Ask) (Grant, error)
}

// Ask is what a member asks of a [Store].
type Ask struct {
	Member string        // not empty, different for each member
	Limit  float64       // calls a second
	Burst  int           // at least 1
	Since  time.Duration // how long ago the member's Limit and Burst were set; 0: not known
	Lease  time.Duration // how long after its time a token may still be spent

	Need  int           // tokens that callers wait for
	Want  int           // tokens that the member uses in the time of a lease
	Back  int           // tokens given back unspent; negative: spent without asking, a debt
	Floor time.Duration // of the last grant, less the time since; 0: there is none
	Pause time.Duration // no call may go for this time, because the callee asked for patience

	// If Learn is set the limit is learned: it begins at Limit, then the leader's Learned holds.
	Learn    bool
	Answers  int     // since the last question, refusals too
	Refusals int     // since the last question
	Learned  float64 // the rate that the leader has learned; 0: none yet
}

// Grant is a [Store]'s answer. Its times count from now on.
type Grant struct {
	Tokens int           // how many the member may spend
	Now    int           // how many of them at once
	First  time.Duration // when the first of the rest may be spent; they are 1/Limit apart

	Members int           // that asked within the last ten leases, this one included
	Floor   time.Duration // when the bucket has the next token to give; negative: it holds some
	Pause   time.Duration // no call may go for this time

	Limit float64 // calls a second that hold for all now; 0: as asked
	Burst int     // what holds for all now; 0: as asked

	// Lead answers a Learn: this member is the leader, whose Learned holds for all. A Store that
	// does not choose a leader says true.
	Lead     bool
	Answers  int // for the leader: of all others since it last asked, refusals too
	Refusals int // for the leader
}

// The bounds of what a Store counts with.
const (
	minShared = 1e-6      // calls a second: one in eleven days
	maxShared = 1e9       // calls a second
	maxCount  = 1 << 30   // tokens
	maxLease  = time.Hour // and a microsecond at least
	maxSpan   = 1e15      // µs, 31 years: with it a float64 still holds a present time exactly
)

// Validate reports what makes no sense in an Ask. The error Is [retry.ErrConfig]. A Store calls it
// first, so that it need not expect a NaN.
func (a Ask) Validate() error {
	wrong := func(name string, value any, must string) error {
		return retry.ConfigErrorf("ratelimit.Store", "%s(%v): %s", name, value, must)
	}
	for _, n := range []struct {
		name       string
		value, min int
	}{
		{"Burst", a.Burst, 1}, {"Need", a.Need, 0}, {"Want", a.Want, 0},
		{"Back", a.Back, -maxCount},
		{"Answers", a.Answers, 0}, {"Refusals", a.Refusals, 0},
	} {
		if n.value < n.min || n.value > maxCount {
			return wrong(n.name, n.value, "must be a number of tokens")
		}
	}
	const span = maxSpan * time.Microsecond
	switch {
	case a.Member == "":
		return wrong("Member", `""`, "must not be empty")
	case !(a.Limit >= minShared && a.Limit <= maxShared):
		return wrong("Limit", a.Limit, "must be a rate from 1e-6 to 1e9 a second")
	case a.Learned != 0 && !(a.Learned >= minShared && a.Learned <= maxShared):
		return wrong("Learned", a.Learned, "must be a rate from 1e-6 to 1e9 a second")
	case a.Lease < time.Microsecond || a.Lease > maxLease:
		return wrong("Lease", a.Lease, "must be a time up to an hour")
	case a.Since < 0 || a.Since > span:
		return wrong("Since", a.Since, "must not be negative")
	case a.Pause < 0 || a.Pause > span:
		return wrong("Pause", a.Pause, "must not be negative")
	case a.Floor < -span || a.Floor > span:
		return wrong("Floor", a.Floor, "must be within 31 years")
	}
	return nil
}

// NewStore returns a Store in memory: for the members of one process, for tests and for examples.
// It is the reference of what a Store does. A limit that was not asked for in 24 hours is
// forgotten.
func NewStore() Store {
	base := time.Now()
	return newStore(func() float64 { return float64(time.Since(base).Microseconds()) })
}

// NewStoreAt is NewStore with another clock, which may be set forward and back as a server's may:
// for tests of what a Store answers.
func NewStoreAt(now func() time.Time) Store {
	return newStore(func() float64 { return float64(now().UnixMicro()) })
}

func newStore(clock func() float64) *memory {
	return &memory{clock: clock, ledgers: map[string]*ledger{}}
}

type memory struct {
	clock func() float64 // µs

	mu      sync.Mutex
	ledgers map[string]*ledger
	sweep   float64 // when limits that are no longer used are next dropped
}

const forgotten = 24 * 3600 * second // after which an unused ledger is dropped

func (s *memory) Take(ctx context.Context, name string, a Ask) (Grant, error) {
	if err := a.Validate(); err != nil {
		return Grant{}, err
	}
	if ctx.Err() != nil {
		return Grant{}, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if s.sweep > now+forgotten { // the clock was set back
		s.sweep = now
	}
	if now >= s.sweep {
		for n, l := range s.ledgers {
			if now-l.last >= forgotten {
				delete(s.ledgers, n)
			}
		}
		s.sweep = now + forgotten/24
	}
	l := s.ledgers[name]
	if l == nil || now-l.last >= forgotten {
		l = &ledger{last: now, pause: now, tat: math.NaN()}
		s.ledgers[name] = l
	}
	return l.take(now, a), nil
}
