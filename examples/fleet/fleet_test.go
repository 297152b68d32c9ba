package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// The workers are processes of this program, which here is the test's.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == workerArg {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestTheFleetStaysBelowItsBound(t *testing.T) {
	var out, errs bytes.Buffer
	for tries, code := 0, exitFailed; code != exitOK; tries++ { // others use the machine too
		out.Reset()
		code = run(t.Context(), []string{"-quick", "-members", "3", "-kill"}, &out, &errs)
		if code != exitOK && tries == 2 {
			t.Fatalf("exit code %d\n%s%s", code, out.String(), errs.String())
		}
	}
	text := out.String()
	for _, want := range []string{"3 processes of 8 callers share 150", "use of the limit",
		"most in any second", "questions per request", "workers killed"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "requests                     0,") {
		t.Errorf("nothing went\n%s", text)
	}
}

func TestAnInterruptedFleetEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	var out, errs bytes.Buffer
	begin := time.Now()
	code := run(ctx, []string{"-for", "1m", "-members", "2"}, &out, &errs)
	if code != exitInterrupted {
		t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestBadInput(t *testing.T) {
	for _, args := range [][]string{
		{"-members", "0"}, {"-members", "65"}, {"-callers", "0"}, {"-callers", "x"},
		{"-limit", "NaN"}, {"-limit", "-1"},
		{"-limit", "1e99"}, {"-burst", "0"}, {"-burst", "-3"}, {"-for", "1ms"},
		{"-for", "x"}, {"stray"}, {"-nonsense"},
		{"-redis", "127.0.0.1:1"}, {"-redis", "nonsense"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitUsage ||
			strings.Count(errs.String(), "\n") != 1 || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %q %q", args, code, out.String(), errs.String())
		}
	}
}

func TestHelp(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &out, &errs); code != exitOK ||
		!strings.Contains(out.String(), "-redis ADDR") || errs.Len() > 0 {
		t.Errorf("exit code %d, %q %q", code, out.String(), errs.String())
	}
}
