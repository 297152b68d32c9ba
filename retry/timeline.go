package retry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// span is a stretch of a call's time. Its Event is the zero Event if no policy claimed the time.
type span struct {
	Event
	start  time.Duration // since the record began
	inside int           // spans around this one: its time is part of theirs
	share  time.Duration // its part of the total: 0 inside another span, less if it overlaps one
}

func (e Event) begin() time.Time { return e.Time.Add(-e.Took) }

// timeline sorts calls and waits by when they began, with spans for the time between them. zero is
// when the first event began. The shares add up to total, the time from zero to the last event.
func timeline(events []Event) (spans []span, zero time.Time, total time.Duration) {
	if len(events) == 0 {
		return nil, zero, 0
	}
	zero, end := events[0].begin(), events[0].Time
	var timed []Event
	for _, e := range events {
		if b := e.begin(); b.Before(zero) {
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
		return cmp.Or(a.begin().Compare(b.begin()), cmp.Compare(b.Took, a.Took))
	})
	done := time.Duration(0) // the time up to here has been shared out
	gap := func(until time.Duration) {
		if until > done {
			between := Event{Took: until - done, Time: zero.Add(until)}
			spans = append(spans, span{Event: between, start: done, share: until - done})
		}
	}
	var around []time.Duration // ends of the spans that are still open
	for _, e := range timed {
		s := span{Event: e, start: e.begin().Sub(zero)}
		stop := s.start + e.Took
		around = slices.DeleteFunc(around, func(end time.Duration) bool {
			return end <= s.start || end < stop
		})
		s.inside = len(around)
		around = append(around, stop)
		gap(s.start)
		s.share = max(0, stop-max(done, s.start))
		done = max(done, stop)
		spans = append(spans, s)
	}
	total = end.Sub(zero)
	gap(total)
	return spans, zero, total
}

// line is a line of the text.
type line struct {
	at   time.Duration
	text string
	turn int // orders lines of one moment: a decision goes before the span that it led to
}

func (f flight) text() string {
	if len(f.events) == 0 {
		return "nothing recorded"
	}
	lines, rest := f.spanLines()
	for i, e := range f.events {
		if i == recorded && f.leftOut > 0 {
			left := fmt.Sprintf("%10s  (%d %s left out)", "", f.leftOut, plural(f.leftOut, "event"))
			lines = append(lines, line{f.events[i-1].Time.Sub(f.zero), left, 0})
		}
		switch e.Kind {
		case KindCall, KindWait, KindDone, KindAdmit: // have spans, or tell nothing new
			continue
		}
		text := fmt.Sprintf("%10s  %s%s", "", strings.Repeat("  ", f.around(e)), e.text())
		lines = append(lines, line{e.Time.Sub(f.zero), text, 0})
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.turn, b.turn))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s in %v", f.calls, plural(f.calls, "call"), round(f.total))
	if rest > 0 {
		fmt.Fprintf(&b, ", %v of it between these lines", round(rest))
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "\n%10v %s", round(l.at), l.text)
	}
	return b.String()
}

// around counts the spans that a decision falls into: those of calls with a loop inside.
func (f flight) around(e Event) (n int) {
	at := e.Time.Sub(f.zero)
	for _, s := range f.spans {
		if s.Kind == KindCall && s.start < at && at < s.start+s.Took {
			n++
		}
	}
	return n
}

// spanLines are the lines of calls and waits. Time that belongs to no policy and is too short for a
// line is summed up in rest.
func (f flight) spanLines() (lines []line, rest time.Duration) {
	for _, s := range f.spans {
		if s.Kind == 0 && s.share < f.total/100 {
			rest += s.share
			continue
		}
		what := s.Event.text()
		if s.Depth > 1 {
			what = fmt.Sprintf("(loop %d) %s", s.Depth, what)
		}
		text := fmt.Sprintf("%10v  %s%s", round(s.Took), strings.Repeat("  ", s.inside), what)
		lines = append(lines, line{s.start, text, cmp.Compare(s.Took, 0)})
	}
	return lines, rest
}

// text says what happened, without when.
func (e Event) text() string {
	switch e.Kind {
	case 0:
		return "elsewhere"
	case KindCall:
		if e.Err == nil {
			return fmt.Sprintf("call, attempt %d: ok", e.Attempt)
		}
		return fmt.Sprintf("call, attempt %d: %v", e.Attempt, e.Err)
	case KindWait:
		if e.Err == nil {
			return e.Policy + " waits"
		}
		return fmt.Sprintf("%s waits: %v", e.Policy, e.Err)
	}
	text := fmt.Sprintf("%s: %v", e.Policy, e.Kind)
	if e.Kind == KindRetry && e.Wait > 0 {
		text += fmt.Sprintf(" in %v", round(e.Wait))
	}
	if e.From != "" {
		text += ": " + e.From + " -> " + e.To
	} else if e.To != "" {
		text += ": " + e.To
	}
	if e.Err != nil {
		// A rejection names its policy itself.
		text += ": " + strings.TrimPrefix(e.Err.Error(), e.Policy+": ")
	}
	return text
}

type jsonFlight struct {
	Calls   int         `json:"calls"`
	Took    float64     `json:"took"`
	LeftOut int         `json:"left_out"`
	Spans   []jsonSpan  `json:"spans"`
	Events  []jsonEvent `json:"events"`
}

type jsonSpan struct {
	jsonEvent
	Share  float64 `json:"share"`
	Inside int     `json:"inside"`
}

type jsonEvent struct {
	At      float64 `json:"at"`
	Kind    string  `json:"kind"`
	Policy  string  `json:"policy,omitempty"`
	Attempt int     `json:"attempt,omitempty"`
	Depth   int     `json:"depth,omitempty"`
	Wait    float64 `json:"wait,omitempty"`
	Took    float64 `json:"took,omitempty"`
	From    string  `json:"from,omitempty"`
	To      string  `json:"to,omitempty"`
	Error   string  `json:"error,omitempty"`
}

func (e Event) json(at time.Duration) jsonEvent {
	j := jsonEvent{
		At: at.Seconds(), Policy: e.Policy, Attempt: e.Attempt, Depth: e.Depth,
		Wait: e.Wait.Seconds(), Took: e.Took.Seconds(), From: e.From, To: e.To,
	}
	if e.Kind != 0 {
		j.Kind = e.Kind.String()
	}
	if e.Err != nil {
		j.Error = e.Err.Error()
	}
	return j
}

func (f flight) json() jsonFlight {
	j := jsonFlight{
		Calls: f.calls, Took: f.total.Seconds(), LeftOut: f.leftOut,
		Spans: []jsonSpan{}, Events: []jsonEvent{},
	}
	for _, s := range f.spans {
		j.Spans = append(j.Spans, jsonSpan{s.Event.json(s.start), s.share.Seconds(), s.inside})
	}
	for _, e := range f.events {
		if e.Kind != KindCall && e.Kind != KindWait {
			j.Events = append(j.Events, e.json(e.Time.Sub(f.zero)))
		}
	}
	return j
}
