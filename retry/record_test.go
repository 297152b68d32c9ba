package retry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

const thinking = 3 * time.Millisecond // a time that nobody claims

// patient retries n times after a wait, telling of it as the built-in loops do.
func patient(n int, wait time.Duration) retry.Policy {
	return retry.PolicyFunc(func(ctx context.Context, next retry.Next) (err error) {
		for i := range n {
			if err = next.Try(ctx, i+1); err == nil {
				return nil
			}
			if i+1 < n {
				time.Sleep(thinking)
				retry.Emit(ctx,
					retry.Event{Kind: retry.KindRetry, Policy: "patient", Attempt: i + 1,
						Wait: wait, Err: err})
				slept := retry.Sleep(ctx, retry.Event{Policy: "patient", Wait: wait})
				if slept != nil {
					return slept
				}
			}
		}
		retry.Emit(ctx,
			retry.Event{Kind: retry.KindGiveUp, Policy: "patient", Attempt: n, Err: err})
		return err
	})
}

func TestRecordTellsTheStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec retry.Record
		slow := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
			time.Sleep(11 * time.Millisecond)
			return next.Do(ctx)
		})
		_ = retry.Run(t.Context(),
			retry.Chain(retry.Observe(rec.Add), patient(2, time.Second), slow),
			func(context.Context) error {
				time.Sleep(30 * time.Millisecond)
				return errBoom
			})
		want := strings.TrimPrefix(`
2 calls in 1.085s, 3ms of it between these lines
        0s       11ms  elsewhere
      11ms       30ms  call, attempt 1: boom
      44ms             patient: retry in 1s: boom
      44ms         1s  patient waits
    1.044s       11ms  elsewhere
    1.055s       30ms  call, attempt 2: boom
    1.085s             patient: give up: boom`, "\n")
		if got := rec.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	for _, rec := range []*retry.Record{nil, new(retry.Record)} {
		if got := rec.String(); got != "nothing recorded" || len(rec.Events()) > 0 {
			t.Errorf("empty: %q", got)
		}
		if _, err := rec.MarshalJSON(); err != nil {
			t.Error(err)
		}
		rec.Add(t.Context(), retry.Event{Kind: retry.KindCall})
	}
}

func TestSharesAddUpToTheWallTime(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			pause := func() { time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond) }
			var rec retry.Record
			strange := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
				pause()
				defer pause()
				return next.Do(ctx)
			})
			start := time.Now()
			_ = retry.Run(t.Context(),
				retry.Chain(retry.Observe(rec.Add), strange,
					patient(1+rnd.IntN(4), 7*time.Millisecond), strange),
				func(ctx context.Context) error {
					pause()
					_ = retry.Run(ctx, patient(rnd.IntN(3), 3*time.Millisecond),
						func(context.Context) error { pause(); return errBoom })
					pause()
					return errBoom
				})
			wall := time.Since(start)
			var total time.Duration
			told := toldBy(t, &rec)
			for _, s := range told.Spans {
				total += seconds(s.Share)
				if s.Share < 0 || s.Share > s.Took {
					t.Errorf("seed %d: share %v of %v", seed, s.Share, s.Took)
				}
			}
			if took := seconds(told.Took); took != wall {
				t.Errorf("seed %d: took %v of %v", seed, took, wall)
			}
			if total != wall {
				t.Errorf("seed %d: shares add up to %v of %v\n%s", seed, total, wall, rec.String())
			}
		})
	}
}

// told is what a Record says as JSON.
type told struct {
	Calls, LeftOut int `json:"-"`
	Took           float64
	Spans          []struct {
		At, Took, Share float64
		Kind, Error     string
	}
	Events []struct{ Kind, Policy, Error string }
}

func toldBy(t *testing.T, rec *retry.Record) (got told) {
	t.Helper()
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	counts := struct {
		Calls   int
		LeftOut int `json:"left_out"`
	}{}
	if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal(text, &counts)); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	got.Calls, got.LeftOut = counts.Calls, counts.LeftOut
	return got
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

func TestARecordOfManyEventsIsBounded(t *testing.T) {
	const calls = 100_000
	synctest.Test(t, func(t *testing.T) {
		var rec retry.Record
		_ = retry.Run(t.Context(), retry.Chain(retry.Observe(rec.Add), patient(calls, time.Second)),
			func(context.Context) error {
				return fmt.Errorf("call: %w", &response{make([]byte, 1)})
			})
		events := rec.Events()
		got := toldBy(t, &rec)
		if len(events) != 256 || got.Calls != calls || got.LeftOut != 3*calls-256 {
			t.Errorf("%d events kept, %d calls, %d left out", len(events), got.Calls, got.LeftOut)
		}
		if events[0].Attempt != 1 || events[255].Kind != retry.KindDone ||
			events[254].Kind != retry.KindGiveUp {
			t.Errorf("first %v, last %v %v", events[0], events[254], events[255])
		}
		if wall := (calls - 1) * (time.Second + thinking); seconds(got.Took) != wall {
			t.Errorf("took %v of %v", got.Took, wall)
		}
		text := rec.String()
		if !strings.Contains(text, "100000 calls in") ||
			strings.Count(text, "(299744 events left out)") != 1 || len(text) > 20_000 {
			t.Errorf("%d bytes: %.300s", len(text), text)
		}
		if errors.As(events[0].Err, new(*response)) {
			t.Error("keeps more of an error than its text")
		}
	})
}

func TestEveryObserverAroundIsTold(t *testing.T) {
	var told []string
	tell := func(name string) retry.Policy {
		return retry.Observe(func(_ context.Context, e retry.Event) {
			told = append(told, name+" "+e.Kind.String())
		})
	}
	chain := retry.Chain(tell("outer"), again(1), tell("inner"))
	_ = retry.Run(t.Context(), chain, func(ctx context.Context) error {
		return retry.Run(ctx, retry.Chain(tell("nested")), func(context.Context) error {
			return nil
		})
	})
	want := []string{"nested call", "inner call", "outer call", "nested done", "inner call",
		"outer call", "inner done", "outer done"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestObserversHearOfAPanicAndOfGoexit(t *testing.T) {
	for name, exit := range map[string]func(){
		"panic":  func() { panic("ouch") },
		"goexit": runtime.Goexit,
	} {
		var kinds []retry.Kind
		finished := make(chan any)
		go func() {
			defer func() { finished <- recover() }()
			_ = retry.Run(context.Background(),
				retry.Observe(func(_ context.Context, e retry.Event) {
					if e.Err == nil {
						t.Errorf("%s: %v without an error", name, e.Kind)
					}
					kinds = append(kinds, e.Kind)
				}), func(context.Context) error { exit(); return nil })
		}()
		if got := <-finished; (got == "ouch") != (name == "panic") {
			t.Errorf("%s: recovered %v", name, got)
		}
		if !slices.Equal(kinds, []retry.Kind{retry.KindCall, retry.KindDone}) {
			t.Errorf("%s: told %v", name, kinds)
		}
	}
}

func TestLogTo(t *testing.T) {
	var buf bytes.Buffer
	timeless := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l := slog.New(slog.NewTextHandler(&buf,
		&slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: timeless}))
	synctest.Test(t, func(t *testing.T) {
		_ = retry.Run(t.Context(),
			retry.Chain(retry.Observe(retry.LogTo(l)),
				patient(2, time.Second)), func(context.Context) error { return errBoom })
	})
	want := "level=INFO msg=retry policy=patient attempt=1 wait=1s error=boom\n" +
		"level=WARN msg=\"give up\" policy=patient attempt=2 error=boom\n"
	if buf.String() != want {
		t.Errorf("got\n%swant\n%s", buf.String(), want)
	}
	buf.Reset()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range []retry.Kind{retry.KindGiveUp, retry.KindReject, retry.KindChange} {
		retry.LogTo(l)(cancelled, retry.Event{Kind: kind, Attempt: 1})
	}
	if want := ""; buf.String() != want { // nobody has to know of a loser
		t.Errorf("cancelled: got\n%swant\n%s", buf.String(), want)
	}
	retry.LogTo(nil)(t.Context(),
		retry.Event{Kind: retry.KindCall, Err: errors.New("to the default logger")})
}
