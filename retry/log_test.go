package retry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// lines is what a JSON handler wrote.
func lines(t *testing.T, buf *bytes.Buffer) (all []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(buf.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestLogLevels(t *testing.T) {
	final := retry.Permanent(retry.Neutral(errBoom))
	refused := &retry.Rejection{Policy: "breaker catalog", Reason: errBoom}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx   context.Context
		event retry.Event
		want  string
	}{
		"a call": {
			t.Context(), retry.Event{Kind: retry.KindCall, Err: errBoom}, "DEBUG"},
		"a wait": {
			t.Context(), retry.Event{Kind: retry.KindWait, Wait: time.Second}, "DEBUG"},
		"an admission": {
			t.Context(), retry.Event{Kind: retry.KindAdmit, Policy: "limiter"}, "DEBUG"},
		"a retry": {
			t.Context(), retry.Event{Kind: retry.KindRetry, Err: errBoom}, "INFO"},
		"giving up": {
			t.Context(),
			retry.Event{Kind: retry.KindGiveUp,
				Err: &retry.Error{Reason: retry.ErrExhausted, Last: retry.Neutral(errBoom)}},
			"WARN"},
		"giving up on a final failure": {
			t.Context(),
			retry.Event{Kind: retry.KindGiveUp, Err: retry.Permanent(errBoom)}, "WARN"},
		"a healthy callee's final answer": {
			t.Context(), retry.Event{Kind: retry.KindGiveUp, Err: final}, "DEBUG"},
		"the same on a later attempt": {
			t.Context(), retry.Event{Kind: retry.KindGiveUp,
				Err: &retry.Error{Reason: retry.ErrPermanent, Last: final}}, "DEBUG"},
		"a rejection": {
			t.Context(), retry.Event{Kind: retry.KindReject,
				Policy: "breaker catalog", Err: refused}, "WARN"},
		"a final rejection": {
			t.Context(), retry.Event{Kind: retry.KindReject,
				Err: retry.Permanent(retry.Neutral(refused))}, "WARN"},
		"giving up on a refused call": {
			t.Context(), retry.Event{Kind: retry.KindGiveUp, Err: refused}, "DEBUG"},
		"giving up on a refused retry": {
			t.Context(), retry.Event{Kind: retry.KindGiveUp,
				Err: &retry.Error{Reason: refused, Last: errBoom, Attempts: 2}}, "WARN"},
		"a breaker's change": {
			t.Context(), retry.Event{Kind: retry.KindChange, Policy: "breaker catalog",
				From: "closed", To: "open"}, "WARN"},
		"a breaker's, after cancellation": {
			cancelled, retry.Event{Kind: retry.KindChange, Policy: "breaker catalog"}, "WARN"},
		"a pacer's step": {
			t.Context(), retry.Event{Kind: retry.KindChange, Policy: "pacer",
				From: "10/s", To: "11/s"}, "DEBUG"},
		"a rejection, after cancellation": {
			cancelled, retry.Event{Kind: retry.KindReject, Err: refused}, "DEBUG"},
		"giving up, after cancellation": {
			cancelled, retry.Event{Kind: retry.KindGiveUp, Err: errBoom}, "DEBUG"},
	} {
		var buf bytes.Buffer
		l := slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
		retry.LogTo(l)(tc.ctx, tc.event)
		if got := lines(t, &buf); len(got) != 1 || got[0]["level"] != tc.want {
			t.Errorf("%s: %s, want %s", name, buf.String(), tc.want)
		}
		buf.Reset()
		quiet := slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelError}))
		if retry.LogTo(quiet)(tc.ctx, tc.event); buf.Len() > 0 {
			t.Errorf("%s: written although the level is off: %s", name, buf.String())
		}
	}
}

// TestLogKeysAreStable: dashboards and alerts are made of these.
func TestLogKeysAreStable(t *testing.T) {
	var buf bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	retry.LogTo(l)(t.Context(), retry.Event{
		Kind: retry.KindChange, Policy: "breaker catalog", Attempt: 2, Depth: 2,
		Wait: time.Second, Took: 2 * time.Second,
		Err: errBoom, From: "closed", To: "open",
	})
	got := lines(t, &buf)[0]
	delete(got, "time")
	want := map[string]any{
		"level":   "WARN",
		"msg":     "change",
		"policy":  "breaker catalog",
		"attempt": 2.,
		"depth":   2.,
		"wait":    1e9,
		"took":    2e9,
		"from":    "closed", "to": "open", "error": "boom",
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %v, want %v", k, got[k], v)
		}
	}
}

// TestLogToKeepsAHandlersRules: slog's own test of handlers passes through a logger that LogTo uses
// too.
func TestLogToKeepsAHandlersRules(t *testing.T) {
	var buf bytes.Buffer
	h := slog.NewJSONHandler(&buf, nil)
	// the zero event does no harm
	retry.LogTo(slog.New(h.WithGroup("ignored")))(t.Context(), retry.Event{})
	buf.Reset()
	err := slogtest.TestHandler(h, func() []map[string]any { return lines(t, &buf) })
	if err != nil {
		t.Error(err)
	}
	buf.Reset()
	retry.LogTo(slog.New(h.WithAttrs([]slog.Attr{slog.String("service",
		"shop")}).WithGroup("call")))(
		t.Context(), retry.Event{Kind: retry.KindRetry, Policy: "exponential", Attempt: 1})
	got := lines(t, &buf)[0]
	if call, ok := got["call"].(map[string]any); got["service"] != "shop" || !ok ||
		call["policy"] != "exponential" {
		t.Errorf("attributes and groups of the logger: %v", got)
	}
}
