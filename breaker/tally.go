package breaker

import "time"

// tally counts outcomes when they finish, whenever they began: of all time, or of a rolling window.
// The window is made of buckets, of which the oldest is dropped as a new one begins; so it covers
// between d less one bucket and d.
//
// gobreaker's rolling counts are not used because they enter a result in the bucket in which its
// call began, and drop it when that bucket is gone: a callee that has become slow vanishes from
// them.
type tally struct {
	bucket  // the sum
	buckets []bucket
	width   time.Duration
	newest  int64 // the number of the newest bucket
}

type bucket struct{ ok, failed int }

func newTally(d time.Duration, buckets int, now time.Duration) tally {
	width := d / time.Duration(buckets)
	return tally{buckets: make([]bucket, buckets), width: width, newest: int64(now / width)}
}

func (t *tally) add(now time.Duration, ok, failed int) {
	t.ok += ok
	t.failed += failed
	if t.buckets == nil {
		return
	}
	t.advance(now)
	b := &t.buckets[t.newest%int64(len(t.buckets))]
	b.ok += ok
	b.failed += failed
}

// advance drops the buckets that have left the window.
func (t *tally) advance(now time.Duration) {
	if t.buckets == nil {
		return
	}
	n := int64(len(t.buckets))
	newest := int64(now / t.width)
	for i := max(t.newest+1, newest-n+1); i <= newest; i++ {
		b := &t.buckets[i%n]
		t.ok -= b.ok
		t.failed -= b.failed
		*b = bucket{}
	}
	t.newest = max(t.newest, newest)
}

// number is the number of the bucket that the time falls in.
func (t *tally) number(at time.Duration) int64 {
	if t.buckets == nil {
		return 0
	}
	return int64(at / t.width)
}

// holds reports whether bucket i is still in the window.
func (t *tally) holds(i int64) bool {
	return t.buckets == nil || i > t.newest-int64(len(t.buckets))
}

// takeBack removes one failure that was counted in bucket i.
func (t *tally) takeBack(i int64) {
	if !t.holds(i) {
		return
	}
	t.failed--
	if t.buckets != nil {
		t.buckets[i%int64(len(t.buckets))].failed--
	}
}
