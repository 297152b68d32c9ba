package robots

import (
	"container/list"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Sections are those of RFC 9309.
const (
	// unreadable is how long a file that cannot be read disallows everything: section 2.3.1.4
	unreadable = 30 * 24 * time.Hour

	mostSites = 10_000
	mostBytes = 64 << 20 // of rules
)

// Policy is the policy's name in the events by which a [Cache] tells how long a call waited for a
// file.
const Policy = "robots.txt"

// Cache holds the robots.txt of many sites, and the time of the last request to each. It is bounded
// to 10,000 sites and 64 MiB, and forgets the least recently used site first. It is safe for
// concurrent use.
type Cache struct {
	mu     sync.Mutex
	sites  map[string]*Site // by origin
	recent list.List        // of sites, the most recently used first
	size   int              // of their rules
}

// NewCache makes an empty cache.
func NewCache() *Cache { return &Cache{sites: make(map[string]*Site)} }

// Site is one origin. Its fields are under Cache.mu, except the channel.
type Site struct {
	origin  string
	place   *list.Element
	file    File
	flights [2]*flight // the fetches of the file under way, by Through; nil: none

	turn chan struct{} // held by the call that waits for the Crawl-delay to pass
	line int           // how many calls hold or want the turn
	sent time.Time     // when the last attempt, or the fetch of robots.txt, was sent
}

// File is a robots.txt as it was found. The zero File is out of date.
type File struct {
	Rules   *Rules    // nil: everything is allowed
	Failure error     // why it could not be read; the rules are then the last ones
	Until   time.Time // when to look again
	since   time.Time // the first of such failures
}

// Unreadable tells why it is not known what the file allows, and when to try again; nil if it is
// known. After 30 days of failures the rules that were last read hold again.
func (f *File) Unreadable(now time.Time) (wait time.Duration, cause error) {
	if f.Failure == nil || now.Sub(f.since) >= unreadable {
		return 0, nil
	}
	return max(0, f.Until.Sub(now)), f.Failure
}

func (f *File) delay() time.Duration {
	if f.Rules == nil {
		return 0
	}
	return f.Rules.Delay
}

func (f *File) size() int {
	if f.Rules == nil {
		return 0
	}
	return f.Rules.Size
}

// Through says how a file is fetched: through the chain, or as a part of an attempt.
type Through int

// A fetch within an attempt must not wait for a fetch through the whole chain, because that may
// wait for what the attempt holds.
const (
	Chain Through = iota
	Attempt
)

// Fetch reads the robots.txt of one site.
type Fetch func(context.Context) (File, error)

// flight is a fetch that several callers may wait for. It belongs to none of them, so its context
// has no values, and it ends early only if all of them give up.
type flight struct {
	waiting int // under Cache.mu
	cancel  context.CancelFunc
	done    chan struct{} // closed when err and panic are set
	err     error         // why nothing was learned
	panic   any
}

// site finds or makes the site of an origin. It requires that c.mu is held.
func (c *Cache) site(origin string) *Site {
	s := c.sites[origin]
	if s != nil {
		c.recent.MoveToFront(s.place)
		return s
	}
	s = &Site{origin: strings.Clone(origin), turn: make(chan struct{}, 1)}
	s.place = c.recent.PushFront(s)
	c.sites[s.origin] = s
	c.trim(s)
	return s
}

// trim forgets the least recently used sites until the bounds hold, except s and those in use. It
// requires that c.mu is held.
func (c *Cache) trim(s *Site) {
	for n := c.recent.Len(); n > 0 && (len(c.sites) > mostSites || c.size > mostBytes); n-- {
		last := c.recent.Back().Value.(*Site)
		if last == s || last.flights != [2]*flight{} || last.line > 0 {
			c.recent.MoveToFront(last.place)
			continue
		}
		c.recent.Remove(last.place)
		delete(c.sites, last.origin)
		c.size -= last.file.size()
	}
}

// File returns the present file of s.
func (c *Cache) File(s *Site) File {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.file
}

// Known returns the site of an origin if the last fetch of its file succeeded, however long ago;
// else nil.
func (c *Cache) Known(origin string) *Site {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sites[origin]; s != nil && !s.file.Until.IsZero() && s.file.Failure == nil {
		return s
	}
	return nil
}

// Learn returns the site of an origin. If its file is out of date it is fetched first, once for all
// callers that ask at the same time and in the same way. Learn holds no lock while it waits.
func (c *Cache) Learn(
	ctx context.Context, origin string, way Through, fetch func() Fetch,
) (*Site, error) {
	c.mu.Lock()
	s := c.site(origin)
	if time.Now().Before(s.file.Until) {
		c.mu.Unlock()
		return s, nil
	}
	if err := retry.Ended(ctx); err != nil {
		c.mu.Unlock()
		return nil, err
	}
	f := s.flights[way]
	if f == nil {
		var alone context.Context
		f = &flight{done: make(chan struct{})}
		alone, f.cancel = context.WithCancel(context.Background())
		s.flights[way] = f
		go c.fly(alone, s, way, f, fetch())
	}
	f.waiting++
	c.mu.Unlock()
	return s, c.await(ctx, s, way, f)
}

func (c *Cache) await(ctx context.Context, s *Site, way Through, f *flight) (err error) {
	began := time.Now()
	select {
	case <-f.done:
		err = f.err
	case <-ctx.Done():
		err = retry.Ended(ctx)
	}
	c.mu.Lock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		if s.flights[way] == f {
			s.flights[way] = nil
		}
	}
	c.mu.Unlock()
	retry.Emit(ctx,
		retry.Event{Kind: retry.KindWait, Policy: Policy, Took: time.Since(began), Err: err})
	if err == errFlightEnded && f.panic != nil {
		panic(f.panic)
	}
	return err
}

var errFlightEnded = errors.New("httpx: the fetch of robots.txt ended its goroutine")

// fly is the goroutine of a flight. A panic in it reaches the waiters.
func (c *Cache) fly(ctx context.Context, s *Site, way Through, f *flight, fetch Fetch) {
	found, returned := File{}, false
	defer func() {
		if !returned {
			f.err, f.panic = errFlightEnded, recover()
		}
		c.mu.Lock()
		if s.flights[way] == f {
			s.flights[way] = nil
		}
		if f.err == nil {
			c.keep(s, found)
		}
		c.mu.Unlock()
		close(f.done)
	}()
	found, f.err = fetch(ctx)
	returned = true
}

// keep makes found the file of s. It requires that c.mu is held.
func (c *Cache) keep(s *Site, found File) {
	now := time.Now()
	found.Failure = retry.Brief(found.Failure)
	switch {
	case found.Failure == nil:
		s.sent = now
	case s.file.Failure == nil:
		found.Rules, found.since = s.file.Rules, now
	default:
		found.Rules, found.since = s.file.Rules, s.file.since
	}
	c.size += found.size() - s.file.size()
	s.file = found
	c.trim(s)
}
