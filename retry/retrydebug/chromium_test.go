package retrydebug_test

import (
	"context"
	"flag"
	"fmt"
	"image/png"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrydebug"
)

var screenshot = flag.String("screenshot", "", "write the picture of the page to this file")

// TestInABrowser renders the page as a person sees it. docs/guards.png is made by
//
//	go test ./retry/retrydebug -run InABrowser -screenshot $PWD/docs/guards.png
func TestInABrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on PATH: the page was not rendered")
	}
	server := httptest.NewServer(busy(t))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "page.png")
	// A browser's processes do not always find each other.
	check.OneOf(t, 3, func() (problem string) {
		profile, err := os.MkdirTemp("", "chromium")
		if err != nil {
			return err.Error()
		}
		defer os.RemoveAll(profile) // its processes may still write there: not t.TempDir
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu",
			"--disable-quic", "--no-first-run",
			"--disable-background-networking", "--disable-component-update", "--disable-sync",
			"--disable-dev-shm-usage", "--hide-scrollbars",
			"--user-data-dir="+profile, "--window-size=1120,1163", "--screenshot="+file, server.URL+
				"/?refresh=0")
		cmd.WaitDelay = 10 * time.Second // its processes have its output too
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Sprintf("%v: %s", err, out)
		}
		return ""
	})
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	colors := map[[3]uint32]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			colors[[3]uint32{r >> 8, g >> 8, b >> 8}] = true
		}
	}
	if img.Bounds().Dx() != 1120 || len(colors) < 50 || !colors[[3]uint32{0xcc, 0x33, 0x33}] {
		t.Errorf("%v, %d colors: an open breaker is not red, or nothing is there", img.Bounds(),
			len(colors))
	}
	if *screenshot != "" {
		shot, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*screenshot, shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// busy is a page of a service that is well, and of one that is down.
func busy(t *testing.T) *retrydebug.Debug {
	t.Helper()
	debug := retrydebug.New()
	catalog := debug.Watch("catalog", retry.Chain(
		policies.Exponential(policies.Attempts(4), policies.Initial(2*time.Millisecond)),
		ratelimit.New(100, 50,
			ratelimit.Named("catalog")), breaker.New("catalog"), policies.Timeout(time.Second)))
	payments := debug.Watch("payments", retry.Chain(
		policies.Exponential(policies.Attempts(3), policies.Initial(time.Millisecond)),
		policies.NewBulkhead(8, 16, policies.Named("payments")), breaker.New("payments",
			breaker.ConsecutiveFailures(4),
			breaker.OpenFor(5*time.Minute)))) // still open when a slow browser looks
	slow := 0
	for range 20 {
		_ = retry.Run(t.Context(), catalog, func(ctx context.Context) error {
			if slow++; slow%7 == 0 {
				time.Sleep(3 * time.Millisecond)
				return errDown
			}
			return nil
		})
		_ = retry.Run(t.Context(), payments, func(context.Context) error { return errDown })
	}
	return debug
}

func TestThePageOfABusyServiceIsSmall(t *testing.T) {
	w := get(t, busy(t), "GET", "/")
	if n := w.Body.Len(); n < 3000 || n > 200_000 ||
		!strings.HasSuffix(strings.TrimSpace(w.Body.String()), "</html>") {
		t.Errorf("%d bytes", n)
	}
}
