package retrydebug_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrydebug"
)

var errDown = errors.New("<down>")

// gauge is a policy with figures.
type gauge struct{ text string }

func (g gauge) Do(ctx context.Context, next retry.Next) error { return next.Do(ctx) }
func (g gauge) String() string                                { return g.text }
func (g gauge) Stats() []retry.Stat {
	return []retry.Stat{{Name: "rate", Value: 12.345678, Unit: "1/s"},
		{Name: "state", Value: 3, Text: "open"}}
}

func get(t *testing.T, h http.Handler, method, target string,
	header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func fail(context.Context) error { return errDown }

func TestThePageShowsWhatGuardsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		debug := retrydebug.New()
		loop := policies.Constant(time.Second, policies.Attempts(3))
		guard := debug.Watch("catalog", retry.Chain(loop, gauge{"limiter slots(12/s)"}))
		debug.Watch("broken", policies.Exponential(policies.Attempts(0)))
		if err := retry.Run(t.Context(), guard, fail); !errors.Is(err, retry.ErrExhausted) {
			t.Fatal(err)
		}
		html := get(t, debug, "GET", "/").Body.String()
		for _, want := range []string{
			`<meta http-equiv="refresh" content="2">`, "1 calls, 1 failed", "limiter slots",
			`rate <b>12.35/s</b>`, `state <b class="open">open</b>`,
			"3 calls in 2s", "&lt;down&gt;", "must be at least 1", "give up",
		} {
			if !strings.Contains(html, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		if strings.Contains(html, "<down>") ||
			strings.Index(html, ">broken<") > strings.Index(html, ">catalog<") {
			t.Error("not escaped, or not sorted")
		}
		html = get(t, debug, "GET", "/?refresh=0").Body.String()
		if strings.Contains(html, "http-equiv") {
			t.Error("refresh=0 reloads")
		}
		html = get(t, debug, "GET", "/?refresh=10").Body.String()
		if !strings.Contains(html, `content="10"`) {
			t.Error("refresh=10 is not kept")
		}
		for _, w := range []*httptest.ResponseRecorder{get(t, debug, "GET", "/?format=json"),
			get(t, debug, "GET", "/", "Accept: application/json")} {
			var p struct {
				Guards []struct {
					Name    string
					Calls   int
					Members []struct {
						Path  string
						Stats []retry.Stat
					}
					Slowest []struct {
						Took   float64
						Record struct{ Calls int }
					}
				}
				Events []struct{ Kind, Policy, Error string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatalf("%v in %s", err, w.Body)
			}
			catalog := p.Guards[1]
			if catalog.Calls != 1 || catalog.Slowest[0].Took != 2 ||
				catalog.Slowest[0].Record.Calls != 3 ||
				catalog.Members[1].Stats[0].Value != 12.345678 {
				t.Errorf("%s", w.Body)
			}
			if p.Events[0].Kind != "give up" { // the newest first
				t.Errorf("events %v", p.Events)
			}
		}
	})
}

func TestOnlyTheSlowestOfLateAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		debug := retrydebug.New()
		guard := debug.Watch("g", retry.Chain())
		for i := range 1000 {
			_ = retry.Run(t.Context(), guard, func(context.Context) error {
				time.Sleep(time.Duration(i%100) * time.Millisecond)
				return errDown
			})
		}
		p := debug.Page()
		if s := p.Guards[0].Slowest; len(s) != 8 || s[0].Took != .099 || s[7].Took < .098 ||
			len(p.Events) != 100 {
			t.Errorf("%d flights, %d events: %v", len(s), len(p.Events), s)
		}
		time.Sleep(time.Hour)
		_ = retry.Run(t.Context(), guard, func(context.Context) error { return nil })
		if s := debug.Page().Guards[0].Slowest; len(s) != 1 || s[0].Took != 0 {
			t.Errorf("after an hour: %v", s)
		}
	})
}

func TestAWatchedGuardIsStillItself(t *testing.T) {
	debug := retrydebug.New()
	guard := debug.Watch("g", retry.Chain(gauge{"a"}, policies.Exponential(policies.Attempts(-1))))
	if err := retry.Validate(guard); !errors.Is(err, retry.ErrConfig) {
		t.Errorf("Validate: %v", err)
	}
	var paths []string
	retry.Walk(guard, func(path string, _ retry.Policy) bool {
		paths = append(paths, path)
		return true
	})
	if len(paths) != 3 {
		t.Errorf("Walk: %q", paths)
	}
	again := debug.Watch("g", gauge{"b"})
	if g := debug.Page().Guards; len(g) != 1 || g[0].Chain != "b" {
		t.Errorf("a name is used again: %v", g)
	}
	v, err := retry.Do(t.Context(), again, func(context.Context) (int, error) { return 7, errDown })
	if v != 7 || err != errDown {
		t.Errorf("%d, %v", v, err)
	}
	if w := get(t, debug, "POST", "/"); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	w := get(t, retrydebug.New(), "GET", "/")
	if !strings.Contains(w.Body.String(), "No guard is watched") {
		t.Errorf("nothing to show: %s", w.Body)
	}
}

func TestLookingWhileCallsRun(t *testing.T) {
	debug := retrydebug.New()
	guard := debug.Watch("g",
		retry.Chain(policies.Constant(0, policies.Attempts(3)),
			breaker.New("b", breaker.OpenFor(time.Millisecond))))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				_ = retry.Run(t.Context(), guard, fail)
			}
		})
	}
	for range 50 {
		get(t, debug, "GET", "/")
		get(t, debug, "GET", "/?format=json")
		_ = fmt.Sprint(guard)
	}
	wg.Wait()
	if g := debug.Page().Guards[0]; g.Calls != 1200 || g.Failed != 1200 {
		t.Errorf("%d calls, %d failed", g.Calls, g.Failed)
	}
}

// TestNamesAreText: whatever a guard, a policy or an error is called.
func TestNamesAreText(t *testing.T) {
	const name = "a\"b'c\n<script>alert(1)</script>\x00\xff&amp;"
	debug := retrydebug.New()
	guard := debug.Watch(name,
		retry.Chain(policies.Constant(0), breaker.New(name, breaker.ConsecutiveFailures(1))))
	_ = retry.Run(t.Context(), guard, func(context.Context) error { return errors.New(name) })
	html := get(t, debug, "GET", "/").Body.String()
	if strings.Contains(html, "<script") || !strings.Contains(html, "&lt;script&gt;alert(1)") ||
		strings.Contains(html, `id="a"`) {
		t.Errorf("not escaped:\n%s", html)
	}
	w := get(t, debug, "GET", "/?format=json")
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("not JSON: %s", w.Body)
	}
}

func TestManyMembersAreNotShown(t *testing.T) {
	debug := retrydebug.New()
	many := policies.MaxKeys(200_000)
	keys := policies.Keyed(func(context.Context) int { return 0 },
		func(int) retry.Policy { return breaker.New("b") }, many)
	for i := range 100_000 {
		_ = retry.Run(t.Context(), keys.For(i), fail)
	}
	debug.Watch("hosts", keys)
	if g := debug.Page().Guards[0]; len(g.Members) != 100 || len(g.Members)+g.LeftOut != 1+100_000 {
		t.Errorf("%d shown, %d left out", len(g.Members), g.LeftOut)
	}
}
