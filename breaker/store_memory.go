package breaker

import (
	"context"
	"sync"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// NewStore returns a Store in memory: for the members of one process, for tests and for examples.
// It is the reference of what a Store does. A name that was not asked for in 24 hours is forgotten.
func NewStore() Store {
	base := time.Now()
	return newStore(func() int64 { return time.Since(base).Microseconds() })
}

// NewStoreAt is NewStore with another clock, which may be set forward and back as that of a server
// may. It is for tests of what a Store answers.
func NewStoreAt(now func() time.Time) Store {
	return newStore(func() int64 { return now().UnixMicro() })
}

func newStore(clock func() int64) *memory {
	return &memory{clock: clock, ledgers: map[string]*ledger{}}
}

type memory struct {
	clock func() int64 // µs

	mu      sync.Mutex
	ledgers map[string]*ledger
	sweep   int64 // when those not used any more are next looked for
}

const forgotten = int64(24 * time.Hour / time.Microsecond)

// of returns the ledger of a name, brought up to now. s.mu is held.
func (s *memory) of(name string) (*ledger, int64) {
	now := s.clock()
	if now >= s.sweep || s.sweep > now+forgotten { // the latter: the clock was set back
		for n, l := range s.ledgers {
			if now-l.last >= forgotten {
				delete(s.ledgers, n)
			}
		}
		s.sweep = now + forgotten/24
	}
	l := s.ledgers[name]
	if l == nil || now-l.last >= forgotten {
		l = &ledger{state: Closed, votes: map[string]int64{}, seen: map[string]int64{}}
		s.ledgers[name] = l
	}
	l.goOn(now)
	return l, now
}

func (s *memory) Exchange(ctx context.Context, mine []Report) ([]Fleet, error) {
	if err := retry.Ended(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Fleet, len(mine))
	for i, r := range mine {
		r, err := r.Bounded()
		if err != nil {
			return all, err
		}
		l, now := s.of(r.Name)
		all[i] = l.exchange(now, r)
	}
	return all, nil
}

func (s *memory) Probe(
	ctx context.Context, name, member string, era uint64, d time.Duration,
) (bool, error) {
	if err := retry.Ended(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := s.of(name)
	return l.mayProbe(now, member, era, d), nil
}

func (s *memory) Done(ctx context.Context, name, member string, era uint64, healthy bool) error {
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := s.of(name)
	l.done(now, era, healthy)
	return nil
}
