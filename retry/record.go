package retry

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// Record is the flight record of one call: whether it was retried, why, which policy rejected it,
// and where the time went.
// The zero Record is ready:
//
//	var rec retry.Record
//	_, err := retry.Do(ctx, retry.Chain(retry.Observe(rec.Add), guard), call)
//	fmt.Println(rec.String())
//
// It keeps the first 128 and the last 128 events and counts those between, so a call that retries a
// million times takes no more memory than one with 256 events. Of an error that holds more than its
// text it keeps what [Brief] keeps. It is safe for concurrent use; use one Record for one call. A
// nil *Record keeps nothing.
type Record struct {
	mu      sync.Mutex
	first   []Event
	last    []Event // a ring once it is full
	oldest  int     // of last
	leftOut int
	calls   int
}

const recorded = 128 // first events, and as many last ones

// Add is an [Observer].
func (r *Record) Add(_ context.Context, e Event) {
	if r == nil {
		return
	}
	e.Err = Brief(e.Err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == KindCall {
		r.calls++
	}
	switch {
	case len(r.first) < recorded:
		r.first = append(r.first, e)
	case len(r.last) < recorded:
		r.last = append(r.last, e)
	default:
		r.last[r.oldest] = e
		r.oldest = (r.oldest + 1) % recorded
		r.leftOut++
	}
}

// Events returns what was recorded, in the order it ended. If events were left out, they are
// missing after the first 128.
func (r *Record) Events() []Event { return r.read().events }

// flight is a Record at one moment.
type flight struct {
	events         []Event
	calls, leftOut int
	spans          []span
	zero           time.Time
	total          time.Duration
}

func (r *Record) read() flight {
	if r == nil {
		return flight{}
	}
	r.mu.Lock()
	f := flight{
		events: slices.Concat(r.first, r.last[r.oldest:], r.last[:r.oldest]),
		calls:  r.calls, leftOut: r.leftOut,
	}
	r.mu.Unlock()
	f.spans, f.zero, f.total = timeline(f.events)
	return f
}

// String is a readable timeline: a line for each call, wait and decision, with when it began and
// how long it took.
func (r *Record) String() string { return r.read().text() }

// MarshalJSON gives the same as an object. Times are seconds since the record began:
//
//	{"calls": 2, "took": 1.085, "left_out": 0,
//	 "spans": [{"at": 0.011, "took": 0.03, "share": 0.03, "inside": 0,
//	            "kind": "call", "attempt": 1, "error": "boom"}, ...],
//	 "events": [{"at": 0.044, "kind": "retry", "policy": "exponential",
//	             "attempt": 1, "wait": 1, "error": "boom"}, ...]}
//
// A span is a stretch of time: a call, a wait, or (with "kind": "") time that no policy claims. The
// shares of all spans add up to took. inside counts the spans around the span.
func (r *Record) MarshalJSON() ([]byte, error) { return json.Marshal(r.read().json()) }
