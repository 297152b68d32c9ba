package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// wire answers as the embedded server does, without a network, so that the waits run in virtual
// time.
type wire struct{}

func (wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	page(w, r)
	resp := w.Result()
	resp.Request = r
	return resp, r.Context().Err()
}

// TestWaits: 4, 5 and 6 attempts wait 1.4, 3.0 and 6.2 s, plus 30 ms for each request.
func TestWaits(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string
	}{
		{"", "1.52 s, 11 requests"},
		{"-attempts 5", "3.15 s, 13 requests"},
		{"-attempts 6", "6.38 s, 15 requests"},
		{"-attempts 1", "0.03 s, 5 requests"},
		{"-attempts 6 -max 400ms", "1.98 s, 15 requests"},
		{"-attempts 3 -initial 1s -factor 3", "4.09 s, 9 requests"},
		{"-statuses=", "0.03 s, 5 requests"},
		{"-statuses= -rate 10", "0.43 s, 5 requests"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg, err := parse(append(strings.Fields(tc.args), "-base", "http://site.test"), nil)
				if err != nil {
					t.Fatal(err)
				}
				urls, err := cfg.links()
				if err != nil {
					t.Fatal(err)
				}
				var out, errs bytes.Buffer
				code := fetch(t.Context(), cfg, cfg.guard(), urls, wire{}, &out, &errs)
				if code != exitOK {
					t.Errorf("exit code %d: %s", code, errs.String())
				}
				lines := strings.Split(strings.TrimSpace(out.String()), "\n")
				if got := lines[len(lines)-1]; got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				slices.Sort(lines[:len(lines)-1])
				want := []string{"http://site.test/:200", "http://site.test/about:200",
					"http://site.test/contact:200", "http://site.test/gone:404",
					"http://site.test/missing:404"}
				if !slices.Equal(lines[:len(lines)-1], want) {
					t.Errorf("got %q, want %q", lines, want)
				}
			})
		})
	}
}

func TestInterruptEndsItWithWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := parse([]string{"-base", "http://site.test"}, nil)
		urls, _ := cfg.links()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		var out, errs bytes.Buffer
		code := fetch(ctx, cfg, cfg.guard(), urls, wire{}, &out, &errs)
		if code != exitInterrupted || errs.Len() > 0 ||
			!strings.Contains(out.String(),
				"interrupted, 3 of 5 links done\n0.50 s, 7 requests\n") {
			t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
		}
	})
}

func TestBadInputGivesOneLine(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("# nothing\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("/fine\nftp://x/y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-attempts", "0"}, {"-attempts", "x"}, {"-attempts", "-3"}, {"-statuses", "40"},
		{"-statuses", "abc"}, {"-initial", "-1s"}, {"-initial", "1m"},
		{"-factor", "0.5"}, {"-factor", "NaN"}, {"-max", "-1s"}, {"-rate", "-1"}, {"-rate", "NaN"},
		{"-rate", "+Inf"}, {"-nonsense"}, {"stray"},
		{"-base", "://"}, {"-base", "ftp://x"},
		{"-base", "http://user:secret@"}, {"-base", "nohost"},
		{"-links", "/does/not/exist"}, {"-base", "http://x.test", "-links", empty},
		{"-base", "http://x.test", "-links", bad}, {"-links", t.TempDir()},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), args, &out, &errs)
		text := errs.String()
		if code != exitUsage || strings.Count(text, "\n") != 1 ||
			!strings.HasPrefix(text, "links: ") || out.Len() > 0 ||
			strings.Contains(text, "secret") {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", args, code, out.String(), text)
		}
	}
}

func TestHelpReadsWell(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-h"}, &out, &errs); code != exitOK || errs.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", code, errs.String())
	}
	for _, knob := range []string{"-attempts", "-statuses", "-initial", "-factor", "-max", "-rate",
		"-raise", "-base", "-links", "Exit code"} {
		if !strings.Contains(out.String(), knob) {
			t.Errorf("help does not mention %s", knob)
		}
	}
}

func TestServerThatIsDown(t *testing.T) {
	srv := httptest.NewServer(nil)
	srv.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(),
		[]string{"-base", strings.Replace(srv.URL, "//", "//user:secret@", 1), "-initial",
			"1ms"}, &out, &errs)
	if code != exitFailed || strings.Contains(out.String()+errs.String(), "secret") ||
		strings.Count(errs.String(), "\n") != len(builtin) {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
	for _, link := range builtin {
		if !strings.Contains(errs.String(), srv.URL+link+": ") {
			t.Errorf("no line for %s", link)
		}
	}
}

func TestRaiseMakesAStatusAFailure(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"-raise", "-initial", "1ms"}, &out, &errs)
	if code != exitFailed || strings.Count(errs.String(), "404") < 2 ||
		strings.Count(out.String(), ":200") != 3 {
		t.Errorf("exit code %d\n%s%s", code, out.String(), errs.String())
	}
}

// TestReadmeShowsWhatIsPrinted runs the README's command and compares, but for the port, the order
// and the time.
func TestReadmeShowsWhatIsPrinted(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(readme), "$ go run ./examples/links\n")
	if !ok {
		t.Fatal(errors.New("README does not show the command"))
	}
	block, _, _ = strings.Cut(block, "```")
	var out, errs bytes.Buffer
	if code := run(t.Context(), nil, &out, &errs); code != exitOK {
		t.Fatal(errs.String())
	}
	normal := func(s string) []string {
		s = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(s, "HOST")
		s = regexp.MustCompile(`[\d.]+ s`).ReplaceAllString(s, "N s")
		lines := strings.Split(strings.TrimSpace(s), "\n")
		slices.Sort(lines)
		return lines
	}
	if got, want := normal(out.String()), normal(block); !slices.Equal(got, want) {
		t.Errorf("prints %q, README shows %q", got, want)
	}
}
