package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// open starts a world and the service in it.
func open(t *testing.T, edit func(*config)) (*service, *world, string) {
	t.Helper()
	c, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	c.Database = "file:" + filepath.Join(t.TempDir(), "orders.db")
	if edit != nil {
		edit(&c)
	}
	w, err := startWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	w.fill(&c)
	s, err := start(c, guarded, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-s.stop:
		default:
			_ = s.shutdown(t.Context())
		}
	})
	return s, w, "http://" + s.address
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestWhatIsOrderedIsFoundAgain(t *testing.T) {
	s, _, base := open(t, nil)
	resp, err := http.PostForm(base+"/orders", url.Values{"product": {"7"}, "key": {"k"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if code, body := get(t, base+"/orders/1"); resp.StatusCode != 200 || code != 200 ||
		body != "{\"product\":\"7\"}\n" {
		t.Errorf("%d, then %d %s", resp.StatusCode, code, body)
	}
	for path, want := range map[string]int{"/orders/2": 404, "/orders/x": 400, "/products/": 404,
		"/healthz": 200, "/guards": 200} {
		if code, body := get(t, base+path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if err := s.shutdown(t.Context()); err != nil || s.receipts.printed.Load() != 1 {
		t.Errorf("%v, %d receipts", err, s.receipts.printed.Load())
	}
}

func TestADeadCatalogCostsNoOrders(t *testing.T) {
	s, w, base := open(t, nil)
	if code, _ := get(t, base+"/products/1"); code != 200 {
		t.Fatal(code)
	}
	w.catalog.hangs.Store(true)
	begin := time.Now()
	for range 5 {
		if code, body := get(t, base+"/products/1"); code != 200 || !strings.Contains(body, "499") {
			t.Errorf("of a product that is known: %d %s", code, body)
		}
	}
	if code, _ := get(t, base+"/products/2"); code != 503 {
		t.Errorf("of a product that is not: %d", code)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(s.guards.broken()) != 1 {
		t.Errorf("open breakers: %v", s.guards.broken())
	}
	if code, body := get(t, base+"/healthz"); code != 200 ||
		!strings.Contains(body, "degraded: breaker catalog(") {
		t.Errorf("health: %d %s", code, body)
	}
}

func TestShutdownLetsRunningRequestsFinish(t *testing.T) {
	s, w, base := open(t, func(c *config) { c.Catalog.Timeout = duration(5 * time.Second) })
	w.catalog.takes.Store(int64(300 * time.Millisecond))
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Get(base + "/products/1")
		if err != nil {
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	for w.catalog.begun.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if code := <-answered; code != 200 {
		t.Errorf("the running request: %d", code)
	}
}

func TestABadStartIsOneLineAndExitCode2(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	broken := func(old, now string) []string {
		file := filepath.Join(t.TempDir(), "shop.json")
		text := strings.Replace(string(builtin), old, now, 1)
		if text == string(builtin) {
			t.Fatalf("nothing to replace: %s", old)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"-config", file}
	}
	for name, tc := range map[string]struct {
		args []string
		text string
	}{
		"a port in use": {
			[]string{"-listen", taken.Addr().String()}, "address already in use"},
		"a negative limit": {
			broken(`"rate": 200`, `"rate": -200`), "payments: ratelimit.New: limit -200: must be"},
		"no attempts": {broken(`"attempts": 3`, `"attempts": 0`),
			"catalog: policies.Exponential: Attempts(0): must be at least 1"},
		"no workers": {
			broken(`"workers": 4`, `"workers": 0`), "receipts: policies.NewBulkhead: "},
		"a limit upside": {broken(`"most": 24`, `"most": 2`), "front: policies.NewAdaptive: "},
		"a broken file": {
			broken(`"workers": 4,`, `"workers": 4`), "line 5: invalid character"},
		"a text for a count": {
			broken(`"workers": 4`, `"workers": "4"`), "line 4: json: cannot unmarshal string"},
		"an unknown field": {broken(`"workers"`, `"wrokers"`), `unknown field "wrokers"`},
		"no duration":      {broken(`"300ms"`, `"soon"`), `invalid duration "soon"`},
		"more after its end": {broken(`"open": "1s"
  }
}`, `"open": "1s"
  }
} {}`), "there is more after the end of the JSON"},
		"a bad address":   {broken(`"url": ""`, `"url": "nowhere"`), "must be an address"},
		"no such file":    {[]string{"-config", "/no/such/file"}, "no such file"},
		"an unknown flag": {[]string{"-lod"}, "-lod"},
		"an argument":     {[]string{"load"}, `unexpected argument "load"`},
		"quick what":      {[]string{"-quick"}, "-quick is for -load"},
		"a load's config": {
			append(broken(`"burst": 50`, `"burst": -1`), "-load"), "payments: ratelimit.New: "},
	} {
		var stdout, stderr bytes.Buffer
		code := command(t.Context(), tc.args, &stdout, &stderr)
		if text := stderr.String(); code != exitUsage || !strings.HasPrefix(text, "service: ") ||
			!strings.Contains(text, tc.text) || strings.Count(text, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q", name, code, text)
		}
	}
}

func TestAllMistakesAreTold(t *testing.T) {
	c, _ := load("")
	c.Catalog.Rate, c.Payments.Attempts = -1, 0
	_, err := newGuards(c, nil)
	if !errors.Is(err, retry.ErrConfig) || !strings.Contains(err.Error(), "catalog: ") ||
		!strings.Contains(err.Error(), "payments: ") {
		t.Error(err)
	}
}

func TestLintIsSilent(t *testing.T) {
	c, err := load("")
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGuards(c, make(chan struct{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []retry.Policy{g.front, g.catalog, g.payments, g.orders, g.receipts} {
		for _, w := range retry.Lint(p) {
			t.Error(w)
		}
	}
}

func TestTheTour(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := command(t.Context(), nil, &stdout, &stderr); code != exitOK ||
		!strings.Contains(stdout.String(), `{"order":1}`) {
		t.Errorf("%d\n%s%s", code, &stdout, &stderr)
	}
}

// bothRuns runs plan guarded and bare, and tells what is not as it should be.
func bothRuns(t *testing.T, plan []phase) (runs []run, problem string) {
	t.Helper()
	c, _ := load("")
	for _, how := range []manner{guarded, bare} {
		r, err := loadRun(t.Context(), c, how, plan)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, r)
	}
	all := func(sample) bool { return true }
	for _, r := range runs {
		if v, o := r.figures(visit, all), r.figures(order, all); v.sent < 5 || o.sent < 2 ||
			v.good == 0 || o.good == 0 {
			return runs, fmt.Sprintf("%s: visits %+v, orders %+v", r.name, v, o)
		}
	}
	outage := func(s sample) bool { return s.phase == 1 }
	if guarded, bare := runs[0].figures(visit, outage),
		runs[1].figures(visit, outage); guarded.good <= bare.good {
		return runs, fmt.Sprintf("in the outage: guarded %+v, bare %+v", guarded, bare)
	}
	return runs, ""
}

// The run is cut to a second: what comes of it is for the full one.
func TestTheLoadRunIsTableAndPicture(t *testing.T) {
	plan := []phase{
		{"calm", 300 * time.Millisecond, 50, nil},
		{"outage", 300 * time.Millisecond, 50, func(w *world) { w.catalog.hangs.Store(true) }},
	}
	var runs []run
	problem := "never run"
	for tries := 0; tries < 5 && problem != ""; tries++ { // others use the machine too
		if runs, problem = bothRuns(t, plan); problem != "" {
			t.Log(problem)
		}
	}
	if problem != "" {
		t.Error(problem)
	}
	var table bytes.Buffer
	report(&table, plan, runs)
	if !strings.Contains(table.String(), "guarded") || !strings.Contains(table.String(), "outage") {
		t.Error(table.String())
	}
	file := filepath.Join(t.TempDir(), "p.svg")
	if err := picture(file, plan, runs); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || xml.Unmarshal(text, new(struct{ XMLName xml.Name })) != nil ||
		!bytes.Contains(text, []byte("orders (critical)")) {
		t.Errorf("no picture: %v, %.200s", err, text)
	}
}

func TestAnInterruptedLoadRunStops(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var stdout, stderr bytes.Buffer
	begin := time.Now()
	code := command(ctx, []string{"-load", "-picture", ""}, &stdout, &stderr)
	if code != exitInterrupted || time.Since(begin) > 10*time.Second {
		t.Errorf("%d after %v: %s", code, time.Since(begin), &stderr)
	}
}
