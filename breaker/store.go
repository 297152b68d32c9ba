package breaker

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Store keeps what the members of a fleet know of their breakers: see [Shared]. [NewStore] is one
// in memory, the module breaker/redisbreaker one on Redis.
//
// A Store is safe for concurrent use. Each method has its whole effect on a name at once or none.
// It should heed ctx, but a member does not rely on it. Times are relative: no two clocks are
// compared. Every opening, closing, isolation and release of a name begins a new era, counted from
// 1; a report of another era than the present changes nothing but the members that are seen.
type Store interface {
	// Exchange takes the reports of all breakers of a process that are in use and returns what
	// holds for each, in the same order. An error may come with some of the answers; the others are
	// zero.
	Exchange(ctx context.Context, mine []Report) ([]Fleet, error)

	// Probe asks whether member may send a probe now: it may if the fleet is half-open in this era
	// and no other member holds the probe. The member holds it for d, or until it asks with d = 0,
	// which gives the probe back without an outcome.
	Probe(ctx context.Context, name, member string, era uint64, d time.Duration) (bool, error)

	// Done tells the outcome of a probe: it closes the fleet, or opens it for as long as before. It
	// does nothing in another era.
	Done(ctx context.Context, name, member string, era uint64, healthy bool) error
}

// Report is what one breaker tells a [Store].
type Report struct {
	Name    string        // of the breaker: those of the same name are a fleet
	Member  string        // not empty, different for each member
	Era     uint64        // that the member has seen
	Vote    State         // Open: the member's own breaker has opened; anything else: it has not
	OpenFor time.Duration // how long its openings last
	Cause   string        // of the vote
	Calls   int           // that came since the last report; a member without any does not count
	Isolate bool          // by hand, for all
	Release bool          // by hand, for all
	Quorum  float64       // the share of the members whose votes open the fleet; 0: 0.5
}

// Fleet is what holds for all members. The zero Fleet stands for a missing answer.
type Fleet struct {
	Name    string
	Era     uint64
	State   State
	Left    time.Duration // Open: until the probe
	Cause   string        // the last vote's
	Members int           // that called within the open time, or within 10 s if that is longer
	Votes   int           // of them
}

const (
	defaultQuorum = 0.5
	leastVotes    = 2
	leastWindow   = 10 * time.Second
	maxOpenFor    = 24 * time.Hour
	maxEra        = 1 << 52 // what Lua counts exactly, with room
	maxCause      = 1 << 10 // bytes
)

// Bounded returns r with its figures within what a Store counts with, whatever they were. The error
// Is [retry.ErrConfig]: a report without a member.
func (r Report) Bounded() (Report, error) {
	if r.Member == "" {
		return r, retry.ConfigErrorf("breaker.Store", `Report.Member(""): must not be empty`)
	}
	if r.Era > maxEra {
		r.Era = 0
	}
	if r.Vote != Open {
		r.Vote = Closed
	}
	if !(r.Quorum > 0 && r.Quorum <= 1) {
		r.Quorum = defaultQuorum
	}
	r.OpenFor = max(time.Microsecond, min(r.OpenFor, maxOpenFor))
	r.Calls = max(0, min(r.Calls, math.MaxInt32))
	if len(r.Cause) > maxCause {
		r.Cause = strings.ToValidUTF8(r.Cause[:maxCause], "")
	}
	return r, nil
}
