package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrydebug"
)

func TestEveryOrderIsStoredOrRefusedForGood(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-writers", "3", "-orders", "2"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	text := out.String()
	// Order 101 is stored once, by whoever came first, and refused to the others at the first call
	// that got the lock.
	stored, refused := strings.Count(text, " stored, "), strings.Count(text, "exists already")
	if stored != 6 || refused != 3 {
		t.Errorf("%d stored, %d refused\n%s", stored, refused, text)
	}
	if !strings.Contains(text, "SQLITE_BUSY") || !strings.Contains(text, "waits") {
		t.Errorf("nothing was locked\n%s", text)
	}
}

func TestLintIsSilent(t *testing.T) {
	for _, w := range retry.Lint(guard()) {
		t.Error(w)
	}
}

func TestThePageTellsTheSameStory(t *testing.T) {
	var out bytes.Buffer
	debug := retrydebug.New()
	if err := shop(t.Context(), 3, 2, debug, &out); err != nil {
		t.Fatal(err)
	}
	orders := debug.Page().Guards[0]
	// 6 stored, 3 of a number that exists
	if orders.Name != "orders" || orders.Calls != 9 || orders.Failed != 3 {
		t.Errorf("%d calls, %d failed", orders.Calls, orders.Failed)
	}
	// What is printed is the record of the order with the most calls; it is among the slowest.
	_, printed, _ := strings.Cut(out.String(), "most calls:\n")
	calls, _, _ := strings.Cut(printed, " in ")
	shown := false
	for _, f := range orders.Slowest {
		shown = shown || strings.HasPrefix(f.Record.String(), calls+" in ")
	}
	if calls == "" || !shown {
		t.Errorf("%q is not among %v", calls, orders.Slowest)
	}
}

// reader is a user who presses Ctrl-C when told of the page.
type reader struct {
	bytes.Buffer
	interrupt func()
}

func (r *reader) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("as a page")) {
		r.interrupt()
	}
	return r.Buffer.Write(b)
}

func TestThePageIsServedUntilInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out reader
	var errs bytes.Buffer
	out.interrupt = cancel
	code := run(ctx, []string{"-writers", "1", "-orders", "1", "-http", "127.0.0.1:0"}, &out, &errs)
	if code != 0 || !strings.Contains(out.String(), "as a page: http://127.0.0.1:") {
		t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	if code := run(t.Context(),
		[]string{"-writers", "1", "-orders", "1", "-http", "nowhere:x"}, &out, &errs); code != 2 {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

func TestBadInput(t *testing.T) {
	for _, args := range [][]string{{"-writers", "0"}, {"-orders", "x"}, {"stray"}, {"-nonsense"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 ||
			strings.Count(errs.String(), "\n") != 1 || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %q %q", args, code, out.String(), errs.String())
		}
	}
}
