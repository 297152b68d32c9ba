package httpx

import (
	"hash/maphash"
	"sync"
	"time"
)

// clients counts the clients that were seen of late, for each length of window. The zero clients is
// ready for use.
type clients struct {
	mu      sync.Mutex
	seed    maphash.Seed
	begin   time.Time // ages are counted from here
	windows []*window // few: one for each limiter's
}

// window is a list of clients by when they were last seen, the oldest first.
type window struct {
	length time.Duration
	byKey  map[uint64]*client
	ends   client // a ring
}

type client struct {
	key          uint64
	last         time.Duration
	older, newer *client
}

// mostClients bounds what is remembered of a window, and mostWindows the windows. Beyond the first the
// oldest client is forgotten: with so many the part of each is none anyway.
const (
	mostClients = 1 << 16
	mostWindows = 16
)

// seen notes the client and returns how many were seen within the window. Clients that go by their part
// of a limit of calls per window may come less often than once in it: they count for two of their turns.
func (c *clients) seen(key string, limit int, length time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.windows == nil {
		c.seed, c.begin = maphash.MakeSeed(), time.Now()
	}
	w := c.window(length)
	now := time.Since(c.begin)
	w.note(maphash.String(c.seed, key), now)
	for {
		turn := time.Duration(float64(length) * float64(len(w.byKey)) / float64(limit))
		oldest := w.ends.newer
		if len(w.byKey) <= mostClients && now-oldest.last <= max(length, 2*turn) {
			return len(w.byKey)
		}
		delete(w.byKey, oldest.key)
		oldest.unlink()
	}
}

// window finds the window of this length. It requires that c.mu is held.
func (c *clients) window(length time.Duration) *window {
	for _, w := range c.windows {
		if w.length == length {
			return w
		}
	}
	if len(c.windows) == mostWindows { // of limits that change all the time
		c.windows = c.windows[1:]
	}
	w := &window{length: length, byKey: map[uint64]*client{}}
	w.ends.older, w.ends.newer = &w.ends, &w.ends
	c.windows = append(c.windows, w)
	return w
}

func (w *window) note(key uint64, now time.Duration) {
	one := w.byKey[key]
	if one == nil {
		one = &client{key: key}
		w.byKey[key] = one
	} else {
		one.unlink()
	}
	one.last = now
	one.older, one.newer = w.ends.older, &w.ends
	one.older.newer, w.ends.older = one, one
}

func (c *client) unlink() { c.older.newer, c.newer.older = c.newer, c.older }
