package httpx

import (
	"hash/maphash"
	"sync"
	"time"
)

// clients counts the clients that were seen lately, for each length of window. The zero value is
// ready for use.
type clients struct {
	mu      sync.Mutex
	seed    maphash.Seed
	begin   time.Time // ages are counted from here
	latest  time.Duration
	windows []*window // few: one for each limiter
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
	left         float64 // how many calls of its part are left
	older, newer *client
}

// mostClients bounds the clients of a window, and mostWindows the windows. Beyond mostClients the
// oldest client is forgotten: with so many the part of each is 0 anyway.
const (
	mostClients = 1 << 16
	mostWindows = 16
)

// seen notes the client of a request, and whether a limiter admitted it at that time. It returns
// how many clients were seen within the limit's window, and how many calls this one has left if
// each keeps to its part: a client may take the whole burst, but gets only its part of new tokens.
// A client that keeps to its part may come less often than once in a window, so it is remembered
// for two of its turns.
func (c *clients) seen(
	key string, limit int, length time.Duration, at time.Time, admitted bool,
) (n int, left float64) {
	c.mu.Lock()
	if c.windows == nil {
		c.seed, c.begin = maphash.MakeSeed(), at
	}
	c.latest = max(c.latest, at.Sub(c.begin))
	w, now := c.window(length), c.latest
	one, before := w.note(maphash.String(c.seed, key), now)
	for oldest := w.ends.newer; ; oldest = w.ends.newer {
		if len(w.byKey) <= mostClients {
			idle := now - oldest.last
			if idle <= length { // the common case, without a division
				break
			}
			turn := time.Duration(float64(length) * float64(len(w.byKey)) / float64(limit))
			if idle <= 2*turn {
				break
			}
		}
		delete(w.byKey, oldest.key)
		oldest.unlink()
	}
	n = len(w.byKey)
	if before < 0 {
		one.left = float64(limit)
	} else {
		part := float64(limit) / float64(n)
		one.left = min(float64(limit), one.left+part*float64(now-before)/float64(length))
	}
	if admitted {
		one.left = max(-float64(limit), one.left-1)
	}
	left = one.left
	c.mu.Unlock()
	return n, left
}

// window finds the window of this length. It requires that c.mu is held.
func (c *clients) window(length time.Duration) *window {
	for _, w := range c.windows {
		if w.length == length {
			return w
		}
	}
	if len(c.windows) == mostWindows { // limits change all the time
		c.windows = c.windows[1:]
	}
	w := &window{length: length, byKey: map[uint64]*client{}}
	w.ends.older, w.ends.newer = &w.ends, &w.ends
	c.windows = append(c.windows, w)
	return w
}

// note puts the client last, and returns when it was last seen; negative: never.
func (w *window) note(key uint64, now time.Duration) (one *client, before time.Duration) {
	if one = w.ends.older; one.key == key && one != &w.ends { // it is the last already
		before, one.last = one.last, now
		return one, before
	}
	one, before = w.byKey[key], -1
	if one == nil {
		one = &client{key: key}
		w.byKey[key] = one
	} else {
		before = one.last
		one.unlink()
	}
	one.last = now
	one.older, one.newer = w.ends.older, &w.ends
	one.older.newer, w.ends.older = one, one
	return one, before
}

func (c *client) unlink() { c.older.newer, c.newer.older = c.newer, c.older }
