package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestEveryOrderIsStoredOrRefusedForGood(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-writers", "3", "-orders", "2"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	text := out.String()
	// Order 101 is stored once, by whoever came first, and refused to the others at the first call
	// that got the lock.
	if stored, refused := strings.Count(text, " stored, "), strings.Count(text, "exists already"); stored != 6 || refused != 3 {
		t.Errorf("%d stored, %d refused\n%s", stored, refused, text)
	}
	if !strings.Contains(text, "SQLITE_BUSY") || !strings.Contains(text, "waits") {
		t.Errorf("nothing was locked\n%s", text)
	}
}

func TestBadInput(t *testing.T) {
	for _, args := range [][]string{{"-writers", "0"}, {"-orders", "x"}, {"stray"}, {"-nonsense"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != 2 || strings.Count(errs.String(), "\n") != 1 || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %q %q", args, code, out.String(), errs.String())
		}
	}
}
