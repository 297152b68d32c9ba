package retry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Record is the flight record of one call: did it retry, why, who refused, where did the time go. The zero Record is ready:
//
//	var rec retry.Record
//	_, err := retry.Do(ctx, retry.Chain(retry.Observe(rec.Add), guard), call)
//	fmt.Println(rec.String())
//
// It is safe for concurrent use, but it keeps every event until it is dropped: one Record for one call.
type Record struct {
	mu     sync.Mutex
	events []Event
}

// Add is an [Observer].
func (r *Record) Add(_ context.Context, e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events returns what was recorded, in the order it ended.
func (r *Record) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Span is a stretch of a call's time. Its Event is the zero Event where no policy claimed the time.
type Span struct {
	Event
	Start  time.Duration // since the record began
	Inside int           // spans around this one: its time is theirs
	Share  time.Duration // what it adds to the total: 0 inside another span, less than Took where it overlaps one
}

// Spans returns the calls and waits in the order they began, with the time between them as spans of their own. Their shares
// add up to the wall time from the first to the last moment recorded.
func (r *Record) Spans() []Span {
	spans, _ := timeline(r.Events())
	return spans
}

// timeline sorts events into spans, and tells when the first began.
func timeline(events []Event) (spans []Span, zero time.Time) {
	if len(events) == 0 {
		return nil, zero
	}
	begin := func(e Event) time.Time { return e.Time.Add(-e.Took) }
	zero, end := begin(events[0]), events[0].Time
	var timed []Event
	for _, e := range events {
		if b := begin(e); b.Before(zero) {
			zero = b
		}
		if e.Time.After(end) {
			end = e.Time
		}
		if e.Kind == KindCall || e.Kind == KindWait {
			timed = append(timed, e)
		}
	}
	slices.SortStableFunc(timed, func(a, b Event) int {
		return cmp.Or(begin(a).Compare(begin(b)), cmp.Compare(b.Took, a.Took))
	})
	done := time.Duration(0) // the time that has been given away so far
	gap := func(until time.Duration) {
		if until > done {
			spans = append(spans, Span{Event: Event{Took: until - done, Time: zero.Add(until)}, Start: done, Share: until - done})
		}
	}
	var around []time.Duration // ends of the spans that are still open
	for _, e := range timed {
		s := Span{Event: e, Start: begin(e).Sub(zero)}
		stop := s.Start + e.Took
		around = slices.DeleteFunc(around, func(d time.Duration) bool { return d <= s.Start || d < stop })
		s.Inside = len(around)
		around = append(around, stop)
		gap(s.Start)
		s.Share = max(0, stop-max(done, s.Start))
		done = max(done, stop)
		spans = append(spans, s)
	}
	gap(end.Sub(zero))
	return spans, zero
}

// String is a readable timeline: a line for each call, wait and decision, when it began, how long it took.
func (r *Record) String() string {
	events := r.Events()
	spans, zero := timeline(events)
	if len(events) == 0 {
		return "nothing recorded"
	}
	type line struct {
		at   time.Duration
		text string
		last bool // of those at the same moment: a decision goes before the span that it led to
	}
	var lines []line
	var total, rest time.Duration
	for _, s := range spans {
		total += s.Share
	}
	calls := 0
	for _, s := range spans {
		if s.Kind == 0 && s.Share < total/100 { // too short to be worth a line each
			rest += s.Share
			continue
		}
		what := "elsewhere"
		switch s.Kind {
		case KindCall:
			calls++
			what = fmt.Sprintf("call, attempt %d: %s", s.Attempt, outcome(s.Err))
		case KindWait:
			what = s.Policy + " waits"
			if s.Err != nil {
				what += ": " + s.Err.Error()
			}
		}
		if s.Depth > 1 {
			what = fmt.Sprintf("(loop %d) %s", s.Depth, what)
		}
		lines = append(lines, line{s.Start, fmt.Sprintf("%10v  %s%s", round(s.Took), strings.Repeat("  ", s.Inside), what), s.Took > 0})
	}
	for _, e := range events {
		if e.Kind == KindCall || e.Kind == KindWait || e.Kind == KindDone {
			continue
		}
		what := fmt.Sprintf("%s: %v", e.Policy, e.Kind)
		if e.Kind == KindRetry && e.Wait > 0 {
			what += fmt.Sprintf(" in %v", round(e.Wait))
		}
		change := e.To
		if e.From != "" {
			change = e.From + " -> " + e.To
		}
		for _, more := range []string{change, errText(e.Err)} {
			if more != "" {
				what += ": " + more
			}
		}
		lines = append(lines, line{e.Time.Sub(zero), fmt.Sprintf("%10s  %s", "", what), false})
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.last == b.last:
			return 0
		case a.last:
			return 1
		}
		return -1
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s in %v", calls, plural(calls, "call"), round(total))
	if rest > 0 {
		fmt.Fprintf(&b, ", %v of it between these lines", round(rest))
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "\n%10v %s", round(l.at), l.text)
	}
	return b.String()
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
